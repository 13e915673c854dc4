//! Meaning: what a file says becomes what it means, all faults at once.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
    time::Duration,
};

use jiff::SignedDuration;

use super::{
    BookkeepingNames, Connection, Detect, Direction, HardDeletes, InitialPolicy, SecretSource, StrategyChoice, StrategyName, SyncSpec,
    TableSpec,
    check::brief,
    file::{BookkeepingEntry, ColumnsEntry, ConnectionEntry, ConnectionFields, PasswordEntry, SpecFile, TableEntry, TableFields},
    url,
    yaml::{Document, OffsetFault, escape},
};
use crate::shape::Engine;

/// The meaning of a document whose types are right; its generation is not yet filled in.
///
/// # Errors
/// All faults of meaning.
pub(super) fn resolve(file: SpecFile, document: &Document) -> Result<SyncSpec, Vec<OffsetFault>> {
    let mut resolver = Resolver { document, faults: Vec::new(), own: file.strategies.keys().cloned().collect() };
    let spec = resolver.spec(file);
    if resolver.faults.is_empty() { Ok(spec) } else { Err(resolver.faults) }
}

/// The least time after which anything is told again.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) struct Resolver<'a> {
    document: &'a Document,
    faults: Vec<OffsetFault>,
    /// The names of the spec's own strategies.
    pub(super) own: Vec<String>,
}

