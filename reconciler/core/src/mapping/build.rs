//! Making a mapping, or the list of all that stands in its way.

use std::sync::Arc;

use super::{
    ColumnPair, MappingFault, TableMapping, UniqueColumns,
    detect::{SideDetect, on_each_side},
    pairing::{Pairing, pair_columns},
};
use crate::{
    access::{AccessColumn, Role, TableAccess},
    canonical::{CANONICAL_VERSION, agree},
    shape::{ColumnShape, ColumnType, Engine, TableShape, Tick, TimeStyle, TriggerShape},
    spec::{Detect, StrategyName, TableSpec},
    value::{Pair, Side},
};

/// Makes the mapping of one table.
///
/// # Errors
/// Everything that stands in the way, at once.
pub fn map_table(spec: &TableSpec, shapes: Pair<&TableShape>) -> Result<TableMapping, Vec<MappingFault>> {
    let mut pairing = pair_columns(spec, shapes);
    let (detect, undetected) = match on_each_side(spec.detect, shapes) {
        Ok(detect) => (detect, None),
        Err(fault) => (Pair::new(SideDetect::UpdatedAt, SideDetect::UpdatedAt), Some(fault)),
    };
    let faults = std::mem::take(&mut pairing.faults);
    let mut builder = Builder { spec, shapes, detect, faults, warnings: std::mem::take(&mut pairing.warnings) };
    if let Some((message, hint)) = undetected {
        builder.fault(None, message, hint);
    }
    let key = builder.key(&pairing);
    let columns = builder.columns(&pairing, &key);
    let created_at = builder.created_at(&pairing);
    builder.bookkeeping(&pairing);
    builder.bookkeeping_types(&pairing);
    if !builder.faults.is_empty() {
        return Err(builder.faults);
    }
    builder.warn_of_triggers(&pairing);
    builder.warn_of_missing_indexes(&pairing);
    let key_len = key.len();
    let access = |side| Arc::new(builder.access(side, &columns, key_len, &pairing));
    let access = Pair::new(access(Side::Cloud), access(Side::Local));
    let generated = |side: Side| columns[..key_len].iter().any(|column| column.shapes.get(side).generated);
    let key_generated = Side::BOTH.into_iter().any(generated);
    if Side::BOTH.into_iter().all(generated) {
        builder.warnings.push(
            "both databases generate this table's keys: rows made on both sides under one key are unrelated and wait for a person".into(),
        );
    }
    Ok(TableMapping {
        table: spec.name.clone(),
        version: version(&columns, key_len),
        uniques: Pair::new(uniques(Side::Cloud, shapes.cloud, &columns), uniques(Side::Local, shapes.local, &columns)),
        foreign_keys: shapes.map(|shape| shape.foreign_keys.clone()),
        stamp_ticks: pairing.updated_at.map(|column| column.map_or(Tick::Digits(0), stamp_tick)),
        session_stamps: Pair::new(builder.session_stamps(Side::Cloud, &pairing), builder.session_stamps(Side::Local, &pairing)),
        deleted: both(pairing.is_deleted).map(|pair| pair.map(Clone::clone)),
        warnings: builder.warnings,
        detect: builder.detect,
        columns,
        key_len,
        access,
        created_at,
        key_generated,
    })
}

struct Builder<'a> {
    spec: &'a TableSpec,
    shapes: Pair<&'a TableShape>,
    detect: Pair<SideDetect>,
    faults: Vec<MappingFault>,
    warnings: Vec<String>,
}

