//! A strategy of one's own, for storms: it takes either side, merges, leaves rows to a person, answers what no table can take, and traps; which
//! of them depends on the conflict alone.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use berqenas::engine::plugins::Plugins;

use crate::{guest::Guest, script::Own};

/// All that storms of this process load: each compiled once.
pub(crate) fn plugins() -> Arc<Plugins> {
    static PLUGINS: LazyLock<Arc<Plugins>> = LazyLock::new(|| Arc::new(Plugins::new(None)));
    Arc::clone(&PLUGINS)
}

/// What a spec says of it.
pub(crate) fn entry(own: Own) -> &'static str {
    static ROWS: LazyLock<String> = LazyLock::new(|| written(false));
    static BASE: LazyLock<String> = LazyLock::new(|| written(true));
    if own == Own::Base { &BASE } else { &ROWS }
}

fn written(needs_base: bool) -> String {
    let component = Guest { name: "storm", needs_base, scope: 1, body: BODY, ..Guest::default() }.component();
    let digest = blake3::hash(&component).to_hex();
    let path = std::env::temp_dir().join(format!("berqenas-storm-{digest}.wasm"));
    // One file for all processes: it is put in its place whole, and another's is the same.
    let put = || -> io::Result<PathBuf> {
        let mut file = tempfile::NamedTempFile::new_in(std::env::temp_dir())?;
        io::Write::write_all(&mut file, &component)?;
        file.persist(&path)?;
        Ok(path.clone())
    };
    let known = fs::read(&path).is_ok_and(|known| known == component);
    let path = if known { path } else { put().expect("the folder for temporary files can be written to") };
    format!("{{wasm: {}, blake3: {digest}}}", path.display())
}

/// By kind, number of fields and the seconds of both edits: 2 and 3, the local side; 4, a trap; 5, the cloud's row with the local side's value of the first field;
/// 6, a person; 7, the local row with the cloud's; else the cloud. Where a side has no row, 5 and 7 are answers that cannot be taken.
const BODY: &str = r#"
    (local.set $left_fields (i32.and (i32.const 7) (i32.add
      (i32.add (i32.load8_u (local.get $conflict)) (i32.load offset=88 (local.get $conflict)))
      (i32.add (i32.load offset=32 (local.get $conflict)) (i32.load offset=64 (local.get $conflict))))))
    (if (i32.eq (i32.and (local.get $left_fields) (i32.const 6)) (i32.const 2)) (then
      (i32.store8 offset=4 (local.get $at) (i32.const 1))))
    (if (i32.eq (local.get $left_fields) (i32.const 4)) (then unreachable))
    (if (i32.eq (local.get $left_fields) (i32.const 6)) (then
      (i32.store8 (local.get $at) (i32.const 3)) (i32.store offset=4 (local.get $at) (i32.const 160))
      (i32.store offset=8 (local.get $at) (i32.const 6))))
    (if (i32.and (i32.eq (i32.and (local.get $left_fields) (i32.const 5)) (i32.const 5)) (i32.ne (i32.load offset=88 (local.get $conflict)) (i32.const 0))) (then
      (local.set $to (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 40)))
      (i32.store8 (local.get $at) (i32.const 1))
      (i32.store8 offset=4 (local.get $at) (i32.shr_u (i32.and (local.get $left_fields) (i32.const 2)) (i32.const 1)))
      (i32.store offset=8 (local.get $at) (local.get $to)) (i32.store offset=12 (local.get $at) (i32.const 1))
      (i32.store (local.get $to) (i32.load (i32.load offset=84 (local.get $conflict))))
      (i32.store8 offset=8 (local.get $to) (i32.eqz (i32.and (local.get $left_fields) (i32.const 2))))))
"#;
