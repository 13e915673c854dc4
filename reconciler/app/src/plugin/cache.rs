//! Compiled plugins, kept between runs.
//!
//! The engine itself writes and loads them (loading machine code is nothing that safe code could do by itself); it checks that they were compiled from the same bytes
//! by the same compiler for the same machine. This file makes sure that it never loads what somebody else wrote: the folder is ours
//! alone, and each entry, a folder named by the plugin's digest, bears a seal, a keyed hash of what is in it, by a key that never leaves the folder. An entry
//! that is not as sealed is thrown away before the engine sees it. A cache that does not work costs time and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use wasmtime::{Cache, CacheConfig};

const KEY: &str = "key";
const SEAL: &str = "seal";
/// The engine's own folder in an entry, beside the seal: there it removes what it does not know.
const CODE: &str = "code";
/// How the names of entries end that are being removed.
const GONE: &str = "gone";
/// A large plugin takes 10 to 15 MB.
const MOST_BYTES: u64 = 512 << 20;

/// A folder of compiled plugins.
#[derive(Clone, Debug)]
pub(super) struct CompileCache {
    folder: PathBuf,
    key: [u8; 32],
}

/// One plugin's place in it.
pub(super) struct Entry {
    folder: PathBuf,
    key: [u8; 32],
    /// The engine's half.
    pub(super) cache: Cache,
}

impl CompileCache {
    /// Opens the folder, or makes it.
    pub(super) fn open(folder: &Path) -> io::Result<CompileCache> {
        make_private(folder)?;
        // The engine wants it in full.
        let folder = fs::canonicalize(folder)?;
        let path = folder.join(KEY);
        let key = match fs::read(&path) {
            Ok(bytes) if bytes.len() == 32 => bytes,
            Ok(_) => make_key(&folder, &path)?,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => make_key(&folder, &path)?,
            Err(fault) => return Err(fault),
        };
        let key = key.try_into().map_err(|_| io::Error::other("the key is not 32 bytes long"))?;
        Ok(CompileCache { folder, key })
    }

    /// The place of the plugin of that digest, rid of anything that is not as we left it.
    pub(super) fn entry(&self, digest: &str) -> io::Result<Entry> {
        let folder = self.folder.join(format!("{digest}-{}", env!("CARGO_PKG_VERSION")));
        let sealed = fs::read(folder.join(SEAL)).ok();
        let intact = sealed.is_some() && sealed == seal_of(&folder, &self.key).ok().map(|seal| seal.as_bytes().to_vec());
        if !intact && folder.exists() {
            tracing::warn!(folder = %folder.display(), "a compiled plugin is not as it was written; it is compiled anew");
            discard(&folder)?;
        }
        make_private(&folder)?;
        let mut config = CacheConfig::new();
        config
            .with_directory(folder.join(CODE))
            // Decompressing is most of a load: the fastest there is. A file that is rewritten later, better compressed, would break its seal.
            .with_baseline_compression_level(1)
            .with_optimized_compression_usage_counter_threshold(u64::MAX);
        let cache = Cache::new(config).map_err(io::Error::other)?;
        Ok(Entry { folder, key: self.key, cache })
    }

    /// Throws away what was not used for longest, until the rest is small enough.
    pub(super) fn shrink(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == GONE) {
                fs::remove_dir_all(&path)?;
                continue;
            }
            // An entry without seal is being written.
            if let Ok(seal) = fs::metadata(path.join(SEAL)) {
                let bytes = contents(&path)?.iter().map(|file| fs::metadata(file).map_or(0, |data| data.len())).sum();
                entries.push((seal.modified()?, bytes, path));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries {
            if total <= MOST_BYTES {
                break;
            }
            discard(&path)?;
            total -= bytes;
        }
        Ok(())
    }
}

impl Entry {
    /// Whether the engine found it there.
    pub(super) fn hit(&self) -> bool {
        self.cache.cache_hits() > 0
    }

    /// Seals what the engine wrote; where it only read, notes the use.
    pub(super) fn seal(&self) -> io::Result<()> {
        let path = self.folder.join(SEAL);
        if self.hit() {
            return fs::File::options().write(true).open(path)?.set_modified(SystemTime::now());
        }
        write_whole(&self.folder, &path, seal_of(&self.folder, &self.key)?.as_bytes())
    }
}

/// Puts an entry out of the way at once, and removes it. An engine that loaded from it may be writing its notes there this very moment: what that
/// leaves behind is no entry, and goes the next time.
fn discard(entry: &Path) -> io::Result<()> {
    let gone = entry.with_file_name(format!("{}.{GONE}", uuid::Uuid::new_v4()));
    fs::rename(entry, &gone)?;
    let _ = fs::remove_dir_all(&gone).inspect_err(|fault| tracing::debug!(%fault, "an entry is removed later"));
    Ok(())
}

/// The keyed hash of an entry's files, names and all.
fn seal_of(folder: &Path, key: &[u8; 32]) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for file in contents(folder)? {
        let name = file.strip_prefix(folder).map_err(io::Error::other)?.to_string_lossy().into_owned();
        let bytes = fs::read(&file)?;
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    Ok(hasher.finalize())
}

/// The files with code, in order. The engine's notes beside them (`….stats`, `.cleanup…`) come later, and mean nothing for what is run.
fn contents(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            let path = entry.path();
            let is_code = !entry.file_name().to_string_lossy().contains('.') && entry.file_name() != SEAL;
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if is_code {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn make_key(folder: &Path, path: &Path) -> io::Result<Vec<u8>> {
    // Two UUIDs have 244 random bits from the system.
    let random = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    let key = blake3::derive_key("berqenas 2026-11 seal of compiled plugins", &random);
    write_whole(folder, path, &key)?;
    // Whoever came first, theirs is it by now.
    fs::read(path)
}

/// Writes a file at once or not at all, readable by its owner alone.
fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, bytes)?;
    file.persist(path).map(drop).map_err(|fault| fault.error)
}

/// Makes a folder that is ours alone, or makes sure that one is.
#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    let own = tempfile::tempfile_in(folder)?.metadata()?.uid();
    if !found.is_dir() || found.uid() != own {
        return Err(io::Error::other(format!("{} is not a folder of our own", folder.display())));
    }
    if found.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("others may look into {}; chmod 700 it", folder.display())));
    }
    Ok(())
}

/// Where folders have no owner that could be asked for, there is no cache.
#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    Err(io::Error::other(format!("{} cannot be made private on this system", folder.display())))
}
