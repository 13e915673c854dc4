//! Saved plans: written and read row by row, so that neither side of it holds a plan in memory.
//!
//! The file is JSON, a line at a time: a header; then each table, followed by its rows; then a trailer with the plan's id, counts, and a
//! digest over all of it. A row's line says what both sides looked like and what is done, value by value, so that applying it decides
//! nothing. A file that was altered or cut off is refused before its first row is looked at. It comes to its place whole, when it is
//! finished, or not at all.

mod rows;

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use berqenas_core::{decision::PluginId, mapping::TableMapping, plan::PlannedRow, spec::StrategyName};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::NamedTempFile;

use self::rows::RowFile;
use crate::error::{EngineError, ErrorKind};

/// The version of the file's form.
const FORMAT_VERSION: u32 = 2;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format_version: u32,
    sync: String,
    generation: String,
    /// The strategy of the request, where it overrode the spec's.
    strategy: Option<StrategyName>,
}

/// What tells whether the rest can be read.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

/// The line before a table's rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TableLine {
    /// The table.
    pub(super) table: String,
    /// The version of the mapping it is planned with.
    pub(super) mapping_version: String,
    /// The base keeps its rows whole.
    #[serde(default)]
    pub(super) keeps_rows: bool,
    /// The plugin that decided its conflicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) plugin: Option<PluginId>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Trailer {
    plan_id: String,
    tables: u64,
    rows: u64,
    /// Over every line before it and over what stands before it in this one.
    digest: String,
}

/// A line that is no header: which of them it is shows in its fields.
#[derive(Deserialize)]
struct Line {
    table: Option<String>,
    mapping_version: Option<String>,
    #[serde(default)]
    keeps_rows: bool,
    plugin: Option<PluginId>,
    digest: Option<String>,
}

/// A plan being saved.
pub(super) struct PlanWriter {
    /// Where it goes; the folder it goes to, of a plan that is kept.
    path: PathBuf,
    /// The sync whose name a kept plan's file bears.
    kept_of: Option<String>,
    file: BufWriter<NamedTempFile>,
    hasher: blake3::Hasher,
    tables: u64,
    rows: u64,
}

impl PlanWriter {
    /// Begins a file, beside its place and readable by its owner only: it holds rows.
    pub(super) fn begin(path: &Path, sync: &str, generation: &str, strategy: Option<StrategyName>) -> Result<PlanWriter, EngineError> {
        // A link goes on pointing to the plan.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.to_owned();
        PlanWriter::in_folder(&folder, path, None, &header(sync, generation, strategy))
    }

    /// Begins a file that is to be kept in a folder, under a name that tells its sync and its id.
    pub(super) fn kept(folder: PathBuf, sync: &str, generation: &str, strategy: Option<StrategyName>) -> Result<PlanWriter, EngineError> {
        PlanWriter::in_folder(&folder.clone(), folder, Some(sync.to_owned()), &header(sync, generation, strategy))
    }

    fn in_folder(folder: &Path, path: PathBuf, kept_of: Option<String>, header: &Header) -> Result<PlanWriter, EngineError> {
        let file = NamedTempFile::with_prefix_in(".berqenas-plan-", folder).map_err(|source| unwritable(&path, source))?;
        let mut writer = PlanWriter { path, kept_of, file: BufWriter::new(file), hasher: blake3::Hasher::new(), tables: 0, rows: 0 };
        writer.line(header)?;
        Ok(writer)
    }

    /// The next table; its rows follow.
    pub(super) fn table(&mut self, table: &TableLine) -> Result<(), EngineError> {
        self.tables += 1;
        self.line(table)
    }

    /// The next row of the table.
    pub(super) fn row(&mut self, mapping: &TableMapping, row: &PlannedRow) -> Result<(), EngineError> {
        self.rows += 1;
        self.line(&RowFile::of(mapping, row))
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), EngineError> {
        let mut text = serde_json::to_vec(line).map_err(|fault| unwritable(&self.path, fault.into()))?;
        text.push(b'\n');
        self.hasher.update(&text);
        self.file.write_all(&text).map_err(|source| unwritable(&self.path, source))
    }

