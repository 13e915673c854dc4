//! What is written for people is true: every block that can be run is run, every spec is valid, every generated part is up to date.
//!
//! What becomes of a fenced block, by its first words:
//! - `yaml`: a spec, or a part of one, that must be valid; `yaml FILE` is also written to that file, for the commands that follow;
//! - `console`: lines after `$ ` are run in one empty folder a document, and the lines below them are what they print, a line `…`
//!   standing for any number of lines; what differs from run to run is masked;
//! - `yaml cases`: cases of a strategy, which must be valid;
//! - `console demo`: a part of what the demo prints;
//! - `console plugins`: run by [`the_first_strategy_is_made_as_it_says`], where strategies can be built;
//! - `console sqlserver`: run by [`sqlserver::the_office_on_sql_server`], where there is a server;
//! - `sql postgres grants`: run by [`the_grants_are_enough`]; `sql sqlserver grants`: by [`sqlserver::the_grants_are_enough`], where there is a server;
//! - `sh source`, `sh server`, `sql …`: not run here, because they build the program, or need a server; the text says which;
//! - `text`, `rust` and `json`: not run.

mod sqlserver;

use std::ops::Range;

use berqenas_core::spec;
use regex::Regex;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    expect::root,
    support::{
        guests,
        markdown::{Block, Document, updating},
        postgres::{Locale, TestPostgres},
        shell::{Shell, mask},
    },
};

#[test]
fn every_block_is_of_a_kind_that_is_looked_after() {
    const KINDS: [(&str, &str); 12] = [
        ("yaml", "*"),
        ("console", ""),
        ("console", "demo"),
        ("console", "plugins"),
        ("console", "sqlserver"),
        ("sql", "postgres"),
        ("sql", "postgres grants"),
        ("sql", "sqlserver grants"),
        ("sh", "source"),
        ("sh", "server"),
        ("text", ""),
        ("json", ""),
    ];
    for document in Document::all() {
        for block in document.blocks() {
            let known = KINDS.iter().any(|(language, mark)| block.language == *language && (*mark == "*" || block.mark == *mark));
            assert!(known, "{}: nothing looks after ```{} {}", document.place(&block), block.language, block.mark);
        }
    }
}

#[test]
fn every_yaml_block_is_a_valid_spec() {
    let mut count = 0;
    for document in Document::all() {
        for block in document.blocks().iter().filter(|block| block.language == "yaml") {
            if block.mark == CASES {
                assert!(
                    berqenas_core::cases::read(&document.place(block), block.text.as_bytes()).is_ok(),
                    "{} are no cases",
                    document.place(block)
                );
                continue;
            }
            let text = completed(&block.text);
            if let Err(faults) = spec::read_bytes(&document.place(block), text.as_bytes()) {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                panic!("{} is no spec:\n{}\nin\n{text}", document.place(block), faults.join("\n"));
            }
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} specs found");
}

/// The mark of YAML that is no spec.
const CASES: &str = "cases";

/// A part of a spec, with what every spec needs.
fn completed(part: &str) -> String {
    let mut text = part.to_owned();
    for (key, value) in [
        ("version", "1"),
        ("name", "office"),
        ("id", "1"),
        ("cloud", "\"${CLOUD_DATABASE_URL}\""),
        ("local", "sqlite://office.db"),
        ("tables", "[customers]"),
    ] {
        if !text.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            text.push_str(&format!("{key}: {value}\n"));
        }
    }
    text
}

/// Those of examples too: examples/gitops starts a reconciler, and commits.
#[tokio::test]
async fn every_session_prints_what_it_says() {
    let mut ran = 0;
    for mut document in Document::all() {
        let mut shell = Shell::new();
        if document.path.starts_with("examples/") {
            shell.copy(root().join(&document.path).parent().unwrap());
        }
        ran += sessions(&mut shell, &mut document, "").await;
    }
    assert!(ran > 0, "no session found");
}

/// Runs the sessions of a document that bear a mark; answers how many.
async fn sessions(shell: &mut Shell, document: &mut Document, mark: &str) -> usize {
    let mut ran = 0;
    let mut updates = Vec::new();
    for block in document.blocks() {
        match (block.language.as_str(), block.mark.as_str()) {
            ("yaml", file) if !file.is_empty() && file != CASES => shell.write(file, &block.text),
            ("console", given) if given == mark => {
                let found = session(shell, document, &block).await;
                ran += 1;
                if !alike(shell, &block.text, &found) {
                    let place = document.place(&block);
                    assert!(updating(), "{place} says\n{}\nbut this is found\n{found}", block.text);
                    updates.push((block.range, found));
                }
            }
            _ => {}
        }
    }
    if !updates.is_empty() {
        document.rewrite(updates);
    }
    ran
}

