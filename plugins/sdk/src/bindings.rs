//! The interface as Rust types, generated from `plugins/wit/strategy.wit`, which documents them.
#![allow(missing_docs, unsafe_code, reason = "generated")]

wit_bindgen::generate!({
    path: "../wit",
    world: "strategy",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "berqenas_strategy::bindings",
    additional_derives: [PartialEq, Eq],
});
