//! New: the sources of a strategy that works, to begin with.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use serde::Serialize;

use super::{
    Result,
    build::{Language, WIT},
};
use crate::error::{EngineError, ErrorKind};

/// A file of a template: its path, and what is in it.
type File = (&'static str, &'static str);

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../../../../plugins/templates/", $file))
    };
}

const RUST: &[File] = &[
    ("Cargo.toml", template!("rust/Cargo.toml")),
    ("src/lib.rs", template!("rust/src/lib.rs")),
    (".gitignore", template!("rust/gitignore")),
];
const JAVASCRIPT: &[File] = &[
    ("package.json", template!("javascript/package.json")),
    ("strategy.js", template!("javascript/strategy.js")),
    ("wit/strategy.wit", WIT),
    (".gitignore", template!("javascript/gitignore")),
];
const PYTHON: &[File] = &[
    ("pyproject.toml", template!("python/pyproject.toml")),
    ("app.py", template!("python/app.py")),
    ("wit/strategy.wit", WIT),
    (".gitignore", template!("python/gitignore")),
];
const COMMON: &[File] = &[("cases/note.yaml", template!("note.yaml")), ("README.md", template!("README.md"))];

/// What templates are called, and how that looks as the name of a type and of a component.
const NAME: &str = "my-strategy";
const TYPE: &str = "MyStrategy";
const COMPONENT: &str = "my_component";
/// Where the SDK comes from, in the template.
const SDK: &str = r#"{ git = "https://github.com/berqenas/berqenas-sync" }"#;

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRequest {
    /// The strategy's name.
    pub name: String,
    /// What to write it in.
    pub language: Language,
    /// The folder; `None`: one of that name, here.
    pub folder: Option<PathBuf>,
    /// Where the SDK for Rust is; `None`: in the checkout that the folder is in, else in the project's repository.
    pub sdk: Option<PathBuf>,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewReport {
    /// The strategy's name.
    pub name: String,
    /// What it is written in.
    pub language: Language,
    /// Its folder.
    pub folder: PathBuf,
    /// The files in it.
    pub files: Vec<String>,
    /// What `berqenas plugin build` will make, in that folder.
    pub component: String,
}

/// Makes the folder of a new strategy.
///
/// # Errors
/// If the name is none, the folder holds something already, or it cannot be written.
pub fn new(request: &NewRequest) -> Result<NewReport> {
    let name = &request.name;
    check_name(name)?;
    let folder = request.folder.clone().unwrap_or_else(|| PathBuf::from(name));
    let unwritable = |source: std::io::Error| EngineError::failed(format!("cannot write into {}", folder.display())).caused_by(source);
    fs::create_dir_all(&folder).map_err(unwritable)?;
    if fs::read_dir(&folder).map_err(unwritable)?.next().is_some() {
        let full = EngineError::new(ErrorKind::Usage, format!("{} holds something already", folder.display()));
        return Err(full.hint("name another folder with --dir"));
    }
    let component = match request.language {
        Language::Rust => format!("{}.wasm", name.replace('-', "_")),
        Language::JavaScript | Language::Python => format!("{name}.wasm"),
    };
    let language = match request.language {
        Language::Rust => RUST,
        Language::JavaScript => JAVASCRIPT,
        Language::Python => PYTHON,
    };
    let sdk = sdk(&folder, request.sdk.as_deref()).map_err(unwritable)?;
    let mut files = Vec::new();
    for (path, template) in language.iter().chain(COMMON) {
        let text = template.replace(&format!("{COMPONENT}.wasm"), &component).replace(NAME, name).replace(TYPE, &type_name(name));
        let text = match &sdk {
            Some(sdk) => text.replace(SDK, &format!("{{ path = {} }}", toml::Value::from(sdk.as_str()))),
            None => text,
        };
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap_or(&folder)).map_err(unwritable)?;
        fs::write(&file, text).map_err(unwritable)?;
        files.push((*path).to_owned());
    }
    Ok(NewReport { name: name.clone(), language: request.language, folder, files, component })
}

/// What cargo, npm and specs take for a name.
fn check_name(name: &str) -> Result<()> {
    const LONGEST: usize = 64;
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if letters && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.len() <= LONGEST {
        return Ok(());
    }
    let wrong = EngineError::new(ErrorKind::Usage, format!("{name:?} is no name for a strategy"));
    Err(wrong.hint(format!("small letters, digits, _ and -, beginning with a letter, at most {LONGEST}")))
}

/// `merge-contact` as `MergeContact`.
fn type_name(name: &str) -> String {
    let parts = name.split(['-', '_']).filter(|part| !part.is_empty());
    parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}

/// The path of the SDK as the new crate is to name it: the one that is asked for, or the one of a checkout around the folder.
fn sdk(folder: &Path, asked: Option<&Path>) -> std::io::Result<Option<String>> {
    let show = |path: &Path| path.to_string_lossy().replace('\\', "/");
    if let Some(asked) = asked {
        return Ok(Some(show(&asked.canonicalize()?)));
    }
    let folder = folder.canonicalize()?;
    let around = folder.ancestors().skip(1).find(|around| around.join("plugins/sdk/Cargo.toml").is_file());
    Ok(around.and_then(|around| {
        let depth = folder.strip_prefix(around).ok()?.components().filter(|part| matches!(part, Component::Normal(_))).count();
        Some(format!("{}plugins/sdk", "../".repeat(depth)))
    }))
}
