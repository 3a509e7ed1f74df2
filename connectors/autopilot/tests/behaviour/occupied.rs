//! Lists that somebody else filled, or this export before its ledger was lost.

use segport_sdk::test::{Script, json, status};
use segport_sdk::{Connector, ErrorKind, Result, http::Response};
use serde_json::json as value;

use crate::model::{Model, PAGE};
use crate::{acknowledging, batch, block_on, export, open, session, short};

/// Rows in a batch.
const ROWS: usize = 100;

fn name(nth: usize) -> String {
    format!("n{nth:04}")
}

/// Delivers `rows` contacts to a list on which `there` says who is already. Returns the notes.
fn deliver(model: &Model, mode: &str, rows: usize, there: impl Fn(usize) -> bool) -> Vec<String> {
    let list = model.add_list("News");
    model.fill(&list, (0..rows).filter(|&nth| there(nth)).map(name));
    let (autopilot, cx) = (model.connect(value!({ "list_membership": mode, "max_in_flight": 1 })), model.context());
    let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
    model.state().calls.clear();
    let mut notes = Vec::new();
    let names: Vec<String> = (0..rows).map(name).collect();
    for names in names.chunks(ROWS) {
        let outcomes = block_on(autopilot.write(&cx, &batch(&session, &[0], names))).unwrap();
        assert!(short(&outcomes.rows).iter().zip(names).all(|(row, name)| *row == format!("done p-{name}")));
        notes.extend(outcomes.notes);
    }
    assert_eq!(model.state().members.len(), rows, "all of them are on the list");
    notes
}

/// How many calls looked somebody up on the list, read a page of it, wrote contacts, and added one.
fn calls(model: &Model) -> [usize; 4] {
    ["GET /list/contactlist_1/contact/", "GET /list/contactlist_1/contacts", "POST /contacts", "POST /list/"]
        .map(|prefix| model.count(prefix))
}

#[test]
fn nobody_is_added_who_is_there() {
    for bulk_joins in [true, false] {
        let model = Model::new(bulk_joins);
        let notes = deliver(&model, "probe", 2 * ROWS, |_| true);
        // The first batch pays for ten pages, as many as the list has.
        assert_eq!(calls(&model), [3, 10, 2, 0]);
        assert!(notes.is_empty(), "{notes:?}");
    }
}

/// Who was seen on the list does not name it again: where a bulk call with a list is refused, their rows would be.
#[test]
fn whoever_was_seen_names_no_list() {
    let model = Model::new(true);
    let notes = deliver(&model, "probe", 2 * ROWS, |_| true);
    assert_eq!(model.count(&format!("POST /contacts {ROWS} contactlist_1")), 1, "{notes:?}");
    assert_eq!(model.count(&format!("POST /contacts {ROWS} -")), 1);
}

#[test]
fn reading_a_long_list_costs_no_more_than_it_saves() {
    let rows = 50 * ROWS;
    let model = Model::new(true);
    let notes = deliver(&model, "probe", rows, |_| true);
    let [looks, pages, writes, adds] = calls(&model);
    // The order of the pages is that of the rows here, and each batch pays for more of them than it is long.
    assert_eq!((pages, writes, adds), (rows / PAGE, 50, 0));
    assert_eq!(looks, 3, "{notes:?}");

    // Two batches of a list of which they are the end: ten pages each, and a call for each contact.
    let model = Model::new(true);
    let list = model.add_list("News");
    model.fill(&list, (0..rows).map(name));
    let (autopilot, cx) = (model.connect(value!({ "max_in_flight": 1 })), model.context());
    let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
    model.state().calls.clear();
    let names: Vec<String> = (rows - 2 * ROWS..rows).map(name).collect();
    for names in names.chunks(ROWS) {
        let outcomes = block_on(autopilot.write(&cx, &batch(&session, &[0], names))).unwrap();
        assert_eq!(outcomes.notes.len(), 1, "{:?}", outcomes.notes);
    }
    assert_eq!(calls(&model), [6, 20, 2, 2 * ROWS]);
}

/// The first one who was not seen on the list tells whether bulk calls put contacts there.
#[test]
fn whoever_was_not_seen_is_tested_with() {
    let missing = ROWS + 20;
    let model = Model::new(true);
    let notes = deliver(&model, "probe", 4 * ROWS, |nth| nth < missing);
    // Three looks that found everybody there; one before the second batch, and one after it.
    assert_eq!(calls(&model), [5, 6, 4, 0]);
    assert!(notes.is_empty(), "{notes:?}");

    let model = Model::new(false);
    let notes = deliver(&model, "probe", 4 * ROWS, |nth| nth < missing);
    assert_eq!(calls(&model), [5, 6, 4, 4 * ROWS - missing]);
    assert!(notes[0].starts_with("bulk calls do not put contacts on the list"), "{notes:?}");
}

