//! Any bytes as the memory that a guest answers with: decisions that the table can take, or failures.
#![no_main]

mod common;

use std::sync::LazyLock;

use berqenas::plugin::Bound;
use libfuzzer_sys::fuzz_target;

/// A guest that answers with what it is given.
static PARROT: LazyLock<Bound> = LazyLock::new(|| common::bind(&common::load(common::parrot()).unwrap()).unwrap());

fuzz_target!(|bytes: &[u8]| {
    common::ask(&PARROT, &[common::keyed(bytes, bytes.len().is_multiple_of(2))]);
});
