#![allow(clippy::unwrap_used)]

use std::{error::Error, fs, path::Path};

use berqenas_core::{
    agenda::alerts::Webhook,
    spec::{Connection, LedgerMode, SecretSource},
};
use secrecy::ExposeSecret;

use super::{LoadError, load, resolve_connection, resolve_webhook};

fn spec(name: &str, id: u32) -> String {
    format!("version: 1\nname: {name}\nid: {id}\ncloud: ${{CLOUD}}\nlocal: sqlite://{name}.db\ntables: [customers]\n")
}

#[test]
fn a_folder_gives_its_good_specs_and_all_faults() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    assert!(matches!(load(folder.path()), Err(LoadError::Empty { .. })));
    assert!(matches!(load(&folder.path().join("nowhere")), Err(LoadError::Folder { .. })));
    write("b.yml", &spec("second", 2));
    write("branch/c.yaml", &spec("third", 3));
    write("a.yaml", &spec("first", 1));
    write(".git/x.yaml", "broken");
    write(".hidden.yaml", "broken");
    write("notes.txt", "broken");
    let loaded = load(folder.path()).unwrap();
    assert_eq!(loaded.faults, []);
    let names: Vec<&str> = loaded.specs.iter().map(|loaded| loaded.spec.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert_eq!(loaded.find("third").unwrap().folder(), folder.path().join("branch"));
    assert_eq!(loaded.find("secnd").unwrap_err().hint.unwrap(), "did you mean \"second\"?");

    write("broken.yaml", "version: 1\n");
    write("d.yaml", &spec("fourth", 1));
    let loaded = load(folder.path()).unwrap();
    let names: Vec<&str> = loaded.specs.iter().map(|loaded| loaded.spec.name.as_str()).collect();
    assert_eq!(names, ["second", "third"], "of two specs with one id neither runs");
    assert_eq!(loaded.faults.iter().filter(|fault| fault.file.ends_with("broken.yaml")).count(), 5);
    assert!(loaded.faults.iter().any(|fault| fault.file.ends_with("d.yaml") && fault.message.contains("a.yaml:3:5")));
}

#[test]
fn who_waits_for_whom_is_told_as_it_is() {
    // Specs written as `b: a, c`, each in a file of its name; `!` breaks one.
    let check = |specs: &[&str], runs: &[&str], told: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        for (id, text) in (1..).zip(specs) {
            let (name, on) = text.split_once(':').unwrap();
            let (on, fault) = on.strip_suffix('!').map_or((on, ""), |on| (on, "unknown_key: 1\n"));
            let text = spec(name, id) + &format!("depends_on: [{on}]\n{fault}");
            fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
        }
        let loaded = load(folder.path()).unwrap();
        assert_eq!(loaded.specs.iter().map(|loaded| loaded.spec.name.as_str()).collect::<Vec<_>>(), runs);
        assert_eq!(loaded.faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>(), told);
    };
    check(&["a:", "b: a"], &["a", "b"], &[]);
    check(&["a:", "b: c"], &["a"], &["\"b\" depends on \"c\", and there is no such sync"]);
    check(&["a:!", "b: a"], &["b"], &["unknown key \"unknown_key\""]);
    check(&["a: b", "b: c", "c: d", "d: a", "e: a"], &["e"], &["syncs wait for each other: a → b → c → d → a"]);
}

fn connection(url: &str, password: Option<SecretSource>) -> Connection {
    Connection { url: url.to_owned(), password, schema: None, ca_file: None, ledger: LedgerMode::Table }
}

