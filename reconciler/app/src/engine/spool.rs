//! Spool: a plan for programs, which get every row of it. While it is made its rows go to a file without a name, and from there to whoever
//! reads the answer, so that a plan of any size takes the memory of one batch.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
};

use berqenas_core::decision::PluginId;
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeSeq as _},
};

use super::outcome::{Counts, Named, Note, PlanReport, PlannedAction, PlannedConflict};
use crate::error::EngineError;

/// What a line of the file holds; its first byte.
const ACTION: u8 = b'a';
const CONFLICT: u8 = b'c';
const NOTE: u8 = b'n';

/// The rows of a plan that is being made.
pub(super) struct Spool {
    file: BufWriter<File>,
    /// How much is written.
    at: u64,
    /// The tables so far, and where their rows are.
    tables: Vec<(String, Range<u64>)>,
}

impl Spool {
    /// An empty one.
    pub(super) fn begin() -> Result<Spool, EngineError> {
        Ok(Spool { file: BufWriter::new(tempfile::tempfile().map_err(failed)?), at: 0, tables: Vec::new() })
    }

    /// The next table; what follows is of it.
    pub(super) fn table(&mut self, table: &str) {
        self.tables.push((table.to_owned(), self.at..self.at));
    }

    /// A row that is written.
    pub(super) fn action(&mut self, action: &PlannedAction) -> Result<(), EngineError> {
        self.line(ACTION, action)
    }

    /// A conflict.
    pub(super) fn conflict(&mut self, conflict: &PlannedConflict) -> Result<(), EngineError> {
        self.line(CONFLICT, conflict)
    }

    /// A note.
    pub(super) fn note(&mut self, note: &Note) -> Result<(), EngineError> {
        self.line(NOTE, note)
    }

    fn line(&mut self, kind: u8, what: &impl Serialize) -> Result<(), EngineError> {
        let mut text = vec![kind];
        serde_json::to_writer(&mut text, what).map_err(|fault| failed(fault.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(failed)?;
        self.at += text.len() as u64;
        if let Some((_, range)) = self.tables.last_mut() {
            range.end = self.at;
        }
        Ok(())
    }

    /// The plan that the rows are of; `report` has all but them.
    pub(super) fn finish(self, report: PlanReport) -> Result<ListedPlan, EngineError> {
        let file = self.file.into_inner().map_err(|fault| failed(fault.into_error()))?;
        Ok(ListedPlan { report, file, size: self.at, tables: self.tables })
    }
}

fn failed(source: std::io::Error) -> EngineError {
    EngineError::failed("the plan's rows cannot be kept in the folder for temporary files").caused_by(source)
}

/// A plan with all its rows, which are read when it is serialized: in the form of a [`PlanReport`].
#[derive(Debug)]
pub struct ListedPlan {
    /// The plan, its actions, conflicts and notes left out.
    pub report: PlanReport,
    file: File,
    size: u64,
    tables: Vec<(String, Range<u64>)>,
}

#[derive(Serialize)]
struct Shown<'p> {
    plan_id: &'p str,
    sync: &'p str,
    generation: &'p str,
    #[serde(skip_serializing_if = "is_empty")]
    plugins: &'p [PluginId],
    summary: ShownSummary<'p>,
    tables: Vec<ShownTable<'p>>,
}

#[derive(Serialize)]
struct ShownSummary<'p> {
    #[serde(flatten)]
    total: &'p Counts,
    tables: &'p Named<Counts>,
    notes: Lines<'p>,
}

#[derive(Serialize)]
struct ShownTable<'p> {
    table: &'p str,
    actions: Lines<'p>,
    conflicts: Lines<'p>,
}

fn is_empty(plugins: &[PluginId]) -> bool {
    plugins.is_empty()
}

/// The lines of one kind in one part of the file.
struct Lines<'p> {
    file: &'p File,
    part: Range<u64>,
    kind: u8,
}

impl Serialize for ListedPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let PlanReport { plan_id, sync, generation, plugins, summary, tables } = &self.report;
        let lines = |part: Range<u64>, kind: u8| Lines { file: &self.file, part, kind };
        let table = |table: &'_ str| {
            let part = self.tables.iter().find(|(name, _)| name == table).map_or(0..0, |(_, part)| part.clone());
            (lines(part.clone(), ACTION), lines(part, CONFLICT))
        };
        let tables = tables.iter().map(|plan| {
            let (actions, conflicts) = table(&plan.table);
            ShownTable { table: &plan.table, actions, conflicts }
        });
        let notes = lines(0..self.size, NOTE);
        let summary = ShownSummary { total: &summary.total, tables: &summary.tables, notes };
        Shown { plan_id, sync, generation, plugins, summary, tables: tables.collect() }.serialize(serializer)
    }
}

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.part.start)).map_err(S::Error::custom)?;
        let mut reader = BufReader::new(file.take(self.part.end - self.part.start));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(S::Error::custom)? > 0 {
            if line[0] == self.kind {
                let element: serde_json::Value = serde_json::from_slice(&line[1..]).map_err(S::Error::custom)?;
                list.serialize_element(&element)?;
            }
            line.clear();
        }
        list.end()
    }
}
