//! What an export would cost without Segport: the yardsticks of the benchmarks.
//!
//! `yardstick client HOST:PORT CALLS` posts one ready-made body of 100 contacts again and again.
//! `yardstick pipeline HOST:PORT FILE.csv` reads a CSV file, builds the bodies and posts them: no types, no checks, no
//! ledger, no retries, no limits. `yardstick listed HOST:PORT FILE.csv` also makes a list and names it in each contact, as an
//! export does.
//!
//! All use four connections, one thread each, and plain sockets.
#![allow(clippy::panic, clippy::expect_used, reason = "a measurement, not a library")]

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

const CONTACTS: usize = 100;
const CONNECTIONS: usize = 4;
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [task, address, what] = words.as_slice() else {
        panic!("usage: yardstick client HOST:PORT CALLS | pipeline|listed HOST:PORT FILE.csv");
    };
    let (bodies, senders) = start(address)?;
    match *task {
        "client" => client(&bodies, what.parse().expect("a number of calls")),
        "pipeline" => pipeline(&bodies, what, "")?,
        "listed" => {
            let list = make_list(address)?;
            pipeline(&bodies, what, &format!(r#","_autopilot_list":"{list}""#))?;
        }
        _ => panic!("there is no yardstick `{task}`"),
    }
    drop(bodies);
    senders.into_iter().try_for_each(|sender| sender.join().expect("a sender panicked"))
}

fn client(bodies: &SyncSender<Arc<[u8]>>, calls: usize) {
    let mut body = b"{\"contacts\":[".to_vec();
    for contact in 0..CONTACTS {
        let comma = if contact == 0 { "" } else { "," };
        write!(
            body,
            "{comma}{{\"Email\":\"person{contact}@yardstick.example\",\"FirstName\":\"Ada\",\"LastName\":\"Lovelace\",\
             \"Company\":\"Analytical Engines\",\"Phone\":\"+44 20 7946 0000\",\"MailingStreet\":\"12 Square\",\
             \"MailingCity\":\"London\",\"MailingPostalCode\":\"W1\",\"MailingCountry\":\"United Kingdom\",\
             \"LeadSource\":\"web\",\"Industry\":\"computing\"}}"
        )
        .expect("writing to memory");
    }
    body.extend_from_slice(b"]}");
    let body: Arc<[u8]> = body.into();
    for _ in 0..calls {
        bodies.send(Arc::clone(&body)).expect("a sender lives");
    }
}

/// The wire name of each column of the benchmark's file, the key first.
const WIRE: [Option<&str>; 12] = [
    None,
    Some("Email"),
    Some("FirstName"),
    Some("LastName"),
    Some("Company"),
    Some("Phone"),
    Some("MailingStreet"),
    Some("MailingCity"),
    Some("MailingPostalCode"),
    Some("MailingCountry"),
    Some("LeadSource"),
    Some("Industry"),
];

/// Each contact ends with `tail`.
fn pipeline(bodies: &SyncSender<Arc<[u8]>>, file: &str, tail: &str) -> io::Result<()> {
    let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 18).from_path(file)?;
    let mut record = csv::StringRecord::new();
    let mut body = Vec::with_capacity(64 << 10);
    let mut contacts = 0;
    while reader.read_record(&mut record)? {
        body.extend_from_slice(if contacts == 0 { b"{\"contacts\":[{" } else { b",{" });
        let mut is_first = true;
        for (name, value) in WIRE.iter().zip(&record) {
            let Some(name) = name else { continue };
            if value.is_empty() {
                continue;
            }
            body.extend_from_slice(if is_first { b"\"" } else { b",\"" });
            is_first = false;
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\":");
            serde_json::to_writer(&mut body, value)?;
        }
        body.extend_from_slice(tail.as_bytes());
        body.push(b'}');
        contacts += 1;
        if contacts == CONTACTS {
            send(bodies, &mut body);
            contacts = 0;
        }
    }
    if contacts > 0 {
        send(bodies, &mut body);
    }
    Ok(())
}

fn send(bodies: &SyncSender<Arc<[u8]>>, body: &mut Vec<u8>) {
    body.extend_from_slice(b"]}");
    bodies.send(body.as_slice().into()).expect("a sender lives");
    body.clear();
}

/// Makes a list and returns its id.
fn make_list(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    post(&mut stream, &mut Vec::new(), "list", br#"{"name":"Yardstick"}"#)?;
    let answer = read_answer(&mut BufReader::new(stream))?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    Ok(answer["list_id"].as_str().expect("the id of a list").to_owned())
}

type Senders = Vec<JoinHandle<io::Result<()>>>;

fn start(address: &str) -> io::Result<(SyncSender<Arc<[u8]>>, Senders)> {
    let (bodies, queue) = sync_channel::<Arc<[u8]>>(2 * CONNECTIONS);
    let queue = Arc::new(Mutex::new(queue));
    let senders = (0..CONNECTIONS)
        .map(|_| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let queue = Arc::clone(&queue);
            Ok(thread::spawn(move || post_all(stream, &queue)))
        })
        .collect::<io::Result<Senders>>()?;
    Ok((bodies, senders))
}

fn post_all(mut stream: TcpStream, queue: &Mutex<Receiver<Arc<[u8]>>>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 << 10, stream.try_clone()?);
    let mut request = Vec::new();
    loop {
        let next = queue.lock().expect("no sender panicked").recv();
        let Ok(body) = next else { return Ok(()) };
        post(&mut stream, &mut request, "contacts", &body)?;
        read_answer(&mut reader)?;
    }
}

/// Posts a body, with `request` as scratch space.
fn post(stream: &mut TcpStream, request: &mut Vec<u8>, path: &str, body: &[u8]) -> io::Result<()> {
    request.clear();
    write!(
        request,
        "POST /v1/{path} HTTP/1.1\r\nhost: yardstick\r\nautopilotapikey: {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )?;
    request.extend_from_slice(body);
    stream.write_all(request)
}

fn read_answer(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        reader.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "the destination answered {head}");
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next()).expect("a content-length");
    let length: usize = length.trim().parse().expect("a number");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}
