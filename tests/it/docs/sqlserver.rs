//! What is written for those who have an SQL Server: examples/erp-office, and the grants in README.

use berqenas_core::spec::url::sqlserver::parse;

use regex::Regex;

use super::sessions;
use crate::{
    expect::root,
    support::{
        markdown::Document,
        postgres::{Locale, TestPostgres},
        shell::Shell,
        sqlserver::{TestSqlServer, batches},
        world::meanwhile,
    },
};

const README: &str = "examples/erp-office/README.md";
const SPEC: &str = "specs/musteri_erp.yaml";

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join("examples/erp-office").join(file)).unwrap()
}

/// The office's URL, as the spec has it.
fn office() -> String {
    let spec = read(SPEC);
    let line = spec.lines().find_map(|line| line.trim().strip_prefix("url: ")).unwrap();
    line.split(" #").next().unwrap().trim().to_owned()
}

/// A shell in a copy of the example, whose spec leads to two new databases: the office's as that login, if one is given.
async fn shell(server: &'static TestSqlServer, hint: &str, login: Option<(&str, &str)>) -> Shell {
    let mut shell = Shell::new();
    shell.copy(&root().join("examples/erp-office"));
    let cloud = TestPostgres::get().database(hint, Locale::C).await;
    let database = server.database(hint);
    let mut local = url::Url::parse(database.url()).unwrap();
    let (user, password) = login.map_or_else(
        || (local.username().to_owned(), local.password().unwrap().to_owned()),
        |(user, password)| (user.to_owned(), password.to_owned()),
    );
    shell.set("CLOUD_DATABASE_URL", &cloud);
    shell.set("OFFICE_PASSWORD", &password);
    local.set_username(&user).unwrap();
    local.set_password(None).unwrap();
    shell.write(SPEC, &read(SPEC).replace(&office(), local.as_str()));
    local.set_query(None);
    shell.show_as(local.as_str(), office());
    shell.show_as(format!("[{user}]"), "[berqenas]");
    let mut cloud = url::Url::parse(&cloud).unwrap();
    cloud.set_password(None).unwrap();
    shell.show_as(cloud.as_str(), "postgres://erp@db.example.com/erp");
    shell.serve(database);
    shell
}

/// What both sides hold, in words that both engines understand, after the names of the cloud's tables and the office's.
const HELD: [(&str, &str); 5] = [
    (
        "SELECT customer_id, code, name, city, COALESCE(email, ''), COALESCE(credit_limit, 0)::numeric(19,4), active::int, is_deleted::int FROM customers ORDER BY 1",
        "SELECT CustomerID, Code, Name, City, COALESCE(Email, N''), CAST(COALESCE(RiskLimiti, 0) AS DECIMAL(19,4)), Active, is_deleted \
         FROM dbo.Customers ORDER BY 1",
    ),
    (
        "SELECT product_id, row_guid, name, unit_price, vat_rate, barcode FROM products ORDER BY 1",
        "SELECT ProductID, RowGuid, Name, UnitPrice, VatRate, Barcode FROM dbo.Products ORDER BY 1",
    ),
    (
        "SELECT product_id, warehouse, quantity, to_char(counted_at, 'YYYY-MM-DD HH24:MI:SS') FROM stock ORDER BY 1, 2",
        "SELECT ProductID, Depo, Miktar, COALESCE(CONVERT(VARCHAR(19), CountedAt, 120), '') FROM depo.Stok ORDER BY 1, 2",
    ),
    (
        "SELECT order_id, customer_id, to_char(ordered_at, 'YYYY-MM-DD HH24:MI:SS'), status, total FROM orders ORDER BY 1",
        "SELECT OrderID, CustomerID, CONVERT(VARCHAR(19), OrderedAt, 120), Status, CAST(Total AS DECIMAL(19,4)) FROM dbo.Orders ORDER BY 1",
    ),
    (
        "SELECT order_id, line_no, product_id, quantity, unit_price FROM order_items ORDER BY 1, 2",
        "SELECT OrderID, [LineNo], ProductID, Quantity, UnitPrice FROM dbo.OrderItems ORDER BY 1, 2",
    ),
];

/// Asserts that both sides hold the same, table by table, and so many rows.
async fn in_step(shell: &mut Shell, rows: [usize; 5]) {
    for ((cloud, local), count) in HELD.into_iter().zip(rows) {
        let cloud = shell.run(&format!("psql -A -t -c \"{cloud}\" \"$CLOUD_DATABASE_URL\"")).await;
        let local = shell.run(&format!("sqlcmd -h -1 -W -s \"|\" -Q \"{local}\"")).await;
        assert_eq!((cloud.text.as_str(), cloud.code), (local.text.as_str(), 0));
        assert_eq!(cloud.text.lines().count(), count, "{}", cloud.text);
    }
}

