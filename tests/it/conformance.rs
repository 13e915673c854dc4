//! What every engine's endpoint keeps: one suite, run against a real database of each.
//!
//! A case is written once, in SQL that all engines read alike; what they spell differently is asked of the [`Fixture`].

mod cases;
mod postgres;
mod sqlite;
mod sqlserver;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use berqenas::endpoint::{Endpoint, RefusalKind, Remarks, Result, RowOutcome, RowWrite, Scan, TableWrites, WriteBatch};
use berqenas_core::{
    access::{AccessColumn, KeyOrder, Role, StoredRow, TableAccess},
    shape::{ColumnType, TableName, TableShape},
    spec::BookkeepingNames,
    value::Stored,
};
use futures::TryStreamExt;

/// The sync that the cases write as.
const SYNC: &str = "conformance";

/// A database of one engine, and a way into it beside the endpoint.
#[async_trait]
trait Fixture: Send + Sync {
    /// The endpoint that is tested.
    fn endpoint(&self) -> &dyn Endpoint;

    /// The schema that tables are made in.
    fn schema(&self) -> &'static str;

    /// Runs statements as a user of the database would, over a connection of their own.
    async fn sql(&self, statements: &str);

    /// An integer as this engine's endpoint stores it.
    fn number(&self, value: i64) -> Stored;

    /// Whether keys that differ only in blanks at their end are equal: then no table holds both.
    fn pads_keys(&self) -> bool {
        false
    }

    /// Whether the server only speaks the language of its engine: its catalogue does not tell which index is partial, and its errors have
    /// numbers of their own.
    fn stands_in(&self) -> bool {
        false
    }

    /// The statements of a trigger that puts a column in upper case at each insert and update.
    fn upper_case_trigger(&self, table: &str, key: &str, column: &str) -> String;
}

/// A fixture made ready, and what cases do with it.
struct Bench {
    fixture: Box<dyn Fixture>,
    batch: AtomicI64,
}

impl Bench {
    async fn new(fixture: Box<dyn Fixture>) -> Bench {
        let endpoint = fixture.endpoint();
        endpoint.execute(&endpoint.ledger_preparation()).await.unwrap();
        endpoint.raise_token(SYNC, 1).await.unwrap();
        Bench { fixture, batch: AtomicI64::new(1) }
    }

    fn endpoint(&self) -> &dyn Endpoint {
        self.fixture.endpoint()
    }

    async fn sql(&self, statements: &str) {
        self.fixture.sql(statements).await;
    }

    fn number(&self, value: i64) -> Stored {
        self.fixture.number(value)
    }

    async fn shape(&self, table: &str) -> TableShape {
        let name = TableName { schema: self.fixture.schema().to_owned(), name: table.to_owned() };
        let mut described = self.endpoint().describe(&name).await;
        // A stand-in's catalogue looks at tables that others drop meanwhile.
        for _ in 0..5 {
            if described.is_err() && self.fixture.stands_in() {
                described = self.endpoint().describe(&name).await;
            }
        }
        described.unwrap()
    }

    /// The table as a run would read it.
    async fn access(&self, table: &str) -> Arc<TableAccess> {
        Arc::new(access_of(&self.shape(table).await))
    }

    async fn rows(&self, access: &Arc<TableAccess>, scan: Scan) -> Vec<StoredRow> {
        let batches: Vec<Vec<StoredRow>> = self.endpoint().scan(Arc::clone(access), scan, 3).await.unwrap().try_collect().await.unwrap();
        assert!(batches.iter().all(|batch| (1..=3).contains(&batch.len())), "batches hold one to three rows");
        batches.into_iter().flatten().collect()
    }

    /// All rows, as the values of their columns.
    async fn values(&self, access: &Arc<TableAccess>) -> Vec<Vec<Stored>> {
        self.rows(access, Scan::Everything).await.into_iter().map(|row| row.values).collect()
    }

    fn batch(&self, tables: Vec<(&Arc<TableAccess>, Vec<RowWrite>)>) -> WriteBatch {
        let tables = tables
            .into_iter()
            .map(|(access, rows)| TableWrites { access: Arc::clone(access), rows, remarks: Remarks::default() })
            .collect();
        let batch = self.batch.fetch_add(1, Ordering::Relaxed);
        WriteBatch { sync: SYNC.to_owned(), token: 1, run: "run".to_owned(), batch, tables, defer_foreign_keys: false }
    }

    async fn try_write(&self, tables: Vec<(&Arc<TableAccess>, Vec<RowWrite>)>) -> Result<Vec<RowOutcome>> {
        self.endpoint().write(&self.batch(tables)).await
    }

    async fn write(&self, access: &Arc<TableAccess>, rows: Vec<RowWrite>) -> Vec<RowOutcome> {
        self.try_write(vec![(access, rows)]).await.unwrap()
    }
}

