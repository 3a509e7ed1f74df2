//! Scripted faults over the wire.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use client::{Client, bulk, start, with_faults};
use segport_sandbox::Options;
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

fn statuses(client: &mut Client, line: &str, body: &str, calls: usize) -> Vec<u16> {
    (0..calls).map(|_| client.call(line, body).status).collect()
}

#[test]
fn a_status_takes_the_place_of_the_work() {
    let (sandbox, mut client) = with_faults(&["POST /contacts nth=2 status=500", "GET /** every=2 status=503"]);
    assert_eq!(statuses(&mut client, "POST /contacts", &bulk(&["a@b.c"]), 3), [200, 500, 200]);
    assert_eq!(statuses(&mut client, "GET /lists", "", 4), [200, 503, 200, 503]);
    assert_eq!(sandbox.autopilot().counts().tallies.contact_writes, 2);
    let answer = client.call("GET /lists", "");
    assert_eq!(answer.status, 200);
    let answer = client.expect(503, "GET /lists", "");
    assert_eq!(answer["error"], "Service Unavailable");
}

#[test]
fn an_answer_may_be_committed_and_have_any_body() {
    let (sandbox, mut client) = with_faults(&[
        "POST /contact nth=1 status=502 commit body=\"<h1>Bad \\\"gateway\\\"</h1>\"",
        "POST /contact nth=2 status=429 retry-after=2",
        "POST /contact nth=3 body=surprise",
        "POST /contact nth=4 status=500 body=",
        r#"POST /contact nth=5 status=504 body="{\"code\":\"x\",\"message\":\"y\"}""#,
    ]);
    let mut call = || client.call("POST /contact", r#"{"contact":{"Email":"a@b.c"}}"#);
    let first = call();
    assert_eq!((first.status, first.text()), (502, "<h1>Bad \"gateway\"</h1>"));
    assert_eq!(first.header("content-type"), Some("text/html"));
    assert_eq!(sandbox.autopilot().contact_count(), 1);
    let second = call();
    assert_eq!((second.status, second.header("retry-after")), (429, Some("2")));
    assert!(second.json()["message"].as_str().unwrap().starts_with("Your request was throttled."));
    let third = call();
    assert_eq!((third.status, third.text(), third.header("content-type")), (200, "surprise", Some("text/plain")));
    assert_eq!(call().body, b"");
    assert_eq!(call().json()["code"], "x");
    assert_eq!(sandbox.autopilot().counts().tallies.contact_writes, 1);
}

#[test]
fn a_delay_alone_serves_as_usual() {
    let (sandbox, mut client) = with_faults(&["POST /contact nth=1 delay=60ms"]);
    let start = Instant::now();
    client.contact("a@b.c");
    assert!(start.elapsed() >= Duration::from_millis(60));
    assert_eq!(sandbox.autopilot().contact_count(), 1);
}

#[test]
fn a_reset_leaves_nothing_done_unless_committed() {
    let (sandbox, mut client) =
        with_faults(&["nth=1 reset", "nth=2 reset-after-body", "nth=3 reset-after-body commit", "nth=4 timeout=1ms"]);
    for (call, stored) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        let error = client.try_call("POST /contacts", &bulk(&["a@b.c"])).unwrap_err();
        let expected = if call < 4 { ErrorKind::ConnectionReset } else { ErrorKind::UnexpectedEof };
        assert_eq!((error.kind(), sandbox.autopilot().contact_count()), (expected, stored), "call {call}");
        client = Client::new(&sandbox);
    }
    client.expect(200, "POST /contacts", &bulk(&["a@b.c"]));
    assert_eq!((sandbox.traffic().unanswered, sandbox.traffic().by_status[&200]), (4, 1));
}

