//! Looking up what Autopilot holds of contacts that an earlier run may have written.
//!
//! A contact counts as held only if reading it back shows every value as it would be written, and every list. Whatever reads
//! back in another form than the reference tells of is taken for different, and written again, which does no harm.

use futures::StreamExt;
use segport_sdk::{Context, Found, Result};
use serde_json::{Map, Value};

use crate::answer::is_id;
use crate::client::Client;
use crate::contact::Contacts;
use crate::error::ends_round;
use crate::fields::EMAIL;
use crate::lists::SegmentList;

const NOT_ASKED: &str = "it was not asked for, because the first contact of its batch is not there as it should be";

/// Asks for each of the contacts, one call each and several at once; but for the first one alone at first, and for no other if
/// that is not held. A batch is written in one call, so the others are most likely not there either, and to write them all is
/// one call where to ask for them all is a hundred.
///
/// # Errors
/// If the connection is of no use for any of them.
pub(crate) async fn look_up(
    client: &Client,
    cx: &Context,
    contacts: &Contacts<'_>,
    lists: &[&SegmentList],
) -> Result<Vec<Found>> {
    let mut found = vec![Found::Unclear { reason: NOT_ASKED.to_owned() }; contacts.len()];
    let mut answered = |row: usize, answer: Result<Found>| {
        let answer = match answer {
            Err(error) if ends_round(&error) => return Err(error),
            Err(error) => Found::Unclear { reason: error.message().to_owned() },
            Ok(found) => found,
        };
        let is_held = matches!(answer, Found::Held(_));
        if let Some(found) = found.get_mut(row) {
            *found = answer;
        }
        Ok(is_held)
    };
    let mut contacts = contacts.as_sent();
    if let Some((row, sent)) = contacts.next()
        && answered(row, ask(client, cx, &sent, lists).await)?
    {
        let calls: Vec<_> = contacts.map(async |(row, sent)| (row, ask(client, cx, &sent, lists).await)).collect();
        let mut answers = futures::stream::iter(calls).buffer_unordered(client.width());
        while let Some((row, answer)) = answers.next().await {
            answered(row, answer)?;
        }
    }
    Ok(found)
}

async fn ask(client: &Client, cx: &Context, sent: &Map<String, Value>, lists: &[&SegmentList]) -> Result<Found> {
    let email = sent.get(EMAIL.wire).and_then(Value::as_str).unwrap_or_default();
    let Some(document) = client.contact(cx, email).await? else { return Ok(Found::Different) };
    let id = document.get("contact_id").and_then(Value::as_str).filter(|id| is_id(id));
    Ok(match id {
        Some(id) if holds(&document, sent) && is_on(&document, lists) => Found::Held(Some(id.to_owned())),
        _ => Found::Different,
    })
}

/// `lists` is absent when the contact is on none.
fn is_on(document: &Map<String, Value>, lists: &[&SegmentList]) -> bool {
    let on = document.get("lists").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    lists.iter().all(|list| on.iter().any(|id| id.as_str() == Some(&list.id)))
}

/// Whether a contact document shows every value of a contact as it would be written.
fn holds(document: &Map<String, Value>, sent: &Map<String, Value>) -> bool {
    sent.iter().all(|(key, value)| match value {
        Value::Object(custom) => custom.iter().all(|(key, value)| holds_custom(document, key, value)),
        Value::String(address) if key == EMAIL.wire => {
            document.get(key).and_then(Value::as_str).is_some_and(|held| held.eq_ignore_ascii_case(address))
        }
        _ => is_same(document.get(key), value),
    })
}

/// Custom fields are written as `type--Display--Name` and read back as an array of names and values.
fn holds_custom(document: &Map<String, Value>, key: &str, value: &Value) -> bool {
    let Some((field_type, name)) = key.split_once("--") else { return false };
    let name = name.replace("--", " ");
    let fields = document.get("custom_fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is = |field: &Value, key: &str, text: &str| field.get(key).and_then(Value::as_str) == Some(text);
    let mut live = fields.iter().filter(|field| field.get("deleted") != Some(&Value::Bool(true)));
    let held = live.find(|field| is(field, "kind", &name) && is(field, "fieldType", field_type));
    let held = held.and_then(|field| field.get("value"));
    match (held.and_then(Value::as_str), value.as_str()) {
        (Some(held), Some(sent)) if field_type == "date" => is_same_time(held, sent),
        _ => is_same(held, value),
    }
}

/// A field without a value may be absent or an empty text; both occur. A number may read back as text, and the other way
/// round.
fn is_same(held: Option<&Value>, sent: &Value) -> bool {
    match (held.unwrap_or(&Value::Null), sent) {
        (Value::Null, Value::Null) => true,
        (Value::Null, Value::String(text)) | (Value::String(text), Value::Null) => text.is_empty(),
        (Value::Number(held), Value::Number(sent)) => held == sent || held.as_f64() == sent.as_f64() && sent.is_f64(),
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            number.to_string() == *text
        }
        (held, sent) => held == sent,
    }
}

