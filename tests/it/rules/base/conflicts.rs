//! Conflicts: who wins by time and why, what is parked, and how that ends.

use berqenas::engine::{outcome::ConflictStatus, request::SyncRequest};
use berqenas_core::{spec::StrategyName, value::Side};

use super::{
    super::{FILES, MIXED, named, parked},
    agreed,
};
use crate::support::world::World;

/// Both users edit `a`, at times they say themselves (SQL, NULL included).
async fn edited_at(world: &World, cloud: (&str, &str), local: (&str, &str)) {
    for (side, (name, at)) in [(Side::Cloud, cloud), (Side::Local, local)] {
        world.sql(side, &format!("UPDATE customers SET name = '{name}', updated_at = {at} WHERE id = 'a'")).await;
    }
}

#[tokio::test]
async fn latest_wins_by_the_time_of_the_edit_and_says_so() {
    let (early, late) = ("'2027-01-01 10:00:00.000'", "'2027-01-01 10:00:00.001'");
    // (cloud, local, winner, words of the reason); a tie goes to one content, on whichever side it is
    for (cloud, local, winner, words) in [
        (("Cem", late), ("Lale", early), "Cem", "Cloud wins (2027-01-01T10:00:00.001Z > 2027-01-01T10:00:00Z)"),
        (("Cem", early), ("Lale", late), "Lale", "Local wins (2027-01-01T10:00:00.001Z > 2027-01-01T10:00:00Z)"),
        (("Cem", early), ("Lale", "NULL"), "Cem", "the local row has no edit time"),
        (("Cem", "NULL"), ("Lale", early), "Lale", "the cloud row has no edit time"),
        (("Cem", early), ("Lale", early), "", "the edit times are equal: the greater content digest decides"),
        (("Lale", early), ("Cem", early), "", "the edit times are equal: the greater content digest decides"),
        (("Cem", "NULL"), ("Lale", "NULL"), "", "neither row has an edit time: the greater content digest decides"),
    ] {
        let world = World::customers(FILES, "").await;
        agreed(&world).await;
        edited_at(&world, cloud, local).await;
        world.sync().await;
        let entry = world.conflicts().await.remove(0);
        assert!(entry.reason.contains(words), "{}", entry.reason);
        assert_eq!(
            (entry.kind.as_str(), entry.strategy.as_str(), entry.status),
            ("update_update", "latest_wins", ConflictStatus::Resolved)
        );
        assert_eq!((entry.cloud.unwrap()["name"].as_str(), entry.local.unwrap()["name"].as_str()), (Some(cloud.0), Some(local.0)));
        let decided = if winner.is_empty() { tie_goes_to().await } else { winner.to_owned() };
        named(&world, "a", &decided, &decided).await;
        world.quiet().await;
    }
}

/// Which of the two contents wins ties: the same whatever the side.
async fn tie_goes_to() -> String {
    let world = World::customers(FILES, "").await;
    agreed(&world).await;
    edited_at(&world, ("Lale", "NULL"), ("Cem", "NULL")).await;
    world.sync().await;
    world.lines(Side::Cloud, "SELECT name FROM customers").await.remove(0)
}

/// The cloud's clock is ahead of ours by so many seconds, for all that its users and the sync do there.
async fn with_cloud_ahead(seconds: i64) -> World {
    let world = World::empty(MIXED).await;
    let database = world.url(Side::Cloud).rsplit('/').next().unwrap().to_owned();
    world.sql(Side::Cloud, &format!(
        "CREATE SCHEMA clock;
         CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + interval ''{seconds} s''';
         CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + interval ''{seconds} s''';
         ALTER DATABASE {database} SET search_path = public, clock, pg_catalog"
    )).await;
    for side in Side::BOTH {
        world.sql(side, "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), email VARCHAR(80), city VARCHAR(80))").await;
    }
    world.spec("tables: [customers]");
    world.prepare().await;
    agreed(&world).await;
    world
}

