//! Build: from a folder of sources to a component that the host admits, with whatever toolchain there is.

mod rust;
mod script;
mod tool;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::Result;
use crate::{
    engine::request::Progress,
    error::{EngineError, ErrorKind},
    plugin::{Description, Host, Limits},
};

/// The interface of strategies, for tools that want it as a file.
pub(super) const WIT: &str = include_str!("../../../../../plugins/wit/strategy.wit");

/// How to build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// The file to write; `None`: in the folder of the sources, named after the strategy.
    pub out: Option<PathBuf>,
    /// Where compiled code is kept.
    pub cache: Option<PathBuf>,
}

/// What sources are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// A crate.
    Rust,
    /// A package of npm's.
    JavaScript,
    /// A module.
    Python,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuildReport {
    /// What the sources are written in.
    pub language: Language,
    /// What built them.
    pub toolchain: String,
    /// The component.
    pub file: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Their BLAKE3 digest, in hexadecimal digits.
    pub blake3: String,
    /// What the strategy says of itself.
    pub description: Description,
}

/// What a toolchain made.
struct Built {
    /// The component's file name, without extension.
    name: String,
    toolchain: String,
    component: Vec<u8>,
}

/// Builds the sources in a folder. The file is only written, and only replaced, by a component that the host admits.
///
/// # Errors
/// If the folder holds nothing to build, the toolchain is missing (with what to install) or fails (with the end of what it said), or what
/// it makes is no strategy.
pub async fn build(folder: &Path, options: &BuildOptions, progress: &dyn Progress) -> Result<BuildReport> {
    let language = language(folder)?;
    let Built { name, toolchain, component } = match language {
        Language::Rust => rust::build(folder, progress).await?,
        Language::JavaScript => script::build_javascript(folder, progress).await?,
        Language::Python => script::build_python(folder, progress).await?,
    };
    progress.note("checking what was built");
    let size = component.len() as u64;
    let host = Host::new(options.cache.as_deref());
    let plugin = host.load(component.clone(), Limits::default()).await.map_err(|fault| {
        EngineError::failed(format!("{} was built, and is no strategy that can be used", folder.display())).caused_by(fault)
    })?;
    let file = options.out.clone().unwrap_or_else(|| folder.join(format!("{name}.wasm")));
    place(&file, &component)?;
    let (blake3, description) = (plugin.digest().to_owned(), plugin.description().clone());
    Ok(BuildReport { language, toolchain, file, size, blake3, description })
}

fn language(folder: &Path) -> Result<Language> {
    if folder.join("Cargo.toml").is_file() {
        return Ok(Language::Rust);
    }
    if folder.join("package.json").is_file() {
        return Ok(Language::JavaScript);
    }
    if folder.join("pyproject.toml").is_file() || !script::python_modules(folder)?.is_empty() {
        return Ok(Language::Python);
    }
    Err(EngineError::new(
        ErrorKind::Usage,
        format!("{} holds nothing to build: no Cargo.toml, no package.json, no pyproject.toml, and no .py file", folder.display()),
    )
    .hint("name the folder of a strategy's sources; `berqenas plugin new` makes one"))
}

/// Writes a file at once or not at all.
pub(super) fn place(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritable = |source: std::io::Error| EngineError::failed(format!("cannot write {}", file.display())).caused_by(source);
    let mut written = tempfile::Builder::new();
    #[cfg(unix)]
    written.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // As any other file: the umask takes from it.
    let mut written = written.tempfile_in(folder).map_err(unwritable)?;
    written.write_all(bytes).map_err(unwritable)?;
    written.persist(file).map(drop).map_err(|fault| unwritable(fault.error))
}
