//! Getting on the list: tested, in bulk, or one by one.

use futures::future::join_all;
use segport_sdk::test::{Script, json, status};
use segport_sdk::{Connector, Error, ErrorKind, Result, http::Response};
use serde_json::{Value, json as value};

use crate::model::Model;
use crate::{acknowledging, again, batch, block_on, export, looks_around, open, reason, session, short};

fn on_list(model: &Model) -> Vec<String> {
    model.state().members.iter().map(|(list, contact)| format!("{list}/{contact}")).collect()
}

/// One run over two batches of two; returns the calls after `begin` and the notes.
fn run(model: &Model, mode: &str, segments: &[&str]) -> (Vec<String>, Vec<String>) {
    let (autopilot, cx) = (model.connect(value!({ "list_membership": mode, "max_in_flight": 1 })), model.context());
    let session = block_on(autopilot.begin(&cx, &export(segments))).unwrap();
    model.state().calls.clear();
    let join: Vec<u16> = (0..segments.len() as u16).collect();
    let mut notes = Vec::new();
    for names in [["a", "b"], ["c", "d"]] {
        let outcomes = block_on(autopilot.write(&cx, &batch(&session, &join, &names))).unwrap();
        assert_eq!(short(&outcomes.rows), names.map(|name| format!("done p-{name}")));
        notes.extend(outcomes.notes);
    }
    let calls = model.state().calls.clone();
    (calls, notes)
}

#[test]
fn a_test_that_succeeds_is_made_once_and_bulk_calls_do_the_rest() {
    let model = Model::new(true);
    let (calls, notes) = run(&model, "probe", &["News"]);
    let expected =
        ["POST /contacts 2 contactlist_1", "GET /list/contactlist_1/contact/p-a", "POST /contacts 2 contactlist_1"];
    assert_eq!(calls, expected);
    assert!(notes.is_empty());
    assert_eq!(on_list(&model).len(), 4);
}

#[test]
fn a_test_that_fails_is_made_once_and_single_calls_do_the_rest() {
    let model = Model::new(false);
    let (calls, notes) = run(&model, "probe", &["News"]);
    let expected = [
        "POST /contacts 2 contactlist_1",
        "GET /list/contactlist_1/contact/p-a",
        "POST /list/contactlist_1/contact/p-a",
        "POST /list/contactlist_1/contact/p-b",
        "POST /contacts 2 -",
        "POST /list/contactlist_1/contact/p-c",
        "POST /list/contactlist_1/contact/p-d",
    ];
    assert_eq!(calls, expected);
    assert!(notes[0].starts_with("bulk calls do not put contacts on the list at this destination"), "{notes:?}");
    assert_eq!(on_list(&model).len(), 4);
}

#[test]
fn forced_ways_make_no_test() {
    let model = Model::new(true);
    let (calls, _) = run(&model, "bulk", &["News"]);
    assert_eq!(calls, ["POST /contacts 2 contactlist_1", "POST /contacts 2 contactlist_1"]);

    let model = Model::new(true);
    let (calls, _) = run(&model, "single", &["News"]);
    assert_eq!(calls.iter().filter(|call| call.ends_with("/contacts 2 -")).count(), 2);
    assert_eq!(calls.iter().filter(|call| call.starts_with("POST /list/")).count(), 4);
    assert_eq!(on_list(&model).len(), 4);
}

/// A contact takes one list in its body; the others are single calls.
#[test]
fn further_segments_are_joined_one_call_at_a_time() {
    for (bulk_joins, mode) in [(true, "probe"), (false, "probe"), (true, "bulk"), (true, "single"), (false, "single")] {
        let model = Model::new(bulk_joins);
        let (calls, _) = run(&model, mode, &["News", "Vip"]);
        assert_eq!(on_list(&model).len(), 8, "{mode}: {calls:?}");
        assert_eq!(calls.iter().filter(|call| call.starts_with("POST /list/contactlist_2/")).count(), 4);
        assert!(!calls.iter().any(|call| call.ends_with("/contacts 2 contactlist_2")));
    }
}

