//! Servers that fail: what the endpoint makes of it, how long that takes it, and that it goes on.
//!
//! The server is a script ([`TestTds`]): no machine needs one of its own for this.

use std::{
    error::Error as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use berqenas::endpoint::{ConnectOptions, Endpoint as _, EndpointError, Result, sqlserver::SqlServerEndpoint};
use berqenas_core::spec::LedgerMode;

use crate::support::tds::{Act, CERTIFICATE, Cell, Kind, Request, TestTds, Tls, error, go_to, table};

const PASSWORD: &str = "correct-Horse7";
/// Longer than anything here takes that is not meant to wait, even on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(2);
/// What a call may take beyond its limit.
const GRACE: Duration = Duration::from_secs(1);
/// What the server's clock shows.
const CLOCK: i64 = 1_768_404_600_000_000;

fn options(url: String, ca_file: Option<PathBuf>) -> ConnectOptions {
    let display = "shop at the test server".to_owned();
    ConnectOptions { url: url.into(), display, schema: None, ca_file, timeout: LIMIT, ledger: LedgerMode::Table }
}

async fn connect(server: &TestTds, parameters: &str) -> Result<SqlServerEndpoint> {
    connect_with(server, parameters, None).await
}

async fn connect_with(server: &TestTds, parameters: &str, ca_file: Option<PathBuf>) -> Result<SqlServerEndpoint> {
    let url = format!("mssql://ada:{PASSWORD}@localhost:{}/shop?{parameters}", server.port);
    SqlServerEndpoint::connect(options(url, ca_file)).await
}

/// What a server does that nothing troubles: it tells its version, who the login is in the database, and its clock.
fn healthy(request: &Request) -> Vec<Act> {
    let Request::Statement(text) = request else { return vec![Act::Usual] };
    if text.contains("ProductVersion") {
        let columns = [("", Kind::Whole), ("", Kind::Whole), ("", Kind::Whole), ("", Kind::Text), ("", Kind::Text)];
        let cells = [Cell::Whole(16), Cell::Whole(3), Cell::Whole(1), Cell::Text("dbo"), Cell::Text("ada")];
        return vec![Act::Answer(table(&columns, &[&cells]))];
    }
    if is_clock(request) { vec![Act::Answer(clock())] } else { vec![Act::Usual] }
}

fn is_clock(request: &Request) -> bool {
    matches!(request, Request::Statement(text) if text.contains("SYSUTCDATETIME"))
}

fn clock() -> Vec<u8> {
    table(&[("", Kind::Whole)], &[&[Cell::Whole(CLOCK)]])
}

/// The kind of an error, in a word; its words, and those of all behind it, give no secret away.
#[track_caller]
fn kind(fault: &EndpointError) -> &'static str {
    let mut told = format!("{fault} {fault:?}");
    let mut source = fault.source();
    while let Some(cause) = source {
        told = format!("{told} {cause} {cause:?}");
        source = cause.source();
    }
    assert!(!told.contains(PASSWORD), "{told}");
    assert!(told.contains("shop at the test server"), "{told}");
    match fault {
        EndpointError::Connect { .. } => "connect",
        EndpointError::Login { user, .. } if user == "ada" => "login",
        EndpointError::Timeout { seconds, .. } if *seconds == LIMIT.as_secs() => "timeout",
        EndpointError::Transient { .. } => "transient",
        EndpointError::Unexpected { .. } => "unexpected",
        _ => panic!("{fault:?}"),
    }
}

fn bytes(text: &str) -> Act {
    Act::Bytes(text.as_bytes().to_vec())
}

/// A web server, where a database was meant.
const WEB: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

