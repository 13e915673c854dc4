//! core
pub mod access;
pub mod classify;
pub mod shape;
pub mod spec;
pub mod strategy;
pub mod value;