/// From an empty folder to a conflict that a new strategy decides, with the SDK of this repository.
#[tokio::test]
async fn the_first_strategy_is_made_as_it_says() {
    let Some(counter) = guests::component("counter") else { return };
    let mut shell = Shell::new();
    // The shell's folder is like a checkout.
    std::os::unix::fs::symlink(root().join("plugins").canonicalize().unwrap(), shell.folder().join("plugins")).unwrap();
    for (name, value) in guests::like_the_samples() {
        shell.set(name, &value);
    }
    let _turn = guests::turn();
    let mut document = Document::open("plugins/README.md");
    assert!(sessions(&mut shell, &mut document, "plugins").await > 0, "no session found");
    // The cases that it shows are those of a sample.
    for block in document.blocks().iter().filter(|block| block.mark == CASES) {
        shell.write("shown.yaml", &block.text);
        let tested = shell.run(&format!("berqenas plugin test {} --cases shown.yaml", counter.display())).await;
        assert_eq!(tested.code, 0, "{}: {}", document.place(block), tested.text);
    }
}

/// Runs the commands of a block; answers the block as it should be.
async fn session(shell: &mut Shell, document: &Document, block: &Block) -> String {
    let mut found = String::new();
    let commands: Vec<&str> = block.text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    for (number, command) in commands.iter().enumerate() {
        let answer = shell.run(command).await;
        let code_is_shown = commands.get(number + 1).is_some_and(|next| *next == "echo $?");
        assert!(answer.code == 0 || code_is_shown, "{}: {command}: {}\n{}", document.place(block), answer.code, answer.text);
        found.push_str(&format!("$ {command}\n{}", shell.shown(&answer.text)));
        if !found.ends_with('\n') {
            found.push('\n');
        }
    }
    found
}

/// Whether two texts are the same where nothing differs from run to run; `…` alone on a line of the first stands for any lines.
fn alike(shell: &Shell, written: &str, found: &str) -> bool {
    let (written, found) = (shell.mask(written), shell.mask(found));
    let (written, found): (Vec<&str>, Vec<&str>) =
        (written.lines().map(str::trim_end).collect(), found.lines().map(str::trim_end).collect());
    let mut rest = &found[..];
    for (number, part) in written.split(|line| *line == "…").enumerate() {
        let at = match number {
            0 if rest.starts_with(part) => 0,
            0 => return false,
            _ => match rest.windows(part.len().max(1)).position(|lines| part.is_empty() || lines == part) {
                Some(at) => at,
                None => return part.is_empty(),
            },
        };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || written.last() == Some(&"…")
}

#[test]
fn an_ellipsis_stands_for_any_lines() {
    let shell = Shell::new();
    let check = |written: &str, found: &str, expected| assert_eq!(alike(&shell, written, found), expected, "{written:?} {found:?}");
    check("a\nb", "a\nb", true);
    check("a\nb", "a\nc", false);
    check("a", "a\nb", false);
    check("a\n…\nd", "a\nb\nc\nd", true);
    check("a\n…\nd", "a\nd", true);
    check("a\n…\nd", "a\nb", false);
    check("a\n…", "a\nb\nc", true);
    check("took 12ms", "took 0.3s", true);
}

#[tokio::test]
async fn the_demo_prints_what_is_shown_of_it_and_its_commands_work() {
    let mut shell = Shell::new();
    let story = shell.run("berqenas demo").await;
    assert_eq!(story.code, 0, "{}", story.text);
    let masked = mask(&story.text);
    for document in Document::all() {
        for block in document.blocks().iter().filter(|block| block.language == "console" && block.mark == "demo") {
            assert!(masked.contains(&mask(&block.text)), "{}: the demo prints\n{}", document.place(block), story.text);
        }
    }
    let (_, next) = story.text.split_once("What to try next").unwrap();
    let commands: Vec<&str> = next.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(commands.len() >= 6, "{next}");
    for command in commands {
        let answer = shell.run(command).await;
        assert_eq!(answer.code, 0, "{command}\n{}", answer.text);
        if command.contains(" sync bidirectional ") {
            assert!(answer.text.contains("✓ Success: 1 record"), "what the demo suggests to write is carried: {}", answer.text);
        }
    }
}

#[test]
fn the_first_two_commands_are_the_first_two() {
    let commands: Vec<String> = Document::open("README.md")
        .blocks()
        .iter()
        .filter(|block| block.language == "sh")
        .flat_map(|block| block.text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned()).collect::<Vec<_>>())
        .collect();
    assert_eq!(commands[..2], ["cargo run --release -- demo", "tests/run"]);
}