    /// Ends the file and puts it in its place, which it answers.
    pub(super) fn finish(mut self, plan_id: &str) -> Result<PathBuf, EngineError> {
        let mut trailer = Trailer { plan_id: plan_id.to_owned(), tables: self.tables, rows: self.rows, digest: String::new() };
        trailer.digest = digest(&self.hasher, &trailer);
        self.line(&trailer)?;
        let file = self.file.into_inner().map_err(|fault| unwritable(&self.path, fault.into_error()))?;
        let path = match &self.kept_of {
            Some(sync) => self.path.join(kept_file_name(sync, plan_id)),
            None => self.path,
        };
        file.persist(&path).map_err(|fault| unwritable(&path, fault.error))?;
        Ok(path)
    }
}

fn header(sync: &str, generation: &str, strategy: Option<StrategyName>) -> Header {
    Header { format_version: FORMAT_VERSION, sync: sync.to_owned(), generation: generation.to_owned(), strategy }
}

/// The name of a kept plan's file.
fn kept_file_name(sync: &str, plan_id: &str) -> String {
    format!("{sync}-{plan_id}.plan")
}

fn digest(lines: &blake3::Hasher, trailer: &Trailer) -> String {
    let Trailer { plan_id, tables, rows, digest: _ } = trailer;
    let mut hasher = lines.clone();
    hasher.update(&tables.to_le_bytes()).update(&rows.to_le_bytes()).update(plan_id.as_bytes());
    hasher.finalize().to_hex().to_string()
}

fn unwritable(path: &Path, source: std::io::Error) -> EngineError {
    EngineError::failed(format!("the plan cannot be written to {}", path.display())).caused_by(source)
}

/// A saved plan, found to be whole; its rows are read when they are wanted.
#[derive(Debug)]
pub(super) struct PlanFile {
    path: PathBuf,
    file: File,
    /// Its id.
    pub(super) id: String,
    /// The sync.
    pub(super) sync: String,
    /// The generation of the spec it was made from.
    pub(super) generation: String,
    /// The strategy of the request, where it overrode the spec's.
    pub(super) strategy: Option<StrategyName>,
    /// Table by table, in the order they are carried out.
    pub(super) tables: Vec<TableFile>,
}

/// One table of a saved plan.
#[derive(Debug)]
pub(super) struct TableFile {
    /// The table.
    pub(super) table: String,
    /// The version of the mapping it was planned with.
    pub(super) mapping_version: String,
    /// The base keeps its rows whole.
    pub(super) keeps_rows: bool,
    /// The plugin that decided its conflicts.
    pub(super) plugin: Option<PluginId>,
    /// Where its rows begin.
    at: u64,
    rows: u64,
}

