//! A network that fails on order: a proxy before a server, through which one run reaches one database.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What befalls the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The connection is cut before a statement reaches the server.
    CutBefore,
    /// The statement arrives; the connection is cut before its answer.
    CutAnswer,
    /// The connection is cut half-way through an answer.
    CutAmid,
    /// A statement is swallowed, and everything after it; the connection stays open.
    Silence,
    /// An answer is swallowed, and everything after it; the connection stays open.
    SilentAnswer,
    /// A statement takes its time.
    Slow,
}

const TROUBLES: [Trouble; 6] =
    [Trouble::CutBefore, Trouble::CutAnswer, Trouble::CutAmid, Trouble::Silence, Trouble::SilentAnswer, Trouble::Slow];
const NONE: u8 = u8::MAX;
/// How long a slow statement takes more.
const SLOW: Duration = Duration::from_millis(60);

impl Trouble {
    /// The trouble of a draw; `after`: the statement has its effect.
    pub(super) fn drawn(after: bool, draw: u64) -> Trouble {
        let choice: &[Trouble] = if after {
            &[Trouble::CutAnswer, Trouble::CutAnswer, Trouble::CutAmid, Trouble::SilentAnswer]
        } else {
            &[Trouble::CutBefore, Trouble::CutBefore, Trouble::Silence, Trouble::Slow]
        };
        choice[usize::try_from(draw % 4).unwrap_or(0)]
    }

    fn befalls_answers(self) -> bool {
        matches!(self, Trouble::CutAnswer | Trouble::CutAmid | Trouble::SilentAnswer)
    }
}

/// A proxy. It ends, its connections with it, when it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    /// Where it listens.
    pub(super) port: u16,
    task: JoinHandle<()>,
}

/// The trouble that is due; several proxies share one: whichever connection is used next meets it.
#[derive(Debug)]
pub(super) struct Order(AtomicU8);

impl Default for Order {
    fn default() -> Order {
        Order(AtomicU8::new(NONE))
    }
}

impl Order {
    /// The next message that fits meets trouble.
    pub(super) fn set(&self, trouble: Trouble) {
        let number = TROUBLES.iter().position(|known| *known == trouble).and_then(|at| u8::try_from(at).ok());
        self.0.store(number.unwrap_or(NONE), Ordering::SeqCst);
    }

    /// The trouble, if one is due that befalls answers, or statements; it is over then.
    fn take(&self, answers: bool) -> Option<Trouble> {
        let number = self.0.load(Ordering::SeqCst);
        let trouble = TROUBLES.get(usize::from(number)).copied().filter(|trouble| trouble.befalls_answers() == answers)?;
        self.0.compare_exchange(number, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok().then_some(trouble)
    }
}

impl Proxy {
    /// Listens before a server of this machine.
    pub(super) async fn before(server: u16, order: Arc<Order>) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            // Connections live in this task, and end with it.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let order = Arc::clone(&order);
                connections.spawn(async move {
                    // A server that is down refuses: so does the proxy.
                    if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await {
                        pass(client, server, &order).await;
                    }
                });
            }
        });
        Ok(Proxy { port, task })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes on until either side ends, or trouble ends both.
async fn pass(mut client: TcpStream, mut server: TcpStream, order: &Order) {
    // Small messages wait for nobody.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut silent = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                match order.take(false) {
                    Some(Trouble::CutBefore) => return,
                    Some(Trouble::Silence) => silent = true,
                    Some(Trouble::Slow) => tokio::time::sleep(SLOW).await,
                    _ => {}
                }
                if !silent && server.write_all(&up[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                match order.take(true) {
                    Some(Trouble::CutAmid) => {
                        // What becomes of the half that is sent is the client's business: the rest never comes.
                        let _ = client.write_all(&down[..length / 2]).await;
                        return;
                    }
                    Some(Trouble::SilentAnswer) => silent = true,
                    Some(_) => return,
                    None => {}
                }
                if !silent && client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
