//! The tests' view of a stand-in, and starting and stopping it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use client::{Client, bulk, start};
use segport_sandbox::{Clock, Options, Sandbox};
use serde_json::json;

#[test]
fn the_state_shows_contacts_sorted_and_lists_with_members() {
    let (sandbox, mut client) = start(Options { clock: Clock::manual(0), ..Options::default() });
    let list = client.list("L");
    client.expect(200, "POST /contacts", &bulk(&["b@x.y", "C@x.y", "a@x.y"]));
    client.expect(200, &format!("POST /list/{list}/contact/c@x.y"), "");
    // The view needs no key.
    let answer = client.send("GET /_sandbox/state", &[], b"").unwrap();
    let state = answer.json();
    let emails: Vec<&str> =
        state["contacts"].as_array().unwrap().iter().map(|contact| contact["Email"].as_str().unwrap()).collect();
    assert_eq!((answer.status, emails), (200, vec!["a@x.y", "b@x.y", "C@x.y"]));
    assert_eq!(state["contacts"][0], client.expect(200, "GET /contact/a@x.y", ""));
    assert_eq!(state["lists"], json!([{"list_id": list, "title": "L", "members": ["C@x.y"]}]));
    assert_eq!(state["counts"]["contacts"], 3);
    assert_eq!(json!(sandbox.autopilot().contacts()), state["contacts"]);
}

#[test]
fn counts_tell_what_was_written_more_than_once() {
    let (sandbox, mut client) = start(Options::default());
    let list = client.list("L");
    client.expect(200, "POST /contacts", &bulk(&["a@x.y", "b@x.y", "c@x.y"]));
    client.expect(200, "POST /contacts", &bulk(&["a@x.y", "b@x.y"]));
    client.contact("A@x.y");
    client.expect(200, &format!("POST /list/{list}/contact/a@x.y"), "");
    client.expect(404, "GET /contact/z@x.y", "");
    let counts = client.expect(200, "GET /_sandbox/counts", "");
    for (name, expected) in [
        ("requests", json!(6)),
        ("contacts", json!(3)),
        ("contact_writes", json!(6)),
        ("contacts_created", json!(3)),
        ("duplicate_writes", json!(3)),
        ("contacts_written_again", json!(2)),
        ("throttled", json!(0)),
        ("by_status", json!({"200": 5, "404": 1})),
        ("lists", json!([{"list_id": list, "title": "L", "members": 1}])),
        (
            "by_endpoint",
            json!({"POST /list": 1, "POST /contacts": 2, "POST /contact": 1, "GET /contact/{contact}": 1,
                   "POST /list/{list}/contact/{contact}": 1}),
        ),
    ] {
        assert_eq!(counts[name], expected, "{name}");
    }
    assert!(counts["peak_requests_per_second"].as_u64().unwrap() >= 1);
    assert_eq!(sandbox.autopilot().counts().tallies.duplicate_writes, 3);
}

#[test]
fn requests_are_logged_and_bodies_only_if_asked_for() {
    for (record_bodies, path, body) in [
        (false, "/_sandbox/requests?bodies=1", json!(null)),
        (true, "/_sandbox/requests", json!(null)),
        (true, "/_sandbox/requests?bodies=1", json!(r#"{"name":"L"}"#)),
    ] {
        let (_sandbox, mut client) = start(Options { record_bodies, log_capacity: 2, ..Options::default() });
        client.call("GET /account", "");
        client.call("GET /lists", "");
        client.list("L");
        let log = client.expect(200, &format!("GET {path}"), "");
        let requests = log["requests"].as_array().unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0], json!({"method": "GET", "path": "/v1/lists", "status": 200}));
        assert_eq!(requests[1]["body"], body);
    }
}

#[test]
fn the_view_is_neither_limited_nor_counted_nor_faulted() {
    let faults = vec!["status=500".parse().unwrap()];
    let (sandbox, mut client) = start(Options { rate: 1, faults, ..Options::default() });
    for _ in 0..5 {
        client.expect(200, "GET /_sandbox/counts", "");
    }
    let unknown = client.expect(404, "GET /_sandbox/nothing", "");
    assert!(unknown["error"].as_str().unwrap().contains("GET /_sandbox/state"));
    assert_eq!((sandbox.traffic().requests, sandbox.requests().len()), (0, 0));
}

#[test]
fn a_reset_makes_everything_as_at_the_start() {
    let (sandbox, mut client) = start(Options::default());
    let id = client.contact("a@b.c");
    client.list("L");
    client.expect(200, "POST /contact", r#"{"contact":{"Email":"a@b.c","custom":{"string--S":"x"}}}"#);
    client.expect(200, "POST /_sandbox/reset", "");
    assert_eq!(sandbox.autopilot().contact_count(), 0);
    assert_eq!(sandbox.traffic(), segport_sandbox::Traffic::default());
    assert_eq!(client.expect(200, "GET /lists", ""), json!({"lists": []}));
    assert_eq!(client.expect(200, "GET /contacts/custom_fields", ""), json!([]));
    client.contact("other@b.c");
    client.expect(404, &format!("GET /contact/{id}"), "");
}

#[test]
fn a_value_that_is_not_unicode_does_not_break_the_view() {
    let (_sandbox, mut client) = start(Options::default());
    client.expect(200, "POST /contact", r#"{"contact":{"Email":"a@b.c","FirstName":"half \ud83d pair"}}"#);
    assert!(client.call("GET /contact/a@b.c", "").text().contains(r#""half \ud83d pair""#));
    let state = client.expect(200, "GET /_sandbox/state", "");
    assert!(state["contacts"][0].as_str().unwrap().contains("half"));
}

#[test]
fn contacts_and_lists_can_be_prepared_in_process() {
    let (sandbox, mut client) = start(Options::default());
    let list = sandbox.autopilot().add_list("L");
    let id = sandbox.autopilot().put_contact(&json!({"Email": "a@b.c", "_autopilot_list": list})).unwrap();
    assert_eq!(sandbox.autopilot().put_contact(&json!({})), None);
    assert_eq!(client.expect(200, "GET /contact/a@b.c", "")["contact_id"], *id);
    assert_eq!(sandbox.autopilot().list_members(&list).unwrap(), ["a@b.c"]);
}

#[test]
fn a_stopped_stand_in_closes_its_connections() {
    let (sandbox, mut client) = start(Options::default());
    client.contact("a@b.c");
    let addr = sandbox.addr();
    sandbox.shutdown();
    assert!(client.try_call("GET /lists", "").is_err());
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn a_stand_in_runs_on_the_callers_runtime_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(segport_sandbox::serve(listener, Options::default()));
    let mut client = Client::to(addr);
    client.contact("a@b.c");
    assert_eq!(client.expect(200, "GET /_sandbox/counts", "")["contacts"], 1);
}

#[test]
fn the_base_url_is_where_the_endpoints_are() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    assert_eq!(sandbox.base_url(), format!("http://{}/v1", sandbox.addr()));
}