/// What a mapping would make of a table all of whose columns are synced.
fn access_of(shape: &TableShape) -> TableAccess {
    let names = BookkeepingNames::default();
    let role = |name: &str| match name {
        _ if name == names.created_at => Role::CreatedAt,
        _ if name == names.updated_at => Role::UpdatedAt,
        _ if name == names.is_deleted => Role::IsDeleted,
        _ => Role::Data,
    };
    let order = |kind: &ColumnType| match kind {
        ColumnType::Text { .. } | ColumnType::Json | ColumnType::Opaque | ColumnType::Unsupported { .. } => KeyOrder::Text,
        ColumnType::Bytes => KeyOrder::Bytes,
        ColumnType::Uuid => KeyOrder::Uuid,
        ColumnType::Date | ColumnType::Time { .. } | ColumnType::Timestamp { .. } => KeyOrder::Time,
        ColumnType::Boolean | ColumnType::Integer { .. } | ColumnType::Decimal { .. } | ColumnType::Float { .. } => KeyOrder::Number,
    };
    let keys = shape.primary_key.iter().map(|name| shape.column(name).unwrap()).map(|column| AccessColumn {
        name: column.name.clone(),
        declared: column.declared.clone(),
        role: Role::Key,
        order: Some(order(&column.kind)),
        time_style: column.time_style,
    });
    let others = shape.columns.iter().filter(|column| !shape.primary_key.contains(&column.name) && !column.computed);
    let others = others.map(|column| AccessColumn {
        name: column.name.clone(),
        declared: column.declared.clone(),
        role: role(&column.name),
        order: None,
        time_style: column.time_style,
    });
    let stamped = shape.column(&names.updated_at).is_some();
    TableAccess {
        name: shape.name.clone(),
        columns: keys.chain(others).collect(),
        stamp_updates: stamped && !shape.triggers.iter().any(|trigger| trigger.on_update),
        stamp_inserts: stamped && shape.column(&names.updated_at).is_some_and(|column| column.default.is_none()),
        override_identity: shape.columns.iter().any(|column| column.identity_always),
        referrers: shape.referrers.clone(),
    }
}

fn text(value: &str) -> Stored {
    Stored::Text(value.to_owned())
}

fn insert(values: &[Stored]) -> RowWrite {
    RowWrite::Insert { values: values.iter().cloned().enumerate().collect() }
}

fn update(before: &StoredRow, set: &[(usize, Stored)]) -> RowWrite {
    RowWrite::Update { before: before.clone(), set: set.to_vec() }
}

fn delete(before: &StoredRow) -> RowWrite {
    RowWrite::Delete { before: before.clone() }
}

/// Outcomes in short: `written`, `deleted`, `moved`, or why a row was refused.
fn short(outcomes: &[RowOutcome]) -> Vec<&'static str> {
    let word = |outcome: &RowOutcome| match outcome {
        RowOutcome::Applied(Some(_)) => "written",
        RowOutcome::Applied(None) => "deleted",
        RowOutcome::Moved => "moved",
        RowOutcome::Refused(refusal) => match refusal.kind {
            RefusalKind::ForeignKey => "foreign key",
            RefusalKind::Unique => "unique",
            RefusalKind::Constraint => "constraint",
            RefusalKind::Value => "value",
            RefusalKind::Other => "other",
        },
    };
    outcomes.iter().map(word).collect()
}

/// Runs every case against one engine.
macro_rules! conformance {
    ($engine:ident: $($case:ident)+) => {
        mod $engine {
            $(
                #[tokio::test]
                async fn $case() {
                    let Some(fixture) = crate::conformance::$engine::fixture(stringify!($case)).await else { return };
                    crate::conformance::cases::$case(&crate::conformance::Bench::new(fixture).await).await;
                }
            )+
        }
    };
}

/// The list of cases, for each engine.
macro_rules! engines {
    ($($engine:ident)+) => {
        mod on {
            $(
                conformance! { $engine:
                    tables_are_described
                    rows_come_in_key_order
                    composite_keys_come_in_order
                    changes_since_a_mark_are_found
                    rows_are_fetched_by_key_and_by_column
                    a_write_is_guarded
                    a_guard_holds_null_equal_to_null
                    refused_rows_leave_the_others_alone
                    order_within_a_batch_does_not_matter
                    unique_values_are_exchanged
                    a_ring_of_foreign_keys_is_written
                    an_orphan_does_not_spoil_a_ring
                    a_ring_that_cannot_wait_is_written_and_deleted
                    a_row_that_is_referred_to_stays
                    an_older_token_is_fenced_off
                    the_ledger_tells_what_was_written
                    what_a_trigger_made_of_a_row_is_read_back
                    a_write_stamps_a_table_without_a_trigger
                    preparation_may_be_repeated
                    names_are_quoted
                    a_database_without_the_ledger_says_so
                }
            )+
        }
    };
}

engines! { postgres sqlite sqlserver }
