//! A spec's file as it is to be edited: found by the sync's name whatever else is wrong with it, judged beside all others, and written
//! in one step.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use berqenas_core::spec::{
    self, Fault,
    edit::{self, CHECKOUT_MARKER},
};

use super::{LoadError, Reader, UnknownSpec, files, read_bytes};

/// A file with the spec of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecText {
    /// The file, as it is named to people.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Why there is no file to edit.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The folder gives no specs.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No spec of that name.
    #[error(transparent)]
    Unknown(UnknownSpec),
    /// No spec of that name, but files that cannot be read.
    #[error("there is no sync named {name:?} in the files that can be read")]
    Unreadable {
        /// The name asked for.
        name: String,
        /// What is wrong with the others.
        faults: Vec<Fault>,
    },
}

/// The file of a sync. Of several, the first: [`faults_with`] tells of the others.
///
/// # Errors
/// [`FindError`].
pub fn find(folder: &Path, sync: &str) -> Result<SpecText, FindError> {
    let (mut known, mut faults) = (Vec::new(), Vec::new());
    for path in files(folder)? {
        let label = path.display().to_string();
        let read = read_bytes(&path).and_then(|bytes| Ok((edit::names(&label, &bytes)?, bytes)));
        match read {
            Ok((names, bytes)) if names.iter().any(|name| name == sync) => return Ok(SpecText { path, bytes }),
            Ok((names, _)) => known.extend(names),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(FindError::Unreadable { name: sync.to_owned(), faults });
    }
    let names = || known.iter().map(String::as_str);
    let hint = spec::did_you_mean(sync, names()).unwrap_or_else(|| format!("syncs that are there: {}", known.join(", ")));
    Err(FindError::Unknown(UnknownSpec { name: sync.to_owned(), hint: Some(hint) }))
}

/// The faults of a file, were its text this one: its own, and those that its specs have with others. What else is wrong in the folder
/// is not its fault.
///
/// # Errors
/// [`LoadError`], where there is nothing to read.
pub fn faults_with(folder: &Path, path: &Path, text: &str) -> Result<Vec<Fault>, LoadError> {
    let label = path.display().to_string();
    let mut placed = match spec::read_bytes(&label, text.as_bytes()) {
        Ok(specs) => specs,
        Err(faults) => return Ok(faults),
    };
    let own = 0..placed.len();
    // Files that cannot be read have no specs to clash with.
    let others = Reader::default().read(folder)?.into_iter().filter(|other| other.file != label);
    placed.extend(others.filter_map(|other| other.specs.ok()).flatten());
    let clashes = spec::check_set(&placed);
    Ok(clashes.into_iter().filter(|clash| clash.specs.iter().any(|index| own.contains(index))).map(|clash| clash.fault).collect())
}

/// The repository that a file is a checkout of, if it stands in one of ours.
///
/// # Errors
/// If that cannot be told.
pub fn checkout_of(path: &Path) -> io::Result<Option<String>> {
    let real = path.canonicalize()?;
    let named = std::path::absolute(path)?;
    for folder in named.ancestors().chain(real.ancestors()).skip(1) {
        match fs::read_to_string(folder.join(CHECKOUT_MARKER)) {
            Ok(url) => return Ok(Some(url.trim().to_owned())),
            // A file has no files in it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It is no longer what was read.
    #[error("{} was changed by somebody else meanwhile", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Writes a file anew in one step: whoever reads it reads what it was or what it is. A link stays, and what it leads to is written;
/// permissions stay.
///
/// # Errors
/// [`WriteError`]; the file is as it was then.
pub fn rewrite(path: &Path, before: &[u8], after: &[u8]) -> Result<(), WriteError> {
    let unwritable = |source| WriteError::Unwritable { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(unwritable)?;
    let permissions = fs::metadata(&real).map_err(unwritable)?.permissions();
    // A rename would pass over it.
    if permissions.readonly() {
        return Err(unwritable(io::ErrorKind::PermissionDenied.into()));
    }
    let folder = real.parent().unwrap_or(Path::new("."));
    // Hidden, and no `.yaml`: whoever watches the folder does not take it for a spec.
    let mut written = tempfile::Builder::new().prefix(".berqenas-").suffix(".tmp").tempfile_in(folder).map_err(unwritable)?;
    written.write_all(after).map_err(unwritable)?;
    written.as_file().set_permissions(permissions).map_err(unwritable)?;
    written.as_file().sync_all().map_err(unwritable)?;
    if fs::read(&real).map_err(unwritable)? != before {
        return Err(WriteError::Moved { path: path.to_owned() });
    }
    written.persist(&real).map(drop).map_err(|fault| unwritable(fault.error))
}