/// Where only single calls put contacts on a list, those that found somebody there pay for its pages.
#[test]
fn single_calls_find_out_who_is_there() {
    let model = Model::new(false);
    deliver(&model, "probe", 4 * ROWS, |nth| nth > 0);
    // The first batch finds 99, for nine pages, up to contact 179. The second one adds 20 more, for two pages, up to 219; the
    // third one 80, for eight pages, up to 379; and the last one 20.
    assert_eq!(calls(&model), [2, 19, 4, ROWS + 20 + 80 + 20]);
    let model = Model::new(false);
    deliver(&model, "single", 2 * ROWS, |_| true);
    assert_eq!(calls(&model), [0, 0, 2, 2 * ROWS]);
}

#[test]
fn the_next_run_looks_anew() {
    let model = Model::new(true);
    let list = model.add_list("News");
    let names: Vec<String> = (0..ROWS).map(name).collect();
    model.fill(&list, &names);
    let (autopilot, cx) = (model.connect(value!({ "max_in_flight": 1 })), model.context());
    for _ in 0..2 {
        let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
        let outcomes = block_on(autopilot.write(&cx, &batch(&session, &[0], &names))).unwrap();
        assert!(short(&outcomes.rows).iter().all(|row| row.starts_with("done")));
        block_on(autopilot.finish(&cx, &session)).unwrap();
        assert_eq!(model.state().members.len(), ROWS);
        // Somebody takes them off.
        model.state().members.clear();
    }
    assert_eq!(calls(&model)[2..], [2, 0]);
}

/// Where a destination takes upper and lower case for two, an address on the list says nothing of the contact that was written.
#[test]
fn whoever_has_the_address_of_a_member_is_none_for_that() {
    let model = Model::new(false);
    let list = model.add_list("News");
    let names: Vec<String> = (0..ROWS).map(name).collect();
    model.fill(&list, &names[..3]);
    model.fill(&list, names[3..].iter().map(|name| name.to_uppercase()));
    let (autopilot, cx) = (model.connect(value!({ "max_in_flight": 1 })), model.context());
    let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
    model.state().calls.clear();
    let outcomes = block_on(autopilot.write(&cx, &batch(&session, &[0], &names))).unwrap();
    assert!(short(&outcomes.rows).iter().all(|row| row.starts_with("done")));
    assert_eq!(calls(&model), [3, ROWS / PAGE, 1, ROWS - 3]);
    assert!(names.iter().all(|name| model.state().members.contains(&(list.clone(), format!("p-{name}")))));
}

/// As many contacts as pay for a page.
const TEN: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// Expects that a batch of ten is found on the list, by its first three.
fn expect_found(http: &Script) {
    for name in &TEN[..3] {
        http.expect("GET", &format!("/list/L-News/contact/{name}%40example.com"), status(200));
    }
}

/// Expects that the ten are written, and added one by one.
fn expect_added(http: &Script) {
    http.expect("POST", "/contacts", json(200, acknowledging(&TEN)));
    for name in TEN {
        http.expect("POST", &format!("/list/L-News/contact/p-{name}"), json(200, r#"{"not_modified":true}"#));
    }
}

/// Each batch that waits for such a page would wait anew.
#[test]
fn a_page_that_cannot_be_read_is_asked_for_once_in_a_run() {
    let http = Script::new();
    let harness = open(value!({ "max_in_flight": 1 }), &http);
    let session = session(&http, &harness, &["News"]);
    for pages in [1, 0] {
        expect_found(&http);
        for _ in 0..pages {
            http.expect("GET", "/list/L-News/contacts", status(503));
        }
        expect_added(&http);
        let outcomes = block_on(harness.write(&batch(&session, &[0], &TEN))).unwrap();
        assert_eq!(short(&outcomes.rows), TEN.map(|name| format!("done p-{name}")));
        http.assert_done();
    }
}

#[test]
fn a_key_that_is_refused_while_a_list_is_read_stops_the_connection() {
    let http = Script::new();
    let harness = open(value!({ "max_in_flight": 1 }), &http);
    let session = session(&http, &harness, &["News"]);
    expect_found(&http);
    http.expect("GET", "/list/L-News/contacts", status(401));
    let error = block_on(harness.write(&batch(&session, &[0], &TEN))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    http.assert_done();
}

/// Whoever cannot be read about is added.
#[test]
fn a_list_that_cannot_be_read_costs_single_calls() {
    let check = |page: Result<Response>| {
        let http = Script::new();
        let harness = open(value!({ "max_in_flight": 1 }), &http);
        let session = session(&http, &harness, &["News"]);
        expect_found(&http);
        http.expect("GET", "/list/L-News/contacts", page.clone());
        expect_added(&http);
        let outcomes = block_on(harness.write(&batch(&session, &[0], &TEN))).unwrap();
        assert_eq!(short(&outcomes.rows), TEN.map(|name| format!("done p-{name}")), "{page:?}");
        http.assert_done();
    };
    check(status(404));
    check(status(500));
    check(json(200, "<html>"));
    check(json(200, r#"{"total_contacts":4}"#));
    check(json(200, r#"{"contacts":[{"Email":"a@example.com"},{"Email":null}]}"#));
}
