//! The specs of a script, as a user would write them.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use berqenas::specs::LoadedSpec;
use berqenas_core::{
    shape::Engine,
    spec::{self, Detect, HardDeletes, InitialPolicy},
};

use crate::{
    arena::sync_name,
    schema::table,
    script::{Own, Script, SyncRules},
    strategy,
};

/// What a spec says of where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its URL.
    pub url: String,
    /// The file with the password, where it takes one.
    pub password: Option<PathBuf>,
}

impl Address {
    /// An address that takes no password.
    #[must_use]
    pub fn of(url: String) -> Address {
        Address { url, password: None }
    }
}

/// The text of a sync's spec; `address` tells where each database is.
#[must_use]
pub fn text(script: &Script, sync: usize, rules: &SyncRules, address: &dyn Fn(usize, Engine) -> Address) -> String {
    let plan = &script.world.syncs[sync];
    let url = |number: usize| {
        let database = &script.world.databases[number];
        let Address { url, password } = address(number, database.engine);
        let password = password.map(|file| format!(", password: {{file: \"{}\"}}", file.display())).unwrap_or_default();
        let ledger = if database.locked { ", ledger: lock" } else { "" };
        format!("{{url: \"{url}\"{password}{ledger}}}")
    };
    let initial = match rules.initial {
        InitialPolicy::Manual => "manual",
        InitialPolicy::Cloud => "cloud",
        InitialPolicy::Local => "local",
        InitialPolicy::Strategy => "strategy",
    };
    let hard_deletes = match rules.hard_deletes {
        HardDeletes::Restore => "restore",
        HardDeletes::Propagate => "propagate",
        HardDeletes::Manual => "manual",
    };
    let strategy = match (rules.own, rules.merges, rules.strategy.as_str()) {
        (Own::None, false, name) => name.to_owned(),
        (Own::None, true, otherwise) => format!("{{name: merge_fields, otherwise: {otherwise}}}"),
        (own, ..) => format!("own\nstrategies:\n  own: {}", strategy::entry(own)),
    };
    let mut text = format!(
        "version: 1\nname: {}\nid: {}\ncloud: {}\nlocal: {}\nstrategy: {strategy}\ninitial: {initial}\nbatch_rows: {}\noverlap: {}s\n\
         max_delete_percent: 100\ntables:\n",
        sync_name(sync),
        sync + 1,
        url(plan.cloud),
        url(plan.local),
        rules.batch_rows,
        rules.overlap_seconds,
    );
    for kind in &script.world.tables {
        let shape = table(*kind);
        let _ = write!(text, "  - {{name: {}, local: {}, hard_deletes: {hard_deletes}", shape.name, shape.local_name);
        if plan.cloud != 0 {
            let _ = write!(text, ", cloud: {}", shape.local_name);
        }
        match rules.detect {
            Detect::Timestamp => {}
            Detect::Hash => text.push_str(", detect: hash"),
            Detect::Rowversion => text.push_str(", detect: rowversion"),
            Detect::ChangeTracking => text.push_str(", detect: change_tracking"),
        }
        if let (true, Some(column)) = (rules.narrow, shape.optional) {
            let _ = write!(text, ", columns: {{exclude: [{column}]}}");
        }
        text.push_str("}\n");
    }
    text
}

/// The same, read.
///
/// # Errors
/// What is wrong with it: the script's fault, not the engine's.
pub fn loaded(script: &Script, sync: usize, rules: &SyncRules, address: &dyn Fn(usize, Engine) -> Address) -> Result<LoadedSpec, String> {
    let text = text(script, sync, rules, address);
    let told = |faults: Vec<spec::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let placed = spec::read_bytes("storm.yaml", text.as_bytes()).map_err(|faults| format!("{}\nin\n{text}", told(faults)))?;
    let spec = placed.into_iter().next().ok_or("a spec is empty")?.spec;
    Ok(LoadedSpec { spec, path: PathBuf::from("/storm/storm.yaml"), strategies_at: BTreeMap::new() })
}