#[test]
fn the_watch_folder_of_a_fresh_clone_is_valid() {
    let mut shell = Shell::new();
    let specs = root().join("specs").canonicalize().unwrap();
    shell.set("BERQENAS_SPECS", &specs.display().to_string());
    let answer = futures::executor::block_on(shell.run("berqenas validate"));
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(answer.text.contains("1 spec, no faults"), "{}", answer.text);
}

#[test]
fn the_spec_reference_has_every_key_of_the_schema() {
    let mut document = Document::open("README.md");
    let range: Range<usize> = document.generated("spec reference");
    let table = spec_reference(&spec::schema());
    if document.text[range.clone()] != table {
        assert!(updating(), "README.md: the spec reference is out of date: run UPDATE_EXPECT=1 cargo test -p berqenas --test it docs::");
        document.rewrite(vec![(range, table)]);
    }
}

/// A table of every key: where it stands, its default, what it means.
fn spec_reference(schema: &Value) -> String {
    let mut text = String::from("| key | default | meaning |\n|---|---|---|\n");
    describe(schema, schema, "", &mut text);
    text
}

fn describe(schema: &Value, object: &Value, parents: &str, text: &mut String) {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, key) in object["properties"].as_object().unwrap() {
        let default = match &key["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => "–".to_owned(),
            Value::String(default) => format!("`{default}`"),
            default => format!("`{default}`"),
        };
        let entry = entry(schema, key);
        let meaning = key["description"].as_str().unwrap().trim_end_matches('.');
        text.push_str(&format!("| `{parents}{name}` | {default} | {meaning}{}. |\n", words(schema, entry).unwrap_or_default()));
        let fields =
            |entry: &'_ Value| entry["anyOf"].as_array().and_then(|forms| forms.iter().find(|form| form.get("$ref").is_some()).cloned());
        let fields = fields(entry).map_or(entry.clone(), |form| self::entry(schema, &form).clone());
        // Both sides, and both levels of `strategy` and `bookkeeping`, are of one form: it is told once.
        let told = matches!((parents, name.as_str()), ("", "local") | ("tables[].", "strategy" | "bookkeeping"));
        if fields["properties"].is_object() && !told {
            let each = if key["type"] == "array" {
                "[]"
            } else if key["additionalProperties"].is_object() {
                ".NAME"
            } else {
                ""
            };
            describe(schema, &fields, &format!("{parents}{name}{each}."), text);
        }
    }
}

/// What a key's value is: the definition it, or its items, refer to.
fn entry<'a>(schema: &'a Value, key: &'a Value) -> &'a Value {
    let target = [key, &key["items"], &key["additionalProperties"]].into_iter().find_map(|holder| holder["$ref"].as_str());
    target.and_then(|target| schema.pointer(target.trim_start_matches('#'))).unwrap_or(key)
}

/// The words that may stand there, each with its meaning.
fn words(schema: &Value, choice: &Value) -> Option<String> {
    // Words, or a text that is none of them.
    if let Some([listed, free]) = choice["anyOf"].as_array().map(Vec::as_slice)
        && free["type"] == "string"
    {
        let meaning = free["description"].as_str().unwrap().trim_end_matches('.').to_lowercase();
        return Some(format!("{}, {meaning}", words(schema, entry(schema, listed))?));
    }
    let forms = choice["oneOf"].as_array()?;
    let word = |form: &Value| {
        let meaning = form["description"].as_str().unwrap().trim_end_matches('.');
        let (first, rest) = meaning.split_at(meaning.chars().next().map_or(0, char::len_utf8));
        format!("`{}` ({}{rest})", form["const"].as_str().unwrap(), first.to_lowercase())
    };
    Some(format!(": {}", forms.iter().map(word).collect::<Vec<_>>().join(", ")))
}

