//! The folders under `examples/`: each is run by a test. What their READMEs tell people to type is run by `docs`.

use std::{fs, path::Path};

use berqenas_core::value::{Pair, Side};

use crate::{
    expect::root,
    support::world::{Kind, PAIRS, World},
};

/// Every example, with the test that runs it against real databases.
const EXAMPLES: [(&str, &str); 5] = [
    ("deploy", "tests/it/examples.rs"),
    ("erp-office", "tests/it/docs/sqlserver.rs"),
    ("gitops", "tests/it/docs.rs"),
    ("northwind", "tests/it/northwind.rs"),
    ("office-shop", "tests/it/examples.rs"),
];

#[test]
fn every_example_is_run() {
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(folder.join("README.md").is_file(), "examples/{name} has no README.md");
        let known = EXAMPLES.iter().find(|(known, _)| *known == name);
        let (_, test) = known.unwrap_or_else(|| panic!("no test is listed for examples/{name}"));
        let test = fs::read_to_string(root().join(test)).unwrap();
        assert!(test.contains(&format!("examples/{name}")), "no test of the file listed runs examples/{name}");
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join("examples/office-shop").join(file)).unwrap()
}

/// The spec of the example, with the two databases of a world.
fn write_spec(world: &World) {
    let rest = read("specs/office_shop.yaml");
    let rest: Vec<&str> =
        rest.lines().filter(|line| !["version:", "name:", "id:", "cloud:", "local:"].iter().any(|key| line.starts_with(key))).collect();
    world.spec(&rest.join("\n"));
}

async fn office_shop(kinds: Pair<Kind>) {
    let world = World::empty(kinds).await;
    world.sql(Side::Cloud, &read("cloud.sql")).await;
    world.sql(Side::Local, &read("office.sql")).await;
    write_spec(&world);
    world.prepare().await;
    let first = world.sync().await;
    assert_eq!((first.conflicts_waiting, first.quarantined), (0, 0), "{first:?}");

    let customers = ["121|Çelik Makine Sanayi A.Ş.", "122|Öztürk Gıda Ltd. Şti.", "123|Yılmaz Tekstil", "124|Güneş Eczanesi"];
    assert_eq!(world.lines(Side::Cloud, "SELECT customer_id, name FROM customers ORDER BY 1").await, customers);
    assert_eq!(world.lines(Side::Local, "SELECT CustomerID, Name FROM Customers ORDER BY 1").await, customers);
    // The price is the cloud's, the picture the office's.
    let bearing = world.lines(Side::Local, "SELECT UnitPrice, hex(Picture) FROM Products WHERE ProductID = 789").await;
    assert_eq!(bearing, ["96|FFD8FFE0"]);

    world.sql(Side::Local, "UPDATE \"Order Lines\" SET Qty = 30 WHERE OrderID = 455 AND LineNo = 1").await;
    world.sql(Side::Cloud, "UPDATE order_lines SET quantity = 12 WHERE order_id = 455 AND line_no = 1").await;
    world.sync().await;
    let lines = ["455|1|30", "455|2|2"];
    assert_eq!(world.lines(Side::Cloud, "SELECT order_id, line_no, quantity FROM order_lines ORDER BY 1, 2").await, lines);
    assert_eq!(world.lines(Side::Local, "SELECT OrderID, LineNo, Qty FROM \"Order Lines\" ORDER BY 1, 2").await, lines);
    let conflict = &world.conflicts().await[0];
    assert_eq!((conflict.table.as_str(), conflict.strategy.as_str()), ("order_lines", "local_wins"));
    world.quiet().await;
}

#[tokio::test]
async fn the_office_and_its_shop_on_every_pair_of_engines_it_is_made_for() {
    for kinds in PAIRS.into_iter().filter(|kinds| kinds.local == Kind::Sqlite) {
        office_shop(kinds).await;
    }
}

/// What examples/deploy starts is a command line that the program takes, and systemd waits longer than the program does.
#[test]
fn the_command_lines_of_deployments_are_good() {
    let text = |file: &str| fs::read_to_string(root().join("examples/deploy").join(file)).unwrap();
    let unit = text("berqenas.service");
    let value =
        |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key} is not in the unit")).to_owned();
    let line = value("ExecStart=");
    let taken = berqenas::cli::command().try_get_matches_from(line.split(' '));
    assert!(taken.is_ok(), "{line}: {taken:?}");
    let grace = line.split("--grace ").nth(1).and_then(|rest| rest.split('s').next()).and_then(|grace| grace.parse::<u32>().ok()).unwrap();
    let patience: u32 = value("TimeoutStopSec=").trim_end_matches('s').parse().unwrap();
    assert!(patience > grace + 5, "systemd would kill it before it gives up by itself");
    let image = text("Dockerfile");
    for variable in
        image.split_whitespace().filter_map(|word| word.split_once('=').map(|(name, _)| name)).filter(|name| name.starts_with("BERQENAS_"))
    {
        let known = ["BERQENAS_SPECS", "BERQENAS_STATE", "BERQENAS_CACHE", "BERQENAS_LOG_FORMAT"];
        assert!(known.contains(&variable), "{variable} means nothing to the program");
    }
    let (entry, command) = (image.contains("ENTRYPOINT [\"berqenas\"]"), image.contains("CMD [\"run\"]"));
    assert!(entry && command && berqenas::cli::command().try_get_matches_from(["berqenas", "run"]).is_ok());
}

#[test]
fn every_spec_of_an_example_is_valid() {
    fn specs(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                specs(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    specs(&root().join("examples"), &mut found);
    assert!(!found.is_empty());
    for path in found {
        let read = berqenas_core::spec::read_bytes(&path.display().to_string(), &fs::read(&path).unwrap());
        assert!(read.is_ok(), "{read:?}");
    }
}
