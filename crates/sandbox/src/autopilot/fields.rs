//! Custom fields: how they are written, read and listed.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::identity::Identity;

/// The types a key can begin with.
const TYPES: [&str; 6] = ["string", "integer", "float", "number", "boolean", "date"];

/// A custom field's type and display name, from the key it is written with and the JSON text of a value.
///
/// A key without a known type keeps its whole text as the name and takes its type from the value; what the real
/// service does with such a key is unknown.
pub(super) fn decode(key: &str, value: &str) -> (&'static str, String) {
    let typed = key
        .split_once("--")
        .and_then(|(prefix, name)| TYPES.into_iter().find(|known| *known == prefix).map(|known| (known, name)));
    match typed {
        Some((kind, name)) => (kind, name.replace("--", " ")),
        None => (type_of(value), key.replace("--", " ")),
    }
}

fn type_of(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b't' | b'f') => "boolean",
        Some(b'-' | b'0'..=b'9') if value.contains(['.', 'e', 'E']) => "float",
        Some(b'-' | b'0'..=b'9') => "integer",
        _ => "string",
    }
}

/// The stored form of a date: UTC with milliseconds; none if the text is not a date.
///
/// A date-time without a zone is taken as UTC, a date alone as its midnight in UTC; both unknown for the real service.
pub(super) fn normal_date(text: &str) -> Option<String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(utc(time));
    }
    let local = text.parse::<civil::DateTime>().ok()?;
    TimeZone::UTC.to_timestamp(local).ok().map(utc)
}

/// A time stamp the way the service writes it.
pub(super) fn epoch_text(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map(utc).unwrap_or_default()
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The custom fields an account knows, in the order they were first seen.
///
/// Whether writing an unknown field creates it is unknown for the real service; here it does. A field once seen stays,
/// and one name written with two types gives two fields.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    known: HashSet<String>,
    listed: Vec<Value>,
}

impl Definitions {
    /// Adds the field a key names, unless it is known.
    pub(super) fn note(&mut self, key: &str, value: &str, now: i64, identity: Identity) {
        if self.known.contains(key) {
            return;
        }
        self.known.insert(key.to_owned());
        let (kind, name) = decode(key, value);
        if self.listed.iter().any(|field| field["name"] == *name && field["fieldType"] == kind) {
            return;
        }
        let key = identity.text(&format!("contacts_customfields_{now}_"), self.listed.len() as u64);
        self.listed.push(json!({ "key": key, "name": name, "fieldType": kind }));
    }

    /// The bare array the service answers with.
    pub(super) fn list(&self) -> Value {
        Value::Array(self.listed.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Definitions, decode, epoch_text, normal_date};
    use crate::autopilot::identity::Identity;

    #[test]
    fn keys_carry_type_and_name() {
        for (key, value, kind, name) in [
            ("string--Job--Title", "\"x\"", "string", "Job Title"),
            ("integer--NPS--Rating", "10", "integer", "NPS Rating"),
            ("float--Lifetime-Value", "1", "float", "Lifetime-Value"),
            ("boolean--A/B", "true", "boolean", "A/B"),
            ("age", "23", "integer", "age"),
            ("ratio", "2.5", "float", "ratio"),
            ("vip", "false", "boolean", "vip"),
            ("color--Eyes", "\"blue\"", "string", "color Eyes"),
        ] {
            assert_eq!(decode(key, value), (kind, name.to_owned()), "{key}");
        }
    }

    #[test]
    fn dates_become_utc_with_milliseconds() {
        for (sent, stored) in [
            ("2017-01-14T11:58:42Z", Some("2017-01-14T11:58:42.000Z")),
            ("2017-01-14T11:58:42.5Z", Some("2017-01-14T11:58:42.500Z")),
            ("2017-01-14T11:58:42.123456+01:00", Some("2017-01-14T10:58:42.123Z")),
            ("2017-01-14T11:58:42+0100", Some("2017-01-14T10:58:42.000Z")),
            ("2017-01-14T11:58:42", Some("2017-01-14T11:58:42.000Z")),
            ("2017-01-14 11:58:42", Some("2017-01-14T11:58:42.000Z")),
            ("2017-01-14", Some("2017-01-14T00:00:00.000Z")),
            ("next tuesday", None),
            ("", None),
        ] {
            assert_eq!(normal_date(sent).as_deref(), stored, "{sent}");
        }
        assert_eq!(epoch_text(1_484_448_799_000), "2017-01-15T02:53:19.000Z");
    }

    #[test]
    fn a_field_is_listed_once() {
        let (mut definitions, identity) = (Definitions::default(), Identity::fresh());
        for key in ["string--City", "string--City", "integer--City", "City"] {
            definitions.note(key, "\"x\"", 1, identity);
        }
        let listed = definitions.list();
        let fields: Vec<(&str, &str)> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|field| (field["name"].as_str().unwrap(), field["fieldType"].as_str().unwrap()))
            .collect();
        assert_eq!(fields, [("City", "string"), ("City", "integer")]);
        assert!(listed[0]["key"].as_str().unwrap().starts_with("contacts_customfields_1_"));
    }
}
