//! A watched folder: every way in which a spec may change is a hint, and nothing else is.

mod storms;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use berqenas::watch::folder::FolderWatch;
use tempfile::TempDir;
use tokio::time::timeout;

/// Longer than any machine takes.
const DEADLINE: Duration = Duration::from_secs(20);
/// For what must not come.
const LONG_ENOUGH: Duration = Duration::from_millis(400);

/// A folder in a folder of its own, `outer/specs`, with a spec, a subfolder with another, and a database beside them.
fn outer() -> TempDir {
    let outer = TempDir::new().unwrap();
    let root = outer.path().join("specs");
    fs::create_dir_all(root.join("more/deep")).unwrap();
    fs::write(root.join("a.yaml"), "a: 1").unwrap();
    fs::write(root.join("more/deep/b.yml"), "b: 1").unwrap();
    fs::write(root.join("erp.db"), "rows").unwrap();
    outer
}

/// What whoever uses hints does: reads all, says what to watch from now on.
struct Reader {
    root: PathBuf,
    more: Vec<PathBuf>,
    watch: FolderWatch,
    seen: BTreeMap<PathBuf, Vec<u8>>,
}

impl Reader {
    fn new(root: &Path, more: &[PathBuf]) -> Reader {
        let mut reader = Reader { root: root.to_owned(), more: more.to_vec(), watch: FolderWatch::new(root), seen: BTreeMap::new() };
        reader.read();
        reader
    }

    fn read(&mut self) {
        self.seen = read(&self.root);
        self.watch.refresh(&mut self.more.iter().cloned());
    }

    /// Reads until nothing is left to be told.
    async fn settle(&mut self) {
        while timeout(LONG_ENOUGH, self.watch.changed()).await.is_ok() {
            self.read();
        }
    }

    #[track_caller]
    fn next(&mut self, what: &str) -> impl Future<Output = ()> {
        let what = what.to_owned();
        async move {
            timeout(DEADLINE, self.watch.changed()).await.unwrap_or_else(|_| panic!("{what}: no hint"));
            self.read();
        }
    }
}

