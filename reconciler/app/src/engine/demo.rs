//! The demo's material: two SQLite databases of a small ERP, a spec, and what people write on both sides.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use berqenas_core::spec::LedgerMode;

use super::{Result, outcome::DemoFolder};
use crate::{
    endpoint::{ConnectOptions, Endpoint as _, sqlite::SqliteEndpoint},
    error::{EngineError, ErrorKind},
};

/// The sync that the demo's spec describes.
const SYNC: &str = "musteri_erp";
/// The two sides write at times that even a clock of whole seconds tells apart, so that "latest" means something.
const BETWEEN_EDITS: Duration = Duration::from_millis(1100);

/// Builds the two databases and the spec of the demo in a folder, replacing those of an earlier demo.
///
/// # Errors
/// If the folder or the databases cannot be written.
pub async fn demo_build(folder: &Path) -> Result<DemoFolder> {
    let specs = folder.join("specs");
    fs::create_dir_all(&specs).map_err(|source| unwritable(&specs, source))?;
    for database in ["cloud.db", "local.db", "berqenas.db"] {
        for suffix in ["", "-wal", "-shm"] {
            remove(&folder.join(format!("{database}{suffix}")))?;
        }
    }
    let spec = specs.join("musteri_erp.yaml");
    fs::write(&spec, include_str!("demo/spec.yaml")).map_err(|source| unwritable(&spec, source))?;
    for (database, rows) in [("cloud.db", include_str!("demo/cloud.sql")), ("local.db", "")] {
        let file = folder.join(database);
        // An empty file is an empty database; the endpoint itself never makes one.
        fs::write(&file, []).map_err(|source| unwritable(&file, source))?;
        execute(&file, &[include_str!("demo/seed.sql"), rows]).await?;
    }
    let contents = vec![
        "cloud.db: 5 customers, 4 products, 3 orders".to_owned(),
        "local.db: the same tables, empty".to_owned(),
        "specs/musteri_erp.yaml: the spec that keeps them in step".to_owned(),
    ];
    Ok(DemoFolder { sync: SYNC.to_owned(), specs, contents, next_edit: include_str!("demo/next.sql").trim().to_owned() })
}

/// Writes on both sides of the demo, as people would; answers what was done, one line each.
///
/// # Errors
/// If a database cannot be written.
pub async fn demo_edit(folder: &Path) -> Result<Vec<String>> {
    execute(&folder.join("cloud.db"), &[include_str!("demo/cloud-edits.sql")]).await?;
    tokio::time::sleep(BETWEEN_EDITS).await;
    execute(&folder.join("local.db"), &[include_str!("demo/local-edits.sql")]).await?;
    let lines = [
        "Cloud: a new customer, a new price of Rulman 6204, order 457 delivered",
        "Local: a new order, 30 pieces instead of 24 in order 455, customer 124 deleted (is_deleted = 1)",
        "Both:  the e-mail of customer 123 and the stock of product 790: two conflicts; local wrote last",
    ];
    Ok(lines.map(str::to_owned).to_vec())
}

/// Runs scripts whose statements end with `;` at the end of a line.
async fn execute(file: &Path, scripts: &[&str]) -> Result<()> {
    let statements: Vec<String> =
        scripts.iter().flat_map(|script| script.split(";\n")).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let display = file.display().to_string();
    let endpoint = SqliteEndpoint::connect(ConnectOptions {
        url: format!("sqlite://{display}").into(),
        display,
        schema: None,
        ca_file: None,
        timeout: Duration::from_secs(30),
        ledger: LedgerMode::Table,
    })
    .await?;
    let done = endpoint.execute(&statements).await;
    endpoint.close().await;
    Ok(done?)
}

fn remove(file: &PathBuf) -> Result<()> {
    match fs::remove_file(file) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(unwritable(file, source)),
        _ => Ok(()),
    }
}

fn unwritable(place: &Path, source: std::io::Error) -> EngineError {
    EngineError::new(ErrorKind::Failed, format!("cannot write {}", place.display()))
        .caused_by(source)
        .hint("name another folder with --dir")
}
