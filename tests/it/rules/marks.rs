//! Marks that cannot skip a row: what a scan of changes finds, and what only a full one can.

use berqenas::engine::request::SyncRequest;
use berqenas_core::value::Side;

use super::{FILES, MIXED, STRICT, named};
use crate::support::{
    postgres::TestPostgres,
    world::{Kind, World},
};

/// A row whose `updated_at` is NULL is looked at in every run.
#[tokio::test]
async fn a_null_time_is_always_a_candidate() {
    for kinds in [MIXED, FILES] {
        let world = World::customers(kinds, "overlap: 0s").await;
        world.sync().await;
        world.sync().await;
        let silently = match world.kind(Side::Cloud) {
            Kind::Postgres => "INSERT INTO customers (id, name, updated_at) VALUES ('n', 'Nil', NULL)",
            Kind::Sqlite | Kind::SqlServer => {
                "INSERT INTO customers (id, name) VALUES ('n', 'Nil'); UPDATE customers SET updated_at = NULL"
            }
        };
        world.sql(Side::Cloud, silently).await;
        world.sync().await;
        named(&world, "n", "Nil", "Nil").await;
        world.quiet().await;
    }
}

/// Stamped a moment before the mark, as a clock with a coarse tick or a slow client may do: the overlap reads it again.
#[tokio::test]
async fn rows_stamped_shortly_before_the_mark_are_read_again() {
    let world = World::customers(FILES, "overlap: 1h").await;
    world.sync().await;
    world.sync().await;
    world
        .sql(
            Side::Local,
            "INSERT INTO customers (id, name, created_at, updated_at) VALUES ('o', 'Old', '2026-01-01 00:00:00', strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes'))",
        )
        .await;
    world.sync().await;
    named(&world, "o", "Old", "Old").await;
    // Older than that, only a full run finds it.
    world
        .sql(
            Side::Local,
            "INSERT INTO customers (id, name, created_at, updated_at) VALUES ('p', 'Older', '2026-01-01 00:00:00', strftime('%Y-%m-%d %H:%M:%f', 'now', '-3 hours'))",
        )
        .await;
    assert_eq!(world.sync().await.report.total_synced, 0);
    named(&world, "p", "none", "Older").await;
    world.full().await;
    named(&world, "p", "Older", "Older").await;
}

/// A write that left `updated_at` alone is found by a full run, and by every run where the table is read by hash.
#[tokio::test]
async fn a_write_that_left_its_time_alone() {
    for (detect, found_at_once) in [("timestamp", false), ("hash", true)] {
        let world = World::customers(MIXED, "").await;
        world.spec(&format!("overlap: 0s\ntables: [{{name: customers, detect: {detect}}}]"));
        world.sql(Side::Cloud, "INSERT INTO customers (id, name, updated_at) VALUES ('a', 'Ada', '2026-01-01 00:00:00')").await;
        world.sync().await;
        world.sync().await;
        // As a bulk load with triggers off does.
        world.sql(Side::Cloud, "SET session_replication_role = replica; UPDATE customers SET name = 'Ayla'").await;
        assert_eq!(world.sync().await.report.total_synced, u64::from(found_at_once), "{detect}");
        world.full().await;
        named(&world, "a", "Ayla", "Ayla").await;
        world.quiet().await;
    }
}

/// Without the right to see other sessions' transactions a run works, reads further back, and names the GRANT that mends it.
#[tokio::test]
async fn a_login_that_sees_no_transactions_is_told_which_grant_mends_it() {
    let world = World::customers(MIXED, "").await;
    let database = world.url(Side::Cloud).rsplit('/').next().unwrap().to_owned();
    let clerk = format!("clerk_{database}");
    let grants = format!(
        "CREATE ROLE {clerk} LOGIN PASSWORD 'clerk'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {clerk}; GRANT USAGE ON SCHEMA public TO {clerk}"
    );
    world.sql(Side::Cloud, &grants).await;
    let file = world.folder().join("clerk.password");
    std::fs::write(&file, "clerk").unwrap();
    let mut url = url::Url::parse(&TestPostgres::get().url(&clerk, "clerk", &database)).unwrap();
    url.set_password(None).unwrap();
    let spec = format!(
        "version: 1\nname: test\nid: 1\ncloud: {{url: \"{url}\", password: {{file: {}}}}}\nlocal: {}\ntables: [customers]\n",
        file.display(),
        world.url(Side::Local)
    );
    std::fs::write(world.folder().join("specs/test.yaml"), spec).unwrap();
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
    let outcome = world.sync().await;
    let grant = format!("GRANT pg_read_all_stats TO \"{clerk}\"");
    assert!(
        outcome.warnings.iter().any(|warning| warning.contains("not guaranteed") && warning.contains(&grant)),
        "{:?}",
        outcome.warnings
    );
    named(&world, "a", "Ada", "Ada").await;
    world.sql(Side::Cloud, &grant).await;
    let outcome = world.sync().await;
    assert!(outcome.warnings.iter().all(|warning| !warning.contains("not guaranteed")), "{:?}", outcome.warnings);
}

/// A trigger that is not ours stamps a column without zone with each session's local time: 26 hours are read again, with a warning.
#[tokio::test]
async fn a_foreign_trigger_that_may_stamp_local_time_is_read_far_back() {
    let world = World::empty(STRICT).await;
    let columns = "created_at TIMESTAMP, updated_at TIMESTAMP DEFAULT now(), is_deleted BOOLEAN DEFAULT false";
    for side in Side::BOTH {
        world
            .sql(
                side,
                &format!(
                    "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), {columns});
            CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
            CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION stamp()"
                ),
            )
            .await;
    }
    world.spec("overlap: 0s\ntables: [customers]");
    world.prepare().await;
    let outcome = world.sync().await;
    assert!(outcome.warnings.iter().any(|warning| warning.contains("26 hours")), "{:?}", outcome.warnings);
    world.sync().await;
    // Half a world away: eleven hours behind UTC.
    world.sql(Side::Cloud, "SET TIME ZONE 'Pacific/Midway'; INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
    world.sync().await;
    named(&world, "a", "Ada", "Ada").await;
}

/// A run of some tables leaves the marks of the others alone.
#[tokio::test]
async fn a_run_of_some_tables_moves_no_other_tables_marks() {
    let schema =
        "CREATE TABLE goods (id VARCHAR(20) PRIMARY KEY, v VARCHAR(20)); CREATE TABLE people (id VARCHAR(20) PRIMARY KEY, v VARCHAR(20))";
    let world = World::with(FILES, schema, "overlap: 0s\ntables: [goods, people]").await;
    world.sync().await;
    world.sql(Side::Local, "INSERT INTO goods (id, v) VALUES ('r', '1'); INSERT INTO people (id, v) VALUES ('r', '1')").await;
    let goods = SyncRequest { tables: vec!["goods".into()], ..SyncRequest::default() };
    world.try_sync(&goods).await.unwrap();
    world.try_sync(&goods).await.unwrap();
    assert_eq!(world.lines(Side::Cloud, "SELECT COUNT(*) FROM people").await, ["0"]);
    world.sync().await;
    world.both("SELECT id, v FROM people", &["r|1"]).await;
}
