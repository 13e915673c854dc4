//! Conflicts that are made up: from a table's types and a seed, the same for the same seed.

use bigdecimal::BigDecimal;

use crate::{
    canonical::{CommonType, admit},
    classify::ConflictKind,
    decision::Contested,
    key::Key,
    mapping::{Row, TableMapping},
    shape::{ColumnType, Tick},
    value::{Pair, Side, Value},
};

/// Numbers that look like chance (`SplitMix64`), the same for the same seed everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed; those of another `turn` fall otherwise.
    #[must_use]
    pub fn new(seed: u64, turn: u64) -> Dice {
        let mut dice = Dice(seed ^ turn.wrapping_mul(0xd1b5_4a32_d192_ed03));
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another one.
    pub fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % most.max(1) as u64).unwrap_or(0)
    }

    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// A list in another order.
    pub fn shuffled<T>(&mut self, mut list: Vec<T>) -> Vec<T> {
        for last in (1..list.len()).rev() {
            let other = self.below(last + 1);
            list.swap(last, other);
        }
        list
    }
}

/// A conflict over a row of a table.
#[must_use]
pub fn conflict(mapping: &TableMapping, seed: u64, turn: u64) -> Contested {
    let mut dice = Dice::new(seed, turn);
    let mut kinds = vec![
        ConflictKind::UpdateUpdate,
        ConflictKind::UpdateUpdate,
        ConflictKind::InsertInsert,
        ConflictKind::Initial,
        ConflictKind::HardDeleteUpdate,
        ConflictKind::NewColumn,
        ConflictKind::SameEdit,
    ];
    if mapping.deleted.is_some() {
        kinds.push(ConflictKind::UpdateDelete);
    }
    let kind = dice.pick(&kinds);
    let key: Vec<Value> = (0..mapping.key_len).map(|column| value(mapping, column, &mut dice)).collect();
    let fresh = |dice: &mut Dice| {
        let rest = mapping.key_len..mapping.columns.len();
        Row { values: key.iter().cloned().chain(rest.map(|column| value(mapping, column, dice))).collect(), deleted: false }
    };
    let agreed = fresh(&mut dice);
    let edited = |dice: &mut Dice| {
        let mut row = agreed.clone();
        for column in mapping.key_len..mapping.columns.len() {
            if dice.once_in(2) {
                row.values[column] = value(mapping, column, dice);
            }
        }
        row
    };
    let has_ancestor = !matches!(kind, ConflictKind::InsertInsert | ConflictKind::Initial);
    let mut rows = if has_ancestor {
        Pair::new(Some(edited(&mut dice)), Some(edited(&mut dice)))
    } else {
        Pair::new(Some(fresh(&mut dice)), Some(fresh(&mut dice)))
    };
    let side = dice.pick(&Side::BOTH);
    match kind {
        ConflictKind::SameEdit => *rows.get_mut(side) = rows.get(side.other()).clone(),
        ConflictKind::HardDeleteUpdate => *rows.get_mut(side) = None,
        ConflictKind::UpdateDelete => {
            if let Some(row) = rows.get_mut(side) {
                row.deleted = true;
            }
        }
        _ => {}
    }
    // Edits that came to the same are no other conflict.
    let kind = if has_ancestor && rows.cloud == rows.local { ConflictKind::SameEdit } else { kind };
    let base = (has_ancestor && !dice.once_in(4)).then(|| {
        let altered = if dice.once_in(8) { edited(&mut dice) } else { agreed.clone() };
        Pair::new(agreed.clone(), altered)
    });
    /// 2026-01-14T15:30:00Z in microseconds.
    const AROUND: i64 = 1_768_404_600_000_000;
    let times = [None, Some(AROUND), Some(AROUND), Some(AROUND + 1), Some(AROUND + 60_000_000), Some(AROUND - 3_600_000_000)];
    let edited = Side::BOTH.map(|side| dice.pick(&times).filter(|_| rows.get(side).is_some()));
    let edited = Pair::new(edited[0], edited[1]);
    Contested { kind, key: Key(key), rows, base, edited }
}

