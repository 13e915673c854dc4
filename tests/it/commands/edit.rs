//! `sync schedule` and `sync configure`: specs edited in place. No database is asked.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::support::process::{Ran, command_in, ended};

const SHOP: &str = "# The shop, and its warehouse.
version: 1
name: musteri_erp # the customer's
id: 42
cloud: ${CLOUD}
local: {url: 'sqlite://./office.db'}

# At night only: the line is slow.
cron: 0 2 * * *   # two o'clock
timezone: Europe/Istanbul
tables: [customers, orders]
---
version: 1
name: stock
id: 43
cloud: ${CLOUD}
local: sqlite://./stock.db
tables: [items]
";

/// A folder with the specs of a shop.
fn shop(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("specs")).unwrap();
    fs::write(folder.path().join("specs/shop.yaml"), text).unwrap();
    folder
}

#[track_caller]
fn berqenas(folder: &Path, arguments: &[&str]) -> Ran {
    ended(arguments, command_in(folder, arguments))
}

fn held(folder: &Path) -> String {
    fs::read_to_string(folder.join("specs/shop.yaml")).unwrap()
}

/// Runs commands one after another, and compares all that they say.
#[track_caller]
fn told(folder: &Path, name: &str, commands: &[&[&str]]) {
    let mut text = String::new();
    for arguments in commands {
        let ran = berqenas(folder, arguments);
        let aside = if ran.stderr.is_empty() { "" } else { "--- standard error\n" };
        text.push_str(&format!("$ {}\n{}{aside}{}--- exit code {}\n\n", ran.line, ran.stdout, ran.stderr, ran.code.unwrap_or(-1)));
    }
    crate::expect::file(&format!("tests/it/commands/expected/{name}.txt"), &text);
}

#[test]
fn a_schedule_is_put_into_the_spec() {
    let folder = shop(SHOP);
    let schedule = |more: &[&'static str]| [&["sync", "schedule", "musteri_erp"], more].concat();
    told(
        folder.path(),
        "schedule",
        &[
            &schedule(&["--interval", "15", "--strategy", "latest_wins", "--dry-run"]),
            &schedule(&["--interval", "15", "--strategy", "cloud_wins"]),
            &schedule(&["--interval", "900s"]),
            &schedule(&["--cron", "0 2 * * *", "--full-sync", "--timezone", "Europe/Istanbul"]),
            &schedule(&["--interval", "1h", "--json"]),
        ],
    );
    let expected = SHOP.replace(
        "cron: 0 2 * * *   # two o'clock\ntimezone: Europe/Istanbul\n",
        "interval: 1h   # two o'clock\nfull_sync: {cron: 0 2 * * *, timezone: Europe/Istanbul}\nstrategy: cloud_wins\n",
    );
    assert_eq!(held(folder.path()), expected);
    berqenas(folder.path(), &["validate"]).exits(0);
}

#[test]
fn settings_are_put_into_the_spec() {
    let folder = shop(SHOP);
    told(
        folder.path(),
        "configure",
        &[
            &["sync", "configure", "musteri_erp", "--strategy", "cloud_wins"],
            &["sync", "configure", "stock", "--mode", "plan", "--direction", "cloud_to_local", "--max-deletes", "100", "--json"],
            &["sync", "configure", "stock", "--max-delete-percent", "5", "--max-change-percent", "50", "--dry-run"],
            &["sync", "configure", "stock", "--mode", "plan"],
            &["sync", "configure", "stock"],
        ],
    );
}

#[test]
fn nothing_to_change_leaves_the_file_alone() {
    let folder = shop(SHOP);
    let file = folder.path().join("specs/shop.yaml");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(&file).unwrap().set_modified(long_ago).unwrap();
    berqenas(folder.path(), &["sync", "schedule", "musteri_erp", "--cron", "0 2 * * *"]).exits(0).shows(&["nothing to change"]);
    berqenas(folder.path(), &["sync", "schedule", "musteri_erp", "--interval", "5", "--dry-run"]).exits(0).shows(&["+interval: 5m"]);
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), long_ago);
}

