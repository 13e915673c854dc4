//! Rust: whichever toolchain here can compile for `wasm32-unknown-unknown`, with a standard library that is installed for it or else
//! with one that it builds from its sources.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::process::Command;

use super::{Built, Result, tool};
use crate::{engine::request::Progress, error::EngineError, plugin};

const TARGET: &str = "wasm32-unknown-unknown";
/// Overrides the linker that is looked for here.
const LINKER_VARIABLE: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER";

/// A compiler and its cargo, found fit.
#[derive(Debug)]
struct Toolchain {
    rustc: OsString,
    cargo: OsString,
    version: String,
    /// The standard library is built from its sources.
    builds_std: bool,
    /// The linker, where the compiler would not find one by itself.
    linker: Option<PathBuf>,
}

pub(super) async fn build(folder: &Path, progress: &dyn Progress) -> Result<Built> {
    progress.note("looking for a toolchain");
    let toolchain = toolchain(folder).await?;
    let mut cargo = Command::new(&toolchain.cargo);
    cargo.current_dir(folder).env("RUSTC", &toolchain.rustc);
    cargo.args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    if toolchain.builds_std {
        // The one way to compile the standard library with a compiler that is no nightly build.
        cargo.env("RUSTC_BOOTSTRAP", "1").args(["-Z", "build-std=std,panic_abort"]);
    }
    if let Some(linker) = &toolchain.linker {
        cargo.env(LINKER_VARIABLE, linker);
    }
    let messages = tool::run(cargo, "cargo", folder, progress).await?;
    let module = artifact(folder, &messages)?;
    let bytes = fs::read(&module).map_err(|source| EngineError::failed(format!("cannot read {}", module.display())).caused_by(source))?;
    let refused = |fault| EngineError::failed(format!("{} was built, and is no strategy", folder.display())).caused_by(fault);
    let component = plugin::component(&bytes).map_err(refused)?;
    let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // `rustc 1.96.0`, without commit and day.
    let toolchain = toolchain.version.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Ok(Built { name, toolchain, component })
}

/// The first toolchain that has the target's standard library, else the first that can build it; the one on the path comes before the
/// distribution's.
async fn toolchain(folder: &Path) -> Result<Toolchain> {
    let own = |name: &str, variable: &str| std::env::var_os(variable).unwrap_or_else(|| name.into());
    let candidates: [(OsString, OsString); 2] =
        [(own("rustc", "RUSTC"), own("cargo", "CARGO")), ("/usr/bin/rustc".into(), "/usr/bin/cargo".into())];
    let mut sysroots = Vec::new();
    let mut fit = Vec::new();
    for (rustc, cargo) in candidates {
        let Some(version) = tool::answer(&rustc, &["--version"], folder).await else { continue };
        let Some(sysroot) = tool::answer(&rustc, &["--print", "sysroot"], folder).await.map(PathBuf::from) else { continue };
        let libraries = tool::answer(&rustc, &["--print", "target-libdir", "--target", TARGET], folder).await;
        let installed = libraries.is_some_and(|folder| Path::new(&folder).is_dir());
        // Sources without the crates that they need cannot be built where there is no network.
        let sources = sysroot.join("lib/rustlib/src/rust/library/vendor").is_dir();
        sysroots.push(sysroot.clone());
        if (installed || sources) && tool::answer(&cargo, &["--version"], folder).await.is_some() {
            fit.push((Toolchain { rustc, cargo, version, builds_std: !installed, linker: None }, sysroot));
        }
    }
    fit.sort_by_key(|(toolchain, _)| toolchain.builds_std);
    let Some((mut toolchain, sysroot)) = fit.into_iter().next() else { return Err(missing(!sysroots.is_empty())) };
    let finds_one = rust_lld(&sysroot).is_some() || tool::on_path("rust-lld").is_some() || std::env::var_os(LINKER_VARIABLE).is_some();
    if !finds_one {
        let other =
            sysroots.iter().find_map(|sysroot| rust_lld(sysroot)).or_else(|| ["wasm-ld", "lld"].into_iter().find_map(tool::on_path));
        toolchain.linker = Some(other.ok_or_else(|| {
            EngineError::failed(format!("{} has no linker for {TARGET}", toolchain.version))
                .hint("install one: on Debian, `apt-get install lld`")
        })?);
    }
    Ok(toolchain)
}

/// The linker that comes with a toolchain.
fn rust_lld(sysroot: &Path) -> Option<PathBuf> {
    let hosts = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|file| file.is_file())
}

fn missing(any: bool) -> EngineError {
    if !any {
        return EngineError::failed("there is no Rust toolchain here")
            .hint(format!("install one from https://rustup.rs, then `rustup target add {TARGET}`"));
    }
    let missing = EngineError::failed(format!("no Rust toolchain here can compile for {TARGET}: its standard library is not installed"));
    let debian = "on Debian: `apt-get install rustc-web cargo-web rust-web-src lld`";
    if tool::on_path("rustup").is_some() {
        missing.hint(format!("`rustup target add {TARGET}`")).hint(format!("or, where rustup cannot have it, {debian}"))
    } else {
        missing.hint(debian).hint(format!("or install rustup from https://rustup.rs, then `rustup target add {TARGET}`"))
    }
}

/// The module among cargo's messages that the folder's own crate was built to.
fn artifact(folder: &Path, messages: &str) -> Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let own =
        manifest.canonicalize().map_err(|source| EngineError::failed(format!("cannot find {}", manifest.display())).caused_by(source))?;
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let modules = built.filter(|message| message["reason"] == "compiler-artifact").filter_map(|message| {
        let files = message["filenames"].as_array()?;
        let module = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm"))?;
        Some((PathBuf::from(message["manifest_path"].as_str()?), PathBuf::from(module)))
    });
    let modules: Vec<(PathBuf, PathBuf)> = modules.collect();
    if let Some((_, module)) = modules.iter().find(|(manifest, _)| *manifest == own) {
        return Ok(module.clone());
    }
    let none = EngineError::failed(format!("the crate in {} makes no WebAssembly module", folder.display()));
    let others: Vec<String> = modules.iter().filter_map(|(manifest, _)| Some(manifest.parent()?.display().to_string())).collect();
    Err(match others.as_slice() {
        [] => none.hint("put `crate-type = [\"cdylib\"]` below `[lib]` in its Cargo.toml"),
        others => none.hint(format!("name the folder of one strategy: {}", others.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// What cargo says of a crate's artifacts, and which of them is the folder's.
    fn check(manifest: &str, files: &[&str], expected: std::result::Result<&str, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::write(root.join("Cargo.toml"), "").unwrap();
        let artifact_of = serde_json::json!({
            "reason": "compiler-artifact", "manifest_path": root.join(manifest), "filenames": files
        });
        let messages = format!("{}\n{artifact_of}\nnot JSON\n", serde_json::json!({ "reason": "build-script-executed" }));
        let given = artifact(folder.path(), &messages).map_err(|fault| fault.hints().join("; "));
        match (given, expected) {
            (Ok(given), Ok(expected)) => assert_eq!(given, Path::new(expected)),
            (Err(given), Err(expected)) => assert!(given.contains(expected), "{given}"),
            (given, expected) => panic!("{given:?}, and {expected:?} was expected"),
        }
    }

    #[test]
    fn the_artifact_is_the_folders_own_module() {
        check("Cargo.toml", &["libx.rlib", "x.wasm"], Ok("x.wasm"));
        check("Cargo.toml", &["libx.rlib"], Err("cdylib"));
        check("inner/Cargo.toml", &["x.wasm"], Err("inner"));
    }
}
