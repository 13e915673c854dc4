//! Asking: batches of conflicts in, a decision or a failure for each out.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use berqenas_core::{
    decision::{Contested, OnError, Settled, settle},
    mapping::TableMapping,
    names::{Match, match_name},
};
use serde_json::Value as Json;

use super::{
    BindError, Failure, Plugin,
    bindings::wit,
    convert,
    engine::{self, Allowance, Called, Cancel},
    host::{Inner, run},
};

/// What holds for all batches of a table.
#[derive(Clone, Debug)]
pub struct BatchContext<'a> {
    /// The sync.
    pub sync: &'a str,
    /// Which column is which.
    pub mapping: Arc<TableMapping>,
    /// The strategy's configuration in the spec; an empty object if there is none.
    pub config: &'a Json,
    /// When the plan is made: the only clock a plugin has.
    pub plan_time: jiff::Timestamp,
}

/// A plugin held to a table and a configuration.
#[derive(Debug)]
pub struct Bound {
    plugin: Plugin,
    mapping: Arc<TableMapping>,
    context: Arc<wit::Context>,
    /// For each column, whether it is shown in any case.
    shown: Vec<bool>,
}

/// Something for people to read. It may tell of rows: it belongs beside the plan, not into a log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// The conflict in the batch; `None`: the batch.
    pub conflict: Option<usize>,
    /// Something may be wrong.
    pub warning: bool,
    /// What there is to say.
    pub message: String,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// One for each conflict, in order.
    pub settled: Vec<Result<Settled, Failure>>,
    /// What the plugin had to say, about conflicts that it decided.
    pub diagnostics: Vec<Diagnostic>,
    /// The fuel it took in all.
    pub fuel: u64,
    /// The most bytes of memory that an instance had.
    pub memory: u64,
    /// How many instances it took: one, unless something failed.
    pub calls: usize,
}

/// What is to become of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This, decided by the plugin, or by its failure.
    Settled(Settled),
    /// Nothing yet: it is to be asked again in another run.
    Later {
        /// Why, for people.
        reason: String,
    },
}

/// A conflict whose failure stops the table (`on_error: stop`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin {plugin} failed: {failure}")]
pub struct Stopped {
    /// The plugin.
    pub plugin: String,
    /// The conflict in the batch.
    pub conflict: usize,
    /// What failed.
    pub failure: Failure,
}

impl Plugin {
    /// Holds the plugin to a table: its configuration is as its schema says, and names columns that are there.
    ///
    /// # Errors
    /// If it is not.
    pub fn bind(&self, context: BatchContext<'_>) -> Result<Bound, BindError> {
        let faults = self.config_faults(context.config);
        if !faults.is_empty() {
            return Err(BindError::Config { plugin: self.label(), faults: faults.iter().map(ToString::to_string).collect() });
        }
        let mapping = &context.mapping;
        let mut shown = vec![self.description().columns.all; mapping.columns.len()];
        for name in &self.description().columns.names {
            if let Some(column) = find(mapping, name) {
                shown[column] = true;
            }
        }
        for pointer in &self.description().columns.pointers {
            for name in names_at(context.config, pointer) {
                let column = find(mapping, name).ok_or_else(|| BindError::Column {
                    plugin: self.label(),
                    column: name.to_owned(),
                    pointer: pointer.clone(),
                    table: mapping.table.clone(),
                    known: mapping.column_names().join(", "),
                })?;
                shown[column] = true;
            }
        }
        let told = wit::Context {
            sync: context.sync.to_owned(),
            table: mapping.table.clone(),
            columns: convert::columns(mapping),
            key_columns: (0..u32::try_from(mapping.key_len).unwrap_or(u32::MAX)).collect(),
            soft_delete: mapping.deleted.is_some(),
            config: context.config.to_string(),
            plan_time: convert::instant(context.plan_time.as_nanosecond()),
            ext: Vec::new(),
        };
        Ok(Bound { plugin: self.clone(), context: Arc::new(told), mapping: context.mapping, shown })
    }
}

fn find(mapping: &TableMapping, name: &str) -> Option<usize> {
    match match_name(name, mapping.columns.iter().map(|column| column.name.as_str())) {
        Match::One(found) => mapping.columns.iter().position(|column| column.name == found),
        Match::None | Match::Ambiguous(_) => None,
    }
}

/// The name, or the names, at a place of the configuration; nothing there is no name.
fn names_at<'a>(config: &'a Json, pointer: &str) -> Vec<&'a str> {
    match config.pointer(pointer) {
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        found => found.and_then(Json::as_str).into_iter().collect(),
    }
}

impl Bound {
    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Has the plugin decide a batch. Dropped, the plugin is stopped.
    pub async fn ask(&self, batch: &[Contested]) -> Answers {
        let differing = self.plugin.description().columns.differing;
        let conflicts: Vec<wit::Conflict> =
            batch.iter().map(|contested| convert::conflict(contested, self.mapping.key_len, &self.shown, differing)).collect();
        let (inner, context) = (Arc::clone(&self.plugin.inner), Arc::clone(&self.context));
        let (engine, stack) = (inner.strategy.engine().clone(), inner.limits.stack);
        let asked = run(engine, stack, move |cancel| Asking::new(&inner, &context, &conflicts, cancel).all());
        let asked = asked.await.unwrap_or_else(|failure| Asked::failed(batch.len(), &failure));
        let settled: Vec<Result<Settled, Failure>> = batch
            .iter()
            .zip(asked.decisions)
            .map(|(contested, decision)| {
                let decision = convert::decision(&self.mapping, decision?)?;
                Ok(settle(&self.mapping, contested, &decision)?)
            })
            .collect();
        Answers { settled, diagnostics: asked.diagnostics, fuel: asked.fuel, memory: asked.memory, calls: asked.calls }
    }
}

