//! Which type two columns have in common.

use std::fmt;

use super::{is_numeric_affinity, is_sqlite, is_untyped};
use crate::{
    access::KeyOrder,
    shape::{ColumnShape, ColumnType as K, Engine, Tick, TimeStyle},
    value::{Pair, Side},
};

/// What both columns of a pair can say. Its text form is part of a mapping's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommonType {
    /// True or false.
    Boolean,
    /// An integer of 64 bits.
    Integer,
    /// An exact decimal.
    Decimal,
    /// A float of so many bits.
    Float {
        /// 32 or 64.
        bits: u8,
    },
    /// Text.
    Text {
        /// Blanks at the end mean nothing, because one side pads.
        trimmed: bool,
    },
    /// Bytes.
    Bytes,
    /// A calendar date.
    Date,
    /// A time of day.
    Time {
        /// Digits of the second's fraction that both sides hold.
        digits: u8,
    },
    /// A date and time.
    Timestamp {
        /// The steps that both sides can tell.
        tick: Tick,
        /// A side holds points in time rather than wall clock readings.
        zone: bool,
        /// How times half-way between two steps are rounded.
        ties: Ties,
    },
    /// A UUID.
    Uuid,
    /// JSON, by value.
    Json,
    /// Carried as it is between two columns of one engine and one type.
    Opaque,
}

/// How a time half-way between two ticks is rounded: as the engine does whose column has the longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// Away from 2000-01-01, from where PostgreSQL counts.
    AwayFrom2000,
    /// To the later time (SQL Server).
    Up,
}

impl fmt::Display for CommonType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommonType::Boolean => formatter.write_str("boolean"),
            CommonType::Integer => formatter.write_str("integer"),
            CommonType::Decimal => formatter.write_str("decimal"),
            CommonType::Float { bits } => write!(formatter, "float({bits})"),
            CommonType::Text { trimmed: false } => formatter.write_str("text"),
            CommonType::Text { trimmed: true } => formatter.write_str("text without trailing blanks"),
            CommonType::Bytes => formatter.write_str("bytes"),
            CommonType::Date => formatter.write_str("date"),
            CommonType::Time { digits } => write!(formatter, "time({digits})"),
            CommonType::Timestamp { tick, zone, .. } => {
                match tick {
                    Tick::Digits(digits) => write!(formatter, "timestamp({digits})")?,
                    Tick::ThreeHundredth => formatter.write_str("timestamp(1/300 s)")?,
                    Tick::Minute => formatter.write_str("timestamp(minute)")?,
                }
                formatter.write_str(if *zone { " with time zone" } else { "" })
            }
            CommonType::Uuid => formatter.write_str("uuid"),
            CommonType::Json => formatter.write_str("json"),
            CommonType::Opaque => formatter.write_str("as stored"),
        }
    }
}

impl CommonType {
    /// The order keys of this type are read in; `None`: it cannot be a key's.
    #[must_use]
    pub fn key_order(&self) -> Option<KeyOrder> {
        match self {
            CommonType::Boolean | CommonType::Integer | CommonType::Decimal => Some(KeyOrder::Number),
            CommonType::Text { .. } | CommonType::Opaque => Some(KeyOrder::Text),
            CommonType::Bytes => Some(KeyOrder::Bytes),
            CommonType::Uuid => Some(KeyOrder::Uuid),
            CommonType::Date | CommonType::Time { .. } | CommonType::Timestamp { .. } => Some(KeyOrder::Time),
            CommonType::Float { .. } | CommonType::Json => None,
        }
    }
}

/// The common type of a pair, and what a person should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The type.
    pub common: CommonType,
    /// What was assumed.
    pub warnings: Vec<String>,
}

/// Why two columns cannot be synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// What breaks, with both types and a value.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A value that one of the types holds and the other does not.
type Breaks = String;

