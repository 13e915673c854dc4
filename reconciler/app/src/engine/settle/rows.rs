//! Rows: settling where no table tells what was written (`ledger: lock`). The row that is there now is asked, and believed only as far
//! as it can be:
//!
//! | the row now | then | its base |
//! |---|---|---|
//! | is what was to be written | it was written | what the side stores |
//! | is what it was before, its time of change too | it was not written | stays |
//! | is absent, and was to be made | it was not made | stays |
//! | is anything else | nobody knows | counts as changed on both sides |
//!
//! The time of change tells "never touched" from "written, and taken back by a user", who must not be overruled; a table without one
//! tells nothing. For the same reason the base of a row that nobody knows about may not stay: a side that has come back to what it held
//! then would look as agreed, and its user's edit would be undone. Changed on both sides, the rows are equal, which settles it, or they
//! are a conflict, with both in the log. A row without a base has none to spoil: it is an insert on both sides, a conflict too.
//!
//! What no row can tell: that a user deleted for good what had just been made (it is made again), and that a user typed the very row
//! that was to be written (it is taken for ours, and stands in the journal).

use std::collections::BTreeMap;

use berqenas_core::{
    access::{Role, StoredRow},
    key::Key,
    mapping::TableMapping,
    value::{RowHash, Side},
};
use serde_json::Value;

use super::{count, read_afresh, settle_applied, settle_dropped};
use crate::{
    apply::images,
    endpoint::LedgerRow,
    engine::{
        decide::{Fetched, fetch},
        session::{Session, SyncTable},
    },
    error::EngineError,
    state::{BaseRow, BatchClose, JournalEntry, JournalOp, JournalStatus, Lease, Outcome, State, TableCounts},
};

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It was written, and this is what a table would have recorded.
    Written(LedgerRow),
    /// It was not.
    NotWritten,
    /// The row does not tell.
    Unknown,
}

/// Settles the open entries of one batch. Answers what was found, for people.
pub(super) async fn settle(
    session: &Session,
    state: &State,
    lease: &Lease,
    batch: &[JournalEntry],
    now: i64,
) -> Result<Option<String>, EngineError> {
    let Some(first) = batch.first() else { return Ok(None) };
    let mut close = BatchClose { run: first.run.clone(), batch: Some(first.batch), ..BatchClose::default() };
    let mut counts: Vec<TableCounts> = Vec::new();
    let (mut written, mut unknown) = (0, 0);
    let mut by_table: BTreeMap<&str, Vec<&JournalEntry>> = BTreeMap::new();
    for entry in batch {
        by_table.entry(&entry.table).or_default().push(entry);
    }
    for (table, entries) in by_table {
        let Some(verdicts) = verdicts(session, table, first.side, &entries).await? else { continue };
        let mut doubtful = Vec::new();
        for (entry, verdict) in entries.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Written(recorded) => {
                    written += 1;
                    settle_applied(&mut close, entry, &recorded)?;
                    count(&mut counts, entry);
                }
                Verdict::NotWritten => settle_dropped(&mut close, entry),
                Verdict::Unknown => {
                    unknown += 1;
                    // Its conflict entry stays: if it was written after all, the loser's row stands nowhere else.
                    close.outcomes.push(Outcome { position: entry.position, status: JournalStatus::Dropped, after_hash: None });
                    doubtful.push(entry.key.clone());
                }
            }
            read_afresh(&mut close, entry, now);
        }
        let bases = state.base(&lease.sync, table, &doubtful).await?;
        close.base_upserts.extend(bases.into_iter().map(|base| (table.to_owned(), changed_on_both_sides(base))));
    }
    if close.outcomes.is_empty() {
        return Ok(None);
    }
    close.counts = counts;
    state.commit(lease, &close).await?;
    let (run, number, side, settled) = (&first.run, first.batch, first.side, close.outcomes.len());
    let mut note = format!("settled batch {number} of {run} by the rows on {side}: {written} of {settled} had been written");
    if unknown > 0 {
        note.push_str(&format!("; of {unknown} nobody knows: where the sides differ they are conflicts"));
    }
    Ok(Some(note))
}