impl Answers {
    /// What becomes of each conflict under a policy for failures: with [`OnError::Manual`], what failed waits for a person, with the reason. What
    /// may go otherwise another time is left for another time, under either.
    ///
    /// # Errors
    /// With [`OnError::Stop`], the first failure.
    pub fn under(self, on_error: OnError, plugin: &Plugin) -> Result<Vec<Verdict>, Stopped> {
        let verdict = |(conflict, settled): (usize, Result<Settled, Failure>)| match (settled, on_error) {
            (Ok(settled), _) => Ok(Verdict::Settled(settled)),
            (Err(failure), _) if failure.is_transient() => {
                Ok(Verdict::Later { reason: format!("the plugin {} gave no decision: {failure}", plugin.label()) })
            }
            (Err(failure), OnError::Manual) => {
                let reason = format!("the plugin {} failed, so a person decides: {failure}", plugin.label());
                Ok(Verdict::Settled(Settled::Manual { reason }))
            }
            (Err(failure), OnError::Stop) => Err(Stopped { plugin: plugin.label(), conflict, failure }),
        };
        self.settled.into_iter().enumerate().map(verdict).collect()
    }
}

/// A batch's decisions, unchecked.
struct Asked {
    decisions: Vec<Result<wit::Decision, Failure>>,
    diagnostics: Vec<Diagnostic>,
    fuel: u64,
    memory: u64,
    calls: usize,
}

impl Asked {
    fn failed(conflicts: usize, failure: &Failure) -> Asked {
        Asked { decisions: vec![Err(failure.clone()); conflicts], diagnostics: Vec::new(), fuel: 0, memory: 0, calls: 0 }
    }
}

/// A batch that is being asked about.
struct Asking<'a> {
    inner: &'a Inner,
    context: &'a wit::Context,
    batch: &'a [wit::Conflict],
    cancel: &'a Cancel,
    begun: Instant,
    asked: Asked,
}

impl<'a> Asking<'a> {
    /// Looking for what is to blame may take this many times as long as the batch itself.
    const PATIENCE: u32 = 4;

    fn new(inner: &'a Inner, context: &'a wit::Context, batch: &'a [wit::Conflict], cancel: &'a Cancel) -> Asking<'a> {
        let asked = Asked::failed(batch.len(), &Failure::Cancelled);
        Asking { inner, context, batch, cancel, begun: Instant::now(), asked }
    }

    fn all(mut self) -> Asked {
        if !self.batch.is_empty() {
            self.part(0..self.batch.len());
        }
        self.asked
    }

    /// Asks about a part of the batch; where that fails, about its halves, until what is to blame stands alone.
    fn part(&mut self, part: Range<usize>) {
        let failure = match self.left(part.len()) {
            Some(time) => match self.call(&part, time) {
                Ok(answer) => return self.keep(part, answer),
                Err(failure) => failure,
            },
            None => Failure::TimedOut { limit: self.patience() },
        };
        let hopeless = self.cancel.is_raised() || self.left(1).is_none();
        if part.len() == 1 || hopeless {
            self.asked.decisions[part].fill(Err(failure));
            return;
        }
        let middle = part.start + part.len() / 2;
        self.part(part.start..middle);
        self.part(middle..part.end);
    }

    fn patience(&self) -> Duration {
        self.inner.limits.timeout_for(self.batch.len()).saturating_mul(Asking::PATIENCE)
    }

    /// How long a call about so many conflicts may take; `None`: there is no time left.
    fn left(&self, conflicts: usize) -> Option<Duration> {
        let left = self.patience().checked_sub(self.begun.elapsed())?;
        Some(left.min(self.inner.limits.timeout_for(conflicts)))
    }

    fn call(&mut self, part: &Range<usize>, time: Duration) -> Result<wit::Answer, Failure> {
        /// Beside a multiple of what was asked: decisions without values, reasons, diagnostics.
        const ANSWER_BYTES: usize = 1 << 20;
        let batch = &self.batch[part.clone()];
        let limits = &self.inner.limits;
        let answer = convert::weight(batch).saturating_mul(2).saturating_add(ANSWER_BYTES);
        let allowance = Allowance { fuel: limits.fuel_for(batch.len()), time, answer };
        let Called { outcome, fuel, memory } = engine::call(&self.inner.strategy, limits, &allowance, self.cancel, |strategy, store| {
            strategy.berqenas_strategy_resolver().call_resolve(store, self.context, batch)
        });
        self.asked.calls += 1;
        self.asked.fuel = self.asked.fuel.saturating_add(fuel);
        self.asked.memory = self.asked.memory.max(memory);
        let answer = outcome?.map_err(|reason| Failure::Refused { reason: convert::short(&reason) })?;
        let (asked, given) = (batch.len(), answer.decisions.len());
        if asked == given { Ok(answer) } else { Err(Failure::Count { asked, given }) }
    }

    fn keep(&mut self, part: Range<usize>, answer: wit::Answer) {
        /// Diagnostics beside one for each conflict, in however many parts they were asked about.
        const MORE: usize = 16;
        let room = (self.batch.len() + MORE).saturating_sub(self.asked.diagnostics.len());
        let kept = answer.diagnostics.into_iter().take(room.min(part.len() + MORE)).map(|said| Diagnostic {
            conflict: said
                .conflict
                .and_then(|place| usize::try_from(place).ok())
                .map(|place| part.start.saturating_add(place))
                .filter(|place| *place < part.end),
            warning: said.level == wit::Level::Warning,
            message: convert::short(&said.message),
        });
        self.asked.diagnostics.extend(kept);
        for (place, decision) in part.zip(answer.decisions) {
            self.asked.decisions[place] = Ok(decision);
        }
    }
}
