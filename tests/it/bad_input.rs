//! Bad input: what is wrong is said clearly (what happened, to what, what to do), with the right exit code, and both databases stay as
//! they were, down to the row of `berqenas_sync`. The password is in nothing that is printed or kept.

mod servers;
mod specs;
mod state;
mod tables;

use std::fs;

use berqenas_core::value::{Pair, Side};

use crate::support::{
    process::{Ran, berqenas, dumps, password_is_nowhere},
    world::{Kind, World},
};

const USUAL: Pair<Kind> = Pair::new(Kind::Postgres, Kind::Sqlite);

const SYNC: &[&str] = &["sync", "bidirectional", "test"];

/// Two databases with something to do in both directions, prepared, after a first run.
async fn world(kinds: Pair<Kind>) -> World {
    let world = World::customers(kinds, "timeout: 1s").await;
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('1', 'Ada'), ('2', 'Grace')").await;
    world.sync().await;
    world.sql(Side::Cloud, "UPDATE customers SET city = 'Londra' WHERE id = '1'").await;
    world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('3', 'Alan')").await;
    world
}

/// What must be said, and how the process must end.
struct Expected<'a> {
    code: i32,
    parts: &'a [&'a str],
}

/// Runs a command over a world where something was broken, as people do, as programs do, and with all logs on.
async fn check(world: &World, arguments: &[&str], expected: Expected<'_>) -> Ran {
    let before = dumps(world).await;
    let ran = berqenas(world, arguments).exits(expected.code).tells(expected.parts);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    let asked: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let program = berqenas(world, &asked).exits(expected.code);
    let error = &program.json()["error"];
    assert!(error["message"].as_str().is_some_and(|message| ran.stderr.contains(message)), "{error} against {}", ran.stderr);
    let mut logging = crate::support::process::command(world, arguments);
    logging.env("BERQENAS_LOG", "trace");
    crate::support::process::ended(arguments, logging).exits(expected.code);
    assert!(dumps(world).await == before, "{}: a database was touched", ran.line);
    password_is_nowhere(world.folder());
    ran
}

/// Rewrites the spec.
fn edit_spec(world: &World, edit: impl FnOnce(String) -> String) {
    let file = world.folder().join("specs/test.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, edit(text)).unwrap();
}
