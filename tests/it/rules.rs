//! The rules of synchronisation, one case each, on real databases: what values mean, what the base decides, marks, guarded writes, order.

mod base;
mod custom;
mod fields;
mod guards;
pub(crate) mod lock;
mod marks;
mod modes;
mod order;
mod rings;
mod samples;
mod values;
mod writes;

use berqenas::engine::outcome::{ConflictEntry, ConflictStatus, StatusReport};
use berqenas_core::value::{Pair, Side};

use crate::support::world::{Kind, World};

/// The pair of engines that differ.
const MIXED: Pair<Kind> = Pair::new(Kind::Postgres, Kind::Sqlite);
/// Two databases of one engine with strict types.
const STRICT: Pair<Kind> = Pair::new(Kind::Postgres, Kind::Postgres);
/// Two files: the fastest world, for rules in which the engine has no part.
const FILES: Pair<Kind> = Pair::new(Kind::Sqlite, Kind::Sqlite);

/// How the sync is, as `sync status` tells.
async fn status(world: &World) -> StatusReport {
    world.engine().status("test").await.unwrap()
}

/// The conflicts that wait for a person.
async fn parked(world: &World) -> Vec<ConflictEntry> {
    world.conflicts().await.into_iter().filter(|entry| entry.status == ConflictStatus::Pending).collect()
}

/// A customer's name on each side, `none` where there is no such row, and whether it is deleted softly.
async fn names(world: &World, id: &str) -> (String, String) {
    let read = async |side: Side| {
        let query = format!("SELECT name FROM customers WHERE id = '{id}' AND CAST(is_deleted AS TEXT) IN ('0', 'false')");
        let dead = format!("SELECT 'deleted ' || name FROM customers WHERE id = '{id}' AND CAST(is_deleted AS TEXT) NOT IN ('0', 'false')");
        let mut lines = world.lines(side, &query).await;
        lines.extend(world.lines(side, &dead).await);
        lines.pop().unwrap_or_else(|| "none".to_owned())
    };
    (read(Side::Cloud).await, read(Side::Local).await)
}

/// Asserts what [`names`] tells.
#[track_caller]
fn named<'a>(world: &'a World, id: &'a str, cloud: &'a str, local: &'a str) -> impl Future<Output = ()> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let found = names(world, id).await;
        assert_eq!((found.0.as_str(), found.1.as_str()), (cloud, local), "{id}, asked at {place}");
    }
}
