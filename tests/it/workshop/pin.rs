//! `plugin pin`: digests in specs.

use std::fs;

use super::plugin;
use crate::plugins::guest::doing;

const SPEC: &str = "# The office.
version: 1
name: office
id: 1
cloud: sqlite://cloud.db
local: sqlite://local.db

strategies:
  # Ours.
  stock:
    wasm: ../strategies/stock.wasm   # built here
    config: {}
  price: {wasm: ../strategies/price.wasm}
tables: # two of them
  - {name: stock, strategy: stock}
  - {name: price, strategy: price}
";

/// The spec, and a component for each of its strategies.
fn office() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, bytes) in
        [("specs/office.yaml", SPEC.as_bytes()), ("strategies/stock.wasm", &doing("")), ("strategies/price.wasm", &doing("nop"))]
    {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    folder
}

fn digest(wasm: &[u8]) -> String {
    blake3::hash(wasm).to_hex().to_string()
}

#[test]
fn a_spec_is_pinned_in_place_and_holds() {
    let folder = office();
    let file = folder.path().join("specs/office.yaml");
    let pin = |more: &[&str]| plugin(folder.path(), &[&["pin", "specs/office.yaml"], more].concat());
    pin(&["--check"]).exits(1).says(&["✗ stock: ../strategies/stock.wasm is hostile 1.0.0", "was not pinned", "run without --check"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), SPEC, "--check writes nothing");
    let (stock, price) = (digest(&doing("")), digest(&doing("nop")));
    pin(&[]).exits(0).says(&["✓ stock", &format!("+    blake3: {stock}"), "office.yaml: 2 digests written"]);
    let expected = SPEC
        .replace("   # built here\n", &format!("   # built here\n    blake3: {stock}\n"))
        .replace("price.wasm}", &format!("price.wasm, blake3: {price}}}"));
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    pin(&["--check"]).exits(0).says(&["pinned already", "nothing to change"]);

    // Another component under the name, and only one of the two is meant.
    fs::write(folder.path().join("strategies/stock.wasm"), doing("nop nop")).unwrap();
    pin(&["--check", "--strategy", "price"]).exits(0);
    let json = pin(&["--strategy", "stock", "--json"]).exits(0);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let entry = &report["strategies"][0];
    assert_eq!((&entry["before"], &entry["blake3"]), (&stock.clone().into(), &digest(&doing("nop nop")).into()));
    assert_eq!(fs::read_to_string(&file).unwrap(), expected.replace(&stock, &digest(&doing("nop nop"))));
}

#[test]
fn what_cannot_be_pinned_changes_nothing() {
    let check = |file: &str, bytes: &[u8], more: &[&str], code: i32, told: &[&str]| {
        let folder = office();
        fs::write(folder.path().join(file), bytes).unwrap();
        let before = fs::read_to_string(folder.path().join("specs/office.yaml")).unwrap();
        plugin(folder.path(), &[&["pin", "specs/office.yaml"], more].concat()).exits(code).says(told);
        assert_eq!(fs::read_to_string(folder.path().join("specs/office.yaml")).unwrap(), before);
    };
    let spec = "specs/office.yaml";
    check(
        "strategies/stock.wasm",
        b"\0asm\x01\0\0\0",
        &[],
        1,
        &["strategy stock: specs/../strategies/stock.wasm is refused", "core WebAssembly"],
    );
    let gone = SPEC.replace("stock.wasm", "gone.wasm");
    check(spec, gone.as_bytes(), &[], 1, &["cannot read specs/../strategies/gone.wasm", "`berqenas plugin build` makes it"]);
    check(spec, SPEC.as_bytes(), &["--strategy", "stok"], 2, &["no strategy \"stok\" of its own", "did you mean \"stock\"?"]);
    let none = SPEC.lines().take(6).collect::<Vec<_>>().join("\n") + "\ntables: [a]\n";
    check(spec, none.as_bytes(), &[], 2, &["has no strategies of its own"]);
    check(spec, SPEC.replace("id: 1", "id: one").as_bytes(), &[], 2, &["specs/office.yaml:4:5: \"id\" must be a whole number"]);
    check(spec, b"strategies: [", &[], 2, &["not valid YAML"]);
}
