//! Rows in doubt: what Autopilot shows of them decides whether they are written again.

use segport_sdk::test::{Script, json, status};
use segport_sdk::{Error, ErrorKind, Found};
use serde_json::{Value, json as value};

use crate::{batch, block_on, open, session};

fn short(found: &Found) -> String {
    match found {
        Found::Held(id) => format!("held {}", id.as_deref().unwrap_or("-")),
        Found::Different => "different".to_owned(),
        Found::Unclear { .. } => "unclear".to_owned(),
    }
}

/// What the connector shows of Anna, who would be put on the list `News`.
fn anna(document: &Value) -> segport_sdk::Result<segport_sdk::http::Response> {
    json(200, document.to_string())
}

#[test]
fn a_row_is_held_only_if_it_reads_back_as_it_would_be_written() {
    let check = |answer: segport_sdk::Result<segport_sdk::http::Response>, expected: &str| {
        let http = Script::new();
        let harness = open(value!({}), &http);
        let session = session(&http, &harness, &["News"]);
        http.expect("GET", "/contact/anna%40example.com", answer.clone());
        let found = block_on(harness.settle(&batch(&session, &[0], &["anna"]))).unwrap();
        assert_eq!(found.rows.iter().map(short).collect::<Vec<_>>(), [expected], "{answer:?}");
        http.assert_done();
    };
    let document = value!({
        "contact_id": "person_1", "Email": "Anna@Example.com", "FirstName": "anna", "Name": "anna",
        "lists": ["L-Other", "L-News"], "_rev": "7",
    });
    let with = |key: &str, other: Value| {
        let mut changed = document.clone();
        changed[key] = other;
        changed
    };
    check(anna(&document), "held person_1");
    check(anna(&with("FirstName", value!("Anne"))), "different");
    check(anna(&with("FirstName", value!(null))), "different");
    check(anna(&with("Email", value!("hanna@example.com"))), "different");
    check(anna(&with("lists", value!(["L-Other"]))), "different");
    check(anna(&with("lists", value!(null))), "different");
    check(anna(&with("contact_id", value!(""))), "different");
    check(anna(&with("contact_id", value!(["person_1"]))), "different");
    check(anna(&value!({})), "different");
    check(json(404, r#"{"error":"Not Found","message":"Contact could not be found."}"#), "different");
    // None of these says anything about the contact.
    check(json(404, "{}"), "unclear");
    check(json(404, "<html>no such page</html>"), "unclear");
    check(json(200, "<html>log in</html>"), "unclear");
    check(json(200, "[]"), "unclear");
    check(status(204), "unclear");
    check(status(429), "unclear");
    check(status(500), "unclear");
    check(Err(Error::new(ErrorKind::Timeout, "late")), "unclear");
}

#[test]
fn each_row_is_asked_for_if_the_first_one_is_held() {
    let held = |name: &str| {
        let email = format!("{name}@example.com");
        anna(&value!({"contact_id": format!("p-{name}"), "Email": email, "FirstName": name, "lists": ["L-News"]}))
    };
    let check = |answers: Vec<segport_sdk::Result<segport_sdk::http::Response>>, expected: [&str; 3]| {
        let http = Script::new();
        let harness = open(value!({ "max_in_flight": 1 }), &http);
        let session = session(&http, &harness, &["News"]);
        for (name, answer) in ["anna", "ben", "cleo"].iter().zip(answers) {
            http.expect("GET", &format!("/contact/{name}%40example.com"), answer);
        }
        let found = block_on(harness.settle(&batch(&session, &[0], &["anna", "ben", "cleo"]))).unwrap().rows;
        assert_eq!(found.iter().map(short).collect::<Vec<_>>(), expected);
        http.assert_done();
    };
    check(vec![held("anna"), status(500), held("cleo")], ["held p-anna", "unclear", "held p-cleo"]);
    check(vec![status(500)], ["unclear", "unclear", "unclear"]);
    check(vec![json(404, r#"{"message":"Contact could not be found."}"#)], ["different", "unclear", "unclear"]);
}

#[test]
fn a_refused_key_ends_it() {
    for kind in [(401, ErrorKind::Unauthenticated), (403, ErrorKind::PermissionDenied)] {
        let http = Script::new();
        let harness = open(value!({ "max_in_flight": 1 }), &http);
        let session = session(&http, &harness, &["News"]);
        http.expect("GET", "/contact/anna%40example.com", status(kind.0));
        let error = block_on(harness.settle(&batch(&session, &[0], &["anna", "ben"]))).unwrap_err();
        assert_eq!(error.kind(), kind.1);
        http.assert_done();
    }
}