/// On a list that had members before, a contact that was one of them would vouch for a call that did nothing.
#[test]
fn members_from_before_do_not_pass_the_test() {
    for bulk_joins in [true, false] {
        let model = Model::new(bulk_joins);
        let list = model.add_list("News");
        model.fill(&list, ["a", "c"]);
        let (calls, _) = run(&model, "probe", &["News"]);
        assert_eq!(
            calls[..4],
            [
                "GET /list/contactlist_1/contact/a%40example.com",
                "GET /list/contactlist_1/contact/b%40example.com",
                "POST /contacts 2 contactlist_1",
                "GET /list/contactlist_1/contact/p-b",
            ]
        );
        assert_eq!(on_list(&model).len(), 4, "{calls:?}");
    }
}

/// Without a contact that could tell, that batch is added one by one and the next batch tests again.
#[test]
fn a_test_without_a_verdict_is_made_again_by_the_next_batch() {
    let model = Model::new(false);
    let list = model.add_list("News");
    model.fill(&list, ["a", "b"]);
    let (calls, notes) = run(&model, "probe", &["News"]);
    assert_eq!(on_list(&model).len(), 4);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert_eq!(calls.iter().filter(|call| call.ends_with("/contacts 2 contactlist_1")).count(), 2);
    assert_eq!(calls.iter().filter(|call| call.starts_with("POST /list/")).count(), 4);
}

#[test]
fn concurrent_batches_share_one_test() {
    for bulk_joins in [true, false] {
        let model = Model::new(bulk_joins);
        let (autopilot, cx) = (model.connect(value!({})), model.context());
        let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
        let batches: Vec<_> = (0..8).map(|nth| batch(&session, &[0], &[&format!("n{nth}")])).collect();
        for outcomes in block_on(join_all(batches.iter().map(|batch| autopilot.write(&cx, batch)))) {
            assert!(short(&outcomes.unwrap().rows)[0].starts_with("done"));
        }
        assert_eq!(model.count("GET /list/"), 1);
        assert_eq!(model.count("POST /contacts 1 contactlist_1"), if bulk_joins { 8 } else { 1 });
        assert_eq!(on_list(&model).len(), 8);
    }
}

