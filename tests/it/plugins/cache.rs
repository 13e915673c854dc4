//! Compiled plugins between runs: only what we wrote ourselves is loaded.

use std::{
    fs,
    path::{Path, PathBuf},
};

use berqenas::plugin::{Host, Limits};

use super::guest::doing;

/// Whether the plugin came from the folder.
async fn cached(folder: &Path) -> bool {
    Host::new(Some(folder)).load(doing(""), Limits::default()).await.unwrap().was_cached()
}

/// The compiled code.
fn code(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.parent().unwrap().to_string_lossy().contains("modules") && path.extension().is_none() {
                return path;
            }
        }
    }
    panic!("nothing compiled in {}", folder.display());
}

#[tokio::test]
async fn a_plugin_is_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("plugins");
    assert!(!cached(&cache).await);
    assert!(cached(&cache).await);
}

#[cfg(unix)]
#[tokio::test]
async fn what_we_did_not_write_is_not_loaded() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("plugins");
    cached(&cache).await;
    // A byte of the code.
    let path = code(&cache);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(!cached(&cache).await, "code that somebody altered");
    assert!(cached(&cache).await, "compiled anew, and kept");
    // An entry sealed under another key: a folder from elsewhere.
    fs::write(cache.join("key"), [7; 32]).unwrap();
    assert!(!cached(&cache).await, "another key");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!cached(&cache).await, "a folder that others may look into");
}
