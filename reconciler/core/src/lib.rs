//! core
pub mod access;
pub mod canonical;
pub mod key;
pub mod mapping;
pub mod names;
pub mod shape;
pub mod spec;
pub mod value;
