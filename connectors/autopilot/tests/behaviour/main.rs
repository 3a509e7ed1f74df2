//! What a host sees of the connector: calls, outcomes and errors, against scripted answers and a model of the service.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking")]

mod account;
mod dropped;
mod lists;
mod lookup;
mod membership;
mod model;
mod occupied;
mod removal;
mod upsert;
mod wire;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use segport_autopilot::Autopilot;
use segport_sdk::http::Response;
use segport_sdk::test::{ConnectorHarness, Script};
use segport_sdk::{Batch, BatchKind, ExportSegment, ExportSpec, FieldType, MappedField, Result, RowOutcome, Session};
use serde_json::{Value, json};

const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Which earlier runs have reached.
const ACCOUNT: &str = "acme";
const BASE: &str = "http://127.0.0.1:9/v1";

/// Runs `future` on a runtime of its own.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

type Harness = ConnectorHarness<Autopilot>;

fn settings(overrides: Value) -> Value {
    let mut all = json!({ "api_key": KEY, "base_url": BASE, "requests_per_second": 0 });
    for (name, value) in overrides.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn open(overrides: Value, http: &Script) -> Harness {
    Harness::open(settings(overrides), http).unwrap()
}

fn export(segments: &[&str]) -> ExportSpec {
    ExportSpec {
        id: "newsletter".to_owned(),
        segments: segments
            .iter()
            .map(|name| ExportSegment {
                id: name.to_lowercase(),
                display_name: (*name).to_owned(),
                first_run: false,
                list: None,
            })
            .collect(),
        fields: vec![field("email", FieldType::Email, false), field("first_name", FieldType::String, false)],
        account: Some(ACCOUNT.to_owned()),
        may_move: false,
    }
}

fn field(name: &str, field_type: FieldType, custom: bool) -> MappedField {
    MappedField { name: name.to_owned(), field_type, custom, clear_null: false }
}

/// Rows of [`export`]: an address and a first name each.
fn batch(session: &Session, join: &[u16], names: &[impl AsRef<str>]) -> Batch {
    let emails: ArrayRef =
        Arc::new(StringArray::from_iter_values(names.iter().map(|name| format!("{}@example.com", name.as_ref()))));
    let first: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    Batch {
        session: session.clone().into(),
        kind: BatchKind::Upsert { join: join.to_vec(), rejoin: Vec::new() },
        rows: RecordBatch::try_from_iter_with_nullable([("f0", emails, true), ("f1", first, true)]).unwrap(),
    }
}

/// The same, of contacts that were acknowledged as members of `News` before.
fn again(session: &Session, names: &[&str]) -> Batch {
    Batch { kind: BatchKind::Upsert { join: Vec::new(), rejoin: vec![0] }, ..batch(session, &[], names) }
}

fn removal(session: &Session, segment: u16, ids: &[Option<&str>]) -> Batch {
    let ids: ArrayRef = Arc::new(StringArray::from(ids.to_vec()));
    Batch {
        session: session.clone().into(),
        kind: BatchKind::Remove { segment },
        rows: RecordBatch::try_from_iter_with_nullable([(Batch::DESTINATION_ID, ids, true)]).unwrap(),
    }
}

/// Lets `begin` look at the lists, and, since it misses one, at the account.
fn looks_around(http: &Script, lists: Result<Response>) -> &Script {
    let account = segport_sdk::test::json(200, json!({ "instanceId": ACCOUNT }).to_string());
    http.expect("GET", "/lists", lists).expect("GET", "/account", account)
}

/// A session as `begin` makes it for [`export`], with lists that existed before.
fn session(http: &Script, harness: &Harness, segments: &[&str]) -> Session {
    let lists: Vec<Value> =
        segments.iter().map(|name| json!({ "list_id": format!("L-{name}"), "title": name })).collect();
    looks_around(http, segport_sdk::test::json(200, json!({ "lists": lists }).to_string()));
    block_on(harness.begin(&export(segments))).unwrap()
}

/// Outcomes in short: `done ID`, `refused CODE`, `unknown`, `deferred`.
fn short(rows: &[RowOutcome]) -> Vec<String> {
    rows.iter()
        .map(|outcome| match outcome {
            RowOutcome::Done(id) => format!("done {}", id.as_deref().unwrap_or("-")),
            RowOutcome::Refused { code, .. } => format!("refused {code}"),
            RowOutcome::Unknown { .. } => "unknown".to_owned(),
            RowOutcome::Deferred { .. } => "deferred".to_owned(),
        })
        .collect()
}

/// Why a row is not done.
fn reason(row: &RowOutcome) -> &str {
    match row {
        RowOutcome::Done(_) => "",
        RowOutcome::Refused { reason, .. } | RowOutcome::Unknown { reason } | RowOutcome::Deferred { reason } => reason,
    }
}

/// The answer to a bulk call that acknowledges these contacts as `p-NAME`.
fn acknowledging(names: &[&str]) -> String {
    let map: serde_json::Map<String, Value> =
        names.iter().map(|name| (format!("{name}@example.com"), json!(format!("p-{name}")))).collect();
    json!({ "contact_ids": map.values().collect::<Vec<_>>(), "email_contact_map": map }).to_string()
}
