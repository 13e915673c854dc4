//! The WASM engine as it comes, and nothing beside it: no fuel, no clock, no bounds, and no check of what is answered.

use berqenas_core::{
    decision::Contested,
    mapping::TableMapping,
    value::{Side, Value},
};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker},
};

wasmtime::component::bindgen!({ path: "../../plugins/wit", world: "strategy" });

use exports::berqenas::strategy::resolver as wit;

pub(crate) struct Bare {
    strategy: StrategyPre<()>,
    engine: Engine,
    /// All columns, or those that differ or changed, or those of these names alone.
    scope: wit::Scope,
    names: Vec<String>,
    config: String,
}

impl Bare {
    pub(crate) fn new(wasm: &[u8], config: &serde_json::Value) -> Bare {
        let engine = Engine::default();
        let component = Component::from_binary(&engine, wasm).unwrap();
        let strategy = StrategyPre::new(Linker::new(&engine).instantiate_pre(&component).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        let said = strategy.instantiate(&mut store).unwrap().berqenas_strategy_resolver().call_describe(&mut store).unwrap();
        let pointed = said.columns.pointers.iter().filter_map(|pointer| config.pointer(pointer));
        let named = pointed.flat_map(|found| found.as_array().cloned().unwrap_or_else(|| vec![found.clone()]));
        let names = named.filter_map(|name| name.as_str().map(str::to_owned)).chain(said.columns.names).collect();
        Bare { strategy, engine, scope: said.columns.scope, names, config: config.to_string() }
    }

    /// The batch as the interface has it.
    pub(crate) fn batch(&self, batch: &[Contested]) -> Vec<wit::Conflict> {
        batch.iter().map(|contested| self.conflict(contested)).collect()
    }

    /// A fresh instance decides it.
    pub(crate) fn resolve(&self, mapping: &TableMapping, batch: &[wit::Conflict]) -> wit::Answer {
        let mut store = Store::new(&self.engine, ());
        let instance = self.strategy.instantiate(&mut store).unwrap();
        let context = self.context(mapping);
        instance.berqenas_strategy_resolver().call_resolve(&mut store, &context, batch).unwrap().unwrap()
    }

    fn context(&self, mapping: &TableMapping) -> wit::Context {
        let kind = |value: &str| match value {
            "integer" => wit::Kind::Integer,
            "decimal" => wit::Kind::Decimal,
            "boolean" => wit::Kind::Boolean,
            "text" => wit::Kind::Text,
            _ => wit::Kind::Timestamp,
        };
        let column = |(index, column): (usize, &berqenas_core::mapping::ColumnPair)| wit::Column {
            name: column.name.clone(),
            kind: kind(&column.common.to_string()),
            type_name: column.common.to_string(),
            writable: index > 0,
            nullable: true,
            max_chars: None,
            fraction_digits: None,
        };
        wit::Context {
            sync: "office".into(),
            table: mapping.table.clone(),
            columns: mapping.columns.iter().enumerate().map(column).collect(),
            key_columns: vec![0],
            soft_delete: false,
            config: self.config.clone(),
            plan_time: wit::Instant { seconds: 0, nanoseconds: 0 },
            ext: Vec::new(),
        }
    }

    fn conflict(&self, contested: &Contested) -> wit::Conflict {
        let columns = 1..contested.rows.cloud.as_ref().unwrap().values.len();
        let wanted = |column: &usize| match self.scope {
            wit::Scope::All => true,
            wit::Scope::Differing => {
                let moved = || contested.base.is_some() && Side::BOTH.into_iter().any(|side| contested.changed(side, *column));
                contested.differs(*column) || moved()
            }
            wit::Scope::Named => super::table::NAMES[*column..=*column].iter().any(|name| self.names.iter().any(|wanted| wanted == name)),
        };
        let holding = |side: Side| wit::Holding {
            operation: wit::Operation::Updated,
            edited_at: contested
                .edited
                .get(side)
                .map(|micros| wit::Instant { seconds: micros / 1_000_000, nanoseconds: u32::try_from(micros % 1_000_000 * 1000).unwrap() }),
        };
        wit::Conflict {
            kind: wit::ConflictKind::UpdateUpdate,
            key: contested.key.0.iter().map(value).collect(),
            cloud: holding(Side::Cloud),
            local: holding(Side::Local),
            has_base: contested.base.is_some(),
            fields: columns.filter(wanted).map(|column| field(contested, column)).collect(),
            ext: Vec::new(),
        }
    }
}

fn field(contested: &Contested, column: usize) -> wit::Field {
    wit::Field {
        column: u32::try_from(column).unwrap(),
        cloud: contested.value(Side::Cloud, column).map(value),
        local: contested.value(Side::Local, column).map(value),
        base: contested.base_value(Side::Cloud, column).map(value),
        local_base: None,
        differs: contested.differs(column),
        cloud_changed: contested.changed(Side::Cloud, column),
        local_changed: contested.changed(Side::Local, column),
    }
}

fn value(value: &Value) -> wit::Value {
    match value {
        Value::Boolean(value) => wit::Value::Boolean(*value),
        Value::Integer(value) => wit::Value::Integer(*value),
        Value::Decimal(value) => wit::Value::Decimal(value.to_plain_string()),
        Value::Text(text) => wit::Value::Text(text.clone()),
        Value::Timestamp(nanos) => {
            let unit = 1_000_000_000;
            let seconds = i64::try_from(nanos / unit).unwrap();
            wit::Value::Timestamp(wit::Instant { seconds, nanoseconds: u32::try_from(nanos % unit).unwrap() })
        }
        other => panic!("not in this table: {other:?}"),
    }
}
