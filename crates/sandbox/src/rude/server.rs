//! The server: two addresses, one account, a script.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::request::{self, Asked};
use super::{Rude, answer, tls};
use crate::autopilot::Autopilot;
use crate::destination::{Destination, Reply, Request};
use crate::error::{Error, Result};
use crate::fault::Rules;
use crate::options::Options;

/// Connections held at once; one more is closed unheard.
const MOST_CONNECTIONS: usize = 256;

/// A running server on a thread and a runtime of its own. Dropping it closes every connection and waits for the thread.
#[derive(Debug)]
pub struct RudeServer {
    polite: SocketAddr,
    rude: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    account: Autopilot,
    options: Options,
    script: Vec<Rude>,
    rude_url: String,
    asked: Mutex<Vec<String>>,
}

/// Which of the two addresses a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Polite,
    Rude,
}

impl RudeServer {
    /// Starts a server on free loopback ports. Each request at the rude address takes the next of `script`, the last one again
    /// and again; an empty script is polite.
    ///
    /// # Errors
    /// If no port can be bound or no thread started.
    pub fn start(script: Vec<Rude>) -> Result<Self> {
        Self::with(script, Options::default())
    }

    /// The same with an account that behaves like this; its faults and its rate do not matter here.
    ///
    /// # Errors
    /// As [`RudeServer::start`].
    pub fn with(script: Vec<Rude>, options: Options) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let of_address = script.iter().find(|rude| rude.is_of_address());
        let refuses = of_address == Some(&Rude::Refuse);
        let scheme = if of_address.is_some() && !refuses { "https" } else { "http" };
        let (polite, rude) = {
            let _context = runtime.enter();
            (Ears::bound(true).map_err(Error::Listen)?, Ears::bound(!refuses).map_err(Error::Listen)?)
        };
        let address = |ears: &Ears| ears.address().map_err(Error::Listen);
        let (polite_address, rude_address) = (address(&polite)?, address(&rude)?);
        let account = Autopilot::new(&options);
        let base = account.base_path();
        let rude_url = format!("{scheme}://{rude_address}{base}");
        let shared = Arc::new(Shared { account, options, script, rude_url, asked: Mutex::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("segport-rude".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(polite, &served, Door::Polite) => {}
                        () = serve(rude, &served, Door::Rude) => {}
                        // An error means that the handle is gone, which is a request to stop too.
                        _ = stopped => {}
                    }
                });
            })
            .map_err(Error::Runtime)?;
        Ok(Self { polite: polite_address, rude: rude_address, scheme, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The URL below which everything is done and answered: `http://127.0.0.1:PORT/v1`.
    pub fn polite_url(&self) -> String {
        format!("http://{}{}", self.polite, self.shared.account.base_path())
    }

    /// The URL below which the script is carried out; `https` if it is about TLS.
    pub fn rude_url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.rude, self.shared.account.base_path())
    }

    /// What is stored.
    pub fn autopilot(&self) -> &Autopilot {
        &self.shared.account
    }

    /// The requests at the rude address whose head was read, as `METHOD PATH`, oldest first.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked().clone()
    }
}

impl Drop for RudeServer {
    fn drop(&mut self) {
        // Should either fail, the server has ended already.
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A bound port, with or without somebody who listens.
#[derive(Debug)]
enum Ears {
    Listening(TcpListener),
    /// Connections to a bound port are refused until somebody listens, and nobody else gets the port.
    Deaf(TcpSocket),
}

impl Ears {
    /// Takes a free port.
    fn bound(listens: bool) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(if listens { Self::Listening(socket.listen(1024)?) } else { Self::Deaf(socket) })
    }

    fn address(&self) -> std::io::Result<SocketAddr> {
        match self {
            Self::Listening(listener) => listener.local_addr(),
            Self::Deaf(socket) => socket.local_addr(),
        }
    }
}

async fn serve(ears: Ears, shared: &Arc<Shared>, door: Door) {
    let Ears::Listening(listener) = &ears else { return std::future::pending().await };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted && connections.len() < MOST_CONNECTIONS {
                    stream.set_nodelay(true).ok();
                    connections.spawn(connection(stream, Arc::clone(shared), door));
                }
            }
        }
    }
}