/// Dates read back as `2017-01-14T11:58:42.000Z`. With another offset than `Z` they are not compared.
fn is_same_time(held: &str, sent: &str) -> bool {
    let plain = |text: &str| text.trim_end_matches('Z').trim_end_matches(".000").to_owned();
    let sent = plain(sent);
    let sent = if sent.contains('T') { sent } else { sent + "T00:00:00" };
    plain(held) == sent
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn values_count_as_held_only_if_they_read_back_as_sent() {
        let check = |held: Value, sent: Value, expected: bool| {
            assert_eq!(holds(&object(held.clone()), &object(sent.clone())), expected, "{held} for {sent}");
        };
        check(json!({"Email": "Anna@Example.com"}), json!({"Email": "anna@example.com"}), true);
        check(json!({"Email": "ann@example.com"}), json!({"Email": "anna@example.com"}), false);
        check(json!({"Company": "acme"}), json!({"Company": "Acme"}), false);
        check(json!({"Company": "Acme"}), json!({"Company": "Acme"}), true);
        check(json!({}), json!({"Company": "Acme"}), false);
        for nothing in [json!({}), json!({"Company": ""}), json!({"Company": null})] {
            check(nothing.clone(), json!({"Company": null}), true);
            check(nothing, json!({"Company": ""}), true);
        }
        check(json!({"Company": "Acme"}), json!({"Company": null}), false);
        check(json!({"NumberOfEmployees": 10001}), json!({"NumberOfEmployees": "10001"}), true);
        check(json!({"NumberOfEmployees": 10001}), json!({"NumberOfEmployees": "10002"}), false);
        check(json!({"unsubscribed": true}), json!({"unsubscribed": true}), true);
        check(json!({}), json!({"unsubscribed": false}), false);
    }

    #[test]
    fn custom_fields_are_compared_by_name_and_type() {
        let field = |name: &str, field_type: &str, value: Value| {
            json!({"custom_fields": [
                {"kind": name, "value": value, "fieldType": field_type, "deleted": true},
                {"kind": "Other", "value": 1, "fieldType": "integer", "deleted": false},
                {"kind": name, "value": value, "fieldType": field_type, "deleted": false},
            ]})
        };
        let check = |held: Value, key: &str, sent: Value, expected: bool| {
            let sent = json!({"custom": {key: sent}});
            assert_eq!(holds(&object(held.clone()), &object(sent.clone())), expected, "{held} for {sent}");
        };
        check(field("NPS Rating", "integer", json!(10)), "integer--NPS--Rating", json!(10), true);
        check(field("NPS Rating", "integer", json!(9)), "integer--NPS--Rating", json!(10), false);
        check(field("NPS Rating", "float", json!(10)), "integer--NPS--Rating", json!(10), false);
        check(field("NPS", "integer", json!(10)), "integer--NPS--Rating", json!(10), false);
        check(field("Value", "float", json!(3)), "float--Value", json!(3.0), true);
        check(field("Big", "integer", json!(i64::MAX - 1)), "integer--Big", json!(i64::MAX), false);
        check(field("VIP", "boolean", json!(true)), "boolean--VIP", json!(true), true);
        check(json!({}), "string--City", json!("Oslo"), false);
        check(json!({}), "string--City", json!(null), true);
        for (held, sent, expected) in [
            ("2017-01-14T11:58:42.000Z", "2017-01-14T11:58:42Z", true),
            ("2017-01-14T11:58:42.000Z", "2017-01-14T11:58:42", true),
            ("2017-01-14T00:00:00.000Z", "2017-01-14", true),
            ("2017-01-14T00:00:00.000Z", "2017-01-15", false),
            ("2017-01-14T11:58:42.000Z", "2017-01-14T12:58:42+01:00", false),
        ] {
            check(field("Born", "date", json!(held)), "date--Born", json!(sent), expected);
        }
        let deleted = json!({"custom_fields": [{"kind": "A", "value": 1, "fieldType": "integer", "deleted": true}]});
        check(deleted, "integer--A", json!(1), false);
    }

    #[test]
    fn every_list_must_be_there() {
        let list = |id: &str| SegmentList { id: id.to_owned(), new: false };
        let (one, two) = (list("contactlist_1"), list("contactlist_2"));
        let check = |document: Value, lists: &[&SegmentList], expected: bool| {
            assert_eq!(is_on(&object(document.clone()), lists), expected, "{document}");
        };
        check(json!({}), &[], true);
        check(json!({}), &[&one], false);
        check(json!({"lists": ["contactlist_1"]}), &[&one], true);
        check(json!({"lists": ["contactlist_1"]}), &[&one, &two], false);
        check(json!({"lists": "contactlist_1"}), &[&one], false);
    }
}
