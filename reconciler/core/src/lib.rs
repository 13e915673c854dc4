//! core
pub mod access;
pub mod canonical;
pub mod check;
pub mod classify;
pub mod key;
pub mod mapping;
pub mod names;
pub mod order;
pub mod plan;
pub mod shape;
pub mod spec;
pub mod strategy;
pub mod topology;
pub mod value;
