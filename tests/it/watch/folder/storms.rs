//! Storms of edits in a small tree, from seeds.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use fastrand::Rng;
use tokio::time::timeout;

use super::{DEADLINE, Reader, outer, read};

/// Somebody who edits: each seed is the same storm everywhere.
struct Editor(Rng);

impl Editor {
    /// A place in a small tree, so that edits meet.
    fn place(&mut self, outer: &Path) -> PathBuf {
        let mut place = outer.join(["specs", "specs", "specs", "aside"][self.0.usize(..4)]);
        for _ in 0..self.0.usize(..3) {
            place.push(["p", "q"][self.0.usize(..2)]);
        }
        place
    }

    /// One edit; that it may be impossible is part of it.
    fn edit(&mut self, outer: &Path, number: usize) {
        let (place, other) = (self.place(outer), self.place(outer));
        let file = place.join(["a.yaml", "b.yml", "note"][self.0.usize(..3)]);
        let _ = match self.0.usize(..12) {
            0..4 => fs::create_dir_all(&place).and_then(|()| fs::write(file, number.to_string())),
            4 => fs::remove_file(file),
            5 => fs::remove_dir_all(&place),
            6 => fs::rename(&place, &other),
            7 => fs::rename(file, other.join("a.yaml")),
            8 => symlink(&other, &place),
            9 => symlink(other.join("a.yaml"), file),
            10 => fs::remove_file(&place),
            _ => symlink(&other, outer.join("..new")).and_then(|()| fs::rename(outer.join("..new"), &place)),
        };
    }
}

/// Edits come at any time, also between a reading and the refresh after it: the reader always gets to see what is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_storm_of_edits_the_reader_sees_what_is_there() {
    let storm = async |seed: u64| {
        let outer = outer();
        let root = outer.path().join("specs");
        let mut reader = Reader::new(&root, &[outer.path().join("aside/p/note")]);
        let mut editor = Editor(Rng::with_seed(seed));
        for round in 0..60 {
            for _ in 0..=editor.0.usize(..12) {
                editor.edit(outer.path(), round);
            }
            let mut meddled = 0;
            while reader.seen != read(&root) {
                let hint = timeout(DEADLINE, reader.watch.changed()).await;
                assert!(hint.is_ok(), "seed {seed}, round {round}: no hint");
                reader.seen = read(&root);
                if meddled < 3 && editor.0.usize(..2) == 0 {
                    meddled += 1;
                    editor.edit(outer.path(), round + 100);
                }
                reader.watch.refresh(&mut reader.more.iter().cloned());
            }
        }
        reader.settle().await;
        assert_eq!(reader.seen, read(&root), "seed {seed}");
    };
    futures::future::join_all((0..12).map(storm)).await;
}