#[test]
fn what_cannot_be_changed_is_told_and_the_file_stays() {
    let check = |text: &str, arguments: &[&str], code: i32, parts: &[&str]| {
        let folder = shop(text);
        berqenas(folder.path(), &[&["sync"], arguments].concat()).exits(code).tells(parts);
        assert_eq!(held(folder.path()), text);
        assert_eq!(fs::read_dir(folder.path().join("specs")).unwrap().count(), 1, "nothing is left behind");
    };
    check(
        SHOP,
        &["schedule", "musteri_er", "--interval", "5"],
        2,
        &["there is no sync named \"musteri_er\"", "did you mean \"musteri_erp\"?"],
    );
    check(SHOP, &["schedule", "stock", "--interval", "0"], 2, &["specs/shop.yaml:18:11", "the places are those after the change"]);
    check(SHOP, &["schedule", "stock", "--cron", "0 2 * *"], 2, &["specs/shop.yaml:18:7: this is no cron expression"]);
    check(SHOP, &["schedule", "stock", "--cron", "0 2 * * *", "--timezone", "Europe/Istambul"], 2, &["did you mean \"Europe/Istanbul\"?"]);
    check(SHOP, &["configure", "stock", "--strategy", "mine"], 2, &["\"strategy\" must be one of latest_wins"]);
    check(SHOP, &["configure", "stock", "--max-delete-percent", "101"], 2, &["specs/shop.yaml:18:21"]);
    check(SHOP, &["schedule", "stock", "--interval", "5", "--timezone", "UTC"], 2, &["--timezone"]);
    check(&SHOP.replace("id: 43", "id: 42"), &["configure", "stock", "--mode", "plan"], 2, &["the id 42 is taken by \"musteri_erp\""]);
    check(&SHOP.replace("id: 43", "id: x"), &["configure", "stock", "--mode", "plan"], 2, &["\"id\" must be a whole number"]);
    check("name: [", &["configure", "stock", "--mode", "plan"], 2, &["not valid YAML"]);
    let aliased = SHOP.replace("tables: [items]", "interval: &i 5s\noverlap: *i\ntables: [items]");
    check(
        &aliased,
        &["schedule", "stock", "--interval", "9"],
        1,
        &["specs/shop.yaml cannot be edited in place", "does an alias refer to it?"],
    );
}

#[test]
fn a_misspelt_value_can_be_put_right() {
    let folder = shop(&SHOP.replace("tables: [items]", "strategy: cloudwins\ntables: [items]"));
    berqenas(folder.path(), &["sync", "configure", "stock", "--strategy", "cloud_wins"]).exits(0).shows(&["-strategy: cloudwins"]);
    berqenas(folder.path(), &["validate"]).exits(0);
}

#[test]
fn clashes_with_other_files_are_seen_and_their_own_faults_are_not_ours() {
    let folder = shop(SHOP);
    let other = folder.path().join("specs/other.yaml");
    let spec = |id: u32| format!("version: 1\nname: other\nid: {id}\ncloud: ${{OTHER}}\nlocal: sqlite://o.db\ntables: [t]\n");
    fs::write(&other, spec(43)).unwrap();
    let configure = ["sync", "configure", "stock", "--mode", "plan"];
    berqenas(folder.path(), &configure).exits(2).tells(&["id 43 is taken by"]);
    assert_eq!(held(folder.path()), SHOP);
    fs::write(&other, spec(44) + "mode: planned\n").unwrap();
    berqenas(folder.path(), &configure).exits(0);
}

#[test]
fn a_checkout_is_left_to_git() {
    let folder = shop(SHOP);
    for marker in ["specs/.berqenas-checkout", ".berqenas-checkout"] {
        let marker = folder.path().join(marker);
        fs::write(&marker, "https://git.example.com/erp/specs.git\n").unwrap();
        for more in [&[][..], &["--dry-run"]] {
            berqenas(folder.path(), &[&["sync", "schedule", "stock", "--interval", "5"], more].concat()).exits(2).tells(&[
                "specs/shop.yaml is a checkout of https://git.example.com/erp/specs.git",
                "change the spec of stock in that repository, and commit it there",
            ]);
        }
        fs::remove_file(marker).unwrap();
    }
    assert_eq!(held(folder.path()), SHOP);
}

#[test]
fn the_file_stays_the_file_it_was() {
    let windows = format!("\u{feff}{}", SHOP.replace('\n', "\r\n"));
    let folder = shop(&windows);
    let (link, real) = (folder.path().join("specs/shop.yaml"), folder.path().join("real.yaml"));
    fs::rename(&link, &real).unwrap();
    std::os::unix::fs::symlink("../real.yaml", &link).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let shown = berqenas(folder.path(), &["sync", "schedule", "stock", "--interval", "1h", "--color", "never"]).exits(0);
    shown.shows(&["+interval: 1h\n"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o640);
    let expected = windows.replace("stock.db\r\n", "stock.db\r\ninterval: 1h\r\n");
    assert_eq!(fs::read_to_string(&real).unwrap(), expected);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o440)).unwrap();
    berqenas(folder.path(), &["sync", "schedule", "stock", "--interval", "2h"]).exits(1).tells(&["cannot write specs/shop.yaml"]);
    assert_eq!(fs::read_to_string(&real).unwrap(), expected);
}

#[test]
fn colour_is_for_terminals() {
    let folder = shop(SHOP);
    let arguments = ["sync", "schedule", "stock", "--interval", "1h", "--dry-run", "--color", "always"];
    let output = command_in(folder.path(), &arguments).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("\u{1b}[32m+interval: 1h"));
    // And `ended` looks for escape codes wherever nobody asked for them.
    berqenas(folder.path(), &arguments[..6]).exits(0);
}
