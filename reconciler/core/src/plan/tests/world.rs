//! Two tables in memory that store as databases do, users who edit them, and runs that bring them in step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::columns::{CREATED_AT, IS_DELETED, Kind, Schema, UPDATED_AT, VALUES};
use crate::{
    access::{Role, StoredRow},
    classify::ConflictKind,
    key::Key,
    mapping::{Row, TableMapping},
    plan::{Base, Candidate, PlannedRow, Step, TableContext, WriteKind, plan_row},
    shape::Engine,
    spec::{Direction, HardDeletes, InitialPolicy, StrategyChoice, StrategyName},
    strategy::Chosen,
    value::{Pair, Side, Stored, Value},
};

/// How many keys there are.
pub(super) const KEYS: usize = 4;

/// What a trigger makes of every text that is written on its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    None,
    UpperCase,
    LowerCase,
}

/// What the spec says.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) strategy: StrategyChoice,
    pub(super) direction: Direction,
    pub(super) initial: InitialPolicy,
    pub(super) hard_deletes: HardDeletes,
}

impl Policy {
    /// The policy with the sides exchanged.
    pub(super) fn swapped(&self) -> Policy {
        Policy {
            strategy: match &self.strategy {
                StrategyChoice::Whole(name) => StrategyChoice::Whole(mirrored(*name)),
                StrategyChoice::MergeFields { otherwise } => StrategyChoice::MergeFields { otherwise: mirrored(*otherwise) },
                StrategyChoice::Plugin(name) => StrategyChoice::Plugin(name.clone()),
            },
            direction: match self.direction {
                Direction::Both => Direction::Both,
                Direction::CloudToLocal => Direction::LocalToCloud,
                Direction::LocalToCloud => Direction::CloudToLocal,
            },
            initial: match self.initial {
                InitialPolicy::Cloud => InitialPolicy::Local,
                InitialPolicy::Local => InitialPolicy::Cloud,
                other => other,
            },
            hard_deletes: self.hard_deletes,
        }
    }

    pub(super) fn chosen(&self) -> Chosen {
        Chosen { choice: self.strategy.clone(), max_clock_skew: Duration::from_secs(300) }
    }

    pub(super) fn context<'a>(&self, mapping: &'a TableMapping, strategy: &'a Chosen, first_sync: bool) -> TableContext<'a> {
        TableContext {
            mapping,
            strategy,
            direction: self.direction,
            initial: self.initial,
            hard_deletes: self.hard_deletes,
            first_sync,
            clock_skew: Duration::ZERO,
            two_writes: true,
            keeps_rows: self.strategy.merges_fields(),
        }
    }
}

fn mirrored(name: StrategyName) -> StrategyName {
    match name {
        StrategyName::CloudWins => StrategyName::LocalWins,
        StrategyName::LocalWins => StrategyName::CloudWins,
        other => other,
    }
}

/// A row of a database: all its columns, whatever the sync reads of them.
#[derive(Clone, Debug)]
pub(super) struct DbRow {
    values: BTreeMap<String, Stored>,
    stamp: Option<i64>,
}

/// What users do. Keys, columns and values are numbers.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Makes the row, or sets one of its columns.
    Set { side: Side, key: usize, column: usize, value: usize, stamp: Option<i64> },
    /// The same on both sides.
    SetBoth { key: usize, column: usize, value: usize },
    /// Sets or clears the soft delete flag.
    Mark { side: Side, key: usize, deleted: bool, stamp: Option<i64> },
    /// Deletes for good.
    Purge { side: Side, key: usize },
}

/// Two tables and what a state would hold of them.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) schema: Schema,
    pub(super) policy: Policy,
    triggers: Pair<Trigger>,
    tables: Pair<BTreeMap<usize, DbRow>>,
    bases: BTreeMap<usize, KeptBase>,
    /// Keys whose rows differed at the first sync and wait since.
    parked_initially: BTreeSet<usize>,
    first_sync: bool,
    clock: i64,
}

/// A base with the columns it covers.
#[derive(Clone, Debug)]
struct KeptBase {
    base: Base,
    version: String,
    columns: serde_json::Value,
}

impl World {
    pub(super) fn new(schema: Schema, policy: Policy, triggers: Pair<Trigger>) -> World {
        World {
            schema,
            policy,
            triggers,
            tables: Pair::default(),
            bases: BTreeMap::new(),
            parked_initially: BTreeSet::new(),
            first_sync: true,
            clock: 1_000_000,
        }
    }

