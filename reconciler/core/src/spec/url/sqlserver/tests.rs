//! Addresses in either form, and what is refused of them. Keys are those of `SqlConnection.ConnectionString` in Microsoft's documentation.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{super::check as check_url, *};
use crate::shape::Engine;

/// What a text means, as a URL: with its password.
fn normal(text: &str) -> Result<String, UrlError> {
    parse(text).map(|login| login.address.to_url(login.password.as_deref()))
}

#[test]
fn both_forms_end_in_one() {
    for (text, expected) in [
        ("mssql://erp:pw@db", "mssql://erp:pw@db"),
        ("sqlserver://erp:pw@db:1433/shop", "mssql://erp:pw@db:1433/shop"),
        ("mssql://erp@db/shop?encrypt=true&trust=false", "mssql://erp@db/shop"),
        ("mssql://erp@db/shop?encrypt=STRICT&trust=true", "mssql://erp@db/shop?encrypt=strict&trust=true"),
        ("mssql://erp@db/?encrypt=false&trust=certs/ca.pem", "mssql://erp@db?encrypt=false&trust=certs%2Fca.pem"),
        (
            "mssql://erp@10.0.0.5/shop?instance=SQLEXPRESS&host_name_in_certificate=db.example.com&app=office",
            "mssql://erp@10.0.0.5/shop?instance=SQLEXPRESS&host_name_in_certificate=db.example.com&app=office",
        ),
        ("mssql://d%C3%BCz%20ad:p%40%2F%3A%25@[::1]:14330/a%2Fb%20c", "mssql://d%C3%BCz%20ad:p%40%2F%3A%25@[::1]:14330/a%2Fb%20c"),
        ("Server=db;User Id=erp;Password=pw", "mssql://erp:pw@db"),
        ("server = tcp:db.example.com,1433 ; initial catalog = shop ; uid = erp ; pwd = pw ; ", "mssql://erp:pw@db.example.com:1433/shop"),
        ("Data Source=db\\SQLEXPRESS;User=erp;Encrypt=Mandatory", "mssql://erp@db?instance=SQLEXPRESS"),
        (
            "Addr=db\\BRANCH,5000;User ID=erp;Encrypt=optional;TrustServerCertificate=yes",
            "mssql://erp@db:5000?encrypt=false&trust=true&instance=BRANCH",
        ),
        ("Address=(local);UID=erp;TrustServerCertificate=false;ServerCertificate=ca.pem", "mssql://erp@localhost?trust=ca.pem"),
        ("Network Address=.;UID=erp;Integrated Security=false;Authentication=Sql Password", "mssql://erp@localhost"),
        (
            "Server=tcp:::1,1433;UID=erp;Application Name=office;Host Name In Certificate=db",
            "mssql://erp@[::1]:1433?host_name_in_certificate=db&app=office",
        ),
        ("Server=db;UID=erp;HostNameInCertificate=x;Encrypt=Strict", "mssql://erp@db?encrypt=strict&host_name_in_certificate=x"),
        ("Server=db;UID='e;r\"p''s';PWD=\"a;b'c\"\"d \"", "mssql://e%3Br%22p%27s:a%3Bb%27c%22d%20@db"),
    ] {
        assert_eq!(normal(text).as_deref(), Ok(expected), "{text}");
        assert_eq!(normal(expected).as_deref(), Ok(expected), "{text}: read back");
    }
}

