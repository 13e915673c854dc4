//! core
pub mod access;
pub mod shape;
pub mod spec;
pub mod value;
