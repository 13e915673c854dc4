//! What tests share.

pub(crate) mod guests;
pub(crate) mod markdown;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod reconciler;
pub(crate) mod server;
pub(crate) mod shell;
pub(crate) mod sqlserver;
pub(crate) mod tds;
pub(crate) mod webhook;
pub(crate) mod world;
