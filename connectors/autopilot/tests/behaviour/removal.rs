//! Leavers: one call each, and whoever is gone already is done.

use segport_sdk::test::{Script, json, status};
use segport_sdk::{Error, ErrorKind};
use serde_json::json as value;

use crate::{block_on, looks_around, open, reason, removal, session, short};

#[test]
fn a_refused_removal_is_told_without_what_is_said_of_the_contact() {
    for (code, kind) in [(400, "refused"), (500, "unknown"), (429, "deferred")] {
        let http = Script::new();
        let harness = open(value!({}), &http);
        let session = session(&http, &harness, &["News"]);
        let text = r#"{"error":"Bad Request","message":"Contact Wilhelmina Zzyzxova of Krongold is archived"}"#;
        http.expect("DELETE", "/list/L-News/contact/p-1", json(code, text));
        let outcomes = block_on(harness.write(&removal(&session, 0, &[Some("p-1")]))).unwrap();
        assert!(short(&outcomes.rows)[0].starts_with(kind), "{outcomes:?}");
        let reason = reason(&outcomes.rows[0]);
        let expected = format!("with {code}: Bad Request: Contact [...] of [...] is archived");
        assert!(reason.contains(&expected), "{reason}");
    }
}

#[test]
fn whoever_is_not_on_the_list_is_off_it() {
    let check = |answer: segport_sdk::Result<segport_sdk::http::Response>, expected: &str, notes: usize| {
        let http = Script::new();
        let harness = open(value!({}), &http);
        let session = session(&http, &harness, &["News"]);
        http.expect("DELETE", "/list/L-News/contact/p-1", answer.clone());
        let outcomes = block_on(harness.write(&removal(&session, 0, &[Some("p-1")]))).unwrap();
        assert_eq!(short(&outcomes.rows), [expected], "{answer:?}");
        assert_eq!(outcomes.notes.len(), notes);
        assert!(outcomes.stop.is_none());
        http.assert_done();
    };
    check(json(200, "{}"), "done p-1", 0);
    check(json(200, r#"{"not_modified":true}"#), "done p-1", 1);
    check(status(204), "done p-1", 0);
    check(json(404, r#"{"error":"Not Found","message":"Contact could not be found."}"#), "done p-1", 1);
    check(json(404, r#"{"error":"Not Found","message":"List does not exist."}"#), "done p-1", 1);
    check(json(404, r#"{"message":"something else"}"#), "refused refused", 0);
    check(json(404, r#"{"error":"Not Found"}"#), "refused refused", 0);
    check(json(200, r#"{"message":"List could not be changed."}"#), "unknown", 0);
    check(json(404, "<html>no such page</html>"), "unknown", 0);
    check(json(200, "<html>log in</html>"), "unknown", 0);
    check(json(400, r#"{"message":"Invalid contact_id_or_email value provided."}"#), "refused refused", 0);
    check(status(408), "unknown", 0);
    check(status(500), "unknown", 0);
    check(status(429), "deferred", 0);
    check(Err(Error::new(ErrorKind::Timeout, "late")), "unknown", 0);
    check(Err(Error::new(ErrorKind::Unavailable, "down").not_sent()), "deferred", 0);
}

#[test]
fn that_nobody_was_on_the_list_is_told_and_that_somebody_was_not_is_not() {
    let check = |answers: [&'static str; 2], expected: usize| {
        let http = Script::new();
        let harness = open(value!({}), &http);
        let session = session(&http, &harness, &["News"]);
        for (number, answer) in answers.into_iter().enumerate() {
            http.expect("DELETE", &format!("/list/L-News/contact/p-{number}"), json(200, answer));
        }
        let outcomes = block_on(harness.write(&removal(&session, 0, &[Some("p-0"), Some("p-1")]))).unwrap();
        assert_eq!(short(&outcomes.rows), ["done p-0", "done p-1"]);
        assert_eq!(outcomes.notes.len(), expected, "{:?} of {answers:?}", outcomes.notes);
        assert!(outcomes.notes.iter().all(|note| note.contains("L-News") && !note.contains("p-0")));
    };
    let (gone, not_there) = ("{}", r#"{"not_modified":true}"#);
    check([gone, gone], 0);
    check([gone, not_there], 0);
    check([not_there, not_there], 1);
}

#[test]
fn a_404_that_says_nothing_is_no_acknowledgement_of_a_removal() {
    let gone = || json(404, r#"{"error":"Not Found","message":"Contact could not be found."}"#);
    for (tested, expected) in [
        (json(404, "{}"), "done p-1"),
        (gone(), "done p-1"),
        (json(200, "{}"), "unknown"),
        (status(500), "unknown"),
        (status(429), "deferred"),
    ] {
        for silent in ["", "{}"] {
            let http = Script::new();
            let harness = open(value!({}), &http);
            let session = session(&http, &harness, &["News"]);
            http.expect("DELETE", "/list/L-News/contact/p-1", json(404, silent));
            http.expect("GET", "/list/L-News/contact/p-1", tested.clone());
            let outcomes = block_on(harness.write(&removal(&session, 0, &[Some("p-1")]))).unwrap();
            assert_eq!(short(&outcomes.rows), [expected], "{tested:?}");
            http.assert_done();
        }
    }
}

#[test]
fn ids_are_encoded_and_rows_without_one_are_refused() {
    let http = Script::new();
    let harness = open(value!({ "max_in_flight": 1 }), &http);
    looks_around(&http, json(200, r#"{"lists":[{"list_id":"contactlist_a b/ü","title":"News"}]}"#));
    let session = block_on(harness.begin(&crate::export(&["News"]))).unwrap();
    let list = "http://127.0.0.1:9/v1/list/contactlist_a%20b%2F%C3%BC/contact";
    http.expect("DELETE", &format!("{list}/person_AP2-1"), status(200));
    http.expect("DELETE", &format!("{list}/a%2F..%3Fb%23%25"), status(200));
    let ids = [Some("person_AP2-1"), None, Some(""), Some(".."), Some("."), Some("a/..?b#%")];
    let outcomes = block_on(harness.write(&removal(&session, 0, &ids))).unwrap();
    let refused = "refused no_contact_id";
    assert_eq!(short(&outcomes.rows), ["done person_AP2-1", refused, refused, refused, refused, "done a/..?b#%"]);
    http.assert_done();
}

#[test]
fn a_refused_key_stops_the_rest() {
    // So does an address that leads somewhere else.
    for (code, kind) in [
        (401, ErrorKind::Unauthenticated),
        (403, ErrorKind::PermissionDenied),
        (302, ErrorKind::ConfigInvalid),
        (405, ErrorKind::ConfigInvalid),
    ] {
        let http = Script::new();
        let harness = open(value!({ "max_in_flight": 1 }), &http);
        let session = session(&http, &harness, &["News"]);
        http.expect("DELETE", "/contact/1", status(200)).expect("DELETE", "/contact/2", status(code));
        let outcomes = block_on(harness.write(&removal(&session, 0, &[Some("1"), Some("2"), Some("3")]))).unwrap();
        assert_eq!(short(&outcomes.rows), ["done 1", "deferred", "deferred"], "{code}");
        assert_eq!(outcomes.stop.unwrap().kind(), kind, "{code}");
        http.assert_done();
    }
}

#[test]
fn contacts_are_never_deleted() {
    let http = Script::answering(|_| status(200));
    let harness = open(value!({}), &http);
    looks_around(&http, json(200, r#"{"lists":[{"list_id":"L","title":"News"}]}"#));
    let session = block_on(harness.begin(&crate::export(&["News"]))).unwrap();
    block_on(harness.write(&removal(&session, 0, &[Some("1"), Some("2")]))).unwrap();
    for request in http.requests().iter().filter(|request| request.head.method == "DELETE") {
        assert!(request.head.url.contains("/v1/list/L/contact/"), "{}", request.head.url);
    }
}