#[test]
fn what_is_refused_says_why_and_no_secret() {
    for (text, expected) in [
        ("mssql://erp:s3cret@db/a/b", "the path must be the name of a database, and nothing more"),
        ("mssql://erp@db?password=s3cret", "the URL holds a password"),
        ("mssql://erp@db?encrypt=s3cret", "encrypt must be true, strict or false"),
        ("mssql://erp@db?sslmode=s3cret&s3cret=x", "keys that mean nothing here: one that is not shown, one that is not shown"),
        ("mssql:///shop", "names no server"),
        ("mssql://db/shop", "names no login"),
        ("mssql://erp@db?trust=a&trust=b", "the trust in certificates is given twice"),
        ("Server=db;UID=erp;PWD=pa;s3cret=1", "one that is not shown"),
        ("Server=db;UID=erp;PWD=pa;s3cret", "cannot be taken apart"),
        ("Server=db;UID=erp;PWD='s3cret", "cannot be taken apart"),
        ("Server=db;UID=erp;PWD='s3cret'x", "cannot be taken apart"),
        ("Server=db;UID=erp;Data Source=s3cret", "the server is given twice"),
        ("Server=db;UID=erp;User=s3cret", "the login is given twice"),
        ("Server=db;UID=erp;TrustServerCertificate=true;ServerCertificate=s3cret", "the trust in certificates is given twice"),
        ("Server=db;UID=erp;TrustServerCertificate=s3cret", "TrustServerCertificate must be true or false"),
        ("Server=db;Integrated Security=SSPI", "none of the server's own"),
        ("Server=db;Trusted_Connection=True", "none of the server's own"),
        ("Server=db;UID=erp;Authentication=Active Directory Default", "none of the server's own"),
        ("Server=db;UID=erp;Connect Timeout=30", "a time limit of its own"),
        (
            "Server=db;UID=erp;MultipleActiveResultSets=False;Persist Security Info=False",
            ": MultipleActiveResultSets, Persist Security Info",
        ),
        ("Server=np:\\\\db\\pipe;UID=erp", "not named by a host that TCP reaches"),
        ("Server=(localdb)\\MSSQLLocalDB;UID=erp", "not named by a host that TCP reaches"),
        ("Server=db,s3cret;UID=erp", "the port must be a number from 1 to 65535"),
        ("Server=;UID=erp", "names no server"),
        ("Server=db;PWD=s3cret", "names no login"),
    ] {
        let error = normal(text).unwrap_err();
        let told = format!("{error} {:?}", error.hint());
        assert!(told.contains(expected) && !told.contains("s3cret"), "{text}: {told}");
    }
}

#[test]
fn a_spec_holds_no_password_and_variables_may_stand_anywhere() {
    for text in [
        "mssql://erp:${PW}@${HOST}:${PORT}/${DB}?encrypt=${ENCRYPT}&trust=${CA}",
        "Server=tcp:${HOST},${PORT};Database=${DB};User Id=${USER};Password=${PW};Encrypt=${E};TrustServerCertificate=${T}",
        "Server=db;UID=erp;PWD='${PW}'",
        "Server=db;UID=erp",
    ] {
        assert_eq!(check_url(text), Ok(Some(Engine::SqlServer)), "{text}");
    }
    for (text, expected) in [
        ("mssql://erp:s3cret@db", UrlError::Password),
        ("Server=db;UID=erp;Password=s3cret", UrlError::Password),
        ("Server=db;UID=erp;PWD=s3${PW}", UrlError::Password),
        ("Server=db;UID=erp;PWD={your_password}", UrlError::Password),
        ("Server=${;UID=erp", UrlError::Variable),
        ("Driver={ODBC Driver 18 for SQL Server};Server=db;UID=erp", UrlError::Keys(vec!["Driver".into()])),
        ("mssql://erp@db?sslmode=require", UrlError::Keys(vec!["sslmode".into()])),
        ("host=db dbname=shop", UrlError::NoScheme),
    ] {
        assert_eq!(check_url(text), Err(expected), "{text}");
    }
    assert!(super::super::has_password("Server=db;UID=erp;PWD=${PW}") && !super::super::has_password("Server=db;UID=erp"));
}

#[test]
fn the_port_is_the_usual_one_unless_an_instance_is_named() {
    for (text, port) in [("mssql://u@db", Some(1433)), ("mssql://u@db:99?instance=X", Some(99)), ("mssql://u@db?instance=X", None)] {
        assert_eq!(parse(text).unwrap().address.tcp_port(), port, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_name_and_password_come_through(user in "\\PC{1,12}", password in "\\PC{1,12}", database in "\\PC{1,12}", ado in any::<bool>()) {
        let address = SqlServerAddress { host: "db".into(), user: Some(user), database: Some(database), ..SqlServerAddress::default() };
        let text = if ado {
            let quoted = |text: &Option<String>| format!("\"{}\"", text.as_deref().unwrap_or_default().replace('"', "\"\""));
            let parts = [quoted(&address.user), quoted(&Some(password.clone())), quoted(&address.database)];
            format!("Server=db;User Id={};Password={};Database={}", parts[0], parts[1], parts[2])
        } else {
            address.to_url(Some(&password))
        };
        let read = parse(&text).unwrap();
        prop_assert_eq!(read.address, address);
        prop_assert_eq!(read.password, Some(password));
    }

    #[test]
    fn no_text_makes_it_panic(text in "(Server|mssql://|PWD|[=;'\"@:/?\\\\,${}a1 ]){0,30}") {
        let _found = (parse(&text), check_url(&text));
    }
}