    fn engine(&self, side: Side) -> Engine {
        *self.schema.engines.get(side)
    }

    /// Stores values in a row, making it where it is missing, as the side's database does: types, then triggers.
    fn store(&mut self, side: Side, key: usize, set: Vec<(String, Stored)>, stamp: Option<i64>) {
        let engine = self.engine(side);
        let trigger = *self.triggers.get(side);
        let names: Vec<String> = (0..self.schema.columns.len()).map(Schema::name).collect();
        let fresh = || {
            let mut values: BTreeMap<String, Stored> = names.iter().map(|name| (name.clone(), Stored::Null)).collect();
            if let (Some(number), Some(name)) = (self.schema.default, names.last()) {
                values.insert(name.clone(), self.schema.columns[names.len() - 1].value(engine, number));
            }
            values.extend([CREATED_AT, UPDATED_AT, IS_DELETED].map(|name| (name.to_owned(), Stored::Null)));
            DbRow { values, stamp: None }
        };
        let row = self.tables.get_mut(side).entry(key).or_insert_with(fresh);
        for (name, value) in set {
            let column = names.iter().position(|other| *other == name);
            let kind = column.map(|column| self.schema.columns[column]);
            let value = match (kind.map_or(value.clone(), |kind| kind.stored(engine, value)), kind, trigger) {
                (Stored::Text(text), Some(Kind::Text | Kind::Padded), Trigger::UpperCase) if column >= Some(self.schema.key_len) => {
                    Stored::Text(text.to_uppercase())
                }
                (Stored::Text(text), Some(Kind::Text | Kind::Padded), Trigger::LowerCase) if column >= Some(self.schema.key_len) => {
                    Stored::Text(text.to_lowercase())
                }
                (value, ..) => value,
            };
            row.values.insert(name, value);
        }
        row.stamp = stamp;
    }

    /// The key's columns as a side's user spells them.
    fn key_values(&self, side: Side, key: usize) -> Vec<(String, Stored)> {
        let part = |column: usize| if self.schema.key_len == 2 && column == 0 { key / 2 } else { key };
        let value = |column: usize| self.schema.columns[column].key(self.engine(side), part(column));
        (0..self.schema.key_len).map(|column| (Schema::name(column), value(column))).collect()
    }

    pub(super) fn edit(&mut self, edit: &Edit) {
        match *edit {
            Edit::Set { side, key, column, value, stamp } => {
                let column = self.schema.key_len + column % (self.schema.columns.len() - self.schema.key_len);
                let value = self.schema.columns[column].value(self.engine(side), value);
                let mut set = if self.tables.get(side).contains_key(&key) { Vec::new() } else { self.key_values(side, key) };
                set.push((Schema::name(column), value));
                self.store(side, key, set, stamp);
            }
            Edit::SetBoth { key, column, value } => {
                for side in Side::BOTH {
                    self.edit(&Edit::Set { side, key, column, value, stamp: Some(7) });
                }
            }
            Edit::Mark { side, key, deleted, stamp } if self.tables.get(side).contains_key(&key) => {
                let flag = Kind::Boolean.value(self.engine(side), usize::from(!deleted));
                self.store(side, key, vec![(IS_DELETED.into(), flag)], stamp);
            }
            Edit::Mark { .. } => {}
            Edit::Purge { side, key } => {
                self.tables.get_mut(side).remove(&key);
            }
        }
    }

    /// A row as the sync reads it.
    pub(super) fn read(&self, mapping: &TableMapping, side: Side, key: usize) -> Option<StoredRow> {
        let row = self.tables.get(side).get(&key)?;
        let columns = &mapping.access.get(side).columns;
        Some(StoredRow { values: columns.iter().map(|column| row.values[&column.name].clone()).collect(), stamp: row.stamp })
    }

    /// A row in common terms; a value that has none is shown as it is stored.
    pub(super) fn common(&self, mapping: &TableMapping, side: Side, key: usize) -> Option<Row> {
        let row = self.read(mapping, side, key)?;
        let columns = mapping.columns.iter().zip(&row.values);
        let values = columns.map(|(column, stored)| column.decode(side, stored).unwrap_or_else(|_| Value::Text(format!("{stored:?}"))));
        Some(Row { values: values.collect(), deleted: mapping.access.get(side).is_deleted(&row) })
    }

