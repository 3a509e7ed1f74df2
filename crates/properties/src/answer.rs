//! Whatever a destination answers: nobody is acknowledged whom the answer does not name.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use segport_autopilot::Autopilot;
use segport_sdk::test::{ConnectorHarness, Script, json};
use segport_sdk::{Batch, BatchKind, ExportSegment, ExportSpec, FieldType, MappedField, RowOutcome, Session};
use serde_json::{Value, json as value};

use crate::block_on;

/// Errors of the oracle's parser that do not mean that the answer is no JSON. The last one is another word for a surrogate that
/// stands alone: it is said when no escape follows.
const BEYOND: [&str; 4] =
    ["number out of range", "recursion limit exceeded", "lone leading surrogate", "unexpected end of hex escape"];

/// The addresses that the corpus answers; a Kelvin sign or a long s stands for none of their letters.
const SENT: [&str; 4] = ["kim@kiosk.example", "sæther@x.no", "o'neil.jürgen@bücher.example", "a@b"];

/// The bytes as the answer to a bulk call of four addresses.
pub fn answer(bytes: &[u8]) {
    let sent = SENT.map(str::to_owned);
    if let Err(wrong) = acknowledged(bytes, &sent) {
        panic!("{wrong}");
    }
}

/// How many rows an answer acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// This many, and the answer names each of them.
    Judged(usize),
    /// The answer is JSON beyond what the oracle can hold.
    Unjudged,
}

/// Answers a bulk call of the addresses `sent`, which are lower-cased, and judges what becomes of the rows.
///
/// # Errors
/// Who was acknowledged without being named.
pub fn acknowledged(answer: &[u8], sent: &[String]) -> Result<Acknowledged, String> {
    let found = outcomes(answer, sent);
    assert_eq!(found.len(), sent.len(), "there is one outcome for each row");
    let strict = match serde_json::from_slice::<Value>(answer) {
        Ok(strict) => strict,
        Err(error) if BEYOND.iter().any(|what| error.to_string().starts_with(what)) => {
            return Ok(Acknowledged::Unjudged);
        }
        Err(_) => Value::Null,
    };
    let mut done = 0;
    for (nth, outcome) in found.iter().enumerate() {
        if let RowOutcome::Done(id) = outcome {
            done += 1;
            if !id.as_deref().is_some_and(|id| names(&strict, nth, sent, id)) {
                let answer = String::from_utf8_lossy(answer);
                return Err(format!("{outcome:?} for {} in {answer}", sent[nth]));
            }
        }
    }
    Ok(Acknowledged::Judged(done))
}

/// What the connector makes of an answer, seen as a host sees it.
fn outcomes(answer: &[u8], sent: &[String]) -> Vec<RowOutcome> {
    static SESSION: OnceLock<Arc<Session>> = OnceLock::new();
    let http = Script::new();
    let settings =
        value!({"api_key": "0123456789abcdef", "base_url": "http://127.0.0.1:9/v1", "requests_per_second": 0});
    let connector = ConnectorHarness::<Autopilot>::open(settings, &http).unwrap();
    let session = SESSION.get_or_init(|| {
        http.expect("GET", "/lists", json(200, r#"{"lists":[{"list_id":"L-1","title":"Vip"}]}"#));
        http.expect("GET", "/account", json(200, r#"{"instanceId":"acme"}"#));
        Arc::new(block_on(connector.begin(&export())).unwrap())
    });
    let emails: ArrayRef = Arc::new(StringArray::from_iter_values(sent));
    let batch = Batch {
        session: Arc::clone(session),
        // Of rows that join no list the answer decides alone.
        kind: BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() },
        rows: RecordBatch::try_from_iter([("f0", emails)]).unwrap(),
    };
    http.expect("POST", "/contacts", json(200, answer.to_vec()));
    let outcomes = block_on(connector.write(&batch)).unwrap().rows;
    http.assert_done();
    outcomes
}

fn export() -> ExportSpec {
    let email =
        MappedField { name: "email".to_owned(), field_type: FieldType::Email, custom: false, clear_null: false };
    ExportSpec {
        id: "news".to_owned(),
        segments: vec![ExportSegment {
            id: "vip".to_owned(),
            display_name: "Vip".to_owned(),
            first_run: false,
            list: None,
        }],
        fields: vec![email],
        account: None,
        may_move: false,
    }
}

/// Whether a letter and another differ in case only: each is the other's one capital or small letter.
fn is_same_letter(one: char, other: char) -> bool {
    let pair = |small: char, capital: char| small.to_uppercase().eq([capital]) && capital.to_lowercase().eq([small]);
    one == other || pair(one, other) || pair(other, one)
}

fn is_same_address(one: &str, other: &str) -> bool {
    one.chars().count() == other.chars().count()
        && one.chars().zip(other.chars()).all(|(one, other)| is_same_letter(one, other))
}

/// The oracle, which shares nothing with what it judges: whether `answer` acknowledges the `nth` of `sent` with `id`.
fn names(answer: &Value, nth: usize, sent: &[String], id: &str) -> bool {
    let usable = |id: &str| !id.trim().is_empty() && id != "." && id != "..";
    let Some(members) = answer.as_object() else { return false };
    if let Some(map) = members.get("email_contact_map") {
        let Some(map) = map.as_object() else { return false };
        return usable(id) && map.iter().any(|(key, value)| is_same_address(key, &sent[nth]) && value == id);
    }
    // The form of 2015: nothing but ids, one each.
    let is_bare = members.keys().all(|key| key == "contact_ids" || key.starts_with('_'));
    let Some(ids) = members.get("contact_ids").and_then(Value::as_array) else { return false };
    let texts: HashSet<&str> = ids.iter().filter_map(Value::as_str).filter(|id| usable(id)).collect();
    is_bare && ids.len() == sent.len() && texts.len() == sent.len() && ids[nth] == id
}