impl Builder<'_> {
    fn fault(&mut self, column: Option<&str>, message: String, hint: impl Into<String>) {
        let table = self.spec.name.clone();
        self.faults.push(MappingFault { table, column: column.map(str::to_owned), message, hint: hint.into() });
    }

    /// The key columns as positions in the paired content, in the order of the cloud's primary key.
    fn key(&mut self, pairing: &Pairing<'_>) -> Vec<usize> {
        let mut missing = false;
        for side in Side::BOTH {
            let shape = self.shapes.get(side);
            if shape.primary_key.is_empty() {
                missing = true;
                let message = format!("the {side} side's table {} has no primary key", shape.name);
                self.fault(None, message, "add a primary key: without one, rows cannot be told apart");
            }
        }
        if missing {
            return Vec::new();
        }
        let cloud_key = &self.shapes.cloud.primary_key;
        let found = cloud_key.iter().filter_map(|name| pairing.content.iter().position(|pair| pair.cloud.name == *name));
        let key: Vec<usize> = found.collect();
        let partners: Vec<&str> = key.iter().map(|index| pairing.content[*index].local.name.as_str()).collect();
        let local_key = &self.shapes.local.primary_key;
        let matches = key.len() == cloud_key.len()
            && partners.len() == local_key.len()
            && partners.iter().all(|name| local_key.iter().any(|other| other == name));
        if !matches {
            let message = format!(
                "the primary keys do not match: ({}) on the cloud, ({}) on the local side",
                cloud_key.join(", "),
                local_key.join(", ")
            );
            self.fault(
                None,
                message,
                "give both tables the same primary key, and do not exclude its columns; names that differ go under columns.rename",
            );
        }
        key
    }

    /// The column pairs with their common types: key first.
    fn columns(&mut self, pairing: &Pairing<'_>, key: &[usize]) -> Vec<ColumnPair> {
        let data = (0..pairing.content.len()).filter(|index| !key.contains(index));
        let order: Vec<usize> = key.iter().copied().chain(data).collect();
        let agreed = order.into_iter().filter_map(|index| self.agree(pairing.content[index], key.contains(&index)));
        agreed.collect()
    }

    fn agree(&mut self, columns: Pair<&ColumnShape>, is_key: bool) -> Option<ColumnPair> {
        match agree(columns, is_key) {
            Ok(agreement) => {
                self.warnings.extend(agreement.warnings);
                Some(ColumnPair { name: columns.cloud.name.clone(), common: agreement.common, shapes: columns.map(Clone::clone) })
            }
            Err(disagreement) => {
                self.fault(Some(&columns.cloud.name), disagreement.message, disagreement.hint);
                None
            }
        }
    }

    /// `created_at` of both sides, if both can be written. That SQLite keeps it without a zone is how it is prepared: no warning.
    fn created_at(&mut self, pairing: &Pairing<'_>) -> Option<ColumnPair> {
        let pair = both(pairing.created_at).filter(|pair| Side::BOTH.iter().all(|side| is_written(pair.get(*side))))?;
        let before = self.warnings.len();
        let agreed = self.agree(pair, false);
        self.warnings.truncate(before);
        agreed
    }

    /// Bookkeeping columns that have to be there.
    fn bookkeeping(&mut self, pairing: &Pairing<'_>) {
        let names = &self.spec.bookkeeping;
        let by_hash = self.spec.detect == Detect::Hash;
        let stamps_needed = self.detect.as_ref().map(|detect| *detect == SideDetect::UpdatedAt);
        let columns =
            [(&names.created_at, pairing.created_at), (&names.updated_at, pairing.updated_at), (&names.is_deleted, pairing.is_deleted)];
        for (name, found) in columns {
            for side in Side::BOTH {
                let lonely_flag = *name == names.is_deleted && found.get(side.other()).is_some();
                if found.get(side).is_none() && (*stamps_needed.get(side) || lonely_flag) {
                    let otherwise = if by_hash { "" } else { ", or set `detect: hash` if this table is to have no such columns" };
                    let hint = format!("`berqenas sync prepare NAME` shows the statement that adds it{otherwise}");
                    self.fault(Some(name), format!("the {side} side has no column {name}"), hint);
                }
            }
        }
        let by_stamps = stamps_needed.cloud && stamps_needed.local;
        if !by_stamps && self.spec.strategy.between_rows() == Some(StrategyName::LatestWins) && both(pairing.updated_at).is_none() {
            let message = format!("latest_wins needs the column {} on both sides", names.updated_at);
            self.fault(None, message, "choose cloud_wins, local_wins or manual, or add the column with `berqenas sync prepare NAME`");
        }
    }

    fn bookkeeping_types(&mut self, pairing: &Pairing<'_>) {
        for side in Side::BOTH {
            if let Some(column) = pairing.updated_at.get(side).filter(|column| !is_stamp(column)) {
                let message = format!("the {side} side's {} is {}, which holds no points in time", column.name, column.declared);
                self.fault(Some(&column.name), message, "make it a timestamp, or name another column under bookkeeping.updated_at");
            }
            if let Some(column) = pairing.is_deleted.get(side).filter(|column| !is_flag(column)) {
                let message = format!("the {side} side's {} is {}, which is no flag", column.name, column.declared);
                self.fault(Some(&column.name), message, "make it a boolean, or name another column under bookkeeping.is_deleted");
            }
        }
    }

    fn foreign_trigger(&self, side: Side) -> Option<&TriggerShape> {
        self.shapes.get(side).triggers.iter().find(|trigger| !trigger.ours && trigger.on_update)
    }

    /// Whether `updated_at` may hold the local time of whichever session wrote it.
    fn session_stamps(&self, side: Side, pairing: &Pairing<'_>) -> bool {
        let Some(stamp) = pairing.updated_at.get(side) else { return false };
        let zoneless = !stamp.dynamic && matches!(stamp.kind, ColumnType::Timestamp { zone: false, .. });
        let local_default = defaults_to_now(stamp) && !defaults_to_utc(stamp);
        zoneless && (self.foreign_trigger(side).is_some() || local_default)
    }

    fn warn_of_triggers(&mut self, pairing: &Pairing<'_>) {
        for side in Side::BOTH {
            let Some(stamp) = pairing.updated_at.get(side) else { continue };
            if let Some(trigger) = self.foreign_trigger(side) {
                let note = format!("{}: the {side} side's trigger {} is trusted to set it on every update", stamp.name, trigger.name);
                self.warnings.push(note);
            }
            if self.session_stamps(side, pairing) {
                let whose = if stamp.engine == Engine::SqlServer { "the server's" } else { "each session's" };
                let note = "local time, so 26 hours before the mark are read again; a column with time zone mends it";
                self.warnings.push(format!("{}: on the {side} side it may hold {whose} {note}", stamp.name));
            }
        }
    }

    /// Changes are sought by one column: without an index on it the whole table is read.
    fn warn_of_missing_indexes(&mut self, pairing: &Pairing<'_>) {
        for side in Side::BOTH {
            let sought = match self.detect.get(side) {
                SideDetect::UpdatedAt => pairing.updated_at.get(side).map(|stamp| &stamp.name),
                SideDetect::Rowversion { column } => Some(column),
                SideDetect::Hash | SideDetect::ChangeTracking => None,
            };
            if let Some(name) = sought.filter(|name| !self.shapes.get(side).indexed.contains(name)) {
                self.warnings.push(format!("{name}: the {side} side has no index on it; finding changes reads the whole table"));
            }
        }
    }

    fn access(&self, side: Side, columns: &[ColumnPair], key_len: usize, pairing: &Pairing<'_>) -> TableAccess {
        let shape = self.shapes.get(side);
        let content = columns.iter().enumerate().map(|(index, column)| {
            let is_key = index < key_len;
            let role = if is_key { Role::Key } else { Role::Data };
            AccessColumn { order: column.common.key_order().filter(|_| is_key), ..access_column(column.shapes.get(side), role) }
        });
        let bookkeeping =
            [(pairing.is_deleted, Role::IsDeleted), (pairing.created_at, Role::CreatedAt), (pairing.updated_at, Role::UpdatedAt)];
        let bookkeeping = bookkeeping.into_iter().filter_map(|(pair, role)| pair.get(side).map(|column| access_column(column, role)));
        let stamp = *pairing.updated_at.get(side);
        let written = stamp.is_some_and(is_written);
        let has_default = stamp.is_some_and(defaults_to_now);
        TableAccess {
            name: shape.name.clone(),
            columns: content.chain(bookkeeping).collect(),
            // What a trigger that is not ours does cannot be known: if it stamps, its stamp stands, else this one has to.
            stamp_updates: written && !shape.triggers.iter().any(|trigger| trigger.ours && trigger.on_update),
            stamp_inserts: written && !has_default && !shape.triggers.iter().any(|trigger| trigger.ours && trigger.on_insert),
            override_identity: columns.iter().any(|column| column.shapes.get(side).identity_always),
            referrers: shape.referrers.clone(),
        }
    }
}

