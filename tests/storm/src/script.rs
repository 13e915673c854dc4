//! Scripts: a storm as data. A seed makes one, an arena plays it, and what fails is shrunk by leaving events out: every
//! sub-list of the events is a script too, since an event that finds nothing to act on does nothing.

use berqenas_core::{
    shape::Engine,
    spec::{Detect, HardDeletes, InitialPolicy, StrategyName},
    value::Side,
};
use serde::{Deserialize, Serialize};

use crate::schema::TableKind;

/// A storm: the world it blows in, and what happens there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// The seed that it was made from; kept for the record when it is shrunk.
    pub seed: u64,
    /// The defect that it once found, for people; empty in a fresh one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub story: String,
    /// Databases, tables and syncs.
    pub world: WorldPlan,
    /// What happens, in order.
    pub events: Vec<Event>,
}

/// What there is before anything happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorldPlan {
    /// The databases. The first is the cloud of every sync, unless the plan makes a chain of them.
    pub databases: Vec<DatabasePlan>,
    /// The tables, the same ones in each database, parents first.
    pub tables: Vec<TableKind>,
    /// The syncs.
    pub syncs: Vec<SyncPlan>,
}

impl DatabasePlan {
    /// Whether its own count of changes is what a sync goes by on this side: it shows every write, whatever clocks say.
    #[must_use]
    pub fn counts(&self, detect: Detect) -> bool {
        self.engine == Engine::SqlServer && (detect == Detect::ChangeTracking || detect == Detect::Rowversion && self.row_versions)
    }
}

impl WorldPlan {
    /// More syncs than a forest has: they make a ring, and one of them has to be refused.
    #[must_use]
    pub fn is_ring(&self) -> bool {
        self.syncs.len() >= self.databases.len()
    }
}

/// One database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabasePlan {
    /// Its engine, or the one that it is taken for.
    pub engine: Engine,
    /// Its clock less the true time, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_offset: i64,
    /// Times of its tables hold whole seconds only (PostgreSQL).
    #[serde(default, skip_serializing_if = "is_false")]
    pub whole_seconds: bool,
    /// What a trigger of its users does to names.
    #[serde(default, skip_serializing_if = "is_default")]
    pub names: NameTrigger,
    /// Its tables have no trigger that stamps: whoever writes sets `updated_at`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unstamped: bool,
    /// The rights to see every transaction are missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub blind: bool,
    /// No table may be made in it: `ledger: lock`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub locked: bool,
    /// Its tables have a column that is counted up with each write (SQL Server).
    #[serde(default, skip_serializing_if = "is_false")]
    pub row_versions: bool,
}

/// What a trigger of the users does to a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameTrigger {
    /// There is none.
    #[default]
    None,
    /// It is put in capitals.
    Upper,
    /// It is put in small letters.
    Lower,
}

/// One sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncPlan {
    /// The number of its cloud database.
    pub cloud: usize,
    /// The number of its local database.
    pub local: usize,
    /// What its spec says.
    pub rules: SyncRules,
}

/// What a spec says, as far as storms vary it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncRules {
    /// The strategy of every table.
    pub strategy: StrategyName,
    /// What becomes of rows that differ at the first sync.
    pub initial: InitialPolicy,
    /// What becomes of hard deletes.
    pub hard_deletes: HardDeletes,
    /// Rows in a batch.
    pub batch_rows: usize,
    /// The `overlap`, in seconds.
    pub overlap_seconds: u64,
    /// How changes are found.
    #[serde(default = "by_time", skip_serializing_if = "is_by_time")]
    pub detect: Detect,
    /// The column that may be left out is left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub narrow: bool,
    /// Fields are merged, and the strategy is asked for what both sides changed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub merges: bool,
    /// A strategy of one's own decides instead, which fails now and then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub own: Own,
}

/// A strategy of one's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Own {
    /// There is none.
    #[default]
    None,
    /// One that looks at both rows.
    Rows,
    /// One that merges against the base, which is kept for it.
    Base,
}

/// What happens. Runs and users are known by small numbers; whatever names one that is not there does nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Event {
    /// A user writes a row: within his open transaction, else committed at once.
    Write(UserWrite),
    /// A user opens a transaction.
    Begin {
        /// The database.
        database: usize,
        /// Who.
        user: u8,
    },
    /// A user commits.
    Commit {
        /// The database.
        database: usize,
        /// Who.
        user: u8,
    },
    /// A user rolls back.
    Rollback {
        /// The database.
        database: usize,
        /// Who.
        user: u8,
    },
    /// A clean-up job deletes the tombstones of a table for good.
    Purge {
        /// The database.
        database: usize,
        /// The table.
        table: TableKind,
    },
    /// A process starts a run.
    Start {
        /// The process.
        run: u8,
        /// The number of the sync.
        sync: usize,
        /// Every row is read.
        full: bool,
    },
    /// A run goes on for so many steps between two effects.
    Advance {
        /// The process.
        run: u8,
        /// How far.
        turns: u16,
    },
    /// A run goes on to its end.
    Finish {
        /// The process.
        run: u8,
    },
    /// The process is killed.
    Kill {
        /// The process.
        run: u8,
    },
    /// The connection of the run's next call to a database is cut.
    Cut {
        /// The process.
        run: u8,
        /// After the call has had its effect: the answer is lost.
        after: bool,
    },
    /// Time passes everywhere.
    Wait {
        /// How long, in milliseconds.
        milliseconds: u32,
    },
    /// One clock is set.
    SetClock {
        /// The database; none: the clock of the machine that syncs.
        database: Option<usize>,
        /// By how much, in microseconds; backwards if negative.
        by: i64,
    },
    /// The disk of the state is full for runs that start from now on.
    Disk {
        /// But for so many pages of 4 KiB; none: there is space again.
        room: Option<u16>,
    },
    /// A database is restarted: open transactions and connections are gone.
    Restart {
        /// The database.
        database: usize,
    },
    /// A backup is taken.
    Backup {
        /// The database.
        database: usize,
    },
    /// The last backup is restored, and a person then says which side is right.
    Restore {
        /// The database.
        database: usize,
        /// The side, of each sync that has this database.
        trust: Side,
    },
    /// A database's record of changes is cleaned up: what was changed until now is forgotten (SQL Server).
    Forget {
        /// The database.
        database: usize,
    },
    /// A spec is edited.
    Change {
        /// The number of the sync.
        sync: usize,
        /// What it says from now on.
        rules: SyncRules,
    },
}

/// One row write of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserWrite {
    /// The database.
    pub database: usize,
    /// Who.
    pub user: u8,
    /// The table.
    pub table: TableKind,
    /// Which of the table's few keys.
    pub key: u8,
    /// What the row is tagged with, from now on: no two writes of a script share a tag.
    pub tag: u32,
    /// What is done.
    #[serde(flatten)]
    pub act: Act,
}

/// What a user does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Writes it, new or not: some columns get new values (a bit each), drawn by the tag.
    Put {
        /// A bit for each column.
        columns: u8,
    },
    /// Marks it as deleted.
    SoftDelete,
    /// Deletes it for good.
    HardDelete,
    /// Puts back what the writer of the row had found there.
    Revert,
    /// Exchanges the unique value with the row of the next key.
    Swap,
    /// Writes it as [`Act::Put`] does, and leaves `updated_at` as it was.
    Silent {
        /// A bit for each column.
        columns: u8,
    },
}

fn by_time() -> Detect {
    Detect::Timestamp
}

fn is_by_time(detect: &Detect) -> bool {
    *detect == by_time()
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
