//! The rude server: it keeps to its script, is polite at its other address, and ends when it is dropped.

#![allow(clippy::unwrap_used, reason = "what goes wrong in a test's helper fails the test")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use segport_sandbox::{RetryAfter, Rude, RudeServer};

const BULK: &str = r#"{"contacts":[{"Email":"a@x.no"},{"Email":"b@x.no"}]}"#;

fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}

fn connect(url: &str) -> TcpStream {
    TcpStream::connect(host(url)).unwrap()
}

/// What comes back until the connection ends; the error's kind if it is cut.
fn post(url: &str) -> Result<String, ErrorKind> {
    let mut stream = connect(url);
    let length = BULK.len();
    let request = format!("POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{BULK}");
    stream.write_all(request.as_bytes()).map_err(|error| error.kind())?;
    // A connection that is cut already cannot be shut down; how it was cut is what reading says.
    stream.shutdown(std::net::Shutdown::Write).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|error| error.kind())?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn a_script_is_carried_out_in_order_and_its_end_again_and_again() {
    let wait = RetryAfter::Seconds(7);
    let server = RudeServer::start(vec![Rude::ResetAfter, Rude::Status(503, wait), Rude::Polite]).unwrap();
    assert_eq!(post(&server.rude_url()), Err(ErrorKind::ConnectionReset));
    let answer = post(&server.rude_url()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 7\r\n"), "{answer}");
    assert_eq!(server.autopilot().contact_count(), 0, "nothing was done so far");
    for _ in 0..2 {
        assert!(post(&server.rude_url()).unwrap().contains(r#""a@x.no":"#));
    }
    assert_eq!(server.asked(), ["POST /v1/contacts"; 4]);
    assert_eq!(server.autopilot().contact_count(), 2);
}

#[test]
fn both_addresses_share_one_account() {
    let server = RudeServer::start(vec![Rude::LengthTooLong]).unwrap();
    let cut = post(&server.rude_url()).unwrap();
    assert!(cut.starts_with("HTTP/1.1 200 ") && !cut.ends_with('}'), "{cut}");
    assert_eq!(server.autopilot().contact_count(), 2, "done, though not answered");
    assert!(post(&server.polite_url()).unwrap().ends_with('}'));
    assert_eq!(server.asked().len(), 1, "only what came to the rude address");
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let server = RudeServer::start(vec![Rude::Refuse]).unwrap();
    let refused = TcpStream::connect(host(&server.rude_url())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    post(&server.polite_url()).unwrap();
}

#[test]
fn the_end_of_the_server_ends_what_it_keeps_waiting() {
    let server = RudeServer::start(vec![Rude::BlackHole]).unwrap();
    let mut waiting = connect(&server.rude_url());
    waiting.write_all(b"GET /v1/lists HTTP/1.1\r\n\r\n").unwrap();
    drop(server);
    // Closed or reset, but over.
    assert!(matches!(waiting.read(&mut [0; 16]), Ok(0) | Err(_)));
}

#[test]
fn maps_are_bent_and_stay_json() {
    let check = |rude: Rude, parts: &[&str], absent: &str| {
        let server = RudeServer::start(vec![rude.clone()]).unwrap();
        let answer = post(&server.rude_url()).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str::<serde_json::Value>(body).unwrap();
        for part in parts {
            assert!(body.contains(part), "{rude:?}: {body}");
        }
        assert!(absent.is_empty() || !body.contains(absent), "{rude:?}: {body}");
    };
    check(Rude::MapMissing, &[r#""b@x.no":"#], r#""a@x.no":"#);
    check(Rude::MapExtra, &[r#""a@x.no":"#, r#""b@x.no":"#, "elsewhere"], "");
    check(Rude::MapReordered, &[r#"{"b@x.no":"#], "");
    check(Rude::MapForeign, &[r#""a@x.no.example":"#], r#""a@x.no":"#);
}
