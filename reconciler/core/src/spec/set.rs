//! Faults that only show when specs stand side by side. Rings, and pairs named by different URLs, need the databases' own ids:
//! they are found when connecting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    SyncSpec,
    fault::{Fault, Position},
    url,
};
use crate::{
    agenda::depends::{DependencyFault, in_order},
    shape::Engine,
};

/// A spec and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedSpec {
    /// The spec.
    pub spec: SyncSpec,
    /// Its file, as it was named to the reader.
    pub file: String,
    /// Where its name stands.
    pub name_at: Position,
    /// Where its id stands.
    pub id_at: Position,
    /// Where its tables stand, in their order.
    pub tables_at: Vec<Position>,
    /// Where the names of the syncs that it depends on stand, in their order.
    pub depends_on_at: Vec<Position>,
    /// Where everything in its strategies stands, by JSON pointer: `/strategies/merge_contact/config/prefer`.
    pub strategies_at: BTreeMap<String, Position>,
}

/// Specs that may not all run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// All of them, by their places in the list that was checked.
    pub specs: Vec<usize>,
    /// What is wrong, at the last, naming the others.
    pub fault: Fault,
}

/// What is wrong with specs as a set: two of one name or id, two over one pair of tables.
#[must_use]
pub fn check_set(specs: &[PlacedSpec]) -> Vec<Clash> {
    let mut clashes = Vec::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut ids: HashMap<i64, usize> = HashMap::new();
    let mut pairs: HashMap<[(String, String); 2], (usize, Position)> = HashMap::new();
    for (index, placed) in specs.iter().enumerate() {
        let mut clash = |other: usize, at: Position, message: String, hint: &str| {
            clashes.push(Clash { specs: vec![other, index], fault: at.fault(&placed.file, message, Some(hint.to_owned())) });
        };
        let spec = &placed.spec;
        if let Some(&other) = names.get(&spec.name.to_lowercase()) {
            let message = format!("the name {:?} is taken by {}", spec.name, place(&specs[other], specs[other].name_at));
            clash(other, placed.name_at, message, "each sync needs a name of its own, whatever its case");
        } else {
            names.insert(spec.name.to_lowercase(), index);
        }
        if let Some(&other) = ids.get(&spec.id) {
            let first = &specs[other];
            let message = format!("the id {} is taken by {:?} at {}", spec.id, first.spec.name, place(first, first.id_at));
            clash(other, placed.id_at, message, "each sync needs an id of its own");
        } else {
            ids.insert(spec.id, index);
        }
        for (table, at) in spec.tables.iter().zip(&placed.tables_at) {
            let mut pair = [
                (database(&spec.cloud.url, &placed.file), table.on_cloud().to_lowercase()),
                (database(&spec.local.url, &placed.file), table.on_local().to_lowercase()),
            ];
            // Whichever of the two is called cloud: it is the same pair.
            pair.sort();
            match pairs.get(&pair) {
                Some(&(other, _)) if other == index => {}
                Some(&(other, other_at)) => {
                    let first = &specs[other];
                    let (name, by) = (&table.name, &first.spec.name);
                    let message =
                        format!("the table {name:?} of these two databases is already synced by {by:?} at {}", place(first, other_at));
                    clash(other, *at, message, "each pair of tables may stand in one sync only");
                }
                None => {
                    pairs.insert(pair, (index, *at));
                }
            }
        }
    }
    clashes
}

/// What is wrong with who waits for whom: names that no spec has, and rings. It takes all specs: of one alone, those that it depends on
/// are unknown. `broken` are the names of those that are there, and cannot be read.
#[must_use]
pub fn check_dependencies(specs: &[PlacedSpec], broken: &BTreeSet<String>) -> Vec<Clash> {
    let syncs: Vec<(String, Vec<String>)> =
        specs.iter().map(|placed| (placed.spec.name.clone(), placed.spec.terms.depends_on.clone())).collect();
    let index: HashMap<&str, usize> = specs.iter().enumerate().map(|(index, placed)| (placed.spec.name.as_str(), index)).collect();
    let clash = |fault: DependencyFault| {
        let message = fault.to_string();
        let (ring, on, hint) = match fault {
            DependencyFault::Unknown { name, .. } if broken.contains(&name) => return None,
            DependencyFault::Unknown { sync, name, hint } => (vec![sync], name, hint),
            DependencyFault::Ring(ring) => {
                // The last waits for the first: that closes it.
                let first = ring.first()?.clone();
                (ring, first, Some("take one of these dependencies out".to_owned()))
            }
        };
        let members: Vec<usize> = ring.iter().map(|sync| index[sync.as_str()]).collect();
        let placed = &specs[*members.last()?];
        let entry = placed.spec.terms.depends_on.iter().position(|name| *name == on);
        let at = entry.and_then(|entry| placed.depends_on_at.get(entry)).copied().unwrap_or(placed.name_at);
        Some(Clash { specs: members, fault: at.fault(&placed.file, message, hint) })
    };
    in_order(&syncs).err().into_iter().flatten().filter_map(clash).collect()
}

fn place(placed: &PlacedSpec, at: Position) -> String {
    format!("{}:{}:{}", placed.file, at.line, at.column)
}

/// A database by its URL; a relative SQLite file is another one in another folder, and an SQL Server has several spellings.
fn database(url: &str, file: &str) -> String {
    if let (Ok(Some(Engine::SqlServer)), Ok(login)) = (url::check(url), url::sqlserver::parse(url)) {
        return login.address.database_key();
    }
    let relative = match (url::check(url), url::sqlite_file(url)) {
        (Ok(Some(Engine::Sqlite)), Ok((path, _))) if !path.starts_with('/') => path,
        _ => return url.to_owned(),
    };
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("sqlite:{folder}/{}", relative.trim_start_matches("./"))
}