/// Reads the rows as they are now. `None`: the table is not in this run; another one settles its entries. Of a table that left the spec
/// nothing can be known.
async fn verdicts(session: &Session, table: &str, side: Side, entries: &[&JournalEntry]) -> Result<Option<Vec<Verdict>>, EngineError> {
    let Some(open) = session.tables.iter().find(|open| open.spec.name == table) else {
        let comes_again = session.spec.tables.iter().any(|spec| spec.name == table);
        return Ok((!comes_again).then(|| entries.iter().map(|_| Verdict::Unknown).collect()));
    };
    let unreadable = |fault: &dyn std::fmt::Display| {
        EngineError::failed(format!("the journal holds a key of table {table} that cannot be read: {fault}"))
    };
    let mut verdicts = Vec::with_capacity(entries.len());
    for entries in entries.chunks(session.spec.batch_rows) {
        let key = |entry: &&JournalEntry| Key::from_bytes(&entry.key).map_err(|fault| unreadable(&fault));
        let keys: Vec<Key> = entries.iter().map(key).collect::<Result<_, _>>()?;
        let rows = fetch(session, &open.mapping, side, &keys).await?;
        verdicts.extend(entries.iter().zip(rows).map(|(entry, row)| verdict(open, entry, row)));
    }
    Ok(Some(verdicts))
}

fn verdict(table: &SyncTable, entry: &JournalEntry, fetched: Fetched) -> Verdict {
    let written = |hash: Option<RowHash>, stamp: Option<i64>| {
        Verdict::Written(LedgerRow { position: entry.position, hash: hash.map(|hash| hash.to_hex()), stamp, remark: None })
    };
    if fetched.fault.is_some() {
        return Verdict::Unknown;
    }
    let row = match (fetched.exact, entry.op) {
        (Some(row), _) => row,
        (None, JournalOp::Delete) => return written(None, None),
        (None, JournalOp::Insert) => return Verdict::NotWritten,
        (None, JournalOp::Update) => return Verdict::Unknown,
    };
    let mapping: &TableMapping = &table.mapping;
    let access = mapping.access.get(entry.side);
    // Images and hashes of other columns than today's say nothing.
    if entry.base.as_ref().is_some_and(|base| base.version != mapping.version) {
        return Verdict::Unknown;
    }
    let (hash, now) = (access.hash(&row), image(mapping, entry.side, &row));
    // An image holds either the bookkeeping column or a column of the same name that is synced.
    let says_all = !mapping.columns.iter().any(|column| matches!(column.name.as_str(), "updated_at" | "is_deleted"));
    let means_the_same = || says_all && entry.after.as_ref().is_some_and(|after| content(after) == content(&now));
    if entry.op != JournalOp::Delete && (entry.sent_hash == Some(hash) || means_the_same()) {
        return written(Some(hash), row.stamp);
    }
    let untouched = says_all && access.position(Role::UpdatedAt).is_some() && entry.before.as_ref() == Some(&now);
    if untouched { Verdict::NotWritten } else { Verdict::Unknown }
}

/// A row as the journal holds it: written as JSON and read again.
fn image(mapping: &TableMapping, side: Side, row: &StoredRow) -> Value {
    let image = Value::from(images::full(mapping, side, row));
    serde_json::from_str(&image.to_string()).unwrap_or(image)
}

/// An image without the time of change, which the side sets.
fn content(image: &Value) -> Value {
    let mut image = image.clone();
    if let Some(columns) = image.as_object_mut() {
        columns.remove("updated_at");
    }
    image
}

/// A base that no row is like.
fn changed_on_both_sides(base: BaseRow) -> BaseRow {
    let nothing = Some(RowHash::OF_NO_ROW);
    BaseRow { cloud: nothing, local: nothing, deleted: false, rows: None, ..base }
}
