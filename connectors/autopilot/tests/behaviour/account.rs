//! `check`, `accepts` and the description.

use segport_sdk::test::{Script, json, status};
use segport_sdk::{ErrorKind, FieldType};
use serde_json::json as value;

use crate::{KEY, block_on, export, field, open};

#[test]
fn check_reads_the_account_and_the_lists() {
    let http = Script::new();
    http.expect("GET", "http://127.0.0.1:9/v1/account", json(200, r#"{"instanceId":"acme","extra":[1]}"#));
    http.expect("GET", "http://127.0.0.1:9/v1/lists", json(200, r#"{"lists":[{"list_id":"L1","title":"A"}]}"#));
    let account = block_on(open(value!({}), &http).check()).unwrap();
    assert_eq!((account.id.as_str(), account.name), ("acme", None));
    assert_eq!(account.facts, [("lists".to_owned(), "1".to_owned())]);
    for request in http.requests() {
        assert_eq!(request.head.headers, [("autopilotapikey".to_owned(), KEY.to_owned())]);
        assert!(request.head.repeatable);
    }
    http.assert_done();
}

#[test]
fn check_says_what_is_wrong() {
    let check = |code, body: &'static str, kind| {
        let http = Script::new();
        http.expect("GET", "/account", json(code, body));
        let error = block_on(open(value!({}), &http).check()).unwrap_err();
        assert_eq!(error.kind(), kind, "{code} {body}");
        assert!(!error.to_string().contains(KEY));
        http.assert_done();
    };
    check(
        400,
        r#"{"error":"Bad Request","message":"No autopilotapikey header provided."}"#,
        ErrorKind::Unauthenticated,
    );
    check(
        401,
        r#"{"error":"Unauthorized","message":"Provided autopilotapikey not valid."}"#,
        ErrorKind::Unauthenticated,
    );
    check(403, "", ErrorKind::PermissionDenied);
    check(404, "<html></html>", ErrorKind::NotFound);
    check(503, "", ErrorKind::Unavailable);
    check(200, "<html>welcome</html>", ErrorKind::Unavailable);
    check(200, "{}", ErrorKind::Unavailable);

    let http = Script::new();
    http.expect("GET", "/account", json(200, r#"{"instanceId":7}"#)).expect("GET", "/lists", status(403));
    assert_eq!(block_on(open(value!({}), &http).check()).unwrap_err().kind(), ErrorKind::PermissionDenied);

    let http = Script::new();
    http.expect("GET", "/account", json(200, r#"{"instanceId":7}"#)).expect(
        "GET",
        "/lists",
        json(200, r#"{"lists":[]}"#),
    );
    let error = block_on(open(value!({ "list_id": "L9" }), &http).check()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
}

#[test]
fn mappings_that_cannot_work_are_refused_without_a_call() {
    let check = |overrides, export, part: Option<&str>| {
        let found = block_on(open(overrides, &Script::new()).accepts(&export));
        match part {
            None => found.unwrap(),
            Some(part) => {
                let error = found.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
                assert!(error.message().contains(part), "{}", error.message());
            }
        }
    };
    check(value!({}), export(&["A", "B"]), None);
    check(value!({ "list_id": "L1" }), export(&["A"]), None);
    check(value!({ "list_id": "L1" }), export(&["A", "B"]), Some("`list_id`"));
    check(value!({}), export(&["A", "B", "A"]), Some("both named `A`"));
    check(value!({}), export(&["A", " "]), Some("display_name"));
    check(value!({}), export(&["A", "a"]), None);
    let mut unknown = export(&["A"]);
    unknown.fields.push(field("nickname", FieldType::String, false));
    check(value!({}), unknown, Some("`nickname`"));
    let mut nobody = export(&["A"]);
    nobody.fields.remove(0);
    check(value!({}), nobody, Some("`email`"));
}

#[test]
fn the_description_is_whole() {
    let harness =
        open(value!({ "rows_per_batch": 7, "rows_per_export": 9, "request_timeout_secs": 3 }), &Script::new());
    let description = harness.descriptor();
    assert!(description.capabilities.remove && description.capabilities.repeatable);
    assert!(description.capabilities.several_segments);
    assert_eq!(description.limits.rows_per_export, Some(100_000));
    assert_eq!(description.limits.rows_per_batch, 100);
    assert_eq!(description.identity().unwrap().name, "email");
    let custom = description.custom_fields.unwrap();
    assert_eq!(custom.forbidden, ["--", " -", "- "]);
    assert!(!custom.outer_spaces);
    assert!(description.consent.contains("responsible"));
    let limits = harness.limits();
    assert_eq!((limits.rows_per_batch, limits.rows_per_export, limits.request_timeout_ms), (7, Some(9), 3000));
}
