//! Rings of syncs, and two syncs on one pair of tables, are refused with the ring named (section 6 of the semantics).

use berqenas::engine::request::{Silent, SyncRequest};
use berqenas_core::value::{Pair, Side};
use sqlx::{Connection, SqliteConnection};

use crate::support::world::{Kind, World};

const SQLITE: Pair<Kind> = Pair::new(Kind::Sqlite, Kind::Sqlite);

/// Adds a spec over two SQLite files of the world's folder, and prepares them.
async fn add(world: &World, name: &str, id: i64, cloud: &str, local: &str) {
    let text =
        format!("version: 1\nname: {name}\nid: {id}\ncloud: sqlite://../{cloud}.db\nlocal: sqlite://../{local}.db\ntables: [customers]\n");
    std::fs::write(world.folder().join(format!("specs/{name}.yaml")), text).unwrap();
    world.engine().prepare(name, None, true).await.unwrap();
}

/// Runs a sync; the error's text, if it is refused.
async fn run(world: &World, name: &str) -> Option<String> {
    world.engine().sync(name, &SyncRequest::default(), &Silent).await.err().map(|fault| fault.to_string())
}

#[tokio::test]
async fn a_second_sync_on_one_pair_is_refused() {
    let world = World::customers(SQLITE, "").await;
    world.sync().await;
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ayşe')").await;
    // The same two tables, seen from the other side: their URLs say nothing of it, the ids of the databases do.
    std::fs::copy(world.folder().join("specs/test.yaml"), world.folder().join("kept.yaml")).unwrap();
    std::os::unix::fs::symlink(world.folder().join("cloud.db"), world.folder().join("other.db")).unwrap();
    add(&world, "again", 2, "local", "other").await;
    let refused = run(&world, "again").await.unwrap();
    assert!(refused.contains("again (table customers)") && refused.contains("test (table customers)"), "{refused}");
    assert_eq!(world.lines(Side::Local, "SELECT count(*) FROM customers").await, ["0"], "nothing was written");
    assert_eq!(run(&world, "test").await, None, "the first sync goes on");
}

#[tokio::test]
async fn a_ring_of_three_is_refused_and_opens_when_a_spec_goes() {
    let world = World::customers(SQLITE, "").await;
    std::fs::copy(world.folder().join("local.db"), world.folder().join("branch.db")).unwrap();
    world.sync().await;
    // A copied file carries the id of the database it was copied from: this one is to be a database of its own.
    let url = format!("sqlite://{}", world.folder().join("branch.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DROP TABLE berqenas_sync").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    add(&world, "onward", 2, "local", "branch").await;
    assert_eq!(run(&world, "onward").await, None, "a chain is a forest");
    add(&world, "back", 3, "branch", "cloud").await;
    let refused = run(&world, "back").await.unwrap();
    assert!(refused.contains("ring") && ["test", "onward", "back"].iter().all(|name| refused.contains(name)), "{refused}");
    std::fs::remove_file(world.folder().join("specs/onward.yaml")).unwrap();
    assert_eq!(run(&world, "back").await, None, "without one of them there is no ring");
}
