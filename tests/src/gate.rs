//! A proxy that can hold requests, so that a test decides what happens while one is under way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use segport_sandbox::Sandbox;

/// Far more than any request takes to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Before the destination sees it.
    Unseen,
    /// After the destination has done it, before its answer is passed on.
    Done,
}

/// A proxy in front of a stand-in. From the nth request to an endpoint on it holds every request to that endpoint.
#[derive(Debug)]
pub struct Gate {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    destination: SocketAddr,
    /// Begin of the request line, such as `POST /v1/contacts `.
    endpoint: String,
    from: u32,
    hold: Hold,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    seen: u32,
    held: u32,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Holding,
    /// What is held goes on, and so does all that follows.
    Open,
    /// What is held is lost; all that follows goes on.
    Cut,
}

impl Gate {
    /// Holds requests to `endpoint` (such as `POST /contacts`, or `DELETE /list/` for all that begin like that) from the nth on.
    pub fn new(sandbox: &Sandbox, endpoint: &str, from: u32, hold: Hold) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (method, path) = endpoint.split_once(' ').unwrap();
        let end = if path.ends_with('/') { "" } else { " " };
        let shared = Arc::new(Shared {
            destination: sandbox.addr(),
            endpoint: format!("{method} /v1{path}{end}"),
            from,
            hold,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                // The gate itself connects when it is dropped.
                if Arc::strong_count(&served) == 1 {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&served)) else { continue };
                // A connection ends with an error when either side goes away; there is nobody to tell.
                std::thread::spawn(move || shared.pass(&stream).ok());
            }
        });
        Self { addr, shared, thread: Some(thread) }
    }

    /// What a connection needs.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Waits until a request is held.
    ///
    /// # Panics
    /// If none comes.
    pub fn wait(&self) {
        let state = self.shared.state();
        let (state, timeout) =
            self.shared.changed.wait_timeout_while(state, PATIENCE, |state| state.held == 0).unwrap();
        assert!(!timeout.timed_out(), "no request is held; {} came by", state.seen);
    }

    /// Lets what is held go on.
    pub fn open(&self) {
        self.shared.enter(Phase::Open);
    }

    /// Loses what is held, as when a process dies or a cable is cut.
    pub fn cut(&self) {
        self.shared.enter(Phase::Cut);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.cut();
        let (addr, thread) = (self.addr, self.thread.take());
        // Connections that still run hold the state too; the thread ends with this process then.
        if Arc::strong_count(&self.shared) == 2 {
            self.shared = Arc::new(Shared {
                destination: addr,
                endpoint: String::new(),
                from: 0,
                hold: Hold::Unseen,
                state: Mutex::default(),
                changed: Condvar::new(),
            });
            TcpStream::connect(addr).ok();
            thread.map(JoinHandle::join);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn enter(&self, phase: Phase) {
        self.state().phase = phase;
        self.changed.notify_all();
    }

    /// Whether this is a request to be held.
    fn meets(&self, head: &[u8]) -> bool {
        if !head.starts_with(self.endpoint.as_bytes()) {
            return false;
        }
        let mut state = self.state();
        state.seen += 1;
        state.seen >= self.from && state.phase == Phase::Holding
    }

    /// Holds until the gate is opened; an error if it is cut.
    fn hold(&self) -> io::Result<()> {
        self.state().held += 1;
        self.changed.notify_all();
        let state = self.changed.wait_while(self.state(), |state| state.phase == Phase::Holding).unwrap();
        if state.phase == Phase::Open { Ok(()) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
    }

    /// Passes the requests of one connection on, one after the other.
    fn pass(&self, client: &TcpStream) -> io::Result<()> {
        let destination = TcpStream::connect(self.destination)?;
        let (mut requests, mut answers) = (BufReader::new(client), BufReader::new(&destination));
        let passed = loop {
            let request = message(&mut requests)?;
            if request.is_empty() {
                break Ok(());
            }
            let is_held = self.meets(&request);
            if is_held
                && self.hold == Hold::Unseen
                && let Err(cut) = self.hold()
            {
                break Err(cut);
            }
            (&destination).write_all(&request)?;
            let answer = message(&mut answers)?;
            if is_held
                && self.hold == Hold::Done
                && let Err(cut) = self.hold()
            {
                break Err(cut);
            }
            (&*client).write_all(&answer)?;
            if answer.is_empty() {
                break Ok(());
            }
        };
        client.shutdown(Shutdown::Both).ok();
        passed
    }
}

/// One message of HTTP/1.1 whose body has a `Content-Length`; empty at the end of the stream.
fn message(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let mut length = 0;
    loop {
        let start = message.len();
        if stream.read_until(b'\n', &mut message)? == 0 {
            return Ok(Vec::new());
        }
        let line = String::from_utf8_lossy(&message[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        }
        if line.trim_end().is_empty() {
            break;
        }
    }
    stream.take(length).read_to_end(&mut message)?;
    Ok(message)
}