/// What becomes of a connection attempt whose PRELOGIN or LOGIN is answered so.
#[tokio::test]
async fn a_connection_that_cannot_be_made_says_why() {
    let refused = |number, words| vec![Act::Answer(error(number, 14, words)), Act::Cut];
    for (at_login, acts, expected) in [
        (true, refused(18456, "Login failed for user 'ada'."), "login"),
        (true, refused(18488, "Login failed for user 'ada'. Reason: The password of the account must be changed."), "login"),
        (true, refused(18486, "Login failed for user 'ada' because the account is currently locked out."), "login"),
        (true, refused(4060, "Cannot open database \"shop\" requested by the login. The login failed."), "connect"),
        (true, refused(18401, "Login failed for user 'ada'. Reason: Server is in script upgrade mode."), "transient"),
        (true, vec![Act::Cut], "connect"),
        (true, vec![Act::Begin(error(18456, 14, "Login failed")[..20].to_vec()), Act::Cut], "connect"),
        (true, vec![], "timeout"),
        (false, vec![Act::Cut], "connect"),
        (false, vec![], "timeout"),
        (false, vec![bytes(WEB), Act::Cut], "connect"),
        (false, vec![bytes(WEB)], "timeout"),
        // Its encryption stands where the message is over.
        (false, vec![Act::Answer(vec![1, 0, 200, 0, 1, 0xFF])], "connect"),
    ] {
        let (script, about) = (acts.clone(), format!("{at_login}: {acts:?}"));
        let server = TestTds::play(Tls::Offered, move |_, request| match request {
            Request::Prelogin { .. } if !at_login => script.clone(),
            Request::Login { .. } if at_login => script.clone(),
            other => healthy(other),
        });
        let begun = Instant::now();
        let fault = connect(&server, "encrypt=false").await.unwrap_err();
        assert_eq!(kind(&fault), expected, "{about}: {fault:?}");
        assert!(begun.elapsed() < LIMIT + GRACE, "{about} took {:?}", begun.elapsed());
        assert_eq!(server.connections(), 1, "{about}");
    }
}

#[tokio::test]
async fn nobody_is_there() {
    let port = crate::support::postgres::free_port();
    let url = format!("mssql://ada:{PASSWORD}@127.0.0.1:{port}/shop?encrypt=false");
    let fault = SqlServerEndpoint::connect(options(url, None)).await.unwrap_err();
    assert_eq!(kind(&fault), "connect", "{fault:?}");
}

/// What each way to ask for TLS comes to, with servers that offer it or do not, and a certificate that nobody trusts who is not told to.
#[tokio::test]
async fn a_connection_is_as_safe_as_it_was_asked_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, CERTIFICATE).unwrap();
    let trusted = format!("trust={}", file.display());
    for (tls, parameters, expected) in [
        (Tls::No, "encrypt=true".to_owned(), Some("connect")),
        (Tls::No, "encrypt=strict".to_owned(), Some("connect")),
        (Tls::No, "".to_owned(), Some("connect")),
        // It would be let in, and says nothing in the clear all the same.
        (Tls::No, "encrypt=false".to_owned(), Some("connect")),
        (Tls::Offered, "encrypt=true".to_owned(), Some("connect")),
        (Tls::Offered, "".to_owned(), Some("connect")),
        (Tls::Required, "encrypt=true&trust=false".to_owned(), Some("connect")),
        (Tls::Offered, "encrypt=true&trust=true".to_owned(), None),
        (Tls::Offered, format!("encrypt=true&{trusted}"), None),
        (Tls::Offered, format!("encrypt=false&{trusted}"), None),
        // Whoever has nothing to hide asks for no proof.
        (Tls::Offered, "encrypt=false".to_owned(), None),
        (Tls::Required, trusted.clone(), None),
    ] {
        let server = TestTds::play(tls, |_, request| healthy(request));
        let begun = Instant::now();
        let endpoint = connect(&server, &parameters).await;
        assert!(begun.elapsed() < LIMIT + GRACE, "{tls:?}, {parameters} took {:?}", begun.elapsed());
        match (endpoint, expected) {
            (Ok(endpoint), None) => assert_eq!(endpoint.clock().await.unwrap(), CLOCK, "{tls:?}, {parameters}"),
            (Err(fault), Some(expected)) => assert_eq!(kind(&fault), expected, "{tls:?}, {parameters}: {fault:?}"),
            (endpoint, _) => panic!("{tls:?}, {parameters}: {:?}", endpoint.map(drop)),
        }
        // Whoever cannot be trusted is not told the password.
        let told = server.asked().iter().any(|(_, request)| matches!(request, Request::Login { .. }));
        assert_eq!(told, expected.is_none(), "{tls:?}, {parameters}");
    }
    let server = TestTds::play(Tls::Offered, |_, request| healthy(request));
    let endpoint = connect_with(&server, "encrypt=true", Some(file)).await.unwrap();
    assert_eq!(endpoint.clock().await.unwrap(), CLOCK, "an authority that the spec names");
}

