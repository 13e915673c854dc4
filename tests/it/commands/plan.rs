//! `plan` writes nothing, anywhere, whatever the login could do.

use std::{collections::BTreeMap, fs, path::Path};

use berqenas_core::value::{Pair, Side};

use super::{MIXED, SCHEMA, SPEC, USUAL, edit, shop};
use crate::support::{
    postgres::TestPostgres,
    process::{berqenas, dumps},
    world::{Kind, World},
};

/// Every file below a folder, byte by byte.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

#[track_caller]
fn same_files(before: &BTreeMap<String, Vec<u8>>, world: &World) {
    let after = files(world.folder());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let changed: Vec<_> = before.iter().filter(|(name, bytes)| after[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(changed.is_empty(), "{changed:?} changed");
}

#[tokio::test]
async fn no_file_is_touched_and_none_appears() {
    for kinds in MIXED {
        let world = shop(kinds).await;
        edit(&world).await;
        let (before, rows) = (files(world.folder()), dumps(&world).await);
        berqenas(&world, &["plan", "test"]).exits(0).shows(&["Cloud → Local: 2 records"]);
        berqenas(&world, &["plan", "--full-sync", "--json"]).exits(0);
        berqenas(&world, &["sync", "bidirectional", "test", "--dry-run"]).exits(0);
        for question in ["status", "history", "conflicts", "test-connection", "prepare"] {
            berqenas(&world, &["sync", question, "test"]).exits(0);
        }
        same_files(&before, &world);
        assert!(dumps(&world).await == rows, "{kinds:?}");
    }
}

#[tokio::test]
async fn before_the_first_run_there_is_no_state_and_a_plan_makes_none() {
    let world = World::empty(Pair::new(Kind::Sqlite, Kind::Sqlite)).await;
    for side in Side::BOTH {
        world.sql(side, SCHEMA).await;
    }
    world.spec(SPEC);
    berqenas(&world, &["sync", "prepare", "test", "--apply"]).exits(0);
    world.sql(Side::Cloud, "INSERT INTO customers (customer_id, name) VALUES (1, 'Ada')").await;
    let before = files(world.folder());
    berqenas(&world, &["plan", "test", "--detailed-exitcode"]).exits(2);
    berqenas(&world, &["sync", "status", "test"]).exits(0).shows(&["Last Sync: never"]);
    berqenas(&world, &["sync", "history", "test"]).exits(0).shows(&["No runs yet."]);
    berqenas(&world, &["sync", "conflicts", "test"]).exits(0);
    same_files(&before, &world);
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    berqenas(&world, &["plan", "test", "--detailed-exitcode"]).exits(0).shows(&["Nothing to do."]);
}

/// The spec with another login for the cloud.
fn with_cloud(world: &World, cloud: &str) {
    let text = format!("version: 1\nname: test\nid: 42\ncloud: \"{cloud}\"\nlocal: {}\n{SPEC}\n", world.url(Side::Local));
    fs::write(world.folder().join("specs/test.yaml"), text).unwrap();
}

#[tokio::test]
async fn a_login_that_may_only_read_can_plan() {
    let world = shop(USUAL).await;
    edit(&world).await;
    let database = url::Url::parse(world.url(Side::Cloud)).unwrap().path().trim_start_matches('/').to_owned();
    let reader = format!("reader_{database}");
    world
        .sql(
            Side::Cloud,
            &format!(
                "CREATE ROLE {reader} LOGIN PASSWORD 'yalnizoku'; GRANT USAGE ON SCHEMA public TO {reader};
                 GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};
                 ALTER ROLE {reader} SET default_transaction_read_only = on;"
            ),
        )
        .await;
    fs::write(world.folder().join("reader.password"), "yalnizoku").unwrap();
    let url = TestPostgres::get().url(&reader, "", &database).replace(":@", "@");
    with_cloud(&world, &url);
    let text = fs::read_to_string(world.folder().join("specs/test.yaml")).unwrap();
    let text = text.replace(&format!("\"{url}\""), &format!("{{url: \"{url}\", password: {{file: ../reader.password}}}}"));
    fs::write(world.folder().join("specs/test.yaml"), text).unwrap();
    let before = dumps(&world).await;
    berqenas(&world, &["plan", "test"]).exits(0).shows(&["Cloud → Local: 2 records"]);
    berqenas(&world, &["plan", "test", "--full-sync", "--json"]).exits(0);
    berqenas(&world, &["sync", "test-connection", "test"]).exits(1).shows(&["✗ not writable", "right missing:"]);
    assert!(dumps(&world).await == before);
}

#[tokio::test]
async fn a_file_opened_for_reading_only_can_be_planned() {
    let world = shop(USUAL).await;
    edit(&world).await;
    let file = world.folder().join("specs/test.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("local.db", "local.db?mode=ro")).unwrap();
    berqenas(&world, &["plan", "test"]).exits(0).shows(&["Cloud → Local: 2 records"]);
}