    /// What a run finds of a key.
    pub(super) fn candidate(&self, mapping: &TableMapping, key: usize) -> Option<Candidate> {
        let sides = Pair::new(self.read(mapping, Side::Cloud, key), self.read(mapping, Side::Local, key));
        let base = self.bases.get(&key).and_then(|kept| {
            let columns = if kept.version == mapping.version { None } else { Some(mapping.columns_of_version(&kept.columns)?) };
            let mut rows = kept.base.rows.clone();
            for row in rows.iter_mut().flat_map(|rows| [&mut rows.cloud, &mut rows.local]) {
                row.values.resize(mapping.columns.len(), Value::Null);
            }
            Some(Base { columns, rows, ..kept.base.clone() })
        });
        let common_key = Side::BOTH.iter().find_map(|side| mapping.key(*side, sides.get(*side).as_ref()?).ok());
        let common_key = match (common_key, &base) {
            (Some(key), _) => key,
            (None, Some(_)) => Key(vec![Value::Integer(i64::try_from(key).unwrap())]),
            (None, None) => return None,
        };
        let edited = sides.as_ref().map(|row| row.as_ref().and_then(|row| row.stamp));
        Some(Candidate { key: common_key, sides, base, edited, parked: None })
    }

    /// Plans every key.
    pub(super) fn plan(&self, mapping: &TableMapping) -> Vec<(usize, PlannedRow)> {
        let strategy = self.policy.chosen();
        let planned = |key: usize| {
            let context = self.policy.context(mapping, &strategy, self.is_first_sync(key));
            Some((key, plan_row(&context, self.candidate(mapping, key)?)))
        };
        (0..KEYS).filter_map(planned).collect()
    }

    /// Whether rows that differ under this key do so since the first sync.
    pub(super) fn is_first_sync(&self, key: usize) -> bool {
        self.first_sync || self.parked_initially.contains(&key)
    }

    /// Carries a plan out, as databases and state do.
    pub(super) fn apply(&mut self, mapping: &TableMapping, plan: &[(usize, PlannedRow)]) {
        for (key, row) in plan {
            let initial = row.dispute.as_ref().is_some_and(|dispute| dispute.kind == ConflictKind::Initial);
            if initial && matches!(row.step, Step::Park | Step::Quarantine { .. }) {
                self.parked_initially.insert(*key);
            } else {
                self.parked_initially.remove(key);
            }
            let written = match &row.step {
                Step::Write { side, kind } => self.write(mapping, *side, *key, kind),
                Step::Adopt | Step::Forget => None,
                Step::Nothing | Step::Wait(_) | Step::Park | Step::NotCarried { .. } | Step::Quarantine { .. } => continue,
            };
            match row.next_base(mapping, written.as_ref()) {
                Some(next) => {
                    let rows = row.kept_rows(mapping, written.as_ref(), self.policy.strategy.merges_fields());
                    let base = Base { hashes: next.hashes, deleted: next.deleted, columns: None, rows };
                    let kept = KeptBase { base, version: mapping.version.clone(), columns: mapping.columns_for_state() };
                    self.bases.insert(*key, kept);
                }
                None => {
                    self.bases.remove(key);
                }
            }
        }
        self.first_sync = false;
    }

    fn write(&mut self, mapping: &TableMapping, side: Side, key: usize, kind: &WriteKind) -> Option<StoredRow> {
        let (WriteKind::Insert(set) | WriteKind::Update(set)) = kind else {
            self.tables.get_mut(side).remove(&key);
            return None;
        };
        let columns = &mapping.access.get(side).columns;
        let set = set.iter().map(|(index, value)| (columns[*index].name.clone(), value.clone())).collect();
        self.clock += 1;
        self.store(side, key, set, Some(self.clock));
        self.read(mapping, side, key)
    }

    /// Whether a trigger alters what is written.
    pub(super) fn has_triggers(&self) -> bool {
        self.triggers != Pair::new(Trigger::None, Trigger::None)
    }
}

/// The columns that an update sets, by number; the soft delete flag apart.
pub(super) fn data_set(mapping: &TableMapping, side: Side, set: &[(usize, Stored)]) -> Vec<usize> {
    let columns = &mapping.access.get(side).columns;
    set.iter().map(|(index, _)| *index).filter(|index| columns[*index].role == Role::Data).collect()
}

/// NULL among the values.
pub(super) const NULL: usize = VALUES;
