//! What the engine makes of a pair of simulated databases.

use berqenas::endpoint::{Endpoint as _, Scan};
use berqenas_core::{
    mapping::map_table,
    shape::{Engine, Tick, TimeStyle},
    spec::TableSpec,
    value::{Pair, Side},
};
use futures::TryStreamExt as _;

use super::{database, number, text, values};
use crate::sim::{Cell, ColumnDef, Kind, Stamping, TableDef};

fn spec() -> TableSpec {
    TableSpec::new("t")
}

fn table() -> TableDef {
    let columns = [
        ColumnDef::new("flag", Kind::Boolean),
        ColumnDef::new("code", Kind::Text { max_chars: Some(40) }),
        ColumnDef::new("uuid", Kind::Uuid),
        ColumnDef::new("at", Kind::Timestamp { digits: 6, zone: false }),
    ];
    TableDef::prepared("t", [number("id"), text("name")].into_iter().chain(columns).collect())
}

/// What one side stores, the other side's column takes and hands over as the same.
#[test]
fn every_pair_maps_without_loss() {
    let uuid = Cell::text("6f1c2f0e-0000-4000-8000-00000000000a");
    let row = values([
        ("id", Cell::Int(7)),
        ("name", Cell::text("é😀 ")),
        ("flag", Cell::Bool(true)),
        ("code", Cell::text("007")),
        ("uuid", uuid),
        ("at", Cell::Time(1_768_404_600_123_450)),
    ]);
    for engines in [Engine::Postgres, Engine::Sqlite].into_iter().flat_map(|cloud| [(cloud, Engine::Postgres), (cloud, Engine::Sqlite)]) {
        let databases = Pair::new(database(engines.0, vec![table()]), database(engines.1, vec![table()]));
        let shapes = databases.as_ref().map(|database| database.shape("t").unwrap());
        let mapping = map_table(&spec(), shapes.as_ref()).unwrap();
        assert_eq!(mapping.warnings, Vec::<String>::new(), "{engines:?}");
        let read = |side: Side| {
            let database = databases.get(side);
            database.autocommit(|db, tx| db.insert(tx, "t", &row)).unwrap();
            let access = mapping.access.get(side).clone();
            assert!(!access.stamp_updates && !access.stamp_inserts, "{engines:?}: its own triggers stamp");
            let rows = async { database.connect().scan(access, Scan::Everything, 9).await.unwrap().try_collect::<Vec<_>>().await.unwrap() };
            mapping.decode(side, &futures::executor::block_on(rows)[0][0]).unwrap()
        };
        assert_eq!(read(Side::Cloud), read(Side::Local), "{engines:?}");
    }
}

#[test]
fn whole_seconds_and_missing_triggers_are_as_the_mapping_expects() {
    let mut coarse = table();
    coarse.stamping = Stamping::Nothing;
    for column in coarse.columns.iter_mut().filter(|column| matches!(column.kind, Kind::Timestamp { .. })) {
        column.kind = Kind::Timestamp { digits: 0, zone: false };
        column.style = TimeStyle::UnixSeconds;
        column.default = crate::sim::Default::Nothing;
    }
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let (cloud, local) = (database(Engine::Postgres, vec![table()]), database(engine, vec![coarse.clone()]));
        let shapes = Pair::new(cloud.shape("t").unwrap(), local.shape("t").unwrap());
        let mapping = map_table(&spec(), shapes.as_ref()).unwrap();
        assert_eq!(mapping.stamp_ticks.local, Tick::Digits(0), "{engine:?}");
        assert!(mapping.access.local.stamp_updates && mapping.access.local.stamp_inserts, "{engine:?}");
    }
}