/// A value that both sides hold; few of them, so that some are alike.
fn value(mapping: &TableMapping, column: usize, dice: &mut Dice) -> Value {
    const TRIES: usize = 20;
    let pair = &mapping.columns[column];
    let nullable = column >= mapping.key_len && Side::BOTH.into_iter().all(|side| pair.shapes.get(side).nullable);
    if nullable && dice.once_in(5) {
        return Value::Null;
    }
    let limits = |limit: fn(&ColumnType) -> Option<u32>| Side::BOTH.into_iter().filter_map(|side| limit(&pair.shapes.get(side).kind)).min();
    let chars = limits(|kind| if let ColumnType::Text { max_chars, .. } = kind { *max_chars } else { None });
    let scale = limits(|kind| if let ColumnType::Decimal { scale: Some(scale), .. } = kind { u32::try_from(*scale).ok() } else { None });
    for _ in 0..TRIES {
        let made = admit(&raw(&pair.common, chars, scale, dice), &pair.common);
        if let Some(value) = made.ok().filter(|value| Side::BOTH.into_iter().all(|side| mapping.encode(side, column, value).is_ok())) {
            return value;
        }
    }
    plain(&pair.common)
}

fn raw(common: &CommonType, chars: Option<u32>, scale: Option<u32>, dice: &mut Dice) -> Value {
    const DAY: i64 = 86_400_000_000_000;
    const TEXTS: [&str; 12] = [
        "",
        "a",
        "b",
        "Ada",
        "Çelik AŞ",
        " blank ",
        "O'Neil",
        "\"quoted\"",
        "𝕏 😀",
        "line\nbreak",
        "0",
        "a text that is longer than most others are",
    ];
    match common {
        CommonType::Boolean => Value::Boolean(dice.once_in(2)),
        CommonType::Integer => Value::Integer(dice.pick(&[0, 1, -1, 2, 3, 7, 10, 100, 1_000_000, i64::MAX, i64::MIN])),
        CommonType::Decimal => {
            let digits = dice.pick(&[0_i64, 1, -1, 5, 10, 25, 999, 123_456, -7_350, 99_999_999_999]);
            Value::Decimal(BigDecimal::new(digits.into(), i64::from(scale.unwrap_or(2))))
        }
        CommonType::Float { .. } => Value::Float(dice.pick(&[0.0, 1.0, -1.0, 0.5, -2.25, 1e10, 1e-3, f64::NAN, f64::INFINITY])),
        CommonType::Text { .. } | CommonType::Opaque => {
            let text = dice.pick(&TEXTS);
            Value::Text(text.chars().take(chars.map_or(usize::MAX, |most| most as usize)).collect())
        }
        CommonType::Bytes => Value::Bytes(dice.pick(&[vec![], vec![0], vec![1, 2, 3], vec![255; 9]])),
        CommonType::Date => Value::Date(dice.pick(&[0, 1, -1, 20_467, 20_468, 2_932_896, -719_162])),
        CommonType::Time { digits } => {
            let step = Tick::Digits(*digits).whole_nanos();
            Value::Time(dice.pick(&[0, step, DAY / 2, DAY - step]))
        }
        CommonType::Timestamp { tick, .. } => {
            let second = 1_000_000_000_i128;
            let seconds = dice.pick(&[0_i128, -1, 1_768_404_600, 1_768_404_660, 253_402_300_799, -62_135_596_800]);
            let step = i128::from(tick.whole_nanos());
            Value::Timestamp((seconds * second + dice.pick(&[0, step]) % second).div_euclid(step) * step)
        }
        CommonType::Uuid => Value::Uuid([dice.pick(&[0, 1, 0x7f, 0xff]); 16]),
        CommonType::Json => Value::Json(dice.pick(&["{}", "[]", "1", "\"a\"", "{\"a\":1}", "{\"a\":2,\"b\":[1,2]}", "true"]).to_owned()),
    }
}

/// A value that any column of the type holds.
fn plain(common: &CommonType) -> Value {
    match common {
        CommonType::Boolean => Value::Boolean(false),
        CommonType::Integer => Value::Integer(0),
        CommonType::Decimal => Value::Decimal(BigDecimal::from(0)),
        CommonType::Float { .. } => Value::Float(0.0),
        CommonType::Text { .. } | CommonType::Opaque => Value::Text(String::new()),
        CommonType::Bytes => Value::Bytes(Vec::new()),
        CommonType::Date => Value::Date(0),
        CommonType::Time { .. } => Value::Time(0),
        CommonType::Timestamp { .. } => Value::Timestamp(0),
        CommonType::Uuid => Value::Uuid([0; 16]),
        CommonType::Json => Value::Json("{}".to_owned()),
    }
}