/// The specs of a folder, links followed, as `specs::load` finds them; what vanishes meanwhile is not there.
fn read(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn collect(folder: &Path, seen: &mut BTreeSet<PathBuf>, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        let Ok(real) = folder.canonicalize() else { return };
        let Ok(entries) = fs::read_dir(folder) else { return };
        if !seen.insert(real) {
            return;
        }
        let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        entries.sort();
        for path in entries.into_iter().filter(|path| !path.file_name().unwrap().as_encoded_bytes().starts_with(b".")) {
            if path.is_dir() {
                collect(&path, seen, found);
            } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
                && let Ok(bytes) = fs::read(&path)
            {
                found.insert(path, bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(root, &mut BTreeSet::new(), &mut found);
    found
}

/// An edit in the folder `outer` is a hint, and what is read then is what is there.
async fn check(what: &str, edit: impl FnOnce(&Path)) {
    check_after(what, |_| {}, edit).await;
}

/// The same, in a folder that is made ready first.
async fn check_after(what: &str, make_ready: impl FnOnce(&Path), edit: impl FnOnce(&Path)) {
    let outer = outer();
    make_ready(outer.path());
    let root = outer.path().join("specs");
    let mut reader = Reader::new(&root, &[outer.path().join("plugins/score.wasm")]);
    reader.settle().await;
    edit(outer.path());
    let begun = Instant::now();
    reader.next(what).await;
    // A hint may come amid an edit of several steps: there is another one then.
    while reader.seen != read(&root) {
        assert!(begun.elapsed() < DEADLINE, "{what}: the last step gave no hint");
        reader.next(what).await;
    }
    reader.settle().await;
    assert_eq!(reader.seen, read(&root), "{what}");
    assert_eq!(reader.watch.trouble(), None, "{what}");
    // Whatever it was, the folder is watched as before.
    fs::create_dir_all(&root).unwrap();
    reader.settle().await;
    fs::write(root.join("last.yaml"), "last: 1").unwrap();
    reader.next(&format!("a file made after: {what}")).await;
}

fn append(path: &Path) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(b" # more").unwrap();
}

/// Replaces a link as Kubernetes does: a new one renamed over it.
fn swap(link: &Path, target: impl AsRef<Path>) {
    let temporary = link.with_file_name("..new_link");
    symlink(target, &temporary).unwrap();
    fs::rename(temporary, link).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_files() {
    tokio::join!(
        check("appended", |outer| append(&outer.join("specs/a.yaml"))),
        check("truncated and written", |outer| fs::write(outer.join("specs/a.yaml"), "a: 2").unwrap()),
        check("emptied", |outer| drop(File::create(outer.join("specs/a.yaml")).unwrap())),
        check("written to a temporary file, renamed over", |outer| {
            fs::write(outer.join("specs/.a.yaml.tmp"), "a: 2").unwrap();
            fs::rename(outer.join("specs/.a.yaml.tmp"), outer.join("specs/a.yaml")).unwrap();
        }),
        check("renamed over from another folder", |outer| {
            fs::write(outer.join("fresh"), "a: 2").unwrap();
            fs::rename(outer.join("fresh"), outer.join("specs/a.yaml")).unwrap();
        }),
        check("renamed to a backup, written anew, backup removed", |outer| {
            fs::rename(outer.join("specs/a.yaml"), outer.join("specs/a.yaml~")).unwrap();
            fs::write(outer.join("specs/a.yaml"), "a: 2").unwrap();
            fs::remove_file(outer.join("specs/a.yaml~")).unwrap();
        }),
        check("made", |outer| fs::write(outer.join("specs/c.yml"), "c: 1").unwrap()),
        check("removed", |outer| fs::remove_file(outer.join("specs/a.yaml")).unwrap()),
        check("removed and made again", |outer| {
            fs::remove_file(outer.join("specs/a.yaml")).unwrap();
            fs::write(outer.join("specs/a.yaml"), "a: 2").unwrap();
        }),
        check("renamed to another spec", |outer| fs::rename(outer.join("specs/a.yaml"), outer.join("specs/z.yaml")).unwrap()),
        check("renamed to no spec", |outer| fs::rename(outer.join("specs/a.yaml"), outer.join("specs/a.off")).unwrap()),
        check("made unreadable", |outer| {
            fs::set_permissions(outer.join("specs/a.yaml"), Permissions::from_mode(0o200)).unwrap();
        }),
        check("in a subfolder", |outer| append(&outer.join("specs/more/deep/b.yml"))),
        check("hard link", |outer| fs::hard_link(outer.join("specs/a.yaml"), outer.join("specs/more/same.yaml")).unwrap()),
        check("two thousand at once", |outer| {
            for number in 0..2_000 {
                fs::write(outer.join(format!("specs/more/{number}.yaml")), "n: 1").unwrap();
            }
        }),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_folders() {
    let files_at_once = |folder: PathBuf| {
        fs::create_dir_all(&folder).unwrap();
        for number in 0..50 {
            fs::write(folder.join(format!("{number}.yaml")), "n: 1").unwrap();
        }
    };
    tokio::join!(
        check("made, with files at once", |outer| files_at_once(outer.join("specs/new"))),
        check("a tree of them, with files at once", |outer| files_at_once(outer.join("specs/new/and/deep/one"))),
        check("moved in, with files", |outer| {
            files_at_once(outer.join("elsewhere/deep"));
            fs::rename(outer.join("elsewhere"), outer.join("specs/new")).unwrap();
        }),
        check("moved out", |outer| fs::rename(outer.join("specs/more"), outer.join("elsewhere")).unwrap()),
        check("renamed, then a file in it", |outer| {
            fs::rename(outer.join("specs/more"), outer.join("specs/other")).unwrap();
            append(&outer.join("specs/other/deep/b.yml"));
        }),
        check("removed", |outer| fs::remove_dir_all(outer.join("specs/more")).unwrap()),
        check("removed and made again", |outer| {
            fs::remove_dir_all(outer.join("specs/more")).unwrap();
            files_at_once(outer.join("specs/more/deep"));
        }),
        check("the root removed and made again", |outer| {
            fs::remove_dir_all(outer.join("specs")).unwrap();
            files_at_once(outer.join("specs"));
        }),
        check("the root removed", |outer| fs::remove_dir_all(outer.join("specs")).unwrap()),
        check("the root renamed away", |outer| fs::rename(outer.join("specs"), outer.join("old")).unwrap()),
        check("another folder renamed to the root", |outer| {
            files_at_once(outer.join("next/deep"));
            fs::rename(outer.join("specs"), outer.join("old")).unwrap();
            fs::rename(outer.join("next"), outer.join("specs")).unwrap();
        }),
        check("the parent of the root removed and made again", |outer| {
            fs::remove_dir_all(outer).unwrap();
            files_at_once(outer.join("specs"));
        }),
        check_after(
            "the root is not there yet, nor its parent",
            |outer| fs::remove_dir_all(outer).unwrap(),
            |outer| files_at_once(outer.join("specs")),
        ),
        check("made readable", |outer| fs::set_permissions(outer.join("specs/more"), Permissions::from_mode(0o700)).unwrap()),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_through_links() {
    /// As Kubernetes lays out a ConfigMap.
    fn config_map(outer: &Path) {
        fs::create_dir(outer.join("specs/..2026_1")).unwrap();
        fs::write(outer.join("specs/..2026_1/map.yaml"), "map: 1").unwrap();
        symlink("..2026_1", outer.join("specs/..data")).unwrap();
        symlink("..data/map.yaml", outer.join("specs/map.yaml")).unwrap();
    }
    /// `specs` is a link, and `current` on its way another one.
    fn releases(outer: &Path) {
        for release in ["1", "2"] {
            fs::create_dir_all(outer.join(format!("releases/{release}/conf"))).unwrap();
            fs::write(outer.join(format!("releases/{release}/conf/a.yaml")), format!("release: {release}")).unwrap();
        }
        symlink("releases/1", outer.join("current")).unwrap();
        fs::remove_dir_all(outer.join("specs")).unwrap();
        symlink("current/conf", outer.join("specs")).unwrap();
    }
    fn chain(outer: &Path) {
        for folder in ["one", "two", "three"] {
            fs::create_dir(outer.join(folder)).unwrap();
        }
        fs::write(outer.join("three/file"), "chain: 1").unwrap();
        symlink(outer.join("three/file"), outer.join("two/link")).unwrap();
        symlink("../two/link", outer.join("one/link")).unwrap();
        symlink("../one/link", outer.join("specs/chain.yaml")).unwrap();
    }
    fn ring(outer: &Path) {
        symlink("..", outer.join("specs/more/ring")).unwrap();
        symlink("itself.yaml", outer.join("specs/itself.yaml")).unwrap();
    }
    tokio::join!(
        check_after("a ConfigMap is updated", config_map, |outer| {
            fs::create_dir(outer.join("specs/..2026_2")).unwrap();
            fs::write(outer.join("specs/..2026_2/map.yaml"), "map: 2").unwrap();
            swap(&outer.join("specs/..data"), "..2026_2");
            fs::remove_dir_all(outer.join("specs/..2026_1")).unwrap();
        }),
        check_after("a file of a ConfigMap is written to", config_map, |outer| append(&outer.join("specs/..2026_1/map.yaml"))),
        check_after("the root, a link, is swapped", releases, |outer| swap(&outer.join("specs"), "releases/2/conf")),
        check_after("a link on the way to the root is swapped", releases, |outer| swap(&outer.join("current"), "releases/2")),
        check_after("what the root leads to is replaced", releases, |outer| {
            fs::rename(outer.join("releases/1"), outer.join("releases/0")).unwrap();
            fs::rename(outer.join("releases/2"), outer.join("releases/1")).unwrap();
            swap(&outer.join("current"), "releases/1");
        }),
        check_after("the end of a chain is written to", chain, |outer| append(&outer.join("three/file"))),
        check_after("the middle of a chain is swapped", chain, |outer| {
            fs::write(outer.join("two/other"), "chain: 2").unwrap();
            swap(&outer.join("two/link"), "other");
        }),
        check_after("the end of a chain goes and comes back", chain, |outer| {
            fs::remove_dir_all(outer.join("three")).unwrap();
            fs::create_dir(outer.join("three")).unwrap();
            fs::write(outer.join("three/file"), "chain: 3").unwrap();
        }),
        check_after("a linked folder", chain, |outer| {
            symlink("../two", outer.join("specs/two")).unwrap();
            fs::write(outer.join("two/new.yaml"), "two: 1").unwrap();
        }),
        check_after(
            "what a link leads to comes into being",
            |outer| symlink("../absent/deep", outer.join("specs/absent")).unwrap(),
            |outer| {
                fs::create_dir_all(outer.join("absent/deep")).unwrap();
                fs::write(outer.join("absent/deep/here.yaml"), "here: 1").unwrap();
            }
        ),
        check_after("a ring of links is survived", ring, |outer| append(&outer.join("specs/more/deep/b.yml"))),
        check_after("a link is removed", chain, |outer| fs::remove_file(outer.join("specs/chain.yaml")).unwrap()),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_files_that_specs_refer_to() {
    fn component(outer: &Path) {
        fs::create_dir(outer.join("plugins")).unwrap();
        fs::write(outer.join("plugins/score.wasm"), "component").unwrap();
    }
    tokio::join!(
        check_after("a component is written to", component, |outer| append(&outer.join("plugins/score.wasm"))),
        check_after("a component is replaced", component, |outer| {
            fs::write(outer.join("plugins/.new"), "better").unwrap();
            fs::rename(outer.join("plugins/.new"), outer.join("plugins/score.wasm")).unwrap();
        }),
        check_after("a component is removed", component, |outer| fs::remove_dir_all(outer.join("plugins")).unwrap()),
        check("a component comes into being", component),
    );
}

/// Something that is no change of a spec gives no hint.
async fn check_none(what: &str, deed: impl FnOnce(&Path)) {
    let outer = outer();
    symlink("../a.yaml", outer.path().join("specs/more/linked.yaml")).unwrap();
    symlink("../erp.db", outer.path().join("specs/more/linked.db")).unwrap();
    let mut reader = Reader::new(&outer.path().join("specs"), &[]);
    deed(outer.path());
    assert!(timeout(LONG_ENOUGH, reader.watch.changed()).await.is_err(), "{what}: a hint of nothing");
    append(&outer.path().join("specs/a.yaml"));
    reader.next(what).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_hint() {
    tokio::join!(
        check_none("nothing at all", |_| {}),
        check_none("all files are read", |outer| drop(read(&outer.join("specs")))),
        check_none("a refresh that finds nothing new", |outer| drop(FolderWatch::new(&outer.join("specs")))),
        check_none("a database beside the specs is written to", |outer| {
            append(&outer.join("specs/erp.db"));
            fs::write(outer.join("specs/erp.db-journal"), "pages").unwrap();
            fs::remove_file(outer.join("specs/erp.db-journal")).unwrap();
        }),
        check_none("a database is written to through a link", |outer| append(&outer.join("specs/more/linked.db"))),
        check_none("hidden files, as editors keep them", |outer| {
            fs::write(outer.join("specs/.a.yaml.swp"), "swap").unwrap();
            fs::write(outer.join("specs/4913"), "probe").unwrap();
            fs::remove_file(outer.join("specs/4913")).unwrap();
        }),
        check_none("a neighbour of the root", |outer| fs::write(outer.join("neighbour.yaml"), "not: ours").unwrap()),
    );
}

#[tokio::test]
async fn a_hint_outlives_whoever_did_not_wait_for_it() {
    let outer = outer();
    let mut reader = Reader::new(&outer.path().join("specs"), &[]);
    append(&outer.path().join("specs/a.yaml"));
    // Dropped at every point: before the hint, and while it waits for quiet.
    for _ in 0..200 {
        if timeout(Duration::from_millis(1), reader.watch.changed()).await.is_ok() {
            return;
        }
    }
    reader.next("dropped two hundred times").await;
}

#[tokio::test]
async fn a_change_that_does_not_end_is_told() {
    let outer = outer();
    let file = outer.path().join("specs/a.yaml");
    let mut reader = Reader::new(&outer.path().join("specs"), &[]);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            append(&file);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    reader.next("written to all the time").await;
    stop.send(()).unwrap();
    writer.join().unwrap();
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_no_trouble() {
    let outer = TempDir::new().unwrap();
    let root = outer.path().join("specs");
    fs::write(&root, "a file").unwrap();
    let mut reader = Reader::new(&root, &[]);
    fs::remove_file(&root).unwrap();
    fs::create_dir(&root).unwrap();
    reader.next("a folder in place of the file").await;
}

/// What changes between a reading and the refresh after it, in a place that is not watched yet, is a hint.
async fn check_between(what: &str, first: impl FnOnce(&Path), unseen: impl FnOnce(&Path)) {
    let outer = outer();
    let root = outer.path().join("specs");
    let mut reader = Reader::new(&root, &[]);
    first(outer.path());
    timeout(DEADLINE, reader.watch.changed()).await.unwrap_or_else(|_| panic!("{what}: no hint"));
    reader.seen = read(&root);
    unseen(outer.path());
    reader.watch.refresh(&mut std::iter::empty());
    while reader.seen != read(&root) {
        reader.next(what).await;
    }
}

#[tokio::test]
async fn what_changes_between_a_reading_and_its_refresh_is_not_lost() {
    check_between(
        "a file in a new folder",
        |outer| fs::create_dir(outer.join("specs/new")).unwrap(),
        |outer| fs::write(outer.join("specs/new/x.yaml"), "x: 1").unwrap(),
    )
    .await;
    check_between(
        "a file in a folder that went and came back",
        |outer| {
            fs::rename(outer.join("specs/more"), outer.join("specs/other")).unwrap();
            fs::rename(outer.join("specs/other"), outer.join("specs/more")).unwrap();
        },
        |outer| append(&outer.join("specs/more/deep/b.yml")),
    )
    .await;
    check_between(
        "a file that a new link leads to, in a folder where other things were watched",
        |outer| {
            fs::write(outer.join("file"), "x: 1").unwrap();
            symlink("../file", outer.join("specs/x.yaml")).unwrap();
        },
        |outer| append(&outer.join("file")),
    )
    .await;
    check_between(
        "a folder that goes",
        |outer| append(&outer.join("specs/a.yaml")),
        |outer| fs::remove_dir_all(outer.join("specs/more")).unwrap(),
    )
    .await;
    check_between(
        "a link that goes before anybody knew of it",
        |outer| {
            fs::create_dir(outer.join("aside")).unwrap();
            fs::write(outer.join("aside/x.yaml"), "x: 1").unwrap();
            symlink("../aside", outer.join("specs/aside")).unwrap();
        },
        |outer| fs::remove_file(outer.join("specs/aside")).unwrap(),
    )
    .await;
}

#[tokio::test]
async fn each_of_two_hundred_edits_is_a_hint() {
    let outer = outer();
    let file = outer.path().join("specs/a.yaml");
    let mut reader = Reader::new(&outer.path().join("specs"), &[]);
    for number in 0..200 {
        fs::write(&file, format!("a: {number}")).unwrap();
        reader.next("one of two hundred").await;
        assert_eq!(reader.seen[&file], format!("a: {number}").into_bytes());
    }
}
