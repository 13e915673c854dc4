//! A server that plays a script: it speaks just enough of TDS 7.4 that a client logs in and asks, and then fails it as told.
//!
//! Written after [MS-TDS], the Tabular Data Stream Protocol: packets (2.2.3.1), PRELOGIN (2.2.6.5), LOGIN7 (2.2.6.4), SQLBatch (2.2.6.7), RPC
//! requests (2.2.6.6) with their ALL_HEADERS (2.2.5.3), attention (2.2.1.7), and of the token streams (2.2.7) LOGINACK (2.2.7.14), ENVCHANGE
//! (2.2.7.9), COLMETADATA (2.2.7.4), ROW, ERROR (2.2.7.10) and DONE (2.2.7.6).

mod line;
mod requests;
mod tokens;

use std::{
    io::{ErrorKind, Result, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

pub(crate) use line::CERTIFICATE;
use line::Line;
pub(crate) use requests::Request;
pub(crate) use tokens::{Cell, Kind, and_more, done, error, go_to, table};

/// What the server does, after a request was read.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// What a server does that nothing troubles: lets everybody in, and says of each statement that it is done.
    Usual,
    /// These tokens are the whole answer.
    Answer(Vec<u8>),
    /// These bytes of tokens begin an answer that is not over.
    Begin(Vec<u8>),
    /// These bytes, which are no packet.
    Bytes(Vec<u8>),
    /// Time passes.
    Wait(Duration),
    /// The connection is cut.
    Cut,
}

/// What a server offers of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Nothing.
    No,
    /// What the client wants: all of it, or the login only.
    Offered,
    /// All of it, or no connection.
    Required,
}

/// The script: what is done at a request of a connection, the first being 1. Whoever is to go without an answer gets no acts.
type Script = dyn Fn(usize, &Request) -> Vec<Act> + Send + Sync;

/// The server. Its threads end with the test process.
pub(crate) struct TestTds {
    /// Where it listens.
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<(usize, Request)>>>,
}

/// What one connection is served with.
struct Server {
    tls: Tls,
    script: Box<Script>,
    asked: Arc<Mutex<Vec<(usize, Request)>>>,
}

impl TestTds {
    /// Listens, and plays the script.
    pub(crate) fn play(tls: Tls, script: impl Fn(usize, &Request) -> Vec<Act> + Send + Sync + 'static) -> TestTds {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let server = Arc::new(Server { tls, script: Box::new(script), asked: Arc::clone(&asked) });
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, number) = (Arc::clone(&server), count.fetch_add(1, Ordering::SeqCst) + 1);
                // A client that goes away amid a word is what some scripts are about.
                thread::spawn(move || server.serve(number, client).ok());
            }
        });
        TestTds { port, connections, asked }
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What was asked, each with the number of its connection.
    pub(crate) fn asked(&self) -> Vec<(usize, Request)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Server {
    /// Serves a connection to its end.
    fn serve(&self, number: usize, client: TcpStream) -> Result<()> {
        client.set_nodelay(true)?;
        let mut line = Line::Plain(client);
        let mut login_only = false;
        while let Some((kind, body)) = requests::message(&mut line)? {
            let request = requests::read(kind, &body)?;
            self.asked.lock().unwrap().push((number, request.clone()));
            if matches!(request, Request::Login { .. }) && login_only {
                line = line.plain();
            }
            let mut handshake = false;
            for act in (self.script)(number, &request) {
                match act {
                    Act::Usual => {
                        let offered = self.offered(&request);
                        handshake |= offered.is_some_and(|level| level != 2);
                        login_only |= offered == Some(0);
                        send(&mut line, &usual(&request, offered), true)?;
                    }
                    Act::Answer(tokens) => send(&mut line, &tokens, true)?,
                    Act::Begin(tokens) => send(&mut line, &tokens, false)?,
                    Act::Bytes(bytes) => line.write_all(&bytes).and_then(|()| line.flush())?,
                    Act::Wait(time) => thread::sleep(time),
                    Act::Cut => return Ok(()),
                }
            }
            if handshake {
                line = line.encrypted()?;
            }
        }
        Ok(())
    }

    /// What a PRELOGIN is told of encryption, in its own numbers.
    fn offered(&self, request: &Request) -> Option<u8> {
        let Request::Prelogin { encryption } = request else { return None };
        Some(match (self.tls, encryption) {
            (Tls::No, _) | (Tls::Offered, 2) => 2,
            (Tls::Offered, 0) => 0,
            (Tls::Offered, _) => 1,
            (Tls::Required, _) => 3,
        })
    }
}

/// What a server says that nothing troubles.
fn usual(request: &Request, offered: Option<u8>) -> Vec<u8> {
    match request {
        // Two options, version and encryption, and the end of their list; then their values.
        Request::Prelogin { .. } => {
            let encryption = offered.unwrap_or(2);
            vec![0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF, 16, 0, 0x10, 0x00, 0, 0, encryption]
        }
        Request::Login { database, .. } => [tokens::database_is(database), tokens::login_ack(), done()].concat(),
        Request::Statement(_) | Request::Bulk => done(),
        Request::Transaction(kind) => [tokens::transaction(*kind), done()].concat(),
        Request::Attention => tokens::attended(),
    }
}

