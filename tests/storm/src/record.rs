//! What users did, as they saw it: the oracle's only source of truth beside what stands in the databases at the end.

use std::collections::{BTreeMap, BTreeSet};

use berqenas_core::value::Pair;

use crate::schema::{Cell, Content, TableKind, table};

/// One row, wherever it stands.
pub type Place = (TableKind, Vec<Cell>);

/// A committed write of a user.
#[derive(Clone, Debug)]
pub struct Deed {
    /// The database.
    pub database: usize,
    /// The row.
    pub place: Place,
    /// What names the content that it left: the row's tag, or one of its own where it deleted the row for good.
    pub tag: String,
    /// The tags of what he saw when he wrote.
    pub saw: Vec<String>,
    /// What he left; none: nothing.
    pub content: Option<Content>,
    /// It is known to be committed, and was not taken back by a restored backup.
    pub sure: bool,
    /// `updated_at` was left as it was.
    pub silent: bool,
    /// The true time of the write, in microseconds since 1970 UTC.
    pub at: i64,
}

/// All that users did in a storm.
#[derive(Debug, Default)]
pub struct Record {
    /// Committed writes, in the order of their commits.
    pub deeds: Vec<Deed>,
    /// Clocks were set: times tell nothing about which edit was later.
    pub clocks_were_set: bool,
    /// Backups were restored: deletes come back, and what a person trusted wins.
    pub restored: bool,
    /// Ties of two edits that went to the cloud's row, and to the local one: the greater content has to win, so neither is always it.
    pub ties: Pair<u32>,
    /// How runs ended that failed, and how often.
    pub failures: BTreeMap<String, u32>,
    /// Runs that came to their end.
    pub runs: u32,
    /// Runs that were killed.
    pub kills: u32,
}

impl Record {
    /// The deeds on a row.
    pub fn of<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Deed> {
        self.deeds.iter().filter(move |deed| deed.place == *place)
    }

    /// Every row that anybody wrote.
    #[must_use]
    pub fn places(&self) -> BTreeSet<Place> {
        self.deeds.iter().map(|deed| deed.place.clone()).collect()
    }

    /// The tags of all that whoever wrote one of these had seen, directly or through what those had seen; they themselves too.
    #[must_use]
    pub fn seen_by(&self, place: &Place, tags: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut open: Vec<String> = tags.into_iter().collect();
        while let Some(tag) = open.pop() {
            if seen.insert(tag.clone()) {
                open.extend(self.of(place).filter(|deed| deed.tag == tag).flat_map(|deed| deed.saw.iter().cloned()));
            }
        }
        seen
    }

    /// What a user sees where there is no row: the deletions that left it so.
    #[must_use]
    pub fn deletions(&self, place: &Place) -> Vec<String> {
        self.of(place).filter(|deed| deed.content.is_none()).map(|deed| deed.tag.clone()).collect()
    }

    /// Takes back, as a restored backup does, what was committed to a database since its first so many deeds.
    pub fn forget_since(&mut self, database: usize, deeds: usize) {
        self.restored = true;
        for deed in self.deeds.iter_mut().skip(deeds).filter(|deed| deed.database == database) {
            deed.sure = false;
        }
    }
}

/// A key as the engine's JSON tells it.
#[must_use]
pub fn key_json(place: &Place) -> serde_json::Value {
    let names = table(place.0).key.iter().map(|column| column.name);
    let json = |cell: &Cell| match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Bool(flag) => (*flag).into(),
        Cell::Int(number) | Cell::Time(number) => (*number).into(),
        Cell::Text(text) => text.as_str().into(),
    };
    serde_json::Value::Object(names.zip(&place.1).map(|(name, cell)| (name.to_owned(), json(cell))).collect())
}
