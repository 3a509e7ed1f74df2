//! A proxy that can hold requests, so that a test decides what happens while one is under way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
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

/// A proxy in front of a stand-in. It lets everything pass until it is told to hold.
#[derive(Debug)]
pub struct Gate {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    destination: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    rule: Option<Rule>,
    /// Requests that met the rule's endpoint.
    seen: u32,
    held: u32,
    phase: Phase,
    /// Nobody makes requests any more.
    is_over: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Rule {
    /// Begin of the request line, such as `POST /v1/contacts `; empty for all.
    endpoint: String,
    from: u32,
    hold: Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Holding,
    /// What is held goes on, and so does all that follows.
    Open,
    /// What is held is lost; all that follows goes on.
    Cut,
}

impl Gate {
    /// A gate that lets everything pass.
    pub fn new(sandbox: &Sandbox) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let state = State { rule: None, seen: 0, held: 0, phase: Phase::Open, is_over: false, is_closed: false };
        let shared =
            Arc::new(Shared { destination: sandbox.addr(), state: Mutex::new(state), changed: Condvar::new() });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if served.state().is_closed {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&served)) else { continue };
                // A connection ends with an error when either side goes away; there is nobody to tell.
                std::thread::spawn(move || shared.pass(&stream).ok());
            }
        });
        Self { addr, shared }
    }

    /// From now on, holds requests to `endpoint` (such as `POST /contacts`, or `DELETE /list/` for all that begin like that)
    /// from the nth on; `*` is every endpoint.
    pub fn hold(&self, endpoint: &str, from: u32, hold: Hold) {
        let endpoint = match endpoint.split_once(' ') {
            None => String::new(),
            Some((method, path)) => {
                let end = if path.ends_with('/') { "" } else { " " };
                format!("{method} /v1{path}{end}")
            }
        };
        let mut state = self.shared.state();
        state.rule = Some(Rule { endpoint, from, hold });
        (state.seen, state.held, state.phase, state.is_over) = (0, 0, Phase::Holding, false);
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
        let waited = self.shared.changed.wait_timeout_while(self.shared.state(), PATIENCE, |state| state.held == 0);
        let (held, seen) = {
            let (state, _) = waited.unwrap();
            (state.held, state.seen)
        };
        assert!(held > 0, "no request is held; {seen} came by");
    }

    /// Waits until a request is held, and does something about it then, or until `end` comes back, because no further request
    /// will come after that. Says whether one was held.
    pub fn catches(&self, end: impl FnOnce() + Send, held: impl FnOnce()) -> bool {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                end();
                self.shared.state().is_over = true;
                self.shared.changed.notify_all();
            });
            let waits = |state: &mut State| state.held == 0 && !state.is_over;
            let is_held = self.shared.changed.wait_while(self.shared.state(), waits).unwrap().held > 0;
            if is_held {
                held();
            }
            is_held
        })
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
        self.shared.state().is_closed = true;
        // Wakes the thread that accepts, so that it sees that it is over.
        TcpStream::connect(self.addr).ok();
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

    /// Where this request is to be held, if it is.
    fn meets(&self, head: &[u8]) -> Option<Hold> {
        let mut state = self.state();
        let rule = state.rule.as_ref().filter(|rule| head.starts_with(rule.endpoint.as_bytes()))?;
        let (from, hold) = (rule.from, rule.hold);
        state.seen += 1;
        (state.seen >= from && state.phase == Phase::Holding).then_some(hold)
    }

    /// Holds until the gate is opened; an error if it is cut.
    fn detain(&self) -> io::Result<()> {
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
            let hold = self.meets(&request);
            if hold == Some(Hold::Unseen)
                && let Err(cut) = self.detain()
            {
                break Err(cut);
            }
            (&destination).write_all(&request)?;
            let answer = message(&mut answers)?;
            if hold == Some(Hold::Done)
                && let Err(cut) = self.detain()
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
