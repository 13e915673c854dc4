//! The interface as Rust types: generated, for this room only.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from plugins/wit/strategy.wit, which is documented")]

wasmtime::component::bindgen!({ path: "../../plugins/wit", world: "strategy" });

pub(super) use exports::berqenas::strategy::resolver as wit;
