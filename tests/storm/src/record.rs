//! What users did, as they saw it: the oracle's only source of truth beside what stands in the databases at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use berqenas_core::value::Pair;

use crate::schema::{Cell, Content, TableKind, shown_key, table};

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
    /// It was made in a longer transaction, whose beginning may be what stamps it.
    pub in_transaction: bool,
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
    /// Runs in calm weather that came to their end, and those that a person asked for.
    pub quiet_runs: u32,
    /// Runs that were killed.
    pub kills: u32,
    /// What runs wrote, where the databases can tell, and what the conflict logs say in the end; for people.
    pub told: Vec<String>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |content: Option<&Content>| content.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        for Deed { database, place, tag, saw, content, sure, silent, at, in_transaction } in &self.deeds {
            let marks = [(*silent, ", silently"), (*in_transaction, ", in a transaction"), (!sure, ", perhaps")];
            let marks: String = marks.iter().filter(|(holds, _)| *holds).map(|(_, mark)| *mark).collect();
            let (row, left) = (named(place), shown(content.as_ref()));
            writeln!(f, "{at}: on database {database} a user who saw {saw:?} left {row} as {left} ({tag}{marks})")?;
        }
        for line in &self.told {
            writeln!(f, "{line}")?;
        }
        self.failures.iter().try_for_each(|(fault, count)| writeln!(f, "{count} runs ended so: {fault}"))
    }
}

/// A row, for people.
pub(crate) fn named(place: &Place) -> String {
    format!("{} {}", table(place.0).name, shown_key(&place.1))
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

    /// The deeds, by number, that left one of these contents, and all that they had seen, directly or through what those had seen.
    /// A content that was put back has more than one deed to its name: which of them a later writer saw depends on when he wrote.
    #[must_use]
    pub fn seen_by(&self, place: &Place, tags: &BTreeSet<String>) -> BTreeSet<usize> {
        let own: Vec<(usize, &Deed)> = self.deeds.iter().enumerate().filter(|(_, deed)| deed.place == *place).collect();
        let mut seen = BTreeSet::new();
        let mut open: Vec<usize> = own.iter().filter(|(_, deed)| tags.contains(&deed.tag)).map(|(number, _)| *number).collect();
        while let Some(number) = open.pop() {
            if seen.insert(number) {
                let saw = &self.deeds[number].saw;
                open.extend(own.iter().filter(|(earlier, deed)| *earlier < number && saw.contains(&deed.tag)).map(|(earlier, _)| *earlier));
            }
        }
        seen
    }

    /// Whether a deed put back a content that stood there before.
    #[must_use]
    pub fn is_revert(&self, number: usize) -> bool {
        let deed = &self.deeds[number];
        self.deeds[..number].iter().any(|earlier| earlier.place == deed.place && earlier.tag == deed.tag)
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
