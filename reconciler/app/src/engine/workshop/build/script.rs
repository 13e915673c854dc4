//! JavaScript and Python: the tools that put an interpreter and the sources into one component. Both leave WASI out, so that nothing is imported.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::process::Command;

use super::{Built, Result, WIT, tool};
use crate::{engine::request::Progress, error::EngineError};

/// All that a JavaScript engine would want of its host.
const FEATURES: [&str; 5] = ["stdio", "random", "clocks", "http", "fetch-event"];

/// Where one tool finds the interface and another leaves what it made.
struct Bench {
    folder: tempfile::TempDir,
    wit: PathBuf,
}

impl Bench {
    /// The interface is the folder's own `wit`, where there is one.
    fn new(folder: &Path) -> Result<Bench> {
        let failed = |source| EngineError::failed("no temporary folder can be made").caused_by(source);
        let bench = tempfile::tempdir().map_err(failed)?;
        let own = folder.join("wit");
        let wit = if own.is_dir() { std::path::absolute(own).map_err(failed)? } else { bench.path().join("strategy.wit") };
        if wit.starts_with(bench.path()) {
            fs::write(&wit, WIT).map_err(failed)?;
        }
        Ok(Bench { folder: bench, wit })
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("strategy.wasm")
    }

    fn read(&self) -> Result<Vec<u8>> {
        fs::read(self.output()).map_err(|source| EngineError::failed("the tool left no component").caused_by(source))
    }
}

pub(super) async fn build_javascript(folder: &Path, progress: &dyn Progress) -> Result<Built> {
    let manifest = folder.join("package.json");
    let text = fs::read_to_string(&manifest).map_err(|source| unreadable(&manifest, source))?;
    let package: Value = serde_json::from_str(&text).map_err(|source| unreadable(&manifest, source))?;
    let source = package["main"].as_str().unwrap_or("index.js");
    if !folder.join(source).is_file() {
        return Err(EngineError::failed(format!("{} names {source} as \"main\", and there is no such file", manifest.display())));
    }
    let tool = javascript_tool(folder, &package).await?;
    let bench = Bench::new(folder)?;
    let mut command = Command::new(&tool);
    command.current_dir(folder).arg(source).arg("--wit").arg(&bench.wit).args(["--world-name", "strategy"]);
    command.arg("--out").arg(bench.output()).arg("--disable").args(FEATURES);
    tool::run(command, "componentize-js", folder, progress).await?;
    let toolchain = tool::answer(&tool, &["--version"], folder).await.map_or_else(String::new, |version| format!(" {version}"));
    let own = package["name"].as_str().and_then(|name| name.rsplit('/').next()).filter(|name| !name.is_empty());
    let name = own.map_or_else(|| folder_name(folder), str::to_owned);
    Ok(Built { name, toolchain: format!("componentize-js{toolchain}"), component: bench.read()? })
}

/// The tool that the package has installed, in its folder or one above, as Node.js looks for it.
async fn javascript_tool(folder: &Path, package: &Value) -> Result<PathBuf> {
    const PACKAGE: &str = "@bytecodealliance/componentize-js";
    if tool::answer("node", &["--version"], folder).await.is_none() {
        return Err(
            EngineError::failed("there is no Node.js here").hint("install it from https://nodejs.org, or `apt-get install nodejs npm`")
        );
    }
    let start = std::path::absolute(folder).map_err(|source| unreadable(folder, source))?;
    let installed = start.ancestors().map(|folder| folder.join("node_modules/.bin/componentize-js")).find(|file| file.exists());
    installed.ok_or_else(|| {
        let listed = ["dependencies", "devDependencies"].iter().any(|list| package[list].get(PACKAGE).is_some());
        let install = if listed { "npm install".to_owned() } else { format!("npm install --save-dev {PACKAGE}") };
        EngineError::failed(format!("{PACKAGE} is not installed in {}", folder.display())).hint(format!("run `{install}` there"))
    })
}

pub(super) async fn build_python(folder: &Path, progress: &dyn Progress) -> Result<Built> {
    let module = python_module(folder)?;
    let tool = python_tool(folder).ok_or_else(|| {
        EngineError::failed("there is no componentize-py here")
            .hint(format!("run `python3 -m venv .venv && .venv/bin/pip install componentize-py` in {}", folder.display()))
    })?;
    let bench = Bench::new(folder)?;
    let mut command = Command::new(&tool);
    command.current_dir(folder).arg("--wit-path").arg(&bench.wit).args(["--world", "strategy", "componentize", "--stub-wasi"]);
    command.arg(&module).arg("--output").arg(bench.output());
    tool::run(command, "componentize-py", folder, progress).await?;
    let toolchain = tool::answer(&tool, &["--version"], folder).await.unwrap_or_else(|| "componentize-py".to_owned());
    let name = project_name(folder)?.unwrap_or(module);
    Ok(Built { name, toolchain, component: bench.read()? })
}

/// The tool of the folder's own environment, of the one that is active, or the one on the path.
fn python_tool(folder: &Path) -> Option<PathBuf> {
    let start = std::path::absolute(folder).ok()?;
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let environments = [".venv", "venv"].map(|name| start.join(name)).into_iter().chain(active);
    let found = environments.map(|environment| environment.join("bin/componentize-py")).find(|file| file.is_file());
    found.or_else(|| tool::on_path("componentize-py"))
}

/// The modules at the top of a folder.
pub(super) fn python_modules(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|source| unreadable(folder, source))?;
    let mut modules = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| unreadable(folder, source))?.path();
        if path.extension().is_some_and(|extension| extension == "py") {
            modules.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    modules.sort();
    Ok(modules)
}

/// The module to begin with: the only one, or the one of a name that says so.
fn python_module(folder: &Path) -> Result<String> {
    const NAMES: [&str; 2] = ["app", "main"];
    let modules = python_modules(folder)?;
    let main = || modules.iter().find(|module| NAMES.contains(&module.as_str()));
    match modules.as_slice() {
        [only] => Some(only),
        _ => main(),
    }
    .cloned()
    .ok_or_else(|| {
        EngineError::failed(format!("{} has {} Python modules at its top", folder.display(), modules.len()))
            .hint("let the one that exports the strategy be the only one, or call it app.py")
    })
}

/// `name` below `[project]`.
fn project_name(folder: &Path) -> Result<Option<String>> {
    let manifest = folder.join("pyproject.toml");
    if !manifest.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&manifest).map_err(|source| unreadable(&manifest, source))?;
    let project: toml::Table = text.parse().map_err(|source: toml::de::Error| unreadable(&manifest, source))?;
    let name = project.get("project").and_then(|project| project.get("name")).and_then(toml::Value::as_str);
    Ok(name.map(str::to_owned))
}

fn folder_name(folder: &Path) -> String {
    let full = folder.canonicalize().ok();
    full.as_deref().and_then(Path::file_name).map_or_else(|| "strategy".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn unreadable(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::failed(format!("cannot read {}", path.display())).caused_by(source)
}