/// A later edit wins though its clock is behind: times are corrected for the measured offset.
#[tokio::test]
async fn times_are_corrected_for_the_offset_of_the_clocks() {
    let world = with_cloud_ahead(120).await;
    world.sql(Side::Cloud, "UPDATE customers SET name = 'Earlier' WHERE id = 'a'").await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.sql(Side::Local, "UPDATE customers SET name = 'Later' WHERE id = 'a'").await;
    world.sync().await;
    named(&world, "a", "Later", "Later").await;
    assert_eq!(world.conflicts().await[0].strategy, "latest_wins");
    world.quiet().await;
}

#[tokio::test]
async fn clocks_that_differ_beyond_the_limit_are_not_trusted_and_that_is_recorded() {
    let world = with_cloud_ahead(900).await;
    world.sql(Side::Cloud, "UPDATE customers SET name = 'Cem' WHERE id = 'a'").await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.sql(Side::Local, "UPDATE customers SET name = 'Lale' WHERE id = 'a'").await;
    world.sync().await;
    named(&world, "a", "Cem", "Cem").await;
    let reason = &world.conflicts().await[0].reason;
    assert!(reason.contains("more than max_clock_skew: times are not trusted"), "{reason}");
    world.quiet().await;
}

#[tokio::test]
async fn a_table_without_times_refuses_latest_wins() {
    let world = World::customers(MIXED, "").await;
    for side in Side::BOTH {
        world.sql(side, "CREATE TABLE bare (id VARCHAR(20) PRIMARY KEY, v VARCHAR(20)); INSERT INTO bare VALUES ('r', 'x')").await;
    }
    world.spec("tables: [{name: bare, detect: hash}]");
    let fault = world.try_sync(&SyncRequest::default()).await.unwrap_err();
    let told = format!("{fault} {:?} {:?}", fault.causes(), fault.hints());
    assert!(told.contains("latest_wins") && told.contains("bare"), "{told}");
    // Another strategy takes it as it is.
    world.spec("tables: [{name: bare, detect: hash, strategy: local_wins}]");
    world.sync().await;
    for (side, value) in [(Side::Cloud, "c"), (Side::Local, "l")] {
        world.sql(side, &format!("UPDATE bare SET v = '{value}'")).await;
    }
    world.sync().await;
    world.both("SELECT id, v FROM bare", &["r|l"]).await;
    world.quiet().await;
}

/// A parked conflict changes neither side and holds up no other row, in no table.
#[tokio::test]
async fn a_parked_conflict_touches_nobodys_row_and_others_go_on() {
    for kinds in [MIXED, FILES] {
        let world = World::customers(kinds, "strategy: manual").await;
        agreed(&world).await;
        world
            .sql(Side::Cloud, "UPDATE customers SET name = 'Cem' WHERE id = 'a'; INSERT INTO customers (id, name) VALUES ('b', 'Berk')")
            .await;
        world
            .sql(Side::Local, "UPDATE customers SET name = 'Lale' WHERE id = 'a'; INSERT INTO customers (id, name) VALUES ('z', 'Zehra')")
            .await;
        let outcome = world.sync().await;
        assert_eq!((outcome.report.total_synced, outcome.conflicts_waiting), (2, 1));
        named(&world, "a", "Cem", "Lale").await;
        named(&world, "b", "Berk", "Berk").await;
        named(&world, "z", "Zehra", "Zehra").await;
        world.quiet().await;
        assert_eq!(world.conflicts().await.len(), 1, "nothing is logged twice");
        // Further edits update the entry.
        let id = parked(&world).await[0].id.clone();
        world.sql(Side::Local, "UPDATE customers SET name = 'Lale II' WHERE id = 'a'").await;
        world.sync().await;
        let entry = parked(&world).await.remove(0);
        assert_eq!((entry.id, entry.local.unwrap()["name"].as_str()), (id, Some("Lale II")));
        named(&world, "a", "Cem", "Lale II").await;
        // It closes by itself when the sides agree.
        world.sql(Side::Cloud, "UPDATE customers SET name = 'Lale II' WHERE id = 'a'").await;
        assert_eq!(world.sync().await.conflicts_waiting, 0);
        world.quiet().await;
    }
}

