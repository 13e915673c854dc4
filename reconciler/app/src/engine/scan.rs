//! Scan: the keys of a table that a run has to look at, from both sides at once, in the one key order.
//!
//! Both endpoints stream their rows in the same order, whatever their collations; a full scan merges the base into them, so that rows
//! gone from both sides are seen too. A stream that breaks the order is an error, never a skipped row.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use berqenas_core::{
    key::Key,
    mapping::TableMapping,
    value::{Pair, RowHash, Side},
};
use futures::{StreamExt, stream::BoxStream};

use super::{
    session::{Session, SyncTable},
    tenure::Tenure,
};
use crate::{
    endpoint::{EndpointError, Scan},
    error::EngineError,
    state::{BaseRow, Quarantined, State},
};

/// A key that a scan came by.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    /// The key.
    pub(super) key: Key,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// The hash of the row on each side that the scan saw. In a scan of changes, `None` says nothing about that side.
    pub(super) hashes: Pair<Option<RowHash>>,
}

/// A row whose key cannot be read as the common type.
#[derive(Clone, Debug)]
pub(super) struct UnreadableKey {
    /// The side it is on.
    pub(super) side: Side,
    /// Why, and what to do.
    pub(super) message: String,
}

/// The kind under which rows with unreadable keys stand in the quarantine.
pub(super) const UNREADABLE_KEY: &str = "unreadable_key";

impl UnreadableKey {
    /// What stands for the key, which has no form of its own: no key's bytes begin like this.
    pub(super) fn mark(&self) -> Vec<u8> {
        let digest = blake3::hash(format!("{}: {}", self.side, self.message).as_bytes());
        [&[0xff][..], digest.as_bytes()].concat()
    }

    /// Its entry in the quarantine. It is never tried again by itself: a full scan finds the row once it is mended.
    pub(super) fn quarantined(&self, table: &str, now: i64) -> Quarantined {
        Quarantined {
            table: table.to_owned(),
            key: self.mark(),
            key_json: serde_json::Value::Null,
            side: self.side,
            message: self.message.clone(),
            kind: UNREADABLE_KEY.into(),
            attempts: 1,
            next_attempt: i64::MAX,
            cloud: None,
            local: None,
            since: now,
        }
    }
}

/// What a scan yields next.
#[derive(Debug, Default)]
pub(super) struct ScanBatch {
    /// Keys to look at, in order.
    pub(super) sightings: Vec<Sighting>,
    /// Rows that were passed over.
    pub(super) unreadable: Vec<UnreadableKey>,
    /// Rows read to get here, both sides together.
    pub(super) rows_read: u64,
}

/// One side's rows, a batch at a time.
struct Rows {
    side: Side,
    stream: BoxStream<'static, Result<Vec<berqenas_core::access::StoredRow>, EndpointError>>,
    ahead: VecDeque<(Vec<u8>, Key, RowHash)>,
    last: Vec<u8>,
    ended: bool,
    target: String,
}

/// The base of a table, a page at a time.
struct BasePages {
    ahead: VecDeque<BaseRow>,
    after: Option<Vec<u8>>,
    ended: bool,
}

/// A merged scan of one table.
pub(super) struct TableScan<'a> {
    sync: &'a str,
    table: String,
    mapping: Arc<TableMapping>,
    keeps_rows: bool,
    state: &'a State,
    rows: Pair<Rows>,
    base: Option<BasePages>,
    batch_rows: usize,
    tenure: &'a Tenure<'a>,
}

