//! What planning asks of a mapping beside its rows: tie-breaking digests, columns of earlier mappings, values that mean nothing yet.

use serde_json::Value as Json;

use super::{Row, TableMapping};
use crate::{
    canonical::{self, CommonType},
    shape::Engine,
    value::{Side, Stored, Value},
};

impl TableMapping {
    /// A digest of a row's content in common form: the same row has the same, whichever side it is on.
    #[must_use]
    pub fn fingerprint(&self, row: &Row) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (column, value) in row.values.iter().enumerate() {
            let text = self.value_json(column, value).to_string();
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        hasher.update(&[u8::from(row.deleted)]);
        *hasher.finalize().as_bytes()
    }

    /// The columns as the state remembers them with [`TableMapping::version`].
    #[must_use]
    pub fn columns_for_state(&self) -> Json {
        self.column_names().into()
    }

    /// The columns of an earlier mapping, as numbers of today's, in the order they had then; `None`: one of them is no longer synced,
    /// so hashes over them cannot be computed any more.
    #[must_use]
    pub fn columns_of_version(&self, columns: &Json) -> Option<Vec<usize>> {
        let names = columns.as_array()?.iter().map(Json::as_str);
        names.map(|name| self.columns.iter().position(|column| Some(column.name.as_str()) == name)).collect()
    }

    /// Whether a value says nothing yet: NULL, or the default that its side's column gives to rows that say nothing.
    #[must_use]
    pub fn is_empty_or_default(&self, side: Side, column: usize, value: &Value) -> bool {
        if *value == Value::Null {
            return true;
        }
        let pair = &self.columns[column];
        let Some(default) = &pair.shapes.get(side).default else { return false };
        let literal = literal(default, pair.shapes.get(side).engine);
        let text = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(literal).replace("''", "'");
        pair.decode(side, &Stored::Text(text)).is_ok_and(|default| default == *value)
    }

    /// Whether a stored value says more than the common type can: its common form alone would lose something. Only times and 32-bit
    /// floats are ever compared more coarsely than a side stores them; `12.50` is `12.5`.
    #[must_use]
    pub fn is_coarsened(&self, side: Side, column: usize, stored: &Stored) -> bool {
        let pair = &self.columns[column];
        if !matches!(pair.common, CommonType::Time { .. } | CommonType::Timestamp { .. } | CommonType::Float { bits: 32 }) {
            return false;
        }
        let back = pair.decode(side, stored).and_then(|value| pair.encode(side, &value));
        back.is_ok_and(|back| !canonical::stored_alike(stored, &back))
    }
}

/// A default without what its engine writes around it: PostgreSQL casts (`'a'::text`), SQL Server puts in parentheses (`((0))`, `(N'a')`).
fn literal(default: &str, engine: Engine) -> &str {
    if engine != Engine::SqlServer {
        return default.split("::").next().unwrap_or(default).trim();
    }
    let mut literal = default.trim();
    while let Some(inner) = literal.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        literal = inner.trim();
    }
    literal.strip_prefix('N').filter(|text| text.starts_with('\'')).unwrap_or(literal)
}