/// One user takes the edit back: nothing is left but the other's edit, and it goes over with the next run, no full sync needed.
#[tokio::test]
async fn a_parked_conflict_ends_when_one_side_takes_its_edit_back() {
    for side in Side::BOTH {
        let world = World::customers(MIXED, "strategy: manual").await;
        agreed(&world).await;
        for user in Side::BOTH {
            world.sql(user, &format!("UPDATE customers SET name = 'by {user}' WHERE id = 'a'")).await;
        }
        assert_eq!(world.sync().await.conflicts_waiting, 1);
        // Long ago as far as the marks are concerned.
        world.spec("tables: [customers]\nstrategy: manual\noverlap: 0s");
        world.sync().await;
        world.sync().await;
        world.sql(side, "UPDATE customers SET name = 'Ada' WHERE id = 'a'").await;
        assert_eq!(world.sync().await.conflicts_waiting, 0);
        let expected = format!("by {}", side.other());
        named(&world, "a", &expected, &expected).await;
        world.quiet().await;
    }
}

/// Both users take their edits back: the conflict is over, and nothing is written.
#[tokio::test]
async fn a_parked_conflict_ends_when_both_sides_take_their_edits_back() {
    let world = World::customers(FILES, "strategy: manual").await;
    agreed(&world).await;
    for user in Side::BOTH {
        world.sql(user, &format!("UPDATE customers SET name = 'by {user}' WHERE id = 'a'")).await;
    }
    assert_eq!(world.sync().await.conflicts_waiting, 1);
    for user in Side::BOTH {
        world.sql(user, "UPDATE customers SET name = 'Ada' WHERE id = 'a'").await;
    }
    let outcome = world.sync().await;
    assert_eq!((outcome.conflicts_waiting, outcome.report.total_synced), (0, 0));
    world.quiet().await;
}

#[tokio::test]
async fn another_strategy_decides_parked_rows_anew() {
    for by_request in [true, false] {
        let world = World::customers(MIXED, "strategy: manual").await;
        agreed(&world).await;
        for user in Side::BOTH {
            world.sql(user, &format!("UPDATE customers SET name = 'by {user}' WHERE id = 'a'")).await;
        }
        assert_eq!(world.sync().await.conflicts_waiting, 1);
        if by_request {
            let request = SyncRequest { strategy: Some(StrategyName::LocalWins), ..SyncRequest::default() };
            world.try_sync(&request).await.unwrap();
        } else {
            world.spec("tables: [customers]\nstrategy: local_wins");
            world.sync().await;
        }
        named(&world, "a", "by local", "by local").await;
        let log = world.conflicts().await;
        assert_eq!(parked(&world).await, [], "{log:?}");
        assert!(log.iter().any(|entry| entry.strategy == "local_wins" && entry.status == ConflictStatus::Resolved), "{log:?}");
        world.quiet().await;
    }
}

/// Strategies of a table go before that of the sync.
#[tokio::test]
async fn a_table_may_have_a_strategy_of_its_own() {
    let schema =
        "CREATE TABLE goods (id VARCHAR(20) PRIMARY KEY, v VARCHAR(20)); CREATE TABLE people (id VARCHAR(20) PRIMARY KEY, v VARCHAR(20))";
    let world = World::with(FILES, schema, "strategy: cloud_wins\ntables: [goods, {name: people, strategy: local_wins}]").await;
    world.sync().await;
    for side in Side::BOTH {
        world
            .sql(side, &format!("INSERT INTO goods (id, v) VALUES ('r', '{side}'); INSERT INTO people (id, v) VALUES ('r', '{side}')"))
            .await;
    }
    let outcome = world.sync().await;
    world.both("SELECT v FROM goods", &["cloud"]).await;
    world.both("SELECT v FROM people", &["local"]).await;
    assert_eq!((World::counts(&outcome, "goods").cloud_to_local, World::counts(&outcome, "people").local_to_cloud), (1, 1));
    world.quiet().await;
}
