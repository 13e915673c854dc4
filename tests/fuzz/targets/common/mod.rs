//! A host with small bounds, a table, and what has to hold of every answer.

#[path = "../../../it/plugins/guest.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod guest;
#[path = "../../../../reconciler/app/benches/table/mod.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest")]
mod table;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use berqenas::plugin::{Answers, BatchContext, Bound, Host, Limits, Plugin, PluginError};
use berqenas_core::{
    decision::{Contested, Settled},
    value::{Side, Value},
};
use table::Table;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap());
static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// Loads a plugin within bounds that are soon reached.
pub(crate) fn load(wasm: Vec<u8>) -> Result<Plugin, PluginError> {
    let limits = Limits {
        memory: 4 << 20,
        fuel: 1_000_000,
        fuel_per_conflict: 0,
        table_elements: 1000,
        stack: 256 << 10,
        component: 1 << 20,
        compile: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    RUNTIME.block_on(Host::new(None).load(wasm, limits))
}

/// Holds it to a table, if it can be.
pub(crate) fn bind(plugin: &Plugin) -> Option<Bound> {
    let config = serde_json::json!({});
    let context =
        BatchContext { sync: "office", mapping: Arc::new(TABLE.mapping.clone()), config: &config, plan_time: jiff::Timestamp::UNIX_EPOCH };
    plugin.bind(context).ok()
}

/// Conflicts over rows of the table.
pub(crate) fn conflicts(count: usize, base: bool) -> Vec<Contested> {
    TABLE.contested(count, base)
}

/// Asks, and holds what is answered against what always holds.
pub(crate) fn ask(bound: &Bound, batch: &[Contested]) -> Answers {
    let answers = RUNTIME.block_on(bound.ask(batch));
    assert_eq!(answers.settled.len(), batch.len());
    assert!(answers.memory <= bound.plugin().limits().memory);
    for settled in &answers.settled {
        match settled {
            Ok(Settled::Merge { row }) => {
                for (column, value) in row.values.iter().enumerate().skip(TABLE.mapping.key_len) {
                    for side in Side::BOTH {
                        let stored = TABLE.mapping.encode(side, column, value).unwrap();
                        assert_eq!(TABLE.mapping.columns[column].decode(side, &stored).as_ref(), Ok(value));
                    }
                }
            }
            Ok(Settled::Take { .. } | Settled::Manual { .. }) => {}
            Err(failure) => assert!(!failure.is_transient(), "{failure}"),
        }
    }
    assert!(answers.diagnostics.iter().all(|said| !said.message.contains(char::is_control)));
    answers
}

/// Components that are good.
#[allow(dead_code, reason = "one target uses it")]
pub(crate) fn good() -> Vec<Vec<u8>> {
    let bodies = [String::new(), guest::at_key(1, "unreachable"), guest::merge(7, 5, [16 | 7 << 32, 0]), guest::echo(3), guest::report()];
    bodies.iter().map(|body| guest::doing(body)).collect()
}

/// A guest that answers with the bytes of its conflict's key.
#[allow(dead_code, reason = "one target uses it")]
pub(crate) fn parrot() -> Vec<u8> {
    guest::parrot()
}

/// A conflict with a key of those bytes.
#[allow(dead_code, reason = "one target uses it")]
pub(crate) fn keyed(bytes: &[u8], base: bool) -> Contested {
    let mut contested = conflicts(1, base).remove(0);
    contested.key.0 = vec![Value::Bytes(bytes.to_vec())];
    contested
}
