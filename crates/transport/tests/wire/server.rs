//! A loopback server that answers with exactly the bytes it is told, and a clock on which waiting takes no time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use segport_core::Limits;
use segport_core::http::Request;
use segport_transport::{Clock, Connection, Egress, Options, Random, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Write these bytes and keep the connection.
    Say(Vec<u8>),
    /// Write these bytes and close.
    SayAndClose(Vec<u8>),
    /// Reset the connection.
    Reset,
    /// Write these bytes, then one more byte every few milliseconds, for ever.
    Drip(Vec<u8>),
    /// Write these bytes, then zeros for ever.
    Flood(Vec<u8>),
    /// Never answer.
    Silence,
}

/// A server that performs one act per request, the last one again and again.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), seen: Arc::default(), connections: Arc::default() };
        let (script, this) = (Arc::new(script), server.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(this.clone().serve(stream, Arc::clone(&script)));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request that came, head and body.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    async fn serve(self, mut stream: TcpStream, script: Arc<Vec<Act>>) {
        while let Some(request) = read_request(&mut stream).await {
            let act = {
                let mut seen = self.seen.lock().unwrap();
                seen.push(request);
                script[(seen.len() - 1).min(script.len() - 1)].clone()
            };
            match act {
                Act::Say(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Act::SayAndClose(bytes) => {
                    stream.write_all(&bytes).await.ok();
                    return;
                }
                Act::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
                Act::Drip(bytes) => {
                    stream.write_all(&bytes).await.ok();
                    let mut pace = tokio::time::interval(Duration::from_millis(3));
                    while stream.write_all(b"x").await.is_ok() {
                        pace.tick().await;
                    }
                    return;
                }
                Act::Flood(bytes) => {
                    stream.write_all(&bytes).await.ok();
                    while stream.write_all(&[0; 65_536]).await.is_ok() {}
                    return;
                }
                Act::Silence => std::future::pending().await,
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if bytes.len() >= end + 4 + length.parse::<usize>().unwrap() {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// An answer with a body and its length.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn ok() -> Act {
    Act::Say(answer("200 OK", "", b"fine"))
}

/// A clock on which every wait is over at once, and noted. Nothing else makes it move.
#[derive(Debug)]
pub(crate) struct Skipping {
    start: Instant,
    skipped: Mutex<Duration>,
    waits: Mutex<Vec<Duration>>,
}

#[async_trait]
impl Clock for Skipping {
    fn now(&self) -> Instant {
        self.start + *self.skipped.lock().unwrap()
    }

    fn date(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_428_000)
    }

    async fn sleep_until(&self, when: Instant) {
        let wait = when.saturating_duration_since(self.now());
        *self.skipped.lock().unwrap() += wait;
        self.waits.lock().unwrap().push(wait);
        tokio::task::yield_now().await;
    }
}

/// Jitter that always takes the longest wait.
#[derive(Debug)]
pub(crate) struct Most;

impl Random for Most {
    fn fraction(&self) -> f64 {
        1.0
    }
}

/// A transport that may reach the server, and its clock.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) transport: Transport,
    clock: Arc<Skipping>,
}

impl Rig {
    pub(crate) fn new(egress: Egress) -> Self {
        let clock = Arc::new(Skipping { start: Instant::now(), skipped: Mutex::default(), waits: Mutex::default() });
        let mut options = Options::new("segport/test");
        options.egress = egress;
        options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        options.random = Arc::new(Most);
        Self { transport: Transport::new(options), clock }
    }

    pub(crate) fn connection(&self) -> Arc<Connection> {
        self.transport.connection("autopilot", limits())
    }

    /// The waits so far, in tenths of a second.
    pub(crate) fn waits(&self) -> Vec<u128> {
        self.clock.waits.lock().unwrap().iter().map(|wait| wait.as_millis() / 100).collect()
    }
}

pub(crate) fn limits() -> Limits {
    Limits { request_timeout_ms: 20_000, ..Limits::default() }
}

pub(crate) fn post(url: String) -> Request {
    Request::new("POST", url, "POST /contacts").header("x-api-key", "s3cret").json("{\"email\":\"anna@example.com\"}")
}
