//! A webhook: an HTTP server that answers what it is told, and keeps what it was sent.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What is answered to a connection.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A status, and header lines.
    Status(u16, &'static str),
    /// This text, whatever it is.
    Text(&'static str),
    /// Nothing, and the connection stays open.
    Hang,
    /// A status line, then nothing more.
    HangAmid,
    /// Nothing: the connection is closed before anything is read.
    Close,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// `POST /path HTTP/1.1` and the header lines.
    pub(crate) head: String,
    /// What was sent.
    pub(crate) body: String,
}

/// A server on a port of its own, for as long as it is kept.
pub(crate) struct Webhook {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Webhook {
    /// Answers the first connection by the first answer, and so on; all later ones by the last.
    pub(crate) async fn new(answers: &[Answer]) -> Webhook {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (answers, kept) = (answers.to_vec(), Arc::clone(&received));
        let serving = tokio::spawn(async move {
            for turn in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let answer = answers[turn.min(answers.len() - 1)].clone();
                tokio::spawn(serve(stream, answer, Arc::clone(&kept)));
            }
        });
        Webhook { port, received, serving }
    }

    /// Its URL.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What came until now.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, kept: Arc<Mutex<Vec<Received>>>) {
    if matches!(answer, Answer::Close) {
        return;
    }
    let Some(received) = read(&mut stream).await else { return };
    kept.lock().unwrap().push(received);
    let text = match answer {
        Answer::Status(status, lines) => format!("HTTP/1.1 {status} Told\r\n{lines}content-length: 0\r\n\r\n"),
        Answer::Text(text) => text.to_owned(),
        Answer::HangAmid => "HTTP/1.1 200 O".to_owned(),
        Answer::Hang | Answer::Close => String::new(),
    };
    // Whoever asked may be gone.
    let _ = stream.write_all(text.as_bytes()).await;
    if matches!(answer, Answer::Hang | Answer::HangAmid) {
        // Until the other side gives up.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some(Received { head: head.to_owned(), body: body.to_owned() });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