fn env(name: &str) -> Option<String> {
    let known = [
        ("PW", "p@ss/w:rd#"),
        ("HOST", "db.example.com"),
        ("WHOLE", "postgres://erp:s3cret@db/erp?sslmode=require"),
        ("ODD", "a;\"b'=c"),
        ("STRING", "Server=db\\BRANCH;User Id=erp;Password=s3cret;"),
        ("UNQUOTED", "Server=db;User Id=erp;Password=pa;s3cret=x"),
        ("LITE", "sqlite://data/x.db"),
        ("EMPTY", ""),
        ("BAD", "s3cret"),
    ];
    known.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

#[test]
fn connections_are_filled_in_and_shown_without_secrets() {
    let check = |url: &str, password: Option<SecretSource>, expected: (&str, &str)| {
        let resolved = resolve_connection(&connection(url, password), Path::new("/specs"), &env).unwrap();
        assert_eq!((resolved.url.expose_secret(), resolved.display.as_str()), expected);
        for shown in [resolved.display.clone(), format!("{resolved:?}")] {
            assert!(!["s3cret", "p@ss", "p%40ss"].iter().any(|secret| shown.contains(secret)), "{shown}");
        }
    };
    let pw = || Some(SecretSource::Env("PW".to_owned()));
    check("sqlite://./office.db", None, ("sqlite:///specs/office.db", "sqlite:///specs/office.db"));
    check("sqlite:../office.db?mode=ro", None, ("sqlite:///specs/../office.db?mode=ro", "sqlite:///specs/../office.db"));
    check("sqlite:///var/office.db", None, ("sqlite:///var/office.db", "sqlite:///var/office.db"));
    check("${LITE}", None, ("sqlite:///specs/data/x.db", "sqlite:///specs/data/x.db"));
    let encoded = "postgres://erp:p%40ss%2Fw%3Ard%23@db.example.com/erp";
    check("postgres://erp:${PW}@${HOST}/erp", None, (encoded, "postgres://erp@db.example.com/erp"));
    check("postgres://erp@${HOST}/erp", pw(), (encoded, "postgres://erp@db.example.com/erp"));
    check("${WHOLE}", None, ("postgres://erp:s3cret@db/erp?sslmode=require", "postgres://erp@db/erp"));
    let encoded = "mssql://erp:p%40ss%2Fw%3Ard%23@db.example.com:1433/erp?encrypt=strict";
    check("mssql://erp:${PW}@${HOST}:1433/erp?encrypt=strict", None, (encoded, "mssql://erp@db.example.com:1433/erp"));
    check("Server=tcp:${HOST},1433;Database=erp;UID=erp;PWD=${PW};Encrypt=Strict", None, (encoded, "mssql://erp@db.example.com:1433/erp"));
    check("Server=${HOST},1433;Database=erp;UID=erp;Encrypt=Strict", pw(), (encoded, "mssql://erp@db.example.com:1433/erp"));
    let odd = "mssql://erp:a%3B%22b%27%3Dc@db";
    check("Server=db;UID=erp;PWD='${ODD}'", None, (odd, "mssql://erp@db"));
    check("${STRING}", None, ("mssql://erp:s3cret@db/?instance=BRANCH".replace("/?", "?").as_str(), "mssql://erp@db?instance=BRANCH"));
    let trust = "mssql://erp:p%40ss%2Fw%3Ard%23@db/erp?trust=%2Fspecs%2Fca.pem";
    check("mssql://erp@db/erp?trust=ca.pem", pw(), (trust, "mssql://erp@db/erp"));
    let socket = "postgres:///erp?host=/run&user=erp&password=p%40ss%2Fw%3Ard%23";
    check("postgres:///erp?host=/run&user=erp", pw(), (socket, "postgres:///erp"));
}

#[test]
fn what_is_missing_is_named_and_no_secret_is() {
    let check = |url: &str, password: Option<SecretSource>, expected: &str| {
        let error = resolve_connection(&connection(url, password), Path::new("/specs"), &env).unwrap_err();
        let told = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        assert!(told.contains(expected), "{told}");
        assert!(!format!("{told} {error:?}").contains("s3cret"), "{told}");
    };
    check("${NOPE}", None, "variable NOPE is not set");
    check("${EMPTY}", None, "variable EMPTY is not set");
    check("${BAD}", None, "this is no database URL");
    check("postgres://erp@db/erp", Some(SecretSource::Env("NOPE".to_owned())), "variable NOPE is not set");
    check("postgres://erp@db/erp", Some(SecretSource::File("nope.txt".to_owned())), "the file /specs/nope.txt");
    check("${WHOLE}", Some(SecretSource::Env("PW".to_owned())), "given twice");
    check("${STRING}", Some(SecretSource::Env("PW".to_owned())), "given twice");
    check("${UNQUOTED}", None, "keys that mean nothing here: one that is not shown");
    check("Server=db;User Id=erp;Password=${NOPE}", None, "variable NOPE is not set");
}

#[test]
fn a_password_file_is_read_beside_the_spec() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pw"), "geheim\r\n").unwrap();
    let from_file = connection("postgres://erp@db/erp", Some(SecretSource::File("pw".to_owned())));
    let resolved = resolve_connection(&from_file, folder.path(), &env).unwrap();
    assert_eq!(resolved.url.expose_secret(), "postgres://erp:geheim@db/erp");
    assert_eq!(resolved.user.as_deref(), Some("erp"));
    fs::write(folder.path().join("pw"), "\n").unwrap();
    assert!(resolve_connection(&from_file, folder.path(), &env).unwrap_err().to_string().contains("is empty"));
}

#[test]
fn webhooks_are_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hook"), "https://hooks.example.com/s3cret\n").unwrap();
    let check = |webhook: Webhook, expected: &str| {
        let found = resolve_webhook(&webhook, folder.path(), &env);
        let found = found.map_or_else(|fault| fault.to_string(), |url| url.expose_secret().to_owned());
        assert_eq!(found, expected.replace("<folder>", folder.path().to_str().unwrap()));
    };
    check(Webhook::Url("https://${HOST}/${BAD}".into()), "https://db.example.com/s3cret");
    check(Webhook::Url("https://erp:${PW}@${HOST}/".into()), "https://erp:p%40ss%2Fw%3Ard%23@db.example.com/");
    check(Webhook::Kept(SecretSource::Env("BAD".into())), "s3cret");
    check(Webhook::Kept(SecretSource::File("hook".into())), "https://hooks.example.com/s3cret");
    check(Webhook::Kept(SecretSource::File("none".into())), "cannot read the file <folder>/none");
    check(Webhook::Url("${NOPE}".into()), "the environment variable NOPE is not set");
}
