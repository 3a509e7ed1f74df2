//! The connector against recorded answers, through the same bytes as in the host.

use std::error::Error;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use segport_sdk::test::{ConnectorHarness, Script, json, status};
use segport_sdk::{
    Batch, BatchKind, ErrorKind, ExportSegment, ExportSpec, FieldType, MappedField, RowOutcome, Session,
};
use serde_json::{Value, json};

use {{crate}}::{{Type}};

const KEY: &str = "k3y-that-nobody-may-see";

type Outcome = Result<(), Box<dyn Error>>;

fn open(http: &Script) -> segport_sdk::Result<ConnectorHarness<{{Type}}>> {
    ConnectorHarness::open(json!({ "base_url": "https://api.{{id}}.example", "api_key": KEY }), http)
}

fn field(name: &str, field_type: FieldType) -> MappedField {
    MappedField { name: name.to_owned(), field_type, custom: false, clear_null: false }
}

fn export() -> ExportSpec {
    let readers =
        ExportSegment { id: "readers".to_owned(), display_name: "Readers".to_owned(), first_run: true, list: None };
    ExportSpec {
        id: "newsletter".to_owned(),
        segments: vec![readers],
        fields: vec![field("email", FieldType::Email), field("first_name", FieldType::String)],
        account: None,
        may_move: false,
    }
}

fn two_rows() -> Result<RecordBatch, Box<dyn Error>> {
    let emails: ArrayRef = Arc::new(StringArray::from(vec!["anna@mail.example", "bo@mail.example"]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("Anna"), None]));
    Ok(RecordBatch::try_from_iter_with_nullable([("f0", emails, true), ("f1", names, true)])?)
}

async fn begun(http: &Script, connector: &ConnectorHarness<{{Type}}>) -> segport_sdk::Result<Session> {
    http.expect("PUT", "/lists/readers", json(200, "{}"));
    connector.begin(&export()).await
}

#[test]
fn the_description_names_an_identity_and_a_privacy_text() -> Outcome {
    let descriptor = open(&Script::new())?.descriptor();
    assert_eq!(descriptor.identity().map(|field| field.name.as_str()), Some("email"));
    assert!(!descriptor.consent.is_empty());
    Ok(())
}

#[test]
fn an_address_without_a_scheme_is_refused() {
    let settings = json!({ "base_url": "api.example", "api_key": KEY });
    let refused = ConnectorHarness::<{{Type}}>::open(settings, &Script::new()).err();
    assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::ConfigInvalid));
}

#[tokio::test]
async fn check_reaches_the_account() -> Outcome {
    let http = Script::new();
    http.expect("GET", "/account", json(200, r#"{"id":"acme"}"#));
    assert_eq!(open(&http)?.check().await?.id, "acme");
    http.assert_done();
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_is_told_and_not_shown() -> Outcome {
    let http = Script::new();
    http.expect("GET", "/account", status(401));
    let error = open(&http)?.check().await.err().ok_or("it should fail")?;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(!error.to_string().contains(KEY));
    Ok(())
}

#[tokio::test]
async fn every_row_has_an_outcome() -> Outcome {
    let http = Script::new();
    let connector = open(&http)?;
    let session = begun(&http, &connector).await?;
    http.expect("POST", "/members", json(200, r#"{"results":[{"id":"m1"},{"error":"bo@mail.example is blocked"}]}"#));
    let kind = BatchKind::Upsert { join: vec![0], rejoin: Vec::new() };
    let batch = Batch { session: session.into(), kind, rows: two_rows()? };
    let outcomes = connector.write(&batch).await?;
    assert_eq!(outcomes.rows.first(), Some(&RowOutcome::Done(Some("m1".to_owned()))));
    assert!(matches!(outcomes.rows.get(1), Some(RowOutcome::Refused { reason, .. }) if !reason.contains("bo@")));
    http.assert_done();

    let sent = http.requests().pop().ok_or("nothing was sent")?;
    let expected = json!({
        "lists": ["readers"],
        "members": [{ "email": "anna@mail.example", "first_name": "Anna" }, { "email": "bo@mail.example" }],
    });
    assert_eq!(serde_json::from_slice::<Value>(&sent.body)?, expected);
    Ok(())
}

#[tokio::test]
async fn a_short_answer_leaves_rows_unknown() -> Outcome {
    let http = Script::new();
    let connector = open(&http)?;
    let session = begun(&http, &connector).await?;
    http.expect("POST", "/members", json(200, r#"{"results":[{"id":"m1"}]}"#));
    let kind = BatchKind::Upsert { join: vec![0], rejoin: Vec::new() };
    let batch = Batch { session: session.into(), kind, rows: two_rows()? };
    let outcomes = connector.write(&batch).await?.rows;
    assert!(matches!(outcomes.as_slice(), [RowOutcome::Done(_), RowOutcome::Unknown { .. }]));
    Ok(())
}

#[tokio::test]
async fn leavers_are_taken_off_the_list() -> Outcome {
    let http = Script::new();
    let connector = open(&http)?;
    let session = begun(&http, &connector).await?;
    http.expect("POST", "/lists/readers/remove", json(200, "{}"));
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["m1", "m2"]));
    let rows = RecordBatch::try_from_iter([(Batch::DESTINATION_ID, ids)])?;
    let kind = BatchKind::Remove { segment: 0 };
    let outcomes = connector.write(&Batch { session: session.into(), kind, rows }).await?;
    assert_eq!(outcomes.rows, [RowOutcome::Done(None), RowOutcome::Done(None)]);
    http.assert_done();
    Ok(())
}
