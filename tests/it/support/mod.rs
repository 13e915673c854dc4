//! What tests share.

pub(crate) mod postgres;
