//! Pairs: which tables each sync ties together, by the ids of their databases, so that a ring of syncs is seen before it runs.

use berqenas_core::{
    topology::{TableNode, TablePair},
    value::Pair,
};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{Lease, Result, State};

struct StoredPair(TablePair);

impl FromRow<'_, SqliteRow> for StoredPair {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let node = |database: &str, table: &str| -> sqlx::Result<TableNode> {
            Ok(TableNode { database_id: row.try_get(database)?, table: row.try_get(table)? })
        };
        let ends = Pair::new(node("cloud_database", "cloud_table")?, node("local_database", "local_table")?);
        Ok(StoredPair(TablePair { sync: row.try_get("sync")?, table: row.try_get("table_name")?, ends }))
    }
}

impl State {
    /// The table pairs of every sync that ever ran, in the order of sync and table.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn table_pairs(&self) -> Result<Vec<TablePair>> {
        let query = sqlx::query_as("SELECT * FROM table_pairs ORDER BY sync, table_name");
        Ok(self.all("reading table pairs", query).await?.into_iter().map(|StoredPair(pair)| pair).collect())
    }

    /// Records the table pairs of the lease's sync in place of those known of the same tables.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_table_pairs(&self, lease: &Lease, pairs: &[TablePair]) -> Result<()> {
        let mut change = self.change(lease, "recording table pairs").await?;
        for pair in pairs {
            let query = sqlx::query(
                "INSERT OR REPLACE INTO table_pairs (sync, table_name, cloud_database, cloud_table, local_database, local_table)
                 VALUES (?, ?, ?, ?, ?, ?)",
            );
            let query = query.bind(&lease.sync).bind(&pair.table).bind(&pair.ends.cloud.database_id).bind(&pair.ends.cloud.table);
            change.run(query.bind(&pair.ends.local.database_id).bind(&pair.ends.local.table)).await?;
        }
        change.commit().await
    }
}
