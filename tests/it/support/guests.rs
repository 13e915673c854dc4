//! The sample strategies, built from their sources as people build theirs: by `berqenas plugin build`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::SystemTime,
};

pub(crate) use super::world::plugin_cache as cache;
use crate::expect::root;

/// What the program says where there is nothing to build with. Anything else that goes wrong is a failure.
const MISSING: [&str; 4] =
    ["there is no Rust toolchain here", "no Rust toolchain here can compile for", "there is no Node.js here", "is not installed in"];

/// The component of a folder of `plugins/`, up to date with its sources. `None`, loudly, where the toolchain is missing.
///
/// The first build on a machine may take minutes, since the standard library is compiled for the sandbox; later ones take a moment.
pub(crate) fn component(name: &str) -> Option<PathBuf> {
    static BUILT: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap();
    built.entry(name.to_owned()).or_insert_with(|| build(name)).clone()
}

/// Where components are kept.
fn guests() -> PathBuf {
    let guests = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    fs::create_dir_all(&guests).unwrap();
    guests
}

/// The right to build: others, also of other processes, build the same, and crates of one name to the same file. Given back when dropped.
pub(crate) fn turn() -> File {
    let turn = File::create(guests().join("lock")).unwrap();
    turn.lock().unwrap();
    turn
}

/// The environment in which a new crate is built with what the samples were built with: the standard library is compiled once for all,
/// and no registry is asked for anything newer, which a test had better not depend on. To be used once a sample was built.
pub(crate) fn like_the_samples() -> [(&'static str, String); 2] {
    [("CARGO_TARGET_DIR", root().join("plugins/target").display().to_string()), ("CARGO_NET_OFFLINE", "true".to_owned())]
}

fn build(name: &str) -> Option<PathBuf> {
    let _turn = turn();
    let (folder, component) = (root().join("plugins").join(name), guests().join(format!("{name}.wasm")));
    // Cargo knows by itself what is up to date; other tools begin anew each time, and take long.
    if !folder.join("Cargo.toml").is_file() && is_current(&component, &folder) {
        return Some(component);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_berqenas"));
    command.args(["plugin", "build"]).arg(&folder).arg("--out").arg(&component).env("BERQENAS_CACHE", cache());
    let output = command.output().unwrap();
    if output.status.success() {
        return Some(component);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(lacks_toolchain(&said), "plugins/{name} could not be built:\n{said}");
    eprintln!("SKIPPED: plugins/{name} is not tested, since it cannot be built here:\n{said}");
    None
}

/// Whether the program says that there is nothing here to build with.
fn lacks_toolchain(said: &str) -> bool {
    MISSING.iter().any(|missing| said.contains(missing))
}

/// Whether a component is younger than all it is made of.
fn is_current(component: &Path, folder: &Path) -> bool {
    let is_source = |path: &PathBuf| path.is_file() && path.extension().is_none_or(|end| end != "wasm");
    let changed = |path: PathBuf| fs::metadata(path).and_then(|found| found.modified()).unwrap_or(SystemTime::now());
    let Ok(made) = fs::metadata(component).and_then(|found| found.modified()) else { return false };
    let mut sources: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_source(path)).collect();
    sources.push(root().join("plugins/wit/strategy.wit"));
    sources.into_iter().all(|source| changed(source) < made)
}