fn access_column(column: &ColumnShape, role: Role) -> AccessColumn {
    AccessColumn { name: column.name.clone(), declared: column.declared.clone(), role, order: None, time_style: column.time_style }
}

fn both<T: Copy>(pair: Pair<Option<T>>) -> Option<Pair<T>> {
    Some(Pair::new(pair.cloud?, pair.local?))
}

fn is_written(column: &ColumnShape) -> bool {
    !column.computed && !column.identity_always
}

/// Whether a column's default is the current time. Any other default (`NULL`, a constant) leaves a new row where no mark sees it.
fn defaults_to_now(column: &ColumnShape) -> bool {
    const CLOCKS: [&str; 5] = ["now(", "'now'", "current_timestamp", "localtimestamp", "_timestamp("];
    const SQL_SERVER: [&str; 6] = ["getdate(", "getutcdate(", "sysdatetime(", "sysutcdatetime(", "sysdatetimeoffset(", "current_timestamp"];
    let clocks: &[&str] = if column.engine == Engine::SqlServer { &SQL_SERVER } else { &CLOCKS };
    column.default.as_deref().is_some_and(|default| clocks.iter().any(|clock| default.to_lowercase().contains(clock)))
}

/// Whether such a default is the time in UTC, whatever zone the session or the server is in.
fn defaults_to_utc(column: &ColumnShape) -> bool {
    const CLOCKS: [&str; 3] = ["'utc'", "getutcdate(", "sysutcdatetime("];
    column.default.as_deref().is_some_and(|default| CLOCKS.iter().any(|clock| default.to_lowercase().contains(clock)))
}