/// From empty databases through edits on both sides, a conflict, a soft delete and a hard one, to a run with nothing to do.
#[tokio::test]
async fn the_office_on_sql_server() {
    let Some(server) = TestSqlServer::get() else { return };
    let mut shell = shell(server, "erp", None).await;
    let mut document = Document::open(README);
    assert!(sessions(&mut shell, &mut document, "sqlserver").await > 0, "no session found");
    in_step(&mut shell, [4, 2, 3, 3, 3]).await;
    // What is the office's alone stays there, and what the cloud brought is numbered as the cloud numbered it.
    let office = shell.sqlserver().rows("SELECT Notes FROM dbo.Customers WHERE CustomerID IN (1, 100121) ORDER BY CustomerID").await;
    assert_eq!(office.concat(), ["-", "Vadesi 60 gün"]);
    let picture = shell.sqlserver().rows("SELECT Picture FROM dbo.Products WHERE ProductID = 789").await;
    assert_eq!(picture.concat(), ["ffd8ffe0"]);
}

/// Both ways to say where the office is, in the spec and in the README, lead to one place.
#[test]
fn both_forms_of_the_office_s_address_are_one() {
    let document = Document::open(README);
    let block = document.blocks().into_iter().find(|block| block.language == "yaml").expect("a block of YAML");
    let connection_string = block.text.lines().find_map(|line| line.trim().strip_prefix("url: ")).unwrap().to_owned();
    assert!(connection_string.starts_with("Server="), "{connection_string}");
    let (spec, shown) = (parse(&office()).unwrap(), parse(&connection_string).unwrap());
    assert_eq!(spec.address.to_url(None), shown.address.to_url(None));
}

/// What can be told of the office's script without a server: its tools would send it whole, and lose no letter of it.
#[test]
fn the_office_s_script_can_be_sent() {
    let script = read("office.sql");
    let batches = batches(&script);
    let is_alone = |batch: &&str| !batch.contains("CREATE SCHEMA") || batch.matches(';').count() == 1;
    assert!(batches.iter().all(is_alone), "CREATE SCHEMA stands alone in its batch");
    for batch in batches {
        let code: String = batch.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        assert!(code.matches('\'').count().is_multiple_of(2) && code.matches('(').count() == code.matches(')').count(), "{code}");
        let literals: Vec<&str> = code.split('\'').collect();
        for pair in literals.chunks(2).filter(|pair| pair.len() == 2 && !pair[1].is_ascii()) {
            assert!(pair[0].ends_with('N'), "{} is no Unicode text: write N'…'", pair[1]);
        }
    }
    let tables = ["dbo.Customers", "dbo.Products", "depo.Stok", "dbo.Orders", "dbo.OrderItems"];
    assert!(
        tables
            .iter()
            .all(|table| script.contains(&format!("CREATE TABLE {table} (")) && script.contains(&format!("INSERT INTO {table} (")))
    );
}

/// A login of a test's own; it is dropped with this.
struct Login {
    server: &'static TestSqlServer,
    name: String,
}

impl Drop for Login {
    fn drop(&mut self) {
        let statement = format!("DROP LOGIN {}", self.name);
        if let Err(fault) = meanwhile(async || self.server.batch(&statement).await) {
            eprintln!("{} is left behind: {fault}", self.name);
        }
    }
}

/// What a server that only speaks the language does not grant, by a part of the statement.
const NOT_EVERYWHERE: [&str; 3] = ["GRANT ALTER ON", "GRANT VIEW DEFINITION", "GRANT VIEW SERVER STATE"];

