//! `begin`: finding the list of each segment, or making it once.

use segport_sdk::test::{Script, json, status};
use segport_sdk::{Error, ErrorKind, Result, Session, http::Response};
use serde_json::{Value, json as value};

use crate::{block_on, export, open};

fn lists(of: &[(&str, &str)]) -> Result<Response> {
    let lists: Vec<Value> = of.iter().map(|(id, title)| value!({ "list_id": id, "title": title })).collect();
    json(200, value!({ "lists": lists, "_rev": "1" }).to_string())
}

fn ids(session: &Session) -> Vec<String> {
    let lists = session.state["lists"].as_array().unwrap();
    lists.iter().map(|list| list["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lists_are_found_by_their_exact_title() {
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("1", "vip "), ("2", "VIP"), ("3", "Vip"), ("4", "News"), ("5", "Vip")]));
    let session = block_on(open(value!({}), &http).begin(&export(&["Vip", "News"]))).unwrap();
    assert_eq!(ids(&session), ["3", "4"]);
    assert_eq!(session.notes.len(), 1, "{:?}", session.notes);
    assert!(session.notes[0].contains("several lists named `Vip`"));
    http.assert_done();
}

#[test]
fn a_missing_list_is_made_with_the_name_byte_for_byte() {
    for name in ["Spring \"sale\", 50 %", "👋 קהל", "a\u{1}b\\c", " padded "] {
        let http = Script::new();
        http.expect("GET", "/lists", lists(&[]));
        http.expect("POST", "/list", json(200, value!({ "list_id": "L1", "name": name }).to_string()));
        let session = block_on(open(value!({}), &http).begin(&export(&[name]))).unwrap();
        assert_eq!(ids(&session), ["L1"]);
        assert!(session.notes.is_empty());
        let create = &http.requests()[1];
        assert_eq!(serde_json::from_slice::<Value>(&create.body).unwrap(), value!({ "name": name }));
        assert!(!create.head.repeatable, "a list must not be made twice");
        http.assert_done();
    }
}

#[test]
fn a_list_that_was_named_otherwise_is_reported() {
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[])).expect("POST", "/list", json(200, r#"{"list_id":"L1","name":"padded"}"#));
    let session = block_on(open(value!({}), &http).begin(&export(&[" padded "]))).unwrap();
    assert!(session.notes[0].contains("`list_id`"), "{:?}", session.notes);
}

/// After a failed creation the title is looked up; nothing is made a second time.
#[test]
fn a_creation_that_failed_is_looked_up_before_anything_else() {
    let lost = |kind| Err(Error::new(kind, "no answer"));
    let answers: Vec<Result<Response>> = vec![
        status(408),
        status(500),
        status(503),
        json(409, r#"{"error":"Conflict"}"#),
        json(200, "{}"),
        json(200, r#"{"list_id":""}"#),
        json(200, "<html>"),
        lost(ErrorKind::Timeout),
        lost(ErrorKind::Unavailable),
    ];
    for answer in answers {
        let http = Script::new();
        http.expect("GET", "/lists", lists(&[])).expect("POST", "/list", answer.clone());
        http.expect("GET", "/lists", lists(&[("0", "Other"), ("7", "News")]));
        let session = block_on(open(value!({}), &http).begin(&export(&["News"]))).unwrap();
        assert_eq!(ids(&session), ["7"], "{answer:?}");
        http.assert_done();

        let http = Script::new();
        http.expect("GET", "/lists", lists(&[])).expect("POST", "/list", answer.clone());
        http.expect("GET", "/lists", lists(&[]));
        let error = block_on(open(value!({}), &http).begin(&export(&["News"]))).unwrap_err();
        assert_eq!(error.fact("list"), Some("News"), "{answer:?}");
        http.assert_done();
    }
}

#[test]
fn a_refused_key_ends_it_at_once() {
    for (code, kind) in [(401, ErrorKind::Unauthenticated), (403, ErrorKind::PermissionDenied)] {
        let http = Script::new();
        http.expect("GET", "/lists", lists(&[])).expect("POST", "/list", status(code));
        assert_eq!(block_on(open(value!({}), &http).begin(&export(&["News"]))).unwrap_err().kind(), kind);
        http.assert_done();
    }
}

/// An answer that cannot be read must not be taken for "there are no lists", or one would be made.
#[test]
fn an_unreadable_listing_makes_no_list() {
    for body in
        ["", "{}", "<html>", r#"{"lists":null}"#, r#"{"lists":[{"title":"News"}]}"#, r#"{"lists":[{"list_id":"1""#]
    {
        let http = Script::new();
        http.expect("GET", "/lists", json(200, body));
        assert!(block_on(open(value!({}), &http).begin(&export(&["News"]))).is_err(), "{body}");
        http.assert_done();
    }
}

#[test]
fn a_chosen_list_must_exist_and_its_title_does_not_matter() {
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("L1", "Other")]));
    let session = block_on(open(value!({ "list_id": "L1" }), &http).begin(&export(&["News"]))).unwrap();
    assert_eq!(ids(&session), ["L1"]);
    http.assert_done();

    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("L1", "News")]));
    let error = block_on(open(value!({ "list_id": "L2" }), &http).begin(&export(&["News"]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    http.assert_done();
}

#[test]
fn a_mapping_that_cannot_work_begins_nothing() {
    let http = Script::new();
    let error = block_on(open(value!({}), &http).begin(&export(&["A", "A"]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert!(http.requests().is_empty());
}