/// The script in README makes a login that can sync and no more is needed.
#[tokio::test]
async fn the_grants_are_enough() {
    let blocks = Document::open("README.md").blocks();
    let script = &blocks.iter().find(|block| block.mark == "postgres grants").unwrap().text;
    let postgres = TestPostgres::get();
    let url = postgres.database("grants", Locale::C).await;
    let database = url.rsplit('/').next().unwrap();
    // One cluster serves all tests: the login is this test's own.
    let role = format!("berqenas_{database}");
    let script = script.replace("TO berqenas;", &format!("TO {role};")).replace("ROLE berqenas ", &format!("ROLE {role} "));
    let script = script.replace("'a-long-password'", "'long'").replace("DATABASE erp", &format!("DATABASE {database}"));
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let table = "CREATE TABLE customers (customer_id int PRIMARY KEY, name text NOT NULL)";
    sqlx::raw_sql(table).execute(&mut admin).await.unwrap();

    let mut shell = Shell::new();
    let spec = |user: &str, password: &str| {
        let bare = postgres.url(user, password, database);
        format!("version: 1\nname: office\nid: 1\ncloud: {bare}\nlocal: sqlite://../local.db\ntables: [customers]\n")
            .replace(&format!(":{password}@"), ":${PASSWORD}@")
    };
    shell.sql("local.db", table).await;
    shell.write("specs/office.yaml", &spec(crate::support::postgres::USER, crate::support::postgres::PASSWORD));
    shell.set("PASSWORD", crate::support::postgres::PASSWORD);
    let prepared = shell.run("berqenas sync prepare office --apply").await;
    assert_eq!(prepared.code, 0, "{}", prepared.text);

    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut admin).await.unwrap();
    shell.write("specs/office.yaml", &spec(&role, "long"));
    shell.set("PASSWORD", "long");
    shell.sql("local.db", "INSERT INTO customers (customer_id, name) VALUES (1, 'Kaya')").await;
    for command in ["berqenas sync test-connection office", "berqenas sync bidirectional office"] {
        let answer = shell.run(command).await;
        assert_eq!(answer.code, 0, "{command}\n{}", answer.text);
        assert!(
            !answer.text.contains("right missing") && !answer.text.contains("right advised") && !answer.text.contains("warning"),
            "{command}\n{}",
            answer.text
        );
    }
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM customers").fetch_all(&mut admin).await.unwrap();
    assert_eq!(names, ["Kaya"]);
}

/// ARCHITECTURE.md names walls that are tested, all of them, and files that are there.
#[test]
fn the_architecture_is_the_one_of_the_sources() {
    let text = Document::open("ARCHITECTURE.md").text;
    let tidy = std::fs::read_to_string(root().join("tests/it/tidy.rs")).unwrap();
    let named: Vec<&str> = text.split("`tidy::").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    for name in &named {
        assert!(tidy.contains(&format!("fn {name}()")), "there is no test tidy::{name}");
    }
    for wall in ["core_is_pure", "rooms_keep_their_doors_shut", "drivers_and_sql_stay_in_their_rooms", "only_cli_prints"] {
        assert!(named.contains(&wall), "ARCHITECTURE.md does not name the wall {wall}");
    }
    let rooms = ["", "reconciler/app/src", "reconciler/core/src", "tests", "tests/it"].map(|folder| root().join(folder));
    let words = text.split('`').skip(1).step_by(2);
    for word in words.filter(|word| word.contains('.') && !word.contains(' ') && !word.contains('*')) {
        let file = word.split("::").next().unwrap();
        let is_file = [".rs", ".toml", ".md", ".sql"].iter().any(|extension| file.ends_with(extension));
        assert!(!is_file || rooms.iter().any(|room| room.join(file).exists()), "there is no {file}");
    }
}

/// Programs rely on the reasons of conditions: README lists each, and none that is not there.
#[test]
fn every_reason_of_a_condition_is_listed() {
    let literal = Regex::new(r#""([A-Z][a-z]+(?:[A-Z][a-z]+)*)""#).unwrap();
    let sources = [
        "core/src/agenda/conditions.rs",
        "app/src/engine/standing.rs",
        "app/src/engine/status.rs",
        "app/src/reconcile/mod.rs",
        "app/src/reconcile/source.rs",
    ];
    let mut reasons = std::collections::BTreeSet::new();
    for source in sources {
        let text = std::fs::read_to_string(root().join("reconciler").join(source)).unwrap();
        reasons.extend(literal.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let listed = &readme[readme.find("What a reason can be").unwrap()..readme.find("### Alerts").unwrap()];
    let kinds = ["Ready", "Reconciling", "Stalled", "Drifted", "ConflictsPending", "Suspended"];
    let listed: std::collections::BTreeSet<String> =
        Regex::new("`([A-Za-z]+)`").unwrap().captures_iter(listed).map(|found| found[1].to_owned()).collect();
    let missing: Vec<_> = reasons.iter().filter(|reason| !listed.contains(*reason)).collect();
    let gone: Vec<_> = listed.iter().filter(|reason| !reasons.contains(*reason) && !kinds.contains(&reason.as_str())).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in README: {missing:?}; not in the sources: {gone:?}");
}
