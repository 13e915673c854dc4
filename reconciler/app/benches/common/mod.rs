//! Scenes to measure: two real databases with a table of generated rows on the cloud side.
#![allow(dead_code, reason = "each benchmark uses its own part")]

#[path = "../../../../tests/it/support/postgres.rs"]
mod postgres;
#[path = "../../../../tests/it/support/sqlserver.rs"]
mod sqlserver;
#[path = "../../../../tests/it/support/world.rs"]
mod world;

use std::time::{Duration, Instant};

use berqenas_core::value::{Pair, Side};
use futures::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use world::{Kind, World};

/// The pairs that are measured: those whose server is here.
pub(crate) fn pairs() -> Vec<(&'static str, Pair<Kind>)> {
    let mut pairs = vec![("sqlite-sqlite", Pair::new(Kind::Sqlite, Kind::Sqlite))];
    if on_path("initdb") || std::fs::read_dir("/usr/lib/postgresql").is_ok() {
        pairs.push(("postgres-sqlite", Pair::new(Kind::Postgres, Kind::Sqlite)));
        if sqlserver::TestSqlServer::get().is_some() {
            pairs.push(("postgres-sqlserver", Pair::new(Kind::Postgres, Kind::SqlServer)));
        }
    }
    pairs
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

const LATEST_WINS: &str = "strategy: latest_wins\ninitial: cloud";

/// Two databases and how many rows the cloud side began with.
pub(crate) struct Scene {
    world: World,
    rows: usize,
}

impl Scene {
    /// Rows on the cloud side, none on the local one, nothing synced.
    pub(crate) async fn fresh(kinds: Pair<Kind>, rows: usize) -> Scene {
        let world = World::customers(kinds, LATEST_WINS).await;
        let fill = format!(
            "INSERT INTO customers (id, name, email, city)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             SELECT 'customer-' || i, 'Customer number ' || i, 'customer' || i || '@example.com', 'City ' || (i % 81) FROM n"
        );
        world.sql(Side::Cloud, &fill).await;
        Scene { world, rows }
    }

    /// Both sides hold the rows and are in step.
    pub(crate) async fn in_step(kinds: Pair<Kind>, rows: usize) -> Scene {
        let scene = Scene::fresh(kinds, rows).await;
        scene.sync().await;
        scene.sync().await;
        scene
    }

    /// What decides conflicts from now on: a plugin under a configuration, or the later edit.
    pub(crate) fn decide(&self, plugin: Option<(&Vec<u8>, &String)>) {
        let Some((component, config)) = plugin else {
            return self.world.spec(&format!("tables: [customers]\n{LATEST_WINS}"));
        };
        std::fs::write(self.world.folder().join("specs/plugin.wasm"), component).unwrap();
        let digest = blake3::hash(component).to_hex();
        let strategies = format!("strategies:\n  mine: {{wasm: plugin.wasm, blake3: {digest}, config: {config}}}");
        self.world.spec(&format!("tables: [customers]\nstrategy: mine\ninitial: cloud\n{strategies}"));
    }

    /// One run, timed; answers also how many rows it wrote.
    pub(crate) async fn sync(&self) -> (Duration, u64) {
        let started = Instant::now();
        let outcome = self.world.sync().await;
        (started.elapsed(), outcome.report.total_synced)
    }

    /// One run that reads everything, timed.
    pub(crate) async fn full(&self) -> (Duration, u64) {
        let started = Instant::now();
        let outcome = self.world.full().await;
        (started.elapsed(), outcome.report.total_synced)
    }

    /// Users edit every nth row of a side, so that so many rows change.
    pub(crate) async fn edit(&self, side: Side, rows: usize, value: &str) {
        let every = self.rows / rows;
        let number = match self.world.kind(side) {
            Kind::Postgres => "substr(id, 10)::int",
            Kind::Sqlite => "CAST(substr(id, 10) AS INTEGER)",
            Kind::SqlServer => "CAST(SUBSTRING(id, 10, 20) AS INTEGER)",
        };
        self.world.sql(side, &format!("UPDATE customers SET city = CONCAT('{value}', id) WHERE {number} % {every} = 0")).await;
    }

    /// The same rows copied by the driver alone: read from the cloud side, written to a new file in transactions of 500 rows.
    pub(crate) async fn copy_by_driver(&self) -> Duration {
        const ROWS: usize = 500;
        let path = self.world.folder().join("copy.db");
        let _ = std::fs::remove_file(&path);
        let mut target = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
        let table = "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(80), city VARCHAR(80))";
        sqlx::raw_sql(table).execute(&mut target).await.unwrap();
        let rows: Vec<Vec<Option<String>>> = match self.world.kind(Side::Cloud) {
            Kind::Sqlite => {
                let mut source = SqliteConnection::connect(self.world.url(Side::Cloud)).await.unwrap();
                // The rows wait in memory so that only one loop has to be written; reading is a small part.
                let rows = sqlx::query("SELECT id, name, email, city FROM customers").fetch(&mut source);
                rows.map(|row| row.map(|row| (0..4).map(|column| row.get(column)).collect()).unwrap()).collect().await
            }
            Kind::SqlServer => unreachable!("the cloud side of a measured pair is no SQL Server"),
            Kind::Postgres => {
                let mut source = sqlx::PgConnection::connect(self.world.url(Side::Cloud)).await.unwrap();
                let rows = sqlx::query("SELECT id, name, email, city FROM customers").fetch(&mut source);
                rows.map(|row| row.map(|row| (0..4).map(|column| row.get(column)).collect()).unwrap()).collect().await
            }
        };
        let started = Instant::now();
        for chunk in rows.chunks(ROWS) {
            let mut transaction = target.begin().await.unwrap();
            let values = vec!["(?, ?, ?, ?)"; chunk.len()].join(", ");
            let mut insert = sqlx::query(AssertSqlSafe(format!("INSERT INTO customers VALUES {values}")));
            for value in chunk.iter().flatten() {
                insert = insert.bind(value);
            }
            insert.execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
        }
        started.elapsed()
    }
}