impl PlanFile {
    /// Reads a file from end to end, to know that it is whole.
    pub(super) fn open(path: &Path) -> Result<PlanFile, EngineError> {
        let cannot = |source| EngineError::new(ErrorKind::Usage, format!("{} cannot be read", path.display())).caused_by(source);
        let unreadable = |what: String| EngineError::new(ErrorKind::Usage, format!("{} is no saved plan: {what}", path.display()));
        let altered = || unreadable("it was altered or cut off since it was saved; plan again".to_owned());
        let file = File::open(path).map_err(cannot)?;
        let mut lines = Lines { reader: BufReader::new(&file), text: Vec::new(), at: 0 };
        let first = lines.next().map_err(cannot)?.unwrap_or(b"");
        // The version first: a file of another one may have another form.
        let Version { format_version } = parse(first).map_err(&unreadable)?;
        if format_version != FORMAT_VERSION {
            return Err(unreadable(format!("its format is version {format_version}, this program knows {FORMAT_VERSION}; plan again")));
        }
        let Header { sync, generation, strategy, .. } = parse(first).map_err(&unreadable)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(first);
        let mut tables: Vec<TableFile> = Vec::new();
        let trailer: Trailer = loop {
            let Some(line) = lines.next().map_err(cannot)? else { return Err(altered()) };
            let Line { table, mapping_version, keeps_rows, plugin, digest } = parse(line).map_err(|_| altered())?;
            if digest.is_some() {
                break parse(line).map_err(|_| altered())?;
            }
            hasher.update(line);
            match (table.zip(mapping_version), tables.last_mut()) {
                (Some((table, mapping_version)), _) => {
                    tables.push(TableFile { table, mapping_version, keeps_rows, plugin, at: lines.at, rows: 0 });
                }
                (None, Some(table)) => table.rows += 1,
                (None, None) => return Err(altered()),
            }
        };
        let rows: u64 = tables.iter().map(|table| table.rows).sum();
        let counted = (trailer.tables, trailer.rows) == (tables.len() as u64, rows);
        if !counted || trailer.digest != digest(&hasher, &trailer) || lines.next().map_err(cannot)?.is_some() {
            return Err(altered());
        }
        Ok(PlanFile { path: path.to_owned(), file, id: trailer.plan_id, sync, generation, strategy, tables })
    }

    /// The plugins that decided conflicts of it.
    pub(super) fn plugins(&self) -> Vec<PluginId> {
        let mut plugins: Vec<PluginId> = Vec::new();
        for id in self.tables.iter().filter_map(|table| table.plugin.as_ref()) {
            if !plugins.contains(id) {
                plugins.push(id.clone());
            }
        }
        plugins
    }

    /// The rows of a table, so many at a time, to be carried out under the mapping they were planned with. One at a time may be read.
    pub(super) fn batches(&self, table: &TableFile, size: usize) -> Result<Batches<'_>, EngineError> {
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(table.at)).map_err(|source| self.unreadable(&table.table).caused_by(source))?;
        Ok(Batches {
            plan: self,
            table: table.table.clone(),
            lines: Lines { reader, text: Vec::new(), at: table.at },
            left: table.rows,
            size,
        })
    }

    fn unreadable(&self, table: &str) -> EngineError {
        let what = format!("the rows of table {table} in {} cannot be read: it was altered; plan again", self.path.display());
        EngineError::new(ErrorKind::Usage, what)
    }
}

/// Rows of one table of a saved plan, a batch at a time.
pub(super) struct Batches<'p> {
    plan: &'p PlanFile,
    table: String,
    lines: Lines<'p>,
    left: u64,
    size: usize,
}

impl Batches<'_> {
    /// The next rows; `None`: there are no more.
    pub(super) fn next(&mut self, mapping: &TableMapping) -> Result<Option<Vec<PlannedRow>>, EngineError> {
        let mut rows = Vec::new();
        while self.left > 0 && rows.len() < self.size {
            let unreadable = || self.plan.unreadable(&self.table);
            let line = self.lines.next().map_err(|source| unreadable().caused_by(source))?.ok_or_else(unreadable)?;
            let row: RowFile = parse(line).map_err(|fault| unreadable().caused_by(fault))?;
            rows.push(row.planned(mapping).ok_or_else(unreadable)?);
            self.left -= 1;
        }
        Ok((!rows.is_empty()).then_some(rows))
    }
}

/// The lines of a file, one at a time.
struct Lines<'f> {
    reader: BufReader<&'f File>,
    text: Vec<u8>,
    /// Where the next line begins.
    at: u64,
}

impl Lines<'_> {
    /// The next line with its end; `None`: there are no more.
    fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.text.clear();
        let read = self.reader.read_until(b'\n', &mut self.text)?;
        self.at += read as u64;
        Ok((read > 0).then_some(self.text.as_slice()))
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|fault| fault.to_string())
}