/// Finds the common type of two columns.
///
/// # Errors
/// If some value of one column could not be kept by the other, with such a value.
pub fn agree(columns: Pair<&ColumnShape>, is_key: bool) -> Result<Agreement, Disagreement> {
    for side in Side::BOTH {
        carried(side, columns.get(side))?;
    }
    let Pair { cloud, local } = columns;
    let described = |column: &ColumnShape| if is_untyped(column) { "no declared type".to_owned() } else { column.declared.clone() };
    let types = format!("{} on the cloud and {} on the local side", described(cloud), described(local));
    let as_stored = cloud.engine == local.engine && cloud.declared.eq_ignore_ascii_case(&local.declared);
    let found = match (is_sqlite(cloud), is_sqlite(local)) {
        (false, false) => strict(cloud, local, as_stored),
        (false, true) => mixed(cloud, local),
        (true, false) => mixed(local, cloud),
        (true, true) => loose(cloud, local, as_stored),
    };
    let common = found.map_err(|value| Disagreement {
        message: format!("the types lose data: {types}; {value} would not survive"),
        hint: "give both sides the same type, or exclude the column".into(),
    })?;
    if is_key {
        key_fits(&common, cloud, local).map_err(|why| Disagreement {
            message: format!("cannot be part of a key: {types}; {why}"),
            hint: "give both sides the same integer, text, UUID or decimal type".into(),
        })?;
    }
    Ok(Agreement { warnings: warnings(columns, &common), common })
}

/// Whether values of the column's type are carried at all.
fn carried(side: Side, column: &ColumnShape) -> Result<(), Disagreement> {
    let K::Unsupported { reason } = &column.kind else { return Ok(()) };
    Err(Disagreement {
        message: format!("{} of {} cannot be synced (the {side} side): {reason}", column.declared, column.engine.name()),
        hint: "exclude the column".into(),
    })
}

fn key_fits(common: &CommonType, cloud: &ColumnShape, local: &ColumnShape) -> Result<(), String> {
    if common.key_order().is_none() {
        return Err(format!("values of type {common} have no dependable equality"));
    }
    let text = |column: &ColumnShape| column.affinity == "TEXT";
    if matches!(common, CommonType::Boolean | CommonType::Decimal) && (text(cloud) || text(local)) {
        return Err("SQLite does not order such values dependably when they are stored as text".into());
    }
    if *common == CommonType::Opaque && is_sqlite(cloud) {
        return Err("values of any type have no common order".into());
    }
    let tick = |column: &ColumnShape| match column.kind {
        K::Time { digits } if !is_sqlite(column) => Some(Tick::Digits(digits)),
        K::Timestamp { tick, .. } if !is_sqlite(column) => Some(tick),
        _ => None,
    };
    match (tick(cloud), tick(local)) {
        (Some(a), Some(b)) if a != b => Err("two keys that differ in the finer digits would become one".into()),
        _ => Ok(()),
    }
}

fn warnings(columns: Pair<&ColumnShape>, common: &CommonType) -> Vec<String> {
    let mut warnings = Vec::new();
    let zone = |column: &ColumnShape| matches!(column.kind, K::Timestamp { zone: true, .. });
    if let CommonType::Timestamp { tick, .. } = common {
        warnings.extend(coarsened(columns, *tick));
    }
    if matches!(common, CommonType::Timestamp { zone: true, .. }) {
        for side in Side::BOTH {
            let column = columns.get(side);
            if !zone(column) {
                warnings
                    .push(format!("{}: the {side} side's {} has no time zone; its values are taken as UTC", column.name, column.declared));
            }
        }
    }
    if let (K::Float { bits: a }, K::Float { bits: b }) = (&columns.cloud.kind, &columns.local.kind)
        && a != b
        && !is_sqlite(columns.cloud)
        && !is_sqlite(columns.local)
    {
        warnings.push(format!("{}: compared, and written, at the precision of 32 bits", columns.cloud.name));
    }
    warnings
}

/// What SQL Server's types for times keep and others do not, and the other way round.
fn coarsened(columns: Pair<&ColumnShape>, tick: Tick) -> Vec<String> {
    let mut warnings = Vec::new();
    let steps = match tick {
        Tick::Digits(_) => None,
        Tick::ThreeHundredth => Some("1/300 of a second"),
        Tick::Minute => Some("the minute"),
    };
    if let Some(steps) = steps.filter(|_| columns.cloud.kind != columns.local.kind) {
        warnings.push(format!("{}: compared, and written, to {steps}", columns.cloud.name));
    }
    for side in Side::BOTH {
        let column = columns.get(side);
        if column.engine == Engine::SqlServer && matches!(column.kind, K::Timestamp { zone: true, .. }) {
            let note = "holds each value with an offset of its own: only the point in time is compared, and it is written at +00:00";
            warnings.push(format!("{}: the {side} side's {} {note}", column.name, column.declared));
        }
    }
    warnings
}

