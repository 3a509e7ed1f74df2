//! Measures how many bulk calls of 100 contacts a second the stand-in takes.
//!
//! `cargo run --release -p segport-sandbox --example load -- [SECONDS] [CONNECTIONS]`
//!
//! The yardstick is a sink that reads a request and answers with bytes prepared beforehand: no HTTP library, no JSON,
//! no storage. Stand-in and sink each run on one thread, the load on another. Rounds: contacts never seen before, the
//! same contacts unchanged, the same contacts with one field changed. On a shared machine the calls per second of
//! processor time tell more than the calls per second.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a measurement, not a library")]

mod message;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use segport_sandbox::{Options, Sandbox};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use self::message::read_message;

const CONTACTS: usize = 100;
const DIGITS: usize = 10;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let time = Duration::from_secs(number(5));
    let connections = usize::try_from(number(8)).expect("a small number");

    let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
    let answer = probe(sandbox.addr())?;
    let sink = start_sink(answer)?;
    sandbox.reset();

    let yardstick = round("sink", "load-sink", sink, time, connections, Numbers::Fresh, "x")?;
    let fresh = round("new contacts", "segport-sandbox", sandbox.addr(), time, connections, Numbers::Fresh, "x")?;
    println!("    {:.2} of the sink; {} contacts stored", fresh / yardstick, sandbox.autopilot().contact_count());
    let pool = Numbers::Pool(100_000);
    let same = round("same contacts", "segport-sandbox", sandbox.addr(), time, connections, pool, "x")?;
    println!("    {:.2} of the sink", same / yardstick);
    let changed = round("changed contacts", "segport-sandbox", sandbox.addr(), time, connections, pool, "y")?;
    println!("    {:.2} of the sink", changed / yardstick);
    Ok(())
}

/// Which contacts a round sends.
#[derive(Clone, Copy)]
enum Numbers {
    Fresh,
    Pool(usize),
}

/// Runs one round and prints its calls per second.
fn round(
    name: &str,
    thread: &str,
    addr: SocketAddr,
    time: Duration,
    connections: usize,
    numbers: Numbers,
    mark: &str,
) -> io::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (start, busy) = (Instant::now(), processor_time(thread));
    let calls = runtime.block_on(async {
        let next = std::rc::Rc::new(std::cell::Cell::new(0));
        let local = tokio::task::LocalSet::new();
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (next, mark) = (next.clone(), mark.to_owned());
            tasks.push(local.spawn_local(async move {
                let mut body = Bulk::new(&mark);
                let mut stream = connect(addr).await?;
                let mut buffer = vec![0; 1 << 16];
                let mut calls = 0;
                while start.elapsed() < time {
                    let first: usize = next.replace(next.get() + CONTACTS);
                    body.renumber(match numbers {
                        Numbers::Fresh => first,
                        Numbers::Pool(size) => first % size,
                    });
                    stream.write_all(&body.bytes).await?;
                    read_message(&mut stream, &mut buffer).await?;
                    assert!(buffer.starts_with(b"HTTP/1.1 200"), "an answer that is not 200");
                    calls += 1;
                }
                io::Result::Ok(calls)
            }));
        }
        local
            .run_until(async {
                let mut calls = 0u32;
                for task in tasks {
                    calls += task.await.expect("the task runs")?;
                }
                io::Result::Ok(calls)
            })
            .await
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = f64::from(calls) / seconds;
    let cores = (processor_time(thread) - busy) / seconds;
    println!(
        "{name:<17} {rate:>8.0} calls/s  {:>9.0} contacts/s  {cores:.2} cores  {:>8.0} calls per core-second  {:.2} ms a call",
        rate * 100.0,
        rate / cores,
        seconds * 1000.0 * connections as f64 / f64::from(calls),
    );
    Ok(rate)
}

/// A bulk request whose contacts are renumbered in place.
struct Bulk {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Bulk {
    fn new(mark: &str) -> Self {
        let contact = |_| {
            format!(
                r#"{{"Email":"user{:0DIGITS$}@example.com","FirstName":"Katherine","LastName":"Johannesdottir","Company":"Nordic Fisheries {mark}","MailingCity":"Reykjavik","MailingCountry":"Iceland","custom":{{"string--Segment":"newsletter","integer--Orders":12,"date--Last--Order":"2026-11-20T10:00:00Z"}}}}"#,
                0
            )
        };
        let contacts: Vec<String> = (0..CONTACTS).map(contact).collect();
        let body = format!(r#"{{"contacts":[{}]}}"#, contacts.join(","));
        let request = format!(
            "POST /v1/contacts HTTP/1.1\r\nHost: localhost\r\nautopilotapikey: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            "0123456789abcdef".repeat(2),
            body.len()
        );
        let places = request.match_indices("\"user0").map(|(at, _)| at + 5).collect();
        Self { bytes: request.into_bytes(), places }
    }

    fn renumber(&mut self, first: usize) {
        for (offset, place) in self.places.iter().enumerate() {
            let mut number = first + offset;
            for digit in self.bytes[*place..place + DIGITS].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
    }
}

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The answer to one bulk call, byte for byte.
fn probe(addr: SocketAddr) -> io::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stream = connect(addr).await?;
        stream.write_all(&Bulk::new("x").bytes).await?;
        let mut buffer = Vec::new();
        let length = read_message(&mut stream, &mut buffer).await?;
        buffer.truncate(length);
        Ok(buffer)
    })
}

/// Starts a server that answers every request with the same bytes.
fn start_sink(answer: Vec<u8>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("load-sink".to_owned()).spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    stream.set_nodelay(true).ok();
                    let mut buffer = vec![0; 1 << 16];
                    while read_message(&mut stream, &mut buffer).await.is_ok_and(|length| length > 0)
                        && stream.write_all(&answer).await.is_ok()
                    {}
                });
            }
        });
    })?;
    Ok(addr)
}

/// Seconds of processor time a thread of this process has used; 0 where `/proc` does not tell.
fn processor_time(thread: &str) -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let used = |stat: String| -> Option<f64> {
        let (head, tail) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        head.ends_with(&format!("({thread}")).then_some(ticks / 100.0)
    };
    tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok().and_then(used)).sum()
}