/// The not-found answers of a membership test, and what the batch does after each.
#[test]
fn each_answer_to_the_test_has_its_meaning() {
    let check = |answer: Result<Response>, singles: bool, tested_again: bool| {
        let http = Script::new();
        let harness = open(value!({}), &http);
        let session = session(&http, &harness, &["News"]);
        // Nobody is on the list before.
        http.expect("GET", "/list/L-News/contact/a%40example.com", json(404, "{}"));
        http.expect("POST", "/contacts", json(200, acknowledging(&["a"])));
        http.expect("GET", "/list/L-News/contact/p-a", answer.clone());
        if singles {
            http.expect("POST", "/list/L-News/contact/p-a", json(200, "{}"));
        }
        let outcomes = block_on(harness.write(&batch(&session, &[0], &["a"]))).unwrap();
        assert_eq!(short(&outcomes.rows), ["done p-a"], "{answer:?}");
        http.assert_done();
        if tested_again {
            http.expect("GET", "/list/L-News/contact/b%40example.com", json(404, "{}"));
        }
        http.expect("POST", "/contacts", Err(Error::new(ErrorKind::Timeout, "late")));
        assert!(block_on(harness.write(&batch(&session, &[0], &["b"]))).is_err());
        http.assert_done();
        let names_list = String::from_utf8_lossy(&http.requests().last().unwrap().body).contains("_autopilot_list");
        assert_eq!(names_list, !singles || tested_again);
    };
    check(status(200), false, false);
    check(json(200, r#"{"contact_id":"p-a"}"#), false, false);
    check(status(404), true, false);
    check(json(404, "{}"), true, false);
    check(json(404, r#"{"error":"Not Found"}"#), true, false);
    check(json(404, r#"{"message":"Contact could not be found."}"#), true, true);
    check(json(404, r#"{"message":"List does not exist."}"#), true, true);
    check(json(404, "<html>"), true, true);
    check(json(200, "<html>"), true, true);
    check(status(500), true, true);
    check(Err(Error::new(ErrorKind::Timeout, "late")), true, true);
}

#[test]
fn up_to_three_contacts_are_looked_up() {
    let http = Script::new();
    let harness = open(value!({ "max_in_flight": 1 }), &http);
    looks_around(&http, json(200, r#"{"lists":[]}"#)).expect("POST", "/list", json(200, r#"{"list_id":"L"}"#));
    let session = block_on(harness.begin(&export(&["News"]))).unwrap();
    let names = ["a", "b", "c", "d", "e"];
    http.expect("POST", "/contacts", json(200, acknowledging(&names[1..])));
    let gone = || json(404, r#"{"message":"Contact could not be found."}"#);
    http.expect("GET", "/contact/p-b", gone()).expect("GET", "/contact/p-c", gone());
    http.expect("GET", "/contact/p-d", status(200));
    let outcomes = block_on(harness.write(&batch(&session, &[0], &names))).unwrap();
    assert_eq!(short(&outcomes.rows)[..2], ["refused missing_from_answer", "done p-b"]);
    http.assert_done();
}

#[test]
fn members_are_written_without_the_list_where_its_name_is_refused() {
    let refuse = || json(400, r#"{"error":"Bad Request"}"#);
    let http = Script::new();
    let harness = open(value!({}), &http);
    let session = session(&http, &harness, &["News"]);
    http.expect("GET", "/contact/a%40example.com", json(200, "{}"));
    for name in ["a", "b"] {
        http.expect("POST", "/contacts", refuse()).expect("POST", "/contacts", json(200, acknowledging(&[name])));
        let outcomes = block_on(harness.write(&again(&session, &[name]))).unwrap();
        assert_eq!(short(&outcomes.rows), [format!("done p-{name}")]);
    }
    http.expect("POST", "/contacts", refuse()).expect("POST", "/contacts", refuse());
    assert_eq!(block_on(harness.write(&again(&session, &["c"]))).unwrap_err().kind(), ErrorKind::Rejected);
    http.assert_done();
}

/// Either a contact is refused, or the list's name inside a bulk call: the same call without it tells.
#[test]
fn a_refused_test_is_repeated_without_the_list() {
    let refuse = || json(400, r#"{"error":"Bad Request"}"#);
    let http = Script::new();
    let harness = open(value!({}), &http);
    let session = session(&http, &harness, &["News"]);
    http.expect("GET", "/contact/a%40example.com", status(404));
    http.expect("POST", "/contacts", refuse()).expect("POST", "/contacts", refuse());
    assert_eq!(block_on(harness.write(&batch(&session, &[0], &["a"]))).unwrap_err().kind(), ErrorKind::Rejected);
    http.assert_done();

    http.expect("GET", "/contact/a%40example.com", status(404));
    http.expect("POST", "/contacts", refuse()).expect("POST", "/contacts", json(200, acknowledging(&["a"])));
    http.expect("POST", "/list/L-News/contact/p-a", status(200));
    let outcomes = block_on(harness.write(&batch(&session, &[0], &["a"]))).unwrap();
    assert_eq!(short(&outcomes.rows), ["done p-a"]);
    http.expect("POST", "/contacts", json(200, acknowledging(&["b"])));
    http.expect("POST", "/list/L-News/contact/p-b", status(200));
    block_on(harness.write(&batch(&session, &[0], &["b"]))).unwrap();
    let last = http.requests().into_iter().rfind(|request| request.head.url.ends_with("/contacts")).unwrap();
    assert!(serde_json::from_slice::<Value>(&last.body).unwrap()["contacts"][0].get("_autopilot_list").is_none());
    http.assert_done();
}

/// A contact that did not get on its list is not done, so the next run tries again.
#[test]
fn a_failed_add_is_that_rows_outcome() {
    let check = |answer: Result<Response>, expected: &str| {
        let http = Script::new();
        let harness = open(value!({ "list_membership": "single", "max_in_flight": 1 }), &http);
        let session = session(&http, &harness, &["News"]);
        http.expect("POST", "/contacts", json(200, acknowledging(&["a", "b"])));
        http.expect("POST", "/list/L-News/contact/p-a", answer.clone());
        http.expect("POST", "/list/L-News/contact/p-b", json(200, r#"{"not_modified":true}"#));
        let outcomes = block_on(harness.write(&batch(&session, &[0], &["a", "b"]))).unwrap();
        assert_eq!(short(&outcomes.rows), [expected, "done p-b"], "{answer:?}");
        assert!(outcomes.stop.is_none());
        http.assert_done();
    };
    check(json(200, "{}"), "done p-a");
    check(status(200), "done p-a");
    check(json(404, r#"{"message":"Contact could not be found."}"#), "refused contact_not_found");
    check(status(404), "refused contact_not_found");
    check(json(404, r#"{"message":"List does not exist."}"#), "refused list_not_found");
    check(json(400, "{}"), "refused refused");
    check(json(200, "<html>"), "unknown");
    check(json(200, r#"{"error":"Internal Server Error","message":"Please try again later."}"#), "unknown");
    check(status(408), "unknown");
    check(status(503), "unknown");
    check(status(429), "deferred");
    check(Err(Error::new(ErrorKind::Timeout, "late")), "unknown");
    check(Err(Error::new(ErrorKind::Unavailable, "down").not_sent()), "deferred");
}

#[test]
fn a_refused_key_while_adding_stops_the_rest_and_keeps_what_is_done() {
    let http = Script::new();
    let harness = open(value!({ "list_membership": "single", "max_in_flight": 1 }), &http);
    let session = session(&http, &harness, &["News", "Vip"]);
    http.expect("POST", "/contacts", json(200, acknowledging(&["a", "b", "c"])));
    http.expect("POST", "/list/L-News/contact/p-a", status(200)).expect(
        "POST",
        "/list/L-News/contact/p-b",
        status(403),
    );
    let outcomes = block_on(harness.write(&batch(&session, &[0, 1], &["a", "b", "c"]))).unwrap();
    // The first is on one of its two lists, so it is not done either.
    assert_eq!(short(&outcomes.rows), ["deferred", "deferred", "deferred"]);
    assert_eq!(outcomes.stop.unwrap().kind(), ErrorKind::PermissionDenied);
    http.assert_done();
}

/// What is said of one contact may name it, or another one.
#[test]
fn a_refused_add_is_told_without_what_is_said_of_the_contact() {
    let http = Script::new();
    let harness = open(value!({ "list_membership": "single", "max_in_flight": 1 }), &http);
    let session = session(&http, &harness, &["News"]);
    http.expect("POST", "/contacts", json(200, acknowledging(&["Wilhelmina", "Krongold"])));
    let text = r#"{"error":"Bad Request","message":"Contact wilhelmina is archived, p-Wilhelmina"}"#;
    http.expect("POST", "/list/L-News/contact/p-Wilhelmina", json(400, text));
    http.expect("POST", "/list/L-News/contact/p-Krongold", json(500, r#"{"message":"Krongold did not fit"}"#));
    let outcomes = block_on(harness.write(&batch(&session, &[0], &["Wilhelmina", "Krongold"]))).unwrap();
    let reasons: Vec<&str> = outcomes.rows.iter().map(reason).collect();
    let expected = [
        "Autopilot answered POST /list/{list}/contact/{contact} with 400: Bad Request: Contact [...] is archived, [...]",
        "Autopilot answered POST /list/{list}/contact/{contact} with 500: [...] did not fit",
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn rows_that_were_not_written_are_not_added() {
    let http = Script::new();
    let harness = open(value!({ "list_membership": "single" }), &http);
    let session = session(&http, &harness, &["News"]);
    http.expect("POST", "/contacts", json(200, acknowledging(&["b"])));
    http.expect("POST", "/list/L-News/contact/p-b", status(200));
    let outcomes = block_on(harness.write(&batch(&session, &[0], &["a", "b"]))).unwrap();
    assert_eq!(short(&outcomes.rows), ["refused missing_from_answer", "done p-b"]);
    http.assert_done();
}

/// Members from before are named again in their bulk calls. Only if the first of them are gone, they are put back like new ones.
#[test]
fn members_from_before_are_put_back() {
    let check = |bulk_joins: bool, gone: &[&str], expected: &[&str], on_it_now: &[&str]| {
        let model = Model::new(bulk_joins);
        let list = model.add_list("News");
        for name in ["a", "b", "c", "d"] {
            model.state().contacts.insert(format!("{name}@example.com"), format!("p-{name}"));
            if !gone.contains(&name) {
                model.state().members.insert((list.clone(), format!("p-{name}")));
            }
        }
        let (autopilot, cx) = (model.connect(value!({ "max_in_flight": 1 })), model.context());
        let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
        model.state().calls.clear();
        for names in [["a", "b"], ["c", "d"]] {
            let outcomes = block_on(autopilot.write(&cx, &again(&session, &names))).unwrap();
            assert_eq!(short(&outcomes.rows), names.map(|name| format!("done p-{name}")));
        }
        let calls: Vec<String> = model.state().calls.iter().map(|call| call.replace("/contactlist_1", "")).collect();
        assert_eq!(calls, expected, "{bulk_joins} {gone:?}");
        let names: Vec<String> = on_list(&model).iter().map(|at| at.replace("contactlist_1/p-", "")).collect();
        assert_eq!(names, on_it_now, "{bulk_joins} {gone:?}");
    };
    const LOOK: [&str; 2] = ["GET /list/contact/a%40example.com", "GET /list/contact/b%40example.com"];
    let bulk = ["POST /contacts 2 contactlist_1"; 2];
    let all = &["a", "b", "c", "d"];
    check(true, &[], &[&LOOK[..], &bulk].concat(), all);
    check(true, &["d"], &[&LOOK[..], &bulk].concat(), all);
    check(false, &["d"], &[&LOOK[..], &bulk].concat(), &["a", "b", "c"]);
    let tested = ["GET /list/contact/p-b", "POST /contacts 2 contactlist_1"];
    check(true, &["b", "d"], &[&LOOK[..], &LOOK, &bulk[..1], &tested].concat(), all);
    let single = |name: &str| format!("POST /list/contact/p-{name}");
    let [a, b, c, d] = ["a", "b", "c", "d"].map(single);
    let one_by_one = ["GET /list/contact/p-b", &a, &b, "POST /contacts 2 -", &c, &d];
    check(false, &["b", "d"], &[&LOOK[..], &LOOK, &bulk[..1], &one_by_one].concat(), all);
}

/// A look that fails says nothing of the list: that batch is added one by one, and the next one looks again.
#[test]
fn a_look_that_fails_is_made_again_by_the_next_batch() {
    let http = Script::new();
    let harness = open(value!({}), &http);
    let session = session(&http, &harness, &["News"]);
    for _ in 0..2 {
        http.expect("GET", "/list/L-News/contact/a%40example.com", status(500));
    }
    http.expect("POST", "/contacts", json(200, acknowledging(&["a"])));
    http.expect("POST", "/list/L-News/contact/p-a", status(200));
    assert_eq!(short(&block_on(harness.write(&again(&session, &["a"]))).unwrap().rows), ["done p-a"]);
    http.expect("GET", "/list/L-News/contact/b%40example.com", status(200));
    http.expect("POST", "/contacts", json(200, acknowledging(&["b"])));
    assert_eq!(short(&block_on(harness.write(&again(&session, &["b"]))).unwrap().rows), ["done p-b"]);
    http.expect("POST", "/contacts", json(200, acknowledging(&["c"])));
    assert_eq!(short(&block_on(harness.write(&again(&session, &["c"]))).unwrap().rows), ["done p-c"]);
    http.assert_done();
}