impl<'a> TableScan<'a> {
    /// Opens the scan of both sides. With `full`, everything is read, and the base too.
    pub(super) async fn open(
        session: &'a Session,
        state: &'a State,
        tenure: &'a Tenure<'a>,
        table: &SyncTable,
        scans: Pair<Scan>,
    ) -> Result<TableScan<'a>, EngineError> {
        let mapping = &table.mapping;
        let (sync, batch_rows) = (session.spec.name.as_str(), session.spec.batch_rows);
        let open = async |side: Side| -> Result<Rows, EngineError> {
            let endpoint = session.endpoints.get(side);
            let stream = endpoint.scan(mapping.access.get(side).clone(), *scans.get(side), batch_rows).await?;
            Ok(Rows { side, stream, ahead: VecDeque::new(), last: Vec::new(), ended: false, target: endpoint.target().to_owned() })
        };
        let full = scans == Pair::new(Scan::Everything, Scan::Everything);
        let rows = Pair::new(open(Side::Cloud).await?, open(Side::Local).await?);
        let base = full.then(|| BasePages { ahead: VecDeque::new(), after: None, ended: false });
        let (name, keeps_rows) = (mapping.table.clone(), table.keeps_rows);
        Ok(TableScan { sync, table: name, mapping: mapping.clone(), keeps_rows, state, rows, base, batch_rows, tenure })
    }

    /// The next keys; `None` at the end. A full scan leaves out rows that both sides hold exactly as the base says, unless the
    /// base is to keep them whole from now on.
    pub(super) async fn next(&mut self) -> Result<Option<ScanBatch>, EngineError> {
        let mut batch = ScanBatch::default();
        while batch.sightings.len() < self.batch_rows {
            for side in Side::BOTH {
                self.rows.get_mut(side).fill(&self.mapping, &mut batch, self.tenure).await?;
            }
            self.fill_base().await?;
            let Some(least) = self.least_key() else { break };
            let cloud = self.rows.cloud.take(&least);
            let local = self.rows.local.take(&least);
            let base = self.take_base(&least);
            let hashes = Pair::new(cloud.as_ref().map(|row| row.1), local.as_ref().map(|row| row.1));
            if let Some(base) = &base
                && base.version == self.mapping.version
                && (Pair { cloud: base.cloud, local: base.local }) == hashes
                && (!self.keeps_rows || base.rows.is_some() || hashes.cloud.is_none() || hashes.local.is_none())
            {
                continue;
            }
            let key = match cloud.or(local) {
                Some((key, _)) => key,
                None => Key::from_bytes(&least).map_err(|fault| {
                    EngineError::failed(format!("the state holds a key of table {} that cannot be read: {fault}", self.table))
                })?,
            };
            batch.sightings.push(Sighting { key, bytes: least, hashes });
        }
        let ended = batch.sightings.is_empty() && batch.unreadable.is_empty();
        Ok(if ended { None } else { Some(batch) })
    }

    fn least_key(&self) -> Option<Vec<u8>> {
        let heads = [self.rows.cloud.ahead.front().map(|row| &row.0), self.rows.local.ahead.front().map(|row| &row.0)];
        let base = self.base.as_ref().and_then(|pages| pages.ahead.front()).map(|row| &row.key);
        heads.into_iter().flatten().chain(base).min().cloned()
    }

    async fn fill_base(&mut self) -> Result<(), EngineError> {
        let Some(pages) = &mut self.base else { return Ok(()) };
        if pages.ahead.is_empty() && !pages.ended {
            let page = self.state.base_after(self.sync, &self.table, pages.after.as_deref(), self.batch_rows).await?;
            pages.ended = page.len() < self.batch_rows;
            if let Some(last) = page.last() {
                pages.after = Some(last.key.clone());
            }
            pages.ahead = page.into();
        }
        Ok(())
    }

    fn take_base(&mut self, key: &[u8]) -> Option<BaseRow> {
        let pages = self.base.as_mut()?;
        if pages.ahead.front().is_some_and(|row| row.key == key) { pages.ahead.pop_front() } else { None }
    }
}

impl Rows {
    /// Reads until a row is at hand or the side has no more.
    async fn fill(&mut self, mapping: &TableMapping, batch: &mut ScanBatch, tenure: &Tenure<'_>) -> Result<(), EngineError> {
        while self.ahead.is_empty() && !self.ended {
            // A table with nothing to do in it may take longer to read than a lease lasts.
            tenure.go_on().await?;
            let Some(rows) = self.stream.next().await else {
                self.ended = true;
                break;
            };
            for row in rows? {
                batch.rows_read += 1;
                match mapping.key(self.side, &row) {
                    Ok(key) => self.push(mapping, key, &row)?,
                    Err(fault) => batch.unreadable.push(UnreadableKey { side: self.side, message: fault.to_string() }),
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, mapping: &TableMapping, key: Key, row: &berqenas_core::access::StoredRow) -> Result<(), EngineError> {
        let bytes = key.to_bytes();
        match self.last.cmp(&bytes) {
            Ordering::Less => {}
            Ordering::Equal => {
                return Err(EngineError::failed(format!(
                    "{} holds two rows of table {} whose keys are the same fact, {key}: rename or remove one of them",
                    self.target, mapping.table
                )));
            }
            Ordering::Greater => {
                return Err(EngineError::failed(format!(
                    "{} gave the rows of table {} out of order at {key}; nothing was skipped, the run stopped",
                    self.target, mapping.table
                ))
                .hint("this is a defect of the program: please report it with the key's column types"));
            }
        }
        self.last.clone_from(&bytes);
        self.ahead.push_back((bytes, key, mapping.access.get(self.side).hash(row)));
        Ok(())
    }

    fn take(&mut self, key: &[u8]) -> Option<(Key, RowHash)> {
        if self.ahead.front().is_some_and(|row| row.0 == key) { self.ahead.pop_front().map(|(_, key, hash)| (key, hash)) } else { None }
    }
}
