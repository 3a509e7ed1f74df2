//! Keys, rate, paths, and the smaller endpoints.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use client::{Client, KEY, start};
use segport_sandbox::{Clock, Options};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_key_is_needed_and_must_be_good() {
    let (sandbox, mut client) = start(Options::default());
    let mut status = |target: &str, headers: &[&str]| {
        let answer = client.send(&format!("GET {target}"), headers, b"").unwrap();
        (answer.status, answer.json()["message"].as_str().unwrap_or_default().to_owned())
    };
    let missing = (400, "No autopilotapikey header, or apikey query parameter provided.".to_owned());
    let wrong = (401, "Provided autopilotapikey not valid.".to_owned());
    let good = (200, String::new());
    let header = |name: &str, key: &str| format!("{name}: {key}");
    assert_eq!(status("/v1/account", &[]), missing);
    assert_eq!(status("/v1/account?apikey=", &["autopilotapikey: "]), missing);
    assert_eq!(status("/v1/nowhere", &[]), missing);
    assert_eq!(status("/v1/account", &["autopilotapikey: secret"]), wrong);
    assert_eq!(status("/v1/account?apikey=secret", &[]), wrong);
    for name in ["autopilotapikey", "Autopilotapikey", "AUTOPILOTAPIKEY", "autopilotApiKey"] {
        assert_eq!(status("/v1/account", &[&header(name, KEY)]), good);
    }
    assert_eq!(status("/v1/account", &[&header("autopilotapikey", &KEY.to_uppercase())]), good);
    assert_eq!(status(&format!("/v1/account?x=1&apikey={KEY}"), &[]), good);
    assert!(sandbox.requests().iter().all(|request| !request.path.contains("apikey")), "keys stay out of the log");
}

#[test]
fn with_a_configured_key_only_that_one_is_good() {
    let (_sandbox, mut client) = start(Options { key: Some("my key".to_owned()), ..Options::default() });
    client.expect(401, "GET /account", "");
    let answer = client.send("GET /v1/account", &["autopilotapikey: my key"], b"").unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.json()["instanceId"].is_string());
}

#[test]
fn the_account_says_which_it_is() {
    let account = |options| {
        let (_sandbox, mut client) = start(options);
        client.call("GET /account", "").json()["instanceId"].clone()
    };
    assert_eq!(account(Options::default()), account(Options::default()), "one that starts anew is the account it was");
    assert_eq!(account(Options { account: "acme".to_owned(), ..Options::default() }), "acme");
}