impl Resolver<'_> {
    pub(super) fn fault(&mut self, pointer: &str, message: impl Into<String>, hint: Option<&str>) {
        let offset = self.document.value_at(pointer);
        self.faults.push(OffsetFault { offset, message: message.into(), hint: hint.map(str::to_owned) });
    }

    fn spec(&mut self, file: SpecFile) -> SyncSpec {
        let (schedule, terms) = self.agenda(&file);
        let cloud = self.connection("/cloud", file.cloud);
        let local = self.connection("/local", file.local);
        if cloud.url == local.url && cloud.schema == local.schema {
            self.fault("/local", "cloud and local are the same database", Some("a sync keeps two databases in step"));
        }
        let strategy = self.strategy("", file.strategy);
        let strategy = strategy.unwrap_or(StrategyChoice::Whole(StrategyName::LatestWins));
        let strategies = self.plugins(file.strategies);
        let names = self.bookkeeping("", file.bookkeeping.unwrap_or_default(), &BookkeepingNames::default());
        SyncSpec {
            name: file.name,
            id: file.id,
            cloud,
            local,
            schedule,
            terms,
            alerts: self.alerts(file.alerts),
            mode: file.mode.unwrap_or_default(),
            strategies,
            direction: file.direction.unwrap_or(Direction::Both),
            initial: file.initial.unwrap_or(InitialPolicy::Manual),
            tables: self.tables(file.tables, &strategy, &names),
            strategy,
            batch_rows: file.batch_rows.map_or(2000, |rows| rows as usize),
            overlap: self.duration("/overlap", file.overlap.as_deref(), Duration::from_secs(2), Duration::ZERO),
            timeout: self.duration("/timeout", file.timeout.as_deref(), Duration::from_secs(30), Duration::from_millis(1)),
            max_delete_percent: file.max_delete_percent.unwrap_or(10),
            max_deletes: file.max_deletes,
            max_change_percent: file.max_change_percent,
            max_clock_skew: self.duration("/max_clock_skew", file.max_clock_skew.as_deref(), Duration::from_secs(300), Duration::ZERO),
            generation: String::new(),
        }
    }

    fn connection(&mut self, pointer: &str, entry: ConnectionEntry) -> Connection {
        let (fields, url_pointer) = match entry {
            ConnectionEntry::Short(url) => {
                (ConnectionFields { url, password: None, schema: None, ca_file: None, ledger: None }, pointer.to_owned())
            }
            ConnectionEntry::Long(fields) => (fields, format!("{pointer}/url")),
        };
        let engine = url::check(&fields.url).unwrap_or_else(|error| {
            self.fault(&url_pointer, error.to_string(), error.hint().as_deref());
            None
        });
        let password_pointer = format!("{pointer}/password");
        if engine == Some(Engine::Sqlite) {
            let useless = [("password", fields.password.is_some()), ("ca_file", fields.ca_file.is_some())];
            for (key, _) in useless.iter().filter(|(_, given)| *given) {
                self.fault(&format!("{pointer}/{key}"), format!("a SQLite database has no {key:?}"), Some("take the key out"));
            }
        } else if fields.password.is_some() && url::has_password(&fields.url) {
            self.fault(&password_pointer, "the password is given twice", Some("keep it in the URL, as ${NAME}, or here"));
        }
        let password = fields.password.and_then(|password| self.password(&password_pointer, password));
        let ledger = fields.ledger.unwrap_or_default();
        Connection { url: fields.url, password, schema: fields.schema, ca_file: fields.ca_file, ledger }
    }

    fn password(&mut self, pointer: &str, entry: PasswordEntry) -> Option<SecretSource> {
        self.secret_source(pointer, entry, "for example {env: CLOUD_PASSWORD}")
    }

    pub(super) fn secret_source(&mut self, pointer: &str, entry: PasswordEntry, example: &str) -> Option<SecretSource> {
        let key = pointer.rsplit('/').next().unwrap_or(pointer);
        match (entry.env, entry.file) {
            (Some(name), None) => Some(SecretSource::Env(name)),
            (None, Some(path)) => Some(SecretSource::File(path)),
            (None, None) | (Some(_), Some(_)) => {
                self.fault(pointer, format!("{key:?} must have exactly one of env and file"), Some(example));
                None
            }
        }
    }

    pub(super) fn duration(&mut self, pointer: &str, text: Option<&str>, default: Duration, least: Duration) -> Duration {
        let Some(text) = text else { return default };
        let key = pointer.rsplit('/').next().unwrap_or(pointer);
        let Ok(parsed) = SignedDuration::from_str(text.trim()) else {
            let message = format!("{key:?} is no duration: {:?}", brief(text));
            self.fault(pointer, message, Some("a number and its unit (h, m, s, ms), for example 15m or 1h 30m; a day is 24h"));
            return default;
        };
        match Duration::try_from(parsed) {
            Ok(duration) if duration >= least => duration,
            _ => {
                self.fault(
                    pointer,
                    format!("{key:?} must be at least {}", if least.is_zero() { "0s".to_owned() } else { format!("{least:?}") }),
                    None,
                );
                default
            }
        }
    }

    fn bookkeeping(&mut self, pointer: &str, entry: BookkeepingEntry, inherited: &BookkeepingNames) -> BookkeepingNames {
        let names = BookkeepingNames {
            created_at: entry.created_at.unwrap_or_else(|| inherited.created_at.clone()),
            updated_at: entry.updated_at.unwrap_or_else(|| inherited.updated_at.clone()),
            is_deleted: entry.is_deleted.unwrap_or_else(|| inherited.is_deleted.clone()),
        };
        let mut seen = HashMap::new();
        let columns = [("created_at", &names.created_at), ("updated_at", &names.updated_at), ("is_deleted", &names.is_deleted)];
        for (role, column) in columns {
            if let Some(other) = seen.insert(column.to_lowercase(), role) {
                let message = format!("the column {:?} cannot be both {other} and {role}", brief(column));
                self.fault(&format!("{pointer}/bookkeeping/{role}"), message, None);
            }
        }
        names
    }

    fn tables(&mut self, entries: Vec<TableEntry>, strategy: &StrategyChoice, names: &BookkeepingNames) -> Vec<TableSpec> {
        let tables: Vec<TableSpec> =
            entries.into_iter().enumerate().map(|(index, entry)| self.table(&format!("/tables/{index}"), entry, strategy, names)).collect();
        // Names that differ in case alone are one table to most engines: two entries for it would be two writers.
        let mut seen: [HashMap<String, usize>; 3] = Default::default();
        for (index, table) in tables.iter().enumerate() {
            let sides = [table.name.as_str(), table.on_cloud(), table.on_local()];
            let twice: Vec<_> = seen.iter_mut().zip(sides).map(|(seen, name)| seen.insert(name.to_lowercase(), index)).collect();
            let message = match twice[..] {
                [Some(_), ..] => format!("the table {:?} is there twice", brief(&table.name)),
                [_, Some(other), _] => same_table(&tables[other], "cloud", table.on_cloud()),
                [_, _, Some(other)] => same_table(&tables[other], "local", table.on_local()),
                _ => continue,
            };
            self.fault(&format!("/tables/{index}"), message, Some("each table may stand in a sync once"));
        }
        tables
    }

    fn table(&mut self, pointer: &str, entry: TableEntry, strategy: &StrategyChoice, names: &BookkeepingNames) -> TableSpec {
        let fields = match entry {
            TableEntry::Short(name) => TableFields {
                name,
                cloud: None,
                local: None,
                columns: None,
                strategy: None,
                hard_deletes: None,
                detect: None,
                bookkeeping: None,
            },
            TableEntry::Long(fields) => *fields,
        };
        let columns = fields.columns.unwrap_or_default();
        self.columns(pointer, &columns);
        TableSpec {
            name: fields.name,
            cloud: fields.cloud,
            local: fields.local,
            exclude: columns.exclude,
            rename: columns.rename,
            strategy: self.strategy(pointer, fields.strategy).unwrap_or_else(|| strategy.clone()),
            hard_deletes: fields.hard_deletes.unwrap_or(HardDeletes::Restore),
            detect: fields.detect.unwrap_or(Detect::Timestamp),
            bookkeeping: match fields.bookkeeping {
                Some(entry) => self.bookkeeping(pointer, entry, names),
                None => names.clone(),
            },
        }
    }

    fn columns(&mut self, table: &str, columns: &ColumnsEntry) {
        let mut targets: BTreeMap<String, &str> = BTreeMap::new();
        for (cloud, local) in &columns.rename {
            let pointer = format!("{table}/columns/rename/{}", escape(cloud));
            if let Some(other) = targets.insert(local.to_lowercase(), cloud) {
                self.fault(&pointer, format!("{other:?} and {cloud:?} are both renamed to {:?}", brief(local)), None);
            }
        }
        let mut seen: Vec<String> = Vec::new();
        for (index, column) in columns.exclude.iter().enumerate() {
            let pointer = format!("{table}/columns/exclude/{index}");
            let folded = column.to_lowercase();
            if columns.rename.iter().any(|(cloud, local)| cloud.to_lowercase() == folded || local.to_lowercase() == folded) {
                self.fault(&pointer, format!("the column {:?} is both left out and renamed", brief(column)), Some("keep one of the two"));
            }
            if seen.contains(&folded) {
                self.fault(&pointer, format!("the column {:?} is left out twice", brief(column)), None);
            }
            seen.push(folded);
        }
    }
}

fn same_table(other: &TableSpec, side: &str, name: &str) -> String {
    // A table that has no name yet goes by a stand-in, which is nobody's business.
    let owner = if other.name.contains('\0') { "a table without a name".to_owned() } else { format!("{:?}", brief(&other.name)) };
    format!("the {side} table {:?} already belongs to {owner}", brief(name))
}
