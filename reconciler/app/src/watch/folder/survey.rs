//! What is to be watched of a folder, as it looks now.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{is_hidden, may_be_spec};

/// More links in a row than any system follows are a ring.
const MOST_LINKS: usize = 40;

/// A directory that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    /// Which one it is: another one may take its name.
    pub(super) id: (u64, u64),
    /// Whether it is of the tree, where all specs matter, or only holds names that do.
    pub(super) of_tree: bool,
}

/// What is to be watched.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// By their real paths.
    pub(super) directories: BTreeMap<PathBuf, Directory>,
    /// Entries of these that lead to specs, whether they are there or not.
    pub(super) names: BTreeSet<PathBuf>,
    /// What could not be seen.
    pub(super) trouble: Option<String>,
}

/// Steps of a path that somebody may change: a directory, and the entry in it.
#[derive(Debug, Default)]
struct Steps(Vec<(PathBuf, PathBuf)>);

impl Survey {
    /// Of the tree at `root`, an absolute path, and of the files `more`.
    pub(super) fn of(root: &Path, more: &mut dyn Iterator<Item = PathBuf>) -> Survey {
        let mut survey = Survey::default();
        if let Some(real) = survey.follow(PathBuf::new(), root)
            && real.is_dir()
        {
            survey.tree(real);
        }
        for file in more {
            if let Ok(file) = std::path::absolute(file) {
                survey.follow(PathBuf::new(), &file);
            }
        }
        survey
    }

    /// Follows a path from a real directory, noting each step that may change; what it really is, if it is there.
    fn follow(&mut self, base: PathBuf, path: &Path) -> Option<PathBuf> {
        let mut steps = Steps::default();
        let real = steps.walk(base, path);
        self.note(steps);
        real
    }

    fn note(&mut self, steps: Steps) {
        for (directory, name) in steps.0 {
            self.names.insert(name);
            self.enter(directory, false);
        }
    }

    /// A directory to be watched; whether it is new to the tree.
    fn enter(&mut self, path: PathBuf, of_tree: bool) -> bool {
        if let Some(known) = self.directories.get_mut(&path) {
            let new = of_tree && !known.of_tree;
            known.of_tree |= of_tree;
            return new;
        }
        match identity(&path) {
            Ok(id) => self.directories.insert(path, Directory { id, of_tree }).is_none(),
            Err(error) => {
                self.cannot_see(&path, &error);
                false
            }
        }
    }

    /// Everything below a real directory, hidden entries left out, links followed.
    fn tree(&mut self, top: PathBuf) {
        let mut left = vec![top];
        while let Some(directory) = left.pop() {
            if !self.enter(directory.clone(), true) {
                continue;
            }
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    self.cannot_see(&directory, &error);
                    continue;
                }
            };
            for entry in entries {
                match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
                    Ok((path, _)) if is_hidden(&path) => {}
                    Ok((path, kind)) if kind.is_dir() => left.push(path),
                    Ok((path, kind)) if kind.is_symlink() => left.extend(self.link(&directory, &path)),
                    Ok(_) => {}
                    Err(error) => self.cannot_see(&directory, &error),
                }
            }
        }
    }

    /// A link in the tree; the directory that it leads to.
    fn link(&mut self, directory: &Path, path: &Path) -> Option<PathBuf> {
        let mut steps = Steps::default();
        let real = steps.walk(directory.to_owned(), Path::new(path.file_name()?));
        let directory = real.as_ref().is_some_and(|real| real.is_dir());
        // A link to a file that is no spec, such as a database, may change as it likes. One that leads nowhere may lead to a folder later.
        if directory || real.is_none() || may_be_spec(path) {
            self.note(steps);
        }
        real.filter(|_| directory)
    }

    fn cannot_see(&mut self, path: &Path, error: &io::Error) {
        // What has gone since is told by the watch on its parent.
        if error.kind() != io::ErrorKind::NotFound && self.trouble.is_none() {
            self.trouble = Some(format!("changes in {} are not noticed at once: {error}", path.display()));
        }
    }
}

impl Steps {
    /// As the system resolves a path, but told of each link, of the last step, and of the first that is missing.
    fn walk(&mut self, base: PathBuf, path: &Path) -> Option<PathBuf> {
        let mut real = base;
        let mut left: Vec<OsString> = Vec::new();
        push(&mut left, path);
        let mut links = 0;
        while let Some(part) = left.pop() {
            match Path::new(&part).components().next() {
                Some(Component::Normal(name)) => {
                    let at = real.join(name);
                    let entry = fs::symlink_metadata(&at).ok();
                    let target = entry.as_ref().filter(|entry| entry.is_symlink()).and_then(|_| fs::read_link(&at).ok());
                    if let Some(target) = target {
                        self.0.push((real.clone(), at));
                        links += 1;
                        if links > MOST_LINKS {
                            return None;
                        }
                        push(&mut left, &target);
                        continue;
                    }
                    if entry.is_none() {
                        self.missing(real, at);
                        return None;
                    }
                    if left.is_empty() {
                        self.0.push((real, at.clone()));
                        return Some(at);
                    }
                    real = at;
                }
                Some(Component::ParentDir) => drop(real.pop()),
                Some(Component::RootDir | Component::Prefix(_)) => real = real.join(part),
                Some(Component::CurDir) | None => {}
            }
        }
        Some(real)
    }

    /// The nearest directory that is there, and what is missing in it.
    fn missing(&mut self, mut real: PathBuf, mut at: PathBuf) {
        while !real.is_dir() {
            at.clone_from(&real);
            if !real.pop() {
                return;
            }
        }
        self.0.push((real, at));
    }
}

/// The parts of a path, the first on top.
fn push(left: &mut Vec<OsString>, path: &Path) {
    left.extend(path.components().rev().map(|part| part.as_os_str().to_owned()));
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|_| (0, 0))
}