/// Whether a column can hold `updated_at`.
fn is_stamp(column: &ColumnShape) -> bool {
    match column.kind {
        ColumnType::Timestamp { .. } => true,
        ColumnType::Text { .. } | ColumnType::Date => column.dynamic,
        ColumnType::Integer { .. } | ColumnType::Decimal { .. } => {
            column.dynamic && matches!(column.time_style, TimeStyle::UnixSeconds | TimeStyle::UnixMillis)
        }
        _ => column.dynamic && column.declared.trim().is_empty(),
    }
}

/// Whether a column can hold `is_deleted`.
fn is_flag(column: &ColumnShape) -> bool {
    match column.kind {
        ColumnType::Boolean | ColumnType::Integer { .. } => true,
        ColumnType::Text { .. } | ColumnType::Decimal { .. } => column.dynamic,
        _ => column.dynamic && column.declared.trim().is_empty(),
    }
}

/// The ticks of `updated_at`. Where a column's texts may have any number of them, the coarsest: a mark
/// that is rounded down too far only reads rows again.
fn stamp_tick(column: &ColumnShape) -> Tick {
    match (column.time_style, &column.kind) {
        (TimeStyle::UnixSeconds, _) if column.dynamic => Tick::Digits(0),
        (TimeStyle::UnixMillis, _) if column.dynamic => Tick::Digits(3),
        (_, ColumnType::Timestamp { tick, .. }) => *tick,
        _ => Tick::Digits(0),
    }
}

fn uniques(side: Side, shape: &TableShape, columns: &[ColumnPair]) -> Vec<UniqueColumns> {
    let place = |name: &String| columns.iter().position(|column| column.shapes.get(side).name == *name);
    let mapped = |names: &[String]| names.iter().map(place).collect::<Option<Vec<usize>>>();
    let uniques = shape.uniques.iter();
    uniques
        .map(|unique| UniqueColumns { name: unique.name.clone(), columns: unique.columns.clone(), mapped: mapped(&unique.columns) })
        .collect()
}

/// Sixteen hexadecimal digits over all that decides what stored values mean.
fn version(columns: &[ColumnPair], key_len: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{CANONICAL_VERSION} {key_len}").as_bytes());
    for column in columns {
        let Pair { cloud, local } = &column.shapes;
        for part in [&column.name, &column.common.to_string(), &cloud.declared, &local.name, &local.declared] {
            hasher.update(&[0]).update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
