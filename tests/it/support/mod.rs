//! What tests share.

pub(crate) mod markdown;
pub(crate) mod postgres;
pub(crate) mod shell;
pub(crate) mod world;