/// Sends an answer in packets of the size that every client takes.
fn send(line: &mut Line, tokens: &[u8], ends: bool) -> Result<()> {
    let mut pieces = tokens.chunks(4096 - 8).peekable();
    let mut number = 0_u8;
    while let Some(piece) = pieces.next() {
        number = number.wrapping_add(1);
        let last = u8::from(ends && pieces.peek().is_none());
        let size = u16::try_from(piece.len() + 8).map_err(|_| ErrorKind::InvalidData)?.to_be_bytes();
        line.write_all(&[&[4, last, size[0], size[1], 0, 0, number, 0], piece].concat())?;
    }
    line.flush()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tiberius::{AuthMethod, Client, Config, EncryptionLevel, error::Error};
    use tokio::net::TcpStream;
    use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

    use super::{Act, CERTIFICATE, Cell, Kind, Request, TestTds, Tls, and_more, error, go_to, table};

    /// What the driver makes of this server.
    async fn connect(server: &TestTds, encryption: EncryptionLevel) -> tiberius::Result<Client<Compat<TcpStream>>> {
        let mut config = Config::new();
        config.host("localhost");
        config.port(server.port);
        config.database("shop");
        config.authentication(AuthMethod::sql_server("ada", "pässword"));
        config.encryption(encryption);
        config.trust_cert_ca_bundle(CERTIFICATE.as_bytes());
        let stream = TcpStream::connect(("127.0.0.1", server.port)).await?;
        Box::pin(Client::connect(config, stream.compat_write())).await
    }

    fn answer(_: usize, request: &Request) -> Vec<Act> {
        let columns = [("id", Kind::Whole), ("name", Kind::Text)];
        let rows = || table(&columns, &[&[Cell::Whole(7), Cell::Text("Ayşe 😀")], &[Cell::Null, Cell::Null]]);
        match request {
            Request::Statement(text) if text == "twice" => vec![Act::Answer([and_more(rows()), rows()].concat())],
            Request::Statement(text) if text == "wrong" => vec![Act::Answer(error(1205, 13, "chosen as the deadlock victim"))],
            Request::Statement(text) if text.starts_with("SELECT") => vec![Act::Answer(rows())],
            _ => vec![Act::Usual],
        }
    }

    /// What a driver makes of it, which others wrote: encrypted or not, it finds what the script says.
    #[tokio::test]
    async fn a_client_logs_in_and_asks() {
        use EncryptionLevel::{NotSupported, Off, Required};
        for (tls, encryption) in [
            (Tls::No, NotSupported),
            (Tls::Offered, NotSupported),
            (Tls::Offered, Off),
            (Tls::Offered, Required),
            (Tls::Required, Required),
        ] {
            let server = TestTds::play(tls, answer);
            let mut client = connect(&server, encryption).await.unwrap();
            let long = format!("SELECT '{}'", "x".repeat(9000));
            for text in ["SELECT 1", &long] {
                let rows = client.simple_query(text).await.unwrap().into_first_result().await.unwrap();
                assert_eq!((rows[0].get::<i64, _>(0), rows[0].get::<&str, _>("name")), (Some(7), Some("Ayşe 😀")));
                assert_eq!((rows[1].get::<i64, _>(0), rows[1].get::<&str, _>(1)), (None, None));
                let rows = client.query(text, &[&1]).await.unwrap().into_first_result().await.unwrap();
                assert_eq!(rows.len(), 2);
            }
            assert_eq!(client.simple_query("twice").await.unwrap().into_results().await.unwrap().len(), 2);
            let fault = client.simple_query("wrong").await.unwrap_err();
            assert!(matches!(fault, Error::Server(told) if told.code() == 1205 && told.class() == 13));
            client.begin_transaction().await.unwrap();
            client.commit_transaction().await.unwrap();
            client.close().await.unwrap();

            let login = Request::Login { user: "ada".to_owned(), password: "pässword".to_owned(), database: "shop".to_owned() };
            let said = |text: &str| (1, Request::Statement(text.to_owned()));
            let expected = [
                (1, login),
                said("SELECT 1"),
                said("SELECT 1"),
                said(&long),
                said(&long),
                said("twice"),
                said("wrong"),
                (1, Request::Transaction(8)),
                (1, Request::Transaction(9)),
            ];
            assert_eq!(server.asked()[1..], expected, "{tls:?}");
            assert_eq!(server.connections(), 1);
        }
    }

    #[tokio::test]
    async fn a_client_is_sent_elsewhere_and_told_what_is_not_offered() {
        let server = TestTds::play(Tls::No, |_, request| match request {
            Request::Login { .. } => vec![Act::Answer(go_to("elsewhere", 1444))],
            _ => vec![Act::Usual],
        });
        let sent = connect(&server, EncryptionLevel::NotSupported).await.unwrap_err();
        assert!(matches!(&sent, Error::Routing { host, port: 1444 } if host == "elsewhere"), "{sent:?}");
        let refused = connect(&server, EncryptionLevel::Required).await.unwrap_err();
        assert!(matches!(refused, Error::Protocol(_)), "{refused:?}");
    }

    /// A script that fails its client does so: late, amid an answer, with what is no answer.
    #[tokio::test]
    async fn a_client_is_failed_as_the_script_says() {
        let rows = table(&[("id", Kind::Whole)], &[&[Cell::Whole(7)]]);
        let amid = Act::Begin(rows[..rows.len() - 15].to_vec());
        for acts in [
            vec![Act::Cut],
            vec![amid, Act::Wait(Duration::from_millis(50)), Act::Cut],
            vec![Act::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), Act::Cut],
        ] {
            let script = acts.clone();
            let server = TestTds::play(Tls::No, move |_, request| match request {
                Request::Statement(_) => script.clone(),
                _ => vec![Act::Usual],
            });
            let mut client = connect(&server, EncryptionLevel::NotSupported).await.unwrap();
            let begun = Instant::now();
            let answer = async { client.simple_query("SELECT 7").await?.into_results().await };
            let fault = answer.await.unwrap_err();
            assert!(matches!(fault, Error::Io { .. } | Error::Protocol(_)), "{acts:?}: {fault:?}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{acts:?}");
        }
    }
}
