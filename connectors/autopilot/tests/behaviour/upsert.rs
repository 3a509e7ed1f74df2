//! Bulk writes without joins: outcomes per row, and the errors of a whole call.

use segport_sdk::test::{Script, json, status};
use segport_sdk::{Batch, BatchKind, Error, ErrorKind, Session};
use serde_json::{Value, json as value};

use crate::{acknowledging, batch, block_on, open, session, short};

#[test]
fn each_row_has_its_own_outcome() {
    let check = |body: &str, expected: [&str; 3], notes: usize| {
        let http = Script::new();
        let harness = open(value!({}), &http);
        let session = session(&http, &harness, &["News"]);
        http.expect("POST", "http://127.0.0.1:9/v1/contacts", json(200, body.to_owned()));
        let outcomes = block_on(harness.write(&batch(&session, &[], &["a", "b", "c"]))).unwrap();
        assert_eq!(short(&outcomes.rows), expected, "{body}");
        assert_eq!(outcomes.notes.len(), notes, "{:?}", outcomes.notes);
        assert!(outcomes.stop.is_none());
        http.assert_done();
    };
    check(&acknowledging(&["c", "a", "b"]), ["done p-a", "done p-b", "done p-c"], 0);
    check(&acknowledging(&["c"]), ["refused missing_from_answer", "refused missing_from_answer", "done p-c"], 0);
    check(&acknowledging(&["a", "b", "z"]), ["done p-a", "done p-b", "refused missing_from_answer"], 1);
    check(r#"{"contact_ids":["1","2","3"]}"#, ["done 1", "done 2", "done 3"], 1);
    check(r#"{"contact_ids":["1","2"]}"#, ["unknown"; 3], 0);
    check("", ["unknown"; 3], 0);
    check("<html>", ["unknown"; 3], 0);
    check(r#"{"email_contact_map":{"a@example.com":"1"#, ["unknown"; 3], 0);
}

#[test]
fn a_refused_call_is_an_error_without_the_profiles_data() {
    let check = |code, body: &'static str, kind, part: &str| {
        let http = Script::new();
        let harness = open(value!({}), &http);
        let session = session(&http, &harness, &["News"]);
        http.expect("POST", "/contacts", json(code, body));
        let error = block_on(harness.write(&batch(&session, &[], &["anna"]))).unwrap_err();
        assert_eq!(error.kind(), kind, "{code} {body}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.to_string().contains("anna"), "{error}");
        http.assert_done();
    };
    for code in [400, 404, 409, 413, 422] {
        let body = r#"{"error":"Bad Request","message":"anna@example.com is no \"anna\" address."}"#;
        check(code, body, ErrorKind::Rejected, "Bad Request: [...] is no [...] address.");
        check(code, "", ErrorKind::Rejected, "no reason given");
        check(code, "<p>anna@example.com</p>", ErrorKind::Rejected, "not JSON");
    }
    check(400, r#"{"message":"No autopilotapikey header provided."}"#, ErrorKind::Unauthenticated, "`api_key`");
    check(401, "", ErrorKind::Unauthenticated, "`api_key`");
    check(403, "", ErrorKind::PermissionDenied, "");
    check(408, "", ErrorKind::Timeout, "");
    check(429, r#"{"message":"Your request was throttled."}"#, ErrorKind::RateLimited, "throttled");
    check(502, "anna", ErrorKind::Unavailable, "");
}

#[test]
fn errors_of_the_host_pass_unchanged() {
    for error in [
        Error::new(ErrorKind::Unavailable, "no route").not_sent(),
        Error::new(ErrorKind::Timeout, "no answer in 60 s"),
        Error::new(ErrorKind::ConfigInvalid, "egress policy"),
    ] {
        let http = Script::new();
        let harness = open(value!({}), &http);
        let session = session(&http, &harness, &["News"]);
        http.expect("POST", "/contacts", Err(error.clone()));
        assert_eq!(block_on(harness.write(&batch(&session, &[], &["a"]))).unwrap_err(), error);
    }
}

#[test]
fn the_session_is_enough_for_another_instance() {
    let http = Script::new();
    let session = session(&http, &open(value!({}), &http), &["News"]);
    let other = open(value!({ "list_membership": "bulk", "notify": false }), &http);
    http.expect("POST", "/contacts", json(200, acknowledging(&["a"])));
    block_on(other.write(&batch(&session, &[0], &["a"]))).unwrap();
    block_on(other.finish(&session)).unwrap();
    let body: Value = serde_json::from_slice(&http.requests()[2].body).unwrap();
    let contact = value!({ "Email": "a@example.com", "FirstName": "a", "_autopilot_list": "L-News", "notify": false });
    assert_eq!(body, value!({ "contacts": [contact] }));
    // A batch after the end of its run still works: nothing of a plan is kept only here.
    http.expect("POST", "/contacts", json(200, acknowledging(&["a"])));
    block_on(other.write(&batch(&session, &[0], &["a"]))).unwrap();
}

#[test]
fn a_broken_batch_is_an_error_and_sends_nothing() {
    let http = Script::new();
    let harness = open(value!({}), &http);
    let session = session(&http, &harness, &["News"]);
    let unknown_segment = batch(&session, &[7], &["a"]);
    let no_session = Batch { session: Session::default().into(), ..batch(&session, &[], &["a"]) };
    let mut no_ids = batch(&session, &[], &["a"]);
    no_ids.kind = BatchKind::Remove { segment: 0 };
    for broken in [unknown_segment, no_session, no_ids] {
        assert_eq!(block_on(harness.write(&broken)).unwrap_err().kind(), ErrorKind::Contract);
    }
    assert_eq!(http.requests().len(), 2);
}

#[test]
fn an_answer_without_content_leaves_the_rows_unknown() {
    let http = Script::new();
    let harness = open(value!({}), &http);
    let session = session(&http, &harness, &["News"]);
    http.expect("POST", "/contacts", status(204));
    let outcomes = block_on(harness.write(&batch(&session, &[], &["a", "b"]))).unwrap();
    assert_eq!(short(&outcomes.rows), ["unknown", "unknown"]);
}
