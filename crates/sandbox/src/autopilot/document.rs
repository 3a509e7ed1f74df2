//! Contact texts: merging what was written, and the form in which a contact is read.
//!
//! Values are moved as the JSON text they were sent as, never decoded and encoded again, so they come back byte for
//! byte: escapes, control characters and the digits of numbers included.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields;
use super::incoming::FieldKey;

/// Keys inside a written contact that steer the write and are not stored.
const CONTROL: [&str; 4] = ["_autopilot_list", "_autopilot_session_id", "_NewEmail", "notify"];

/// Keys that only the service sets. A client that sends back what it read does not change them.
const READ_ONLY: [&str; 12] = [
    "contact_id",
    "type",
    "Name",
    "lists",
    "created_at",
    "updated_at",
    "api_originated",
    "custom_fields",
    "company_priority",
    "employeesRange",
    "_rev",
    "_removeResultKeys",
];

/// The fields of a JSON object in order, undecoded.
#[derive(Default)]
pub(super) struct Pairs<'a>(pub(super) Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Pairs<'a> {
    /// The fields of an object; none if the text is not an object.
    pub(super) fn of(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The text of a field's value.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The decoded value of a field that holds a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// Lays a field over the others: it replaces, is added, or with null takes away.
    fn lay(&mut self, key: Cow<'a, str>, value: &'a str) {
        let place = self.0.iter().position(|(known, _)| *known == key);
        match (place, value) {
            (Some(place), "null") => {
                self.0.remove(place);
            }
            (Some(place), value) => self.0[place].1 = value,
            (None, "null") => {}
            (None, value) => self.0.push((key, value)),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (key, value) in &self.0 {
            field(out, key, value);
        }
        out.push(b'}');
    }
}

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collector;
        impl<'de> Visitor<'de> for Collector {
            type Value = Pairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::with_capacity(16);
                while let Some(FieldKey(key)) = map.next_key()? {
                    let value: &'de RawValue = map.next_value()?;
                    pairs.push((key, value.get()));
                }
                Ok(Pairs(pairs))
            }

            // PHP writes an empty object as `[]`.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pairs<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Pairs::default())
            }
        }
        deserializer.deserialize_any(Collector)
    }
}

/// The text of a contact after a write: sent fields overwrite, unsent ones stay, null clears.
///
/// `custom` is merged field by field. What null does to a stored value is not verified for the real service.
pub(super) fn merge(stored: &str, sent: &str) -> String {
    let mut fields = Pairs::default();
    let mut custom = Pairs::default();
    for (key, value) in Pairs::of(stored).0.into_iter().chain(Pairs::of(sent).0) {
        if key == "custom" {
            Pairs::of(value).0.into_iter().for_each(|(key, value)| custom.lay(key, value));
        } else if !CONTROL.contains(&key.as_ref()) && !READ_ONLY.contains(&key.as_ref()) {
            fields.lay(key, value);
        }
    }
    let mut nested = Vec::new();
    custom.write(&mut nested);
    let nested = text(nested);
    if !custom.0.is_empty() {
        fields.lay(Cow::Borrowed("custom"), &nested);
    }
    let mut merged = Vec::with_capacity(stored.len() + sent.len());
    fields.write(&mut merged);
    text(merged)
}

/// What the store knows about a contact beside its fields.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// The contact's id.
    pub(super) id: String,
    /// What was written.
    pub(super) text: &'a str,
    /// When it was first written, in milliseconds since 1970.
    pub(super) created: i64,
    /// When it was written again; none if never.
    pub(super) updated: Option<i64>,
    /// The lists it is on.
    pub(super) lists: Vec<&'a str>,
}

/// Writes a contact in the form it is read in.
///
/// `NumberOfEmployees` comes back the way it was sent; both a text and a number have been seen.
pub(super) fn render(out: &mut Vec<u8>, record: &Record<'_>) {
    // A text that was never merged may hold a field twice; the last one counts.
    let merged = merge(record.text, "{}");
    let fields = Pairs::of(&merged);
    out.push(b'{');
    field(out, "contact_id", &quoted(&record.id));
    for (key, value) in fields.0.iter().filter(|(key, _)| key != "custom") {
        field(out, key, value);
    }
    let name = [fields.text("FirstName"), fields.text("LastName")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    if !name.trim().is_empty() {
        field(out, "Name", &quoted(name.trim()));
    }
    if !record.lists.is_empty() {
        let lists = record.lists.iter().map(|list| quoted(list)).collect::<Vec<_>>().join(",");
        field(out, "lists", &format!("[{lists}]"));
    }
    field(out, "created_at", &quoted(&fields::epoch_text(record.created)));
    if let Some(updated) = record.updated {
        field(out, "updated_at", &quoted(&fields::epoch_text(updated)));
    }
    field(out, "api_originated", "true");
    if let Some(custom) = fields.get("custom") {
        field(out, "custom_fields", &custom_fields(custom));
    }
    out.push(b'}');
}

/// Custom fields in the form they are read in.
fn custom_fields(custom: &str) -> String {
    let mut out = Vec::new();
    out.push(b'[');
    for (key, value) in Pairs::of(custom).0 {
        let (kind, name) = fields::decode(&key, value);
        let date = if kind == "date" { serde_json::from_str::<String>(value).ok() } else { None };
        // A value that is no date stays as sent: what the real service does with it is unknown.
        let normal = date.and_then(|date| fields::normal_date(&date)).map(|date| quoted(&date));
        separate(&mut out);
        out.push(b'{');
        field(&mut out, "kind", &quoted(&name));
        field(&mut out, "value", normal.as_deref().unwrap_or(value));
        field(&mut out, "fieldType", &quoted(kind));
        field(&mut out, "deleted", "false");
        out.push(b'}');
    }
    out.push(b']');
    text(out)
}

/// Writes `"key":value`, with a comma unless it is the first of its object.
fn field(out: &mut Vec<u8>, key: &str, value: &str) {
    separate(out);
    string(out, key);
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
}

/// Writes a comma unless something has just been opened.
pub(super) fn separate(out: &mut Vec<u8>) {
    if !matches!(out.last(), None | Some(b'{' | b'[')) {
        out.push(b',');
    }
}

/// Writes a JSON text.
pub(super) fn string(out: &mut Vec<u8>, content: &str) {
    if content.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(quoted(content).as_bytes());
    } else {
        out.push(b'"');
        out.extend_from_slice(content.as_bytes());
        out.push(b'"');
    }
}