/// Both engines hold their columns to their types.
fn strict(a: &ColumnShape, b: &ColumnShape, as_stored: bool) -> Result<CommonType, Breaks> {
    Ok(match (&a.kind, &b.kind) {
        (K::Boolean, K::Boolean | K::Integer { .. }) | (K::Integer { .. }, K::Boolean) => CommonType::Boolean,
        (K::Integer { .. }, K::Integer { .. }) => CommonType::Integer,
        (K::Decimal { scale: Some(x), .. }, K::Decimal { scale: Some(y), .. }) if x != y => return Err(smallest(*x.max(y))),
        (K::Integer { .. } | K::Decimal { .. }, K::Decimal { .. }) | (K::Decimal { .. }, K::Integer { .. }) => CommonType::Decimal,
        (K::Float { bits: x }, K::Float { bits: y }) => CommonType::Float { bits: *x.min(y) },
        (K::Text { padded: x, .. }, K::Text { padded: y, .. }) => CommonType::Text { trimmed: *x || *y },
        (K::Bytes, K::Bytes) => CommonType::Bytes,
        (K::Date, K::Date) => CommonType::Date,
        (K::Time { digits: x }, K::Time { digits: y }) => CommonType::Time { digits: *x.min(y) },
        (K::Timestamp { tick: x, zone: u }, K::Timestamp { tick: y, zone: v }) => {
            let coarser: &[&ColumnShape] = if x == y { &[a, b] } else { &[if x.is_coarser_than(*y) { a } else { b }] };
            CommonType::Timestamp { tick: x.coarser(*y), zone: *u || *v, ties: ties(coarser) }
        }
        (K::Uuid, K::Uuid) => CommonType::Uuid,
        (K::Uuid, K::Text { max_chars, .. }) | (K::Text { max_chars, .. }, K::Uuid) if max_chars.is_none_or(|limit| limit >= 36) => {
            CommonType::Uuid
        }
        (K::Json, K::Json | K::Text { .. }) | (K::Text { .. }, K::Json) => CommonType::Json,
        (K::Opaque, K::Opaque) if as_stored => CommonType::Opaque,
        _ => return Err(breaking_value(&a.kind, &b.kind)),
    })
}

/// One engine holds its column to its type; the other's may hold anything, and takes the type where its declaration allows.
fn mixed(strict: &ColumnShape, dynamic: &ColumnShape) -> Result<CommonType, Breaks> {
    let untyped = is_untyped(dynamic);
    let text = matches!(dynamic.kind, K::Text { .. });
    let number = matches!(dynamic.kind, K::Integer { .. } | K::Decimal { .. } | K::Float { .. } | K::Boolean);
    let dated = matches!(dynamic.kind, K::Date | K::Timestamp { .. });
    let counts = matches!(dynamic.time_style, TimeStyle::UnixSeconds | TimeStyle::UnixMillis);
    let breaks = || Err(breaking_value(&strict.kind, &dynamic.kind));
    Ok(match &strict.kind {
        K::Boolean if untyped || number || text => CommonType::Boolean,
        K::Integer { .. } if dynamic.kind == K::Boolean => CommonType::Boolean,
        K::Integer { .. } if untyped || number || text => CommonType::Integer,
        K::Decimal { precision, .. } if untyped || number || text => {
            const DOUBLE_DIGITS: u32 = 15;
            if dynamic.affinity != "TEXT" && precision.is_some_and(|digits| digits > DOUBLE_DIGITS) {
                return Err("0.1234567890123456 (SQLite keeps 15 digits in such a column; declare it TEXT)".into());
            }
            CommonType::Decimal
        }
        K::Float { bits } if untyped || number || text => CommonType::Float { bits: *bits },
        K::Text { .. } if is_numeric_affinity(dynamic) => return Err("the text '007' (SQLite makes the number 7 of it)".into()),
        K::Text { padded, .. } if untyped || text || dated || matches!(dynamic.kind, K::Json | K::Uuid | K::Time { .. }) => {
            CommonType::Text { trimmed: *padded }
        }
        K::Bytes if dynamic.kind == K::Bytes => CommonType::Bytes,
        K::Date if untyped || text || dated || (number && counts) => CommonType::Date,
        K::Time { digits } if untyped || text || matches!(dynamic.kind, K::Time { .. }) => CommonType::Time { digits: *digits },
        K::Timestamp { tick, zone } if untyped || text || dated || (number && counts) => {
            CommonType::Timestamp { tick: tick.coarser(style_tick(dynamic.time_style)), zone: *zone, ties: ties(&[strict]) }
        }
        K::Uuid if untyped || text || matches!(dynamic.kind, K::Uuid | K::Bytes) => CommonType::Uuid,
        K::Json if untyped || text || dynamic.kind == K::Json => CommonType::Json,
        _ => return breaks(),
    })
}

