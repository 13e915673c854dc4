//! Between the component's exports and a [`Strategy`]: what [`export_strategy!`](crate::export_strategy) calls. No API of its own.

pub use crate::bindings::exports::berqenas::strategy::resolver::{Answer, Conflict as RawConflict, Context, Description, Guest};
use crate::{About, Conflict, Decision, Strategy, Table, bindings::exports::berqenas::strategy::resolver::Diagnostic};

/// What the strategy says of itself.
#[must_use]
pub fn describe<S: Strategy>(name: &str, version: &str) -> Description {
    let About { needs_base, symmetric, columns } = S::about();
    let (name, version) = (name.to_owned(), version.to_owned());
    Description { name, version, config_schema: S::CONFIG_SCHEMA.to_owned(), needs_base, symmetric, columns }
}

/// The strategy under a table's configuration.
///
/// # Errors
/// Why it cannot serve the table.
pub fn bind<S: Strategy>(table: &Table) -> Result<S, String> {
    let config = serde_json::from_str(table.config()).map_err(|fault| format!("the configuration is not as expected: {fault}"))?;
    S::new(config, table)
}

/// Decides one conflict: an error is a person's work.
pub fn decide<S: Strategy>(strategy: &S, table: &Table, raw: &RawConflict) -> Decision {
    strategy.resolve(&Conflict::new(table, raw)).unwrap_or_else(Decision::manual)
}

/// Decides a batch.
///
/// # Errors
/// Why the strategy cannot serve the table.
pub fn resolve<S: Strategy>(context: Context, batch: &[RawConflict]) -> Result<Answer, String> {
    let table = Table::new(context);
    let strategy = bind::<S>(&table)?;
    let mut answer = Answer { decisions: Vec::with_capacity(batch.len()), diagnostics: Vec::new() };
    for (place, raw) in (0..).zip(batch) {
        let Decision { what, remark } = decide(&strategy, &table, raw);
        answer.decisions.push(what);
        answer.diagnostics.extend(remark.map(|(level, message)| Diagnostic { conflict: Some(place), level, message }));
    }
    Ok(answer)
}

/// Where nothing is exported: so that the compiler sees the strategy used.
pub const fn not_here<G: Guest>() {}