fn quoted(content: &str) -> String {
    serde_json::Value::from(content).to_string()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Record, merge, render};
    use serde_json::{Value, json};

    fn read(text: &str, lists: Vec<&str>, updated: Option<i64>) -> Value {
        let mut out = Vec::new();
        render(&mut out, &Record { id: "person_1".to_owned(), text, created: 0, updated, lists });
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn sent_overwrites_unsent_stays_null_clears() {
        for (stored, sent, merged) in [
            (r#"{"A":1,"B":2}"#, r#"{"B":3,"C":4}"#, r#"{"A":1,"B":3,"C":4}"#),
            (r#"{"A":1,"B":2}"#, r#"{"A":null}"#, r#"{"B":2}"#),
            (r#"{"A":1}"#, r#"{"Z":null}"#, r#"{"A":1}"#),
            (r#"{"A":null,"B":""}"#, "{}", r#"{"B":""}"#),
            (r#"{"A":1,"A":2}"#, "{}", r#"{"A":2}"#),
            (r#"{"A":1}"#, r#"{"_autopilot_list":"x","_NewEmail":"y","notify":false,"contact_id":"z"}"#, r#"{"A":1}"#),
            (r#"{"custom":{"x":1,"y":2}}"#, r#"{"custom":{"y":null,"z":3}}"#, r#"{"custom":{"x":1,"z":3}}"#),
            (r#"{"custom":{"x":1}}"#, r#"{"custom":[]}"#, r#"{"custom":{"x":1}}"#),
            (r#"{"custom":{"x":1}}"#, r#"{"custom":null}"#, r#"{"custom":{"x":1}}"#),
            (r#"{"custom":{"x":1}}"#, r#"{"custom":{"x":null}}"#, "{}"),
        ] {
            assert_eq!(merge(stored, sent), merged, "{stored} + {sent}");
        }
    }

    #[test]
    fn values_and_keys_stay_byte_for_byte() {
        let text = r#"{"FirstName":"\u0000\"\\\ud83d\ude00","N":1.50e3,"k\"e\ty":"\/"}"#;
        assert_eq!(merge(text, "{}"), text);
        assert_eq!(merge(r#"{"FirstName":"old"}"#, r#"{"FirstName":"😀 Ω"}"#), r#"{"FirstName":"😀 Ω"}"#);
        let lone = r#"{"FirstName":"\ud83d"}"#;
        assert_eq!(merge(lone, "{}"), lone);
    }

    #[test]
    fn a_contact_is_read_with_what_the_service_adds() {
        let text = r#"{"Email":"a@b.c","FirstName":"Ann","LastName":"Lee","notify":true,"_autopilot_list":"l",
                       "custom":{"integer--NPS--Rating":10,"date--Since":"2017-01-14"}}"#;
        assert_eq!(
            read(text, vec!["contactlist_1"], Some(1000)),
            json!({
                "contact_id": "person_1", "Email": "a@b.c", "FirstName": "Ann", "LastName": "Lee", "Name": "Ann Lee",
                "lists": ["contactlist_1"], "created_at": "1970-01-01T00:00:00.000Z",
                "updated_at": "1970-01-01T00:00:01.000Z", "api_originated": true,
                "custom_fields": [
                    {"kind": "NPS Rating", "value": 10, "fieldType": "integer", "deleted": false},
                    {"kind": "Since", "value": "2017-01-14T00:00:00.000Z", "fieldType": "date", "deleted": false},
                ],
            })
        );
    }

    #[test]
    fn what_is_not_there_is_absent() {
        assert_eq!(
            read(r#"{"Email":"a@b.c"}"#, vec![], None),
            json!({
                "contact_id": "person_1", "Email": "a@b.c", "created_at": "1970-01-01T00:00:00.000Z",
                "api_originated": true,
            })
        );
    }
}