/// Neither engine holds its column to its type: what both declare, else the wider of two kinds of numbers or times.
fn loose(a: &ColumnShape, b: &ColumnShape, as_stored: bool) -> Result<CommonType, Breaks> {
    if is_untyped(a) && is_untyped(b) {
        return Ok(CommonType::Opaque);
    }
    let tick = style_tick(a.time_style).coarser(style_tick(b.time_style));
    Ok(match (&a.kind, &b.kind) {
        (K::Boolean, K::Boolean | K::Integer { .. } | K::Text { .. }) | (K::Integer { .. } | K::Text { .. }, K::Boolean) => {
            CommonType::Boolean
        }
        (K::Integer { .. }, K::Integer { .. } | K::Text { .. }) | (K::Text { .. }, K::Integer { .. }) => CommonType::Integer,
        (K::Float { .. }, K::Float { .. }) => CommonType::Float { bits: 64 },
        (
            K::Decimal { .. } | K::Integer { .. } | K::Float { .. } | K::Text { .. },
            K::Decimal { .. } | K::Integer { .. } | K::Float { .. },
        )
        | (K::Decimal { .. } | K::Float { .. }, K::Text { .. }) => CommonType::Decimal,
        (K::Text { padded: x, .. }, K::Text { padded: y, .. }) => CommonType::Text { trimmed: *x || *y },
        (K::Bytes, K::Bytes) => CommonType::Bytes,
        (K::Date, K::Date | K::Text { .. }) | (K::Text { .. }, K::Date) => CommonType::Date,
        (K::Time { .. }, K::Time { .. } | K::Text { .. }) | (K::Text { .. }, K::Time { .. }) => CommonType::Time { digits: 9 },
        (K::Timestamp { .. }, K::Timestamp { .. } | K::Date | K::Text { .. }) | (K::Date | K::Text { .. }, K::Timestamp { .. }) => {
            CommonType::Timestamp { tick, zone: false, ties: Ties::AwayFrom2000 }
        }
        (K::Uuid, K::Uuid | K::Text { .. } | K::Bytes) | (K::Text { .. } | K::Bytes, K::Uuid) => CommonType::Uuid,
        (K::Json, K::Json | K::Text { .. }) | (K::Text { .. }, K::Json) => CommonType::Json,
        (K::Opaque, K::Opaque) if as_stored => CommonType::Opaque,
        _ => return Err(breaking_value(&a.kind, &b.kind)),
    })
}

/// The steps of time that a column which may hold anything can keep.
fn style_tick(style: TimeStyle) -> Tick {
    Tick::Digits(match style {
        TimeStyle::UnixSeconds => 0,
        TimeStyle::UnixMillis => 3,
        TimeStyle::Blank | TimeStyle::LetterT | TimeStyle::LetterTZulu => 9,
    })
}

/// How the engines of these columns round.
fn ties(columns: &[&ColumnShape]) -> Ties {
    if columns.iter().all(|column| column.engine == Engine::SqlServer) { Ties::Up } else { Ties::AwayFrom2000 }
}

/// The smallest number with so many digits after the point.
fn smallest(scale: i32) -> Breaks {
    match usize::try_from(scale) {
        Ok(0) | Err(_) => "1".into(),
        Ok(digits) => format!("0.{}1", "0".repeat(digits - 1)),
    }
}

/// A value of one kind that the other does not keep.
fn breaking_value(a: &K, b: &K) -> Breaks {
    let either = |kind: fn(&K) -> bool| kind(a) || kind(b);
    let value = if either(|kind| *kind == K::Opaque) {
        "a value of a type that only one engine knows"
    } else if either(|kind| *kind == K::Bytes) {
        "the bytes \\xff00"
    } else if either(|kind| *kind == K::Json) {
        "the JSON {\"a\": [1]}"
    } else if either(|kind| matches!(kind, K::Uuid)) {
        "the UUID 00000000-0000-4000-8000-000000000000"
    } else if either(|kind| matches!(kind, K::Timestamp { .. })) {
        "2026-01-14 15:30:00"
    } else if either(|kind| matches!(kind, K::Date)) {
        "the date 2026-01-14"
    } else if either(|kind| matches!(kind, K::Time { .. })) {
        "the time 15:30:00"
    } else if either(|kind| matches!(kind, K::Text { .. })) {
        "the text '007'"
    } else if either(|kind| matches!(kind, K::Decimal { .. })) {
        "0.1234567890123456789"
    } else {
        "9007199254740993"
    };
    value.into()
}
