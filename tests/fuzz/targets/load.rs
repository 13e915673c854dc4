//! Any bytes as a component: admitted or refused, and what is admitted runs within its bounds and answers the same twice.
#![no_main]

mod common;

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| {
    let Ok(plugin) = common::load(bytes.to_vec()) else { return };
    let Some(bound) = common::bind(&plugin) else { return };
    let batch = common::conflicts(3, bytes.len().is_multiple_of(2));
    assert_eq!(common::ask(&bound, &batch), common::ask(&bound, &batch));
});

static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(common::good);

// Whatever does not begin like a component is refused at once: now and then the changes begin anew, with a good one.
fuzz_mutator!(|bytes: &mut [u8], size: usize, most: usize, seed: u32| {
    const FRESH: u32 = 16;
    let good = &GOOD[(seed / FRESH) as usize % GOOD.len()];
    let size = if seed.is_multiple_of(FRESH) && good.len() <= most {
        bytes[..good.len()].copy_from_slice(good);
        good.len()
    } else {
        size
    };
    fuzzer_mutate(bytes, size, most)
});