/// One request after the other, until something ends the connection.
async fn connection(mut stream: TcpStream, shared: Arc<Shared>, door: Door) {
    if door == Door::Rude && shared.script.iter().any(Rude::is_of_address) {
        return handshake(&mut stream, &shared).await;
    }
    // What is to be done is known when a request begins, so that a black hole need not read.
    while stream.readable().await.is_ok() {
        if door == Door::Rude && shared.next() == Rude::BlackHole {
            shared.asked().push("unread".to_owned());
            return std::future::pending().await;
        }
        let Some(asked) = request::head(&mut stream).await else { return };
        let rude = match door {
            Door::Polite => Rude::Polite,
            Door::Rude => shared.take(&asked),
        };
        if !exchange(&mut stream, &shared, asked, rude).await {
            return;
        }
    }
}

async fn handshake(stream: &mut TcpStream, shared: &Shared) {
    // Whatever becomes of these, the client is gone afterwards, and there is nobody to tell.
    match shared.next() {
        Rude::SelfSigned => drop(tls::offer_self_signed(stream).await),
        Rude::PlainOnTls => {
            stream.read_u8().await.ok();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.ok();
        }
        _ => {
            stream.read_u8().await.ok();
        }
    }
}

/// Carries out `rude` for a request whose head was read. Returns whether the connection goes on.
async fn exchange(stream: &mut TcpStream, shared: &Shared, mut asked: Asked, rude: Rude) -> bool {
    let wanted = match rude {
        Rude::ResetBefore => 0,
        Rude::ResetWithin(bytes) => bytes,
        _ => usize::MAX,
    };
    if !asked.read(stream, wanted).await {
        return false;
    }
    let good = match &rude {
        Rude::Status(code, _) => shared.account.failure(*code),
        rude if rude.commits() => shared.answer(&asked),
        _ => Reply::json(200, ""),
    };
    match rude {
        Rude::ResetBefore | Rude::ResetWithin(_) | Rude::ResetAfter => {
            // Should it fail, the client sees an orderly close, which is a fault all the same.
            stream.set_zero_linger().ok();
            return false;
        }
        Rude::Close => return false,
        Rude::HalfClosed => {
            stream.shutdown().await.ok();
            return std::future::pending().await;
        }
        Rude::CommitThenSilence => return std::future::pending().await,
        Rude::HalfOpen => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-ty").await.ok();
            return std::future::pending().await;
        }
        _ => {}
    }
    let url = format!("{}{}", shared.rude_url.trim_end_matches(shared.account.base_path()), asked.path);
    let answer = answer::to(&rude, &good, &url, shared.options.clock.epoch_millis());
    if let Rude::Drip(every) = rude {
        return drip(stream, &answer.bytes, every).await;
    }
    stream.write_all(&answer.bytes).await.is_ok() && answer.keep
}

async fn drip(stream: &mut TcpStream, bytes: &[u8], every: Duration) -> bool {
    for byte in bytes {
        if stream.write_u8(*byte).await.is_err() {
            return false;
        }
        tokio::time::sleep(every).await;
    }
    true
}

impl Shared {
    /// What is done to the next request.
    fn next(&self) -> Rude {
        let nth = self.asked().len().min(self.script.len().saturating_sub(1));
        self.script.get(nth).cloned().unwrap_or(Rude::Polite)
    }

    /// Notes a request and says what is done to it.
    fn take(&self, asked: &Asked) -> Rude {
        let rude = self.next();
        self.asked().push(format!("{} {}", asked.method, asked.path));
        rude
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let request = Request { method: &asked.method, path: &asked.path, body: &asked.body };
        self.account.answer(&request, &Rules::default())
    }

    fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