#[test]
fn the_rate_is_kept_in_every_second_and_per_key() {
    let clock = Clock::manual(0);
    let (sandbox, mut client) = start(Options { rate: 3, clock: clock.clone(), ..Options::default() });
    let statuses: Vec<u16> = (0..5).map(|_| client.call("GET /lists", "").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let answer = client.call("GET /lists", "");
    assert_eq!(answer.json()["error"], "Too Many Requests");
    assert!(answer.json()["message"].as_str().unwrap().starts_with("Your request was throttled."));
    assert_eq!(answer.header("retry-after"), None);
    let other = "autopilotapikey: ffffffffffffffffffffffffffffffff";
    assert_eq!(client.send("GET /v1/lists", &[other], b"").unwrap().status, 200);
    clock.advance(Duration::from_millis(999));
    client.expect(429, "GET /lists", "");
    clock.advance(Duration::from_millis(1));
    client.expect(200, "GET /lists", "");
    let traffic = sandbox.traffic();
    assert_eq!((traffic.throttled, traffic.peak_requests_per_second, traffic.requests), (4, 8, 9));
}

#[test]
fn a_wrong_method_is_405_and_an_unknown_path_404() {
    let (_sandbox, mut client) = start(Options::default());
    for line in [
        "GET /contact",
        "PUT /contact",
        "DELETE /contacts",
        "POST /contacts/x",
        "PATCH /contact/a@b.c",
        "POST /lists",
        "GET /list",
        "DELETE /list",
        "POST /list/x/contacts",
        "PUT /list/x/contact/a@b.c",
        "POST /account",
        "POST /triggers",
        "GET /trigger/0001/contact/a@b.c",
        "POST /hooks",
        "GET /hook",
        "GET /hook/x",
        "POST /smart_segments",
        "GET /contact/a@b.c/unsubscribe",
        "POST /contacts/custom_fields",
    ] {
        client.expect(405, line, "");
    }
    for line in ["GET /nowhere", "GET /", "GET /list/x", "DELETE /list/x", "DELETE /journey/campaign_1/contact/a@b.c"] {
        client.expect(404, line, "");
    }
    let key = format!("autopilotapikey: {KEY}");
    assert_eq!(client.send("GET /lists", &[&key], b"").unwrap().status, 404, "everything is below /v1");
    assert_eq!(client.call("GET /lists/", "").status, 200, "one slash at the end is allowed");
    assert_eq!(client.call("GET //lists", "").status, 200, "so is a second one behind /v1");
}

#[test]
fn triggers_take_known_contacts() {
    let (_sandbox, mut client) = start(Options::default());
    let id = client.contact("a@b.c");
    let triggers = client.expect(200, "GET /triggers", "");
    assert_eq!(
        triggers["triggers"][0],
        json!({"trigger_id": "0001", "journey": "Welcome", "trigger_type": "apiTrigger"})
    );
    for (contact, body) in [("a@b.c", ""), (id.as_str(), r#"{"property":{"x":1}}"#)] {
        let answer = client.expect(200, &format!("POST /trigger/0001/contact/{contact}"), body);
        assert_eq!((&answer["trigger_id"], &answer["contact_id_or_email"]), (&json!("0001"), &json!(contact)));
        assert_eq!(answer["rqType"], "API", "the answer is an internal object");
    }
    assert_eq!(client.expect(404, "POST /trigger/0001/contact/x@b.c", "")["message"], "Contact could not be found.");
    client.expect(404, "POST /trigger/9999/contact/a@b.c", "");
    let state = client.expect(200, "GET /_sandbox/state", "");
    assert_eq!(state["triggers"][0]["entered"], json!(["a@b.c", "a@b.c"]));
}

#[test]
fn smart_segments_follow_the_contacts() {
    let (_sandbox, mut client) = start(Options::default());
    client.contact("a@b.c");
    client.contact("d@e.f");
    client.expect(200, "POST /contact/d@e.f/unsubscribe", "");
    let segments = client.expect(200, "GET /smart_segments", "");
    let members: Vec<usize> = segments["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| {
            let id = segment["segment_id"].as_str().unwrap();
            assert!(id.strip_prefix("contactlist_sseg").is_some_and(|digits| digits.len() == 13), "{id}");
            let page = client.expect(200, &format!("GET /smart_segments/{id}/contacts"), "");
            usize::try_from(page["total_contacts"].as_u64().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(members, [2, 1]);
}

#[test]
fn hooks_are_registered_once_per_target() {
    let (_sandbox, mut client) = start(Options { clock: Clock::manual(1234), ..Options::default() });
    let hook = |event: &str, url: &str| json!({"event": event, "target_url": url}).to_string();
    let made = client.expect(201, "POST /hook", &hook("contact_added", "https://x.example/1"));
    let id = made["hook_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("hook_"));
    let conflict = client.expect(409, "POST /hook", &hook("contact_updated", "https://x.example/1"));
    assert_eq!(conflict["error"], "Conflict");
    client.expect(201, "POST /hook", &hook("contact_updated", "https://x.example/2"));
    for (body, what) in [
        ("7".to_owned(), "data"),
        (hook("explosion", "https://x.example/3"), "event"),
        (hook("contact_added", "x.example"), "target_url"),
        (r#"{"event":"contact_added"}"#.to_owned(), "target_url"),
    ] {
        let answer = client.expect(400, "POST /hook", &body);
        assert_eq!(answer["message"], format!("Invalid {what} provided to register REST Hook."));
    }
    let hooks = client.expect(200, "GET /hooks", "");
    assert_eq!(
        hooks["hooks"][0],
        json!({"hook_id": id, "event": "contact_added", "target_url": "https://x.example/1", "created_at": 1234})
    );
    assert_eq!(client.expect(200, &format!("DELETE /hook/{id}"), ""), json!({}));
    let unknown = client.expect(400, &format!("DELETE /hook/{id}"), "");
    assert_eq!(unknown["message"], "Invalid data provided to unregister REST Hook.");
    client.expect(200, "DELETE /hooks", "");
    assert_eq!(client.expect(200, "GET /hooks", ""), json!({"hooks": []}));
}

#[test]
fn answers_say_when_they_were_made() {
    let (_sandbox, mut client) = start(Options { clock: Clock::manual(1_484_539_934_000), ..Options::default() });
    for line in ["GET /contacts", "GET /contact/a@b.c", "PUT /contact"] {
        let answer = client.call(line, "");
        assert_eq!(answer.header("last-modified"), Some("Mon, 16 Jan 2017 04:12:14 GMT"), "{line}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{line}");
    }
}

#[test]
fn one_connection_serves_many_requests_and_many_connections_work() {
    let (sandbox, mut client) = start(Options::default());
    let mut others: Vec<Client> = (0..8).map(|_| Client::new(&sandbox)).collect();
    for n in 0..20 {
        client.contact(&format!("n{n}@x.y"));
        others.iter_mut().for_each(|other| _ = other.expect(200, "GET /account", ""));
    }
    assert_eq!(sandbox.traffic().requests, 180);
}
