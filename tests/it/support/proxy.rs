//! A network that fails: a TCP proxy that goes silent, connections open, once a given text passes through it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// A proxy before a server on this machine. Its threads end with the test process.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    silent: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens; from the moment a client sends `last_words`, which is not passed on, nothing is passed on any more.
    pub(crate) fn before(server: u16, last_words: &'static str) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&silent);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { return };
                let (to_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || pass(client, to_server, last_words.as_bytes(), &up));
                thread::spawn(move || pass(server, to_client, b"", &down));
            }
        });
        Proxy { port, silent }
    }

    /// Whether it has gone silent.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::SeqCst)
    }
}

/// A server that accepts connections and never says a word.
pub(crate) fn mute() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    port
}

/// Passes bytes on until the end of either connection; from silence on they are swallowed, and both stay open.
fn pass(mut from: TcpStream, mut to: TcpStream, last_words: &[u8], silent: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    // What came last, in case the words arrive in two pieces.
    let mut tail: Vec<u8> = Vec::new();
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..length]);
        if !last_words.is_empty() && tail.windows(last_words.len()).any(|part| part == last_words) {
            silent.store(true, Ordering::SeqCst);
        }
        tail.drain(..tail.len().saturating_sub(last_words.len()));
        if !silent.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