#[tokio::test]
async fn a_redirect_is_followed_and_a_ring_of_them_is_not() {
    let there = TestTds::play(Tls::Offered, |_, request| healthy(request));
    let port = there.port;
    let here = TestTds::play(Tls::Offered, move |_, request| match request {
        Request::Login { .. } => vec![Act::Answer(go_to("localhost", port))],
        other => healthy(other),
    });
    let endpoint = connect(&here, "encrypt=false").await.unwrap();
    assert_eq!(endpoint.clock().await.unwrap(), CLOCK);
    assert_eq!((here.connections(), there.connections()), (1, 1));

    let other = crate::support::postgres::free_port();
    let gone = TestTds::play(Tls::Offered, move |_, request| match request {
        Request::Login { .. } => vec![Act::Answer(go_to("localhost", other))],
        other => healthy(other),
    });
    assert_eq!(kind(&connect(&gone, "encrypt=false").await.unwrap_err()), "connect");

    let ring = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(0));
    let next = std::sync::Arc::clone(&ring);
    let server = TestTds::play(Tls::Offered, move |_, request| match request {
        Request::Login { .. } => vec![Act::Answer(go_to("localhost", next.load(std::sync::atomic::Ordering::SeqCst)))],
        other => healthy(other),
    });
    ring.store(server.port, std::sync::atomic::Ordering::SeqCst);
    let fault = connect(&server, "encrypt=false").await.unwrap_err();
    assert_eq!(kind(&fault), "unexpected", "{fault:?}");
    assert!(server.connections() < 10, "{} connections", server.connections());
}

/// An endpoint over a server that fails at the first question for the clock, and at no later one.
async fn failing_once(acts: Vec<Act>) -> (TestTds, SqlServerEndpoint) {
    let failed = std::sync::atomic::AtomicBool::new(false);
    let server = TestTds::play(Tls::Offered, move |_, request| match request {
        // An attention is never acknowledged.
        Request::Attention => vec![],
        request if is_clock(request) && !failed.swap(true, std::sync::atomic::Ordering::SeqCst) => acts.clone(),
        other => healthy(other),
    });
    let endpoint = connect(&server, "encrypt=false").await.unwrap();
    (server, endpoint)
}

/// What becomes of a call whose statement is answered so; then the next one works, over a new connection where the old one is lost.
#[tokio::test]
async fn a_call_that_fails_says_why_and_the_next_one_works() {
    let answer = clock();
    let head = answer[..8].to_vec();
    // Without DONE, and the last bytes of the only row.
    let amid_a_row = answer[..answer.len() - 13 - 4].to_vec();
    let after_a_row = answer[..answer.len() - 13].to_vec();
    for (acts, expected, connections) in [
        (vec![Act::Cut], "transient", 2),
        (vec![Act::Begin(head), Act::Cut], "transient", 2),
        (vec![Act::Begin(amid_a_row.clone()), Act::Cut], "transient", 2),
        (vec![Act::Begin(after_a_row.clone()), Act::Cut], "transient", 2),
        (vec![Act::Answer(error(1205, 13, "Transaction (Process ID 52) was deadlocked."))], "transient", 1),
        (vec![Act::Answer(error(1222, 16, "Lock request time out period exceeded."))], "transient", 1),
        (
            vec![Act::Answer(error(596, 21, "Cannot continue the execution because the session is in the kill state.")), Act::Cut],
            "transient",
            2,
        ),
        (vec![], "timeout", 2),
        (vec![Act::Begin(amid_a_row)], "timeout", 2),
        (vec![Act::Begin(after_a_row), Act::Wait(LIMIT + GRACE)], "timeout", 2),
        (vec![bytes(WEB), Act::Cut], "transient", 2),
        (vec![Act::Answer(vec![0x00; 40])], "transient", 2),
    ] {
        let about = format!("{acts:?}");
        let (server, endpoint) = failing_once(acts).await;
        let begun = Instant::now();
        let fault = endpoint.clock().await.unwrap_err();
        assert_eq!(kind(&fault), expected, "{about}: {fault:?}");
        assert!(begun.elapsed() < LIMIT + GRACE, "{about} took {:?}", begun.elapsed());
        for _ in 0..5 {
            assert_eq!(endpoint.clock().await.unwrap(), CLOCK, "{about}");
        }
        assert_eq!(server.connections(), connections, "{about}");
        assert!(!format!("{endpoint:?}").contains(PASSWORD), "{about}");
    }
}

/// Whoever gives a call up leaves a connection amid an answer; nobody after them is given it, or the rest of that answer.
#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing_behind() {
    let late = table(&[("", Kind::Whole)], &[&[Cell::Whole(CLOCK - 1)]]);
    for acts in [vec![], vec![Act::Wait(Duration::from_millis(300)), Act::Answer(late)]] {
        let (server, endpoint) = failing_once(acts).await;
        assert!(tokio::time::timeout(Duration::from_millis(100), endpoint.clock()).await.is_err());
        for _ in 0..5 {
            assert_eq!(endpoint.clock().await.unwrap(), CLOCK);
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        assert_eq!(server.connections(), 2);
    }
}
