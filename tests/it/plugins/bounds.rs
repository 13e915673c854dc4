//! Bounds: up to them all is well, beyond them the conflict that went there fails.

use super::{guest::Guest, *};

const PAGE: u64 = 1 << 16;

/// What becomes of the conflict at which a guest runs `body`, beside the memory that was used.
async fn at(limits: Limits, module: &str, body: &str) -> (Result<Settled, String>, u64) {
    let wasm = Guest { module, body: &at_key(3, body), ..Guest::default() }.component();
    let plugin = Host::new(None).load(wasm, limits).await.unwrap();
    let mut answers = ask(&plugin, &conflicts(0..4)).await;
    assert_eq!(answers.settled[..3], [cloud(), cloud(), cloud()], "{body}");
    (answers.settled.remove(3).map_err(|failure| failure.to_string()), answers.memory)
}

async fn check(limits: &Limits, module: &str, body: &str, expected: Result<(), &str>) -> u64 {
    let (found, memory) = at(limits.clone(), module, body).await;
    match (found, expected) {
        (Ok(settled), Ok(())) => assert_eq!(settled, Settled::Take { side: Side::Cloud }, "{body}"),
        (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{body}: {found}\n  expected: {expected}"),
        (found, expected) => panic!("{body}: {found:?}, expected {expected:?}"),
    }
    memory
}

#[tokio::test]
async fn memory_is_bounded_to_the_page() {
    // The guest has three pages to begin with.
    let limits = Limits { memory: 16 * PAGE, ..Limits::default() };
    let memory = check(&limits, "", "(drop (memory.grow (i32.const 13)))", Ok(())).await;
    assert_eq!(memory, limits.memory);
    let beyond = Err("it wanted 1114112 bytes of memory and 1048576 are allowed");
    check(&limits, "", "(drop (memory.grow (i32.const 14)))", beyond).await;
    check(&limits, "", "(drop (memory.grow (i32.const 7))) (drop (memory.grow (i32.const 7)))", beyond).await;
    let less = Limits { memory: 16 * PAGE + PAGE - 1, ..Limits::default() };
    check(&less, "", "(drop (memory.grow (i32.const 14)))", Err("it wanted 1114112 bytes of memory and 1114111 are allowed")).await;
    // All memories count together.
    check(&limits, "(memory $other 5)", "(drop (memory.grow 1 (i32.const 8)))", Ok(())).await;
    check(&limits, "(memory $other 5)", "(drop (memory.grow 1 (i32.const 9)))", beyond).await;
}

#[tokio::test]
async fn tables_are_bounded_to_the_element() {
    let limits = Limits { table_elements: 100, ..Limits::default() };
    let tables = "(table $a 10 funcref) (table $b 20 funcref)";
    let grow = |more: u32| format!("(drop (table.grow $a (ref.null func) (i32.const {more})))");
    check(&limits, tables, &grow(70), Ok(())).await;
    check(&limits, tables, &grow(71), Err("it wanted 101 table elements and 100 are allowed")).await;
    check(&limits, tables, &grow(20_000_000), Err("it wanted 20000030 table elements and 100 are allowed")).await;
    check(&limits, tables, &grow(u32::MAX), Err("it used up its fuel of 55000000")).await;
}

#[tokio::test]
async fn what_is_too_large_from_the_beginning_is_not_admitted() {
    let refused = |module: &str, limits: Limits, expected: &str| {
        let (wasm, expected) = (Guest { module, ..Guest::default() }.component(), expected.to_owned());
        async move {
            let error = Host::new(None).load(wasm, limits).await.unwrap_err().to_string();
            assert!(error.contains(&expected), "{error}\n  expected: {expected}");
        }
    };
    let small = Limits { memory: 2 * PAGE, ..Limits::default() };
    refused("", small, "it wanted 196608 bytes of memory and 131072 are allowed").await;
    refused("(table 20001 funcref)", Limits::default(), "it wanted 20001 table elements and 20000 are allowed").await;
    refused("(memory 1025)", Limits::default(), "bytes of memory and 67108864 are allowed").await;
    refused(&"(memory 0)".repeat(99), Limits::default(), "").await;
}

/// Frames of the guest lie on a stack that has room for as much as the limit says.
#[tokio::test]
async fn the_stack_is_as_deep_as_its_limit() {
    const MIB: usize = 1 << 20;
    let down = |depth: u32| format!("(drop (call $down (i32.const {depth})))");
    let exhausted = Err("it trapped: wasm trap: call stack exhausted");
    check(&Limits::default(), "", &down(1_000), Ok(())).await;
    check(&Limits::default(), "", &down(1_000_000), exhausted).await;
    check(&Limits { stack: MIB / 16, ..Limits::default() }, "", &down(10_000), exhausted).await;
    check(&Limits { stack: 64 * MIB, ..Limits::default() }, "", &down(200_000), Ok(())).await;
    check(&Limits { stack: 64 * MIB, ..Limits::default() }, "", &down(10_000_000), exhausted).await;
    check(&Limits { stack: 64 * MIB, ..Limits::default() }, "", "(drop (call $deep (i32.const 0)))", exhausted).await;
}

#[tokio::test]
async fn limits_that_no_machine_can_keep_are_refused() {
    for stack in [0, usize::MAX / 2, usize::MAX] {
        let error = Host::new(None).load(doing(""), Limits { stack, ..Limits::default() }).await.unwrap_err().to_string();
        assert!(error.contains("the WebAssembly engine cannot be set up"), "{stack}: {error}");
    }
    let none = Limits { fuel: 0, fuel_per_conflict: 0, ..Limits::default() };
    let error = Host::new(None).load(doing(""), none).await.unwrap_err().to_string();
    assert!(error.contains("it used up its fuel of 0"), "{error}");
    let most = Limits {
        memory: u64::MAX,
        fuel: u64::MAX,
        fuel_per_conflict: u64::MAX,
        table_elements: u64::MAX,
        timeout: Duration::MAX,
        ..Limits::default()
    };
    check(&most, "", "", Ok(())).await;
}
