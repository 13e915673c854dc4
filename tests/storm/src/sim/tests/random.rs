//! Whatever users and batches do, the simulation and the real databases answer alike.

use berqenas_core::{shape::Engine, spec::LedgerMode};

use super::{
    number, text,
    twins::{Put, Step, User, check},
};
use crate::sim::{Cell, ForeignKeyDef, Normalise, TableDef, UniqueDef};

/// The stories told on each engine: few, for each takes a real database of its own.
const STORIES: std::ops::Range<u64> = 12..22;

/// The generator that Knuth gives: enough to mix cases.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn id(&mut self) -> i64 {
        i64::try_from(self.roll(6)).unwrap() + 1
    }

    fn one_of(&mut self, cells: &[Cell]) -> Cell {
        let sides = u64::try_from(cells.len()).unwrap();
        cells[usize::try_from(self.roll(sides)).unwrap()].clone()
    }

    /// Some columns of a table, with values that often clash.
    fn cells(&mut self, table: &str) -> Vec<(&'static str, Cell)> {
        let codes = ["a", "b", "c"].map(Cell::text);
        let refer = [Cell::Int(self.id()), Cell::Int(self.id()), Cell::Null];
        let mut cells = match table {
            "parents" => vec![("name", self.one_of(&["x", "Y", "z"].map(Cell::text))), ("code", self.one_of(&codes))],
            "children" => vec![("parent", self.one_of(&refer)), ("size", Cell::Int(self.id() * 20))],
            _ => vec![("next", self.one_of(&refer)), ("code", self.one_of(&codes))],
        };
        if self.roll(2) == 0 {
            let left = usize::try_from(self.roll(2)).unwrap();
            cells.remove(left);
        }
        cells
    }

    fn table(&mut self) -> &'static str {
        ["parents", "children", "rings"][usize::try_from(self.roll(3)).unwrap()]
    }

    fn row(&mut self, table: &str) -> Vec<(&'static str, Cell)> {
        let mut cells = vec![("id", Cell::Int(self.id()))];
        cells.extend(self.cells(table));
        cells
    }

    fn user(&mut self) -> Step {
        let table = self.table();
        Step::User(match self.roll(5) {
            0 | 1 => User::Insert(table, self.row(table)),
            2 | 3 => User::Update(table, self.id(), self.cells(table)),
            _ => User::Delete(table, self.id()),
        })
    }

    /// Writes of a batch, tables and operations in the order in which the engine gives them: at most one for each row.
    fn puts(&mut self) -> Vec<Put> {
        let mut puts = Vec::new();
        for table in ["parents", "children", "rings"] {
            let mut rows: Vec<(u64, Put)> = Vec::new();
            for id in 1..=6 {
                match self.roll(8) {
                    0 | 1 => rows.push((0, Put::Insert(table, std::iter::once(("id", Cell::Int(id))).chain(self.cells(table)).collect()))),
                    2 | 3 => rows.push((1, Put::Update(table, id, self.cells(table)))),
                    4 => rows.push((2, Put::Delete(table, id))),
                    _ => {}
                }
            }
            rows.sort_by_key(|(order, _)| *order);
            puts.extend(rows.into_iter().map(|(_, put)| put));
        }
        puts
    }
}

fn tables() -> Vec<TableDef> {
    let unique = || vec![UniqueDef { name: "one_code".to_owned(), columns: vec!["code".to_owned()], deferrable: false }];
    let foreign = |column: &str, parent: &str, deferrable| {
        let (columns, parent_columns) = (vec![column.to_owned()], vec!["id".to_owned()]);
        vec![ForeignKeyDef { columns, parent: parent.to_owned(), parent_columns, deferrable }]
    };
    let mut size = number("size");
    size.below = Some(100);
    vec![
        TableDef {
            uniques: unique(),
            normalise: vec![Normalise::Upper("name".to_owned())],
            ..TableDef::prepared("parents", vec![number("id"), text("name"), text("code")])
        },
        TableDef {
            foreign_keys: foreign("parent", "parents", false),
            ..TableDef::prepared("children", vec![number("id"), number("parent"), size])
        },
        TableDef {
            uniques: unique().into_iter().map(|key| UniqueDef { name: "one_ring".to_owned(), ..key }).collect(),
            foreign_keys: foreign("next", "rings", true),
            ..TableDef::prepared("rings", vec![number("id"), number("next"), text("code")])
        },
    ]
}

async fn stories(engine: Engine) {
    for seed in STORIES {
        let mut dice = Dice(seed.wrapping_mul(7_919) + 1);
        let mut steps = Vec::new();
        for _ in 0..6 {
            steps.extend((0..6).map(|_| dice.user()));
            steps.push(Step::Read);
            steps.extend((0..dice.roll(3)).map(|_| dice.user()));
            let puts = dice.puts();
            steps.push(if dice.roll(3) == 0 { Step::Deferred(1, puts) } else { Step::Batch(1, puts) });
        }
        check(&format!("story_{seed}"), engine, LedgerMode::Table, &tables(), &steps).await;
    }
}

#[tokio::test]
async fn any_story_ends_alike_on_sqlite() {
    stories(Engine::Sqlite).await;
}

#[tokio::test]
async fn any_story_ends_alike_on_postgres() {
    stories(Engine::Postgres).await;
}