/// The script in README makes a login that can sync the example, and what it has not got yet is named before.
#[tokio::test]
async fn the_grants_are_enough() {
    const PASSWORD: &str = "a-long-Passw0rd";
    let Some(server) = TestSqlServer::get() else { return };
    let blocks = Document::open("README.md").blocks();
    let script = &blocks.iter().find(|block| block.mark == "sqlserver grants").unwrap().text;
    assert!(script.contains(PASSWORD));
    let login = Login { server, name: format!("berqenas_{}", std::process::id()) };
    let script = Regex::new(r"\bberqenas\b").unwrap().replace_all(script, &login.name);
    let statements: Vec<&str> = script.lines().filter(|line| !line.starts_with("USE ")).collect();

    let mut shell = shell(server, "grants", None).await;
    shell.sqlserver().script(&office_script(server)).await;
    let cloud = shell.run("psql -q -f cloud.sql \"$CLOUD_DATABASE_URL\"").await;
    assert_eq!(cloud.code, 0, "{}", cloud.text);
    let prepared = shell.run("berqenas sync prepare musteri_erp --apply").await;
    assert_eq!(prepared.code, 0, "{}", prepared.text);

    let (made, granted) = statements.split_at(2);
    for statement in made {
        shell.sqlserver().batch(statement).await.unwrap();
    }
    log_in(&mut shell, &login.name, PASSWORD);
    // A table that the login may do nothing with is none to it.
    shell.sqlserver().batch(&format!("GRANT SELECT ON SCHEMA::dbo TO {0}", login.name)).await.unwrap();
    shell.sqlserver().batch(&format!("GRANT SELECT ON SCHEMA::depo TO {0}", login.name)).await.unwrap();
    let told = shell.run("berqenas sync test-connection musteri_erp").await;
    let missing = rights_missing(&told.text, &login.name);
    let definition = if server.stands_in() { "" } else { ", VIEW DEFINITION" };
    for (table, rights) in
        [("[dbo].[Products]", "INSERT, UPDATE"), ("[depo].[Stok]", "INSERT, UPDATE"), ("[dbo].[OrderItems]", "INSERT, UPDATE, DELETE")]
    {
        assert!(missing.contains(&format!("GRANT {rights}{definition} ON {table} TO [LOGIN];")), "{}", told.text);
    }

    let mut skipped = Vec::new();
    for statement in granted {
        let in_master = script.split("USE master;").nth(1).unwrap().contains(statement);
        let ran = if in_master { server.batch(statement).await } else { shell.sqlserver().batch(statement).await };
        let may_be_skipped = server.stands_in() && NOT_EVERYWHERE.iter().any(|unknown| statement.starts_with(unknown));
        match ran {
            Ok(()) => {}
            Err(fault) if may_be_skipped => skipped.push(format!("{statement} ({fault})")),
            Err(fault) => panic!("{statement}: {fault}"),
        }
    }
    if !skipped.is_empty() {
        eprintln!("SKIPPED, since this server does not know them: {skipped:#?}");
    }
    let told = shell.run("berqenas sync test-connection musteri_erp").await;
    assert_eq!(told.code, 0, "{}", told.text);
    let left = rights_missing(&told.text, &login.name);
    assert!(left.iter().all(|right| !skipped.is_empty() && right.contains("GRANT VIEW SERVER STATE")), "{}", told.text);

    let ran = shell.run("berqenas sync bidirectional musteri_erp").await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    in_step(&mut shell, [4, 2, 3, 2, 3]).await;
    let cloud = shell.run("psql -q -c \"DELETE FROM order_items WHERE order_id = 1\" \"$CLOUD_DATABASE_URL\"").await;
    assert_eq!(cloud.code, 0, "{}", cloud.text);
    let ran = shell.run("berqenas sync bidirectional musteri_erp --full-sync").await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    in_step(&mut shell, [4, 2, 3, 2, 2]).await;
    let again = shell.run("berqenas plan musteri_erp --full-sync").await;
    assert!(again.text.contains("Nothing to do."), "{}", again.text);
    drop(shell);
    drop(login);
}

/// The office's script. A server that grants nobody ALTER lets nobody but its owner number rows: there people do.
fn office_script(server: &TestSqlServer) -> String {
    let script = read("office.sql");
    if !server.stands_in() {
        return script;
    }
    let mut script = Regex::new(r" IDENTITY\(\d+,1\)").unwrap().replace_all(&script, "").into_owned();
    for (columns, numbered) in [("dbo.Customers (", "dbo.Customers (CustomerID, "), ("dbo.Orders (", "dbo.Orders (OrderID, ")] {
        script = script.replace(&format!("INSERT INTO {columns}"), &format!("INSERT INTO {numbered}"));
    }
    for code in 121..=123 {
        script = script.replace(&format!("(N'C-0{code}'"), &format!("(100{code}, N'C-0{code}'"));
    }
    script.replace("(100123, '2026", "(100455, 100123, '2026")
}

/// Puts a login into the spec.
fn log_in(shell: &mut Shell, user: &str, password: &str) {
    let spec = std::fs::read_to_string(shell.folder().join(SPEC)).unwrap();
    let spec = Regex::new("mssql://[^@]+@").unwrap().replace(&spec, format!("mssql://{user}@")).into_owned();
    shell.write(SPEC, &spec);
    shell.set("OFFICE_PASSWORD", password);
}

/// The statements that are to mend rights, the login's name put aside.
fn rights_missing(told: &str, login: &str) -> Vec<String> {
    let right = |line| ["✗ right missing: ", "right advised: "].into_iter().find_map(|mark| str::strip_prefix(line, mark));
    let lines = told.lines().filter_map(|line| right(line.trim()));
    lines.map(|right| right.replace(&format!("[{login}]"), "[LOGIN]")).collect()
}