#[test]
fn a_reset_comes_before_the_body_is_read() {
    let (sandbox, _client) = with_faults(&["POST /contacts reset"]);
    let mut stream = std::net::TcpStream::connect(sandbox.addr()).unwrap();
    let head = format!(
        "POST /v1/contacts HTTP/1.1\r\nHost: x\r\nautopilotapikey: {}\r\nContent-Length: 9\r\n\r\n",
        client::KEY
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn half_an_answer_is_sent_after_the_work_is_done() {
    let (sandbox, mut client) = with_faults(&["POST /contacts truncate"]);
    let body = bulk(&["a@b.c"]);
    let mut stream = std::net::TcpStream::connect(sandbox.addr()).unwrap();
    let head = format!(
        "POST /v1/contacts HTTP/1.1\r\nHost: x\r\nautopilotapikey: {}\r\nContent-Length: {}\r\n\r\n{body}",
        client::KEY,
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    let (head, half) = received.split_once("\r\n\r\n").unwrap();
    let declared = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(half.len(), declared.parse::<usize>().unwrap() / 2, "{received}");
    assert!(half.starts_with(r#"{"contact_ids":["person_"#));
    assert_eq!(sandbox.autopilot().contact_count(), 1);
    assert_eq!(client.try_call("POST /contacts", &body).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn commit_then_timeout_stores_and_never_answers() {
    let (sandbox, mut client) = with_faults(&["POST /contacts nth=1 commit-then-timeout=30ms"]);
    let error = client.try_call("POST /contacts", &bulk(&["a@b.c"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(sandbox.autopilot().contact_count(), 1);
    Client::new(&sandbox).expect(200, "POST /contacts", &bulk(&["a@b.c"]));
}

#[test]
fn addresses_are_left_out_of_the_map() {
    let (sandbox, mut client) = with_faults(&["POST /contacts times=1 partial-map=2"]);
    let body = bulk(&["a@x.y", "b@x.y", "c@x.y"]);
    let answer = client.expect(200, "POST /contacts", &body);
    assert_eq!(answer["contact_ids"].as_array().unwrap().len(), 3);
    assert_eq!(answer["email_contact_map"], json!({"c@x.y": answer["contact_ids"][2]}));
    assert_eq!(sandbox.autopilot().contact_count(), 3);
    let again = client.expect(200, "POST /contacts", &body);
    assert_eq!(again["email_contact_map"].as_object().unwrap().len(), 3);
}

#[test]
fn bulk_lists_are_switched_by_a_fault() {
    let (sandbox, mut client) = with_faults(&["POST /contacts from=2 bulk-lists=off"]);
    let list = client.list("L");
    for email in ["a@b.c", "d@e.f"] {
        let body = json!({"contacts": [{"Email": email, "_autopilot_list": list}]}).to_string();
        client.expect(200, "POST /contacts", &body);
    }
    assert_eq!(sandbox.autopilot().list_members("L").unwrap(), ["a@b.c"]);
}

#[test]
fn a_poisoned_address_refuses_the_whole_write() {
    let (sandbox, mut client) =
        with_faults(&["refuse-email=poison@*", "refuse-email=odd@x.y status=422 body=odd times=1"]);
    let refused = client.expect(400, "POST /contacts", &bulk(&["a@x.y", "Poison@x.y"]));
    assert_eq!(refused["error"], "Bad Request");
    client.expect(400, "POST /contact", r#"{"contact":{"Email":"poison@x.y"}}"#);
    assert_eq!(sandbox.autopilot().contact_count(), 0);
    let odd = client.call("POST /contacts", &bulk(&["odd@x.y"]));
    assert_eq!((odd.status, odd.text()), (422, "odd"));
    assert_eq!(statuses(&mut client, "POST /contacts", &bulk(&["a@x.y", "odd@x.y"]), 2), [200, 200]);
}

#[test]
fn a_dropped_address_is_neither_stored_nor_in_the_map() {
    let (sandbox, mut client) = with_faults(&["drop-email=lost*"]);
    let answer = client.expect(200, "POST /contacts", &bulk(&["a@x.y", "lost1@x.y", "b@x.y", "LOST2@x.y"]));
    assert_eq!(answer["contact_ids"].as_array().unwrap().len(), 2);
    let ids = &answer["contact_ids"];
    assert_eq!(answer["email_contact_map"], json!({"a@x.y": ids[0], "b@x.y": ids[1]}));
    let id = client.contact("lost3@x.y");
    client.expect(404, &format!("GET /contact/{id}"), "");
    assert_eq!(sandbox.autopilot().contact_count(), 2);
}

#[test]
fn keys_and_rate_come_before_faults() {
    let faults = vec!["status=500".parse().unwrap()];
    let clock = segport_sandbox::Clock::manual(0);
    let (_sandbox, mut client) = start(Options { rate: 1, faults, clock, ..Options::default() });
    assert_eq!(client.send("GET /v1/lists", &[], b"").unwrap().status, 400);
    assert_eq!(statuses(&mut client, "GET /lists", "", 2), [500, 429]);
}

#[test]
fn the_script_is_replaced_over_the_wire() {
    let (_sandbox, mut client) = with_faults(&["GET /lists status=500"]);
    client.expect(500, "GET /lists", "");
    let shown = client.expect(200, "GET /_sandbox/faults", "");
    assert_eq!(shown, json!({"faults": [{"fault": "GET /lists status=500", "seen": 1, "applied": 1}]}));
    client.expect(200, "POST /_sandbox/faults", "# lines\nGET /lists nth=1 status=501\n\nGET /lists nth=2 status=502");
    assert_eq!(statuses(&mut client, "GET /lists", "", 3), [501, 502, 200]);
    let wrong = client.expect(400, "POST /_sandbox/faults", r#"["GET /lists explode"]"#);
    assert!(wrong["error"].as_str().unwrap().contains("unknown word `explode`"), "{wrong}");
    client.expect(200, "POST /_sandbox/faults", "[]");
    client.expect(200, "GET /lists", "");
    client.expect(200, "POST /_sandbox/reset", "");
    client.expect(500, "GET /lists", "");
}
