//! What the answer to a bulk call says of each contact.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use segport_sdk::RowOutcome;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One outcome per address that was sent, in the order of the request.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub(crate) outcomes: Vec<RowOutcome>,
    pub(crate) notes: Vec<String>,
}

/// The parts that matter; every other key is ignored, since answers carry internal ones.
#[derive(Deserialize)]
struct Bulk<'a> {
    #[serde(borrow, default, deserialize_with = "as_written")]
    contact_ids: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    email_contact_map: Option<AddressMap<'a>>,
}

/// A key that is there counts, a `null` included.
fn as_written<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Methods of a visitor for which a truth value, a number and `null` are all the same.
macro_rules! scalars_are {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

/// What stands at `email_contact_map`.
#[derive(Debug)]
enum AddressMap<'a> {
    /// Its entries in the order of the answer, which is that of the request in every recorded example.
    Entries(Vec<(Cow<'a, str>, Id<'a>)>),
    /// It is no object.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for AddressMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = AddressMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of addresses and ids")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::with_capacity(100);
                while let Some((Text(address), id)) = map.next_entry::<Text<'de>, Id<'de>>()? {
                    entries.push((address, id));
                }
                Ok(AddressMap::Entries(entries))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(AddressMap::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(AddressMap::Other)
            }

            scalars_are!(AddressMap::Other);
        }
        deserializer.deserialize_any(InOrder)
    }
}

/// Text that is borrowed from the answer unless it has escapes.
#[derive(PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What stands for the id of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Id<'a> {
    /// Borrowed from the answer unless it has escapes.
    Text(Cow<'a, str>),
    /// It is no text.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrOther;
        impl<'de> Visitor<'de> for TextOrOther {
            type Value = Id<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Id::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Id::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Id::Other)
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Id::Other)
            }

            scalars_are!(Id::Other);
        }
        deserializer.deserialize_any(TextOrOther)
    }
}

/// Reads the answer to a bulk call of the addresses `sent`, which are lower-cased.
pub(crate) fn acknowledged(body: &[u8], sent: &[&str]) -> Acknowledged {
    let unknown = |reason: &str| Acknowledged {
        outcomes: vec![RowOutcome::Unknown { reason: reason.to_owned() }; sent.len()],
        notes: Vec::new(),
    };
    // Serde would take an array for a struct too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return unknown("Autopilot answered, but not with a JSON object");
    }
    // Serde passes over what it skips without looking at its bytes, but JSON is text throughout.
    let text = str::from_utf8(body).ok();
    let Some(Bulk { contact_ids, email_contact_map }) = text.and_then(|text| serde_json::from_str(text).ok()) else {
        return unknown("Autopilot's answer is cut off, or no JSON that can be read");
    };
    match (email_contact_map, contact_ids) {
        (Some(AddressMap::Entries(entries)), _) => by_address(entries, sent),
        (Some(AddressMap::Other), _) => unknown("`email_contact_map` of Autopilot's answer cannot be read"),
        (None, Some(ids)) => match ordered(ids, sent.len()).filter(|_| is_bare(body)) {
            Some(outcomes) => Acknowledged {
                outcomes,
                notes: vec![
                    "Autopilot's answers carry no `email_contact_map`; contact ids are taken in the order of the request"
                        .to_owned(),
                ],
            },
            None => unknown("Autopilot's answer does not say which contact is which"),
        },
        (None, None) => unknown("Autopilot's answer names no contacts"),
    }
}

/// A sent address that the map lacks is that contact's failure: no answer ever seen lists failures in another way.
fn by_address(entries: Vec<(Cow<'_, str>, Id<'_>)>, sent: &[&str]) -> Acknowledged {
    let is_in_order = entries.len() == sent.len() && entries.iter().zip(sent).all(|((key, _), email)| key == email);
    if is_in_order {
        let outcomes = entries.into_iter().map(|(_, id)| named(id)).collect();
        return Acknowledged { outcomes, notes: Vec::new() };
    }
    // Keys are the addresses as sent in every recorded answer, but nothing promises their letter case.
    let exact = by_key(entries.iter().map(|(key, id)| (Cow::Borrowed(&**key), id)));
    let folded = by_key(entries.iter().map(|(key, id)| (Cow::Owned(small(key)), id)));
    let outcomes = sent
        .iter()
        .map(|&email| match exact.get(email).or_else(|| folded.get(small(email).as_str())) {
            Some(Some(id)) => named(Id::clone(id)),
            Some(None) => {
                RowOutcome::Unknown { reason: "Autopilot's answer gives this contact several ids".to_owned() }
            }
            None => RowOutcome::Refused {
                code: "missing_from_answer".to_owned(),
                reason: "Autopilot accepted the call but did not name this contact in its answer".to_owned(),
            },
        })
        .collect();
    let own: HashSet<String> = sent.iter().map(|email| small(email)).collect();
    let mut notes = Vec::new();
    if folded.keys().any(|key| !own.contains(&**key)) {
        notes.push("Autopilot's answers name addresses that were not sent; they were ignored".to_owned());
    }
    Acknowledged { outcomes, notes }
}

/// The id of each key; none for a key that has several.
fn by_key<'a>(entries: impl Iterator<Item = (Cow<'a, str>, &'a Id<'a>)>) -> HashMap<Cow<'a, str>, Option<&'a Id<'a>>> {
    let mut ids: HashMap<Cow<'_, str>, Option<&Id<'_>>> = HashMap::new();
    for (key, id) in entries {
        let known = ids.entry(key).or_insert(Some(id));
        if known.is_some_and(|known| known != id) {
            *known = None;
        }
    }
    ids
}

/// `address` in small letters; only of letters that are a capital of exactly one, since a Kelvin sign, whose small letter is
/// the k, is no K.
fn small(address: &str) -> String {
    let letter = |letter: char| {
        let mut small = letter.to_lowercase();
        match (small.next(), small.next()) {
            (Some(small), None) if small.to_uppercase().eq([letter]) => small,
            _ => letter,
        }
    };
    address.chars().map(letter).collect()
}

/// The outcome of a contact that the answer names with this id.
fn named(id: Id<'_>) -> RowOutcome {
    match id {
        Id::Text(id) if is_id(&id) => RowOutcome::Done(Some(id.into_owned())),
        _ => RowOutcome::Unknown { reason: "Autopilot's answer has no usable id for this contact".to_owned() },
    }
}

/// The answers of June 2015 carried ids only. That they follow the order of the request is inferred from examples, so they
/// are used only when there is one id for each contact and no two are alike.
fn ordered(ids: &RawValue, count: usize) -> Option<Vec<RowOutcome>> {
    let ids: Vec<String> = serde_json::from_str(ids.get()).ok()?;
    let distinct: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let one_each = ids.len() == count && distinct.len() == count && ids.iter().all(|id| is_id(id));
    one_each.then(|| ids.into_iter().map(|id| RowOutcome::Done(Some(id))).collect())
}

/// Whether the answer holds ids and nothing else, internal keys aside. Where there is more, it may be what tells who is who.
fn is_bare(body: &[u8]) -> bool {
    serde_json::from_slice::<HashMap<Text<'_>, IgnoredAny>>(body)
        .is_ok_and(|members| members.keys().all(|Text(key)| key == "contact_ids" || key.starts_with('_')))
}

/// Longest id of a contact that is kept; those that are known have some fifty characters.
const LONGEST_ID: usize = 200;

/// Whether an id can stand in a path and be kept: an empty one, or one that a parser of addresses takes for "here" or "up", would
/// make the path that of another call, and an address is a profile's data.
pub(crate) fn is_id(id: &str) -> bool {
    let fits = (1..=LONGEST_ID).contains(&id.len()) && !id.trim().is_empty();
    fits && id != "." && id != ".." && !id.contains('@') && !id.contains("%40")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: [&str; 3] = ["a@x.no", "b@x.no", "c@x.no"];

    /// `D` done with that id, `M` missing from the answer, `U` unknown.
    fn check(body: &str, expected: &[&str], notes: usize) {
        let found = acknowledged(body.as_bytes(), &SENT);
        let short = |outcome: &RowOutcome| match outcome {
            RowOutcome::Done(id) => format!("D {}", id.as_deref().unwrap_or_default()),
            RowOutcome::Refused { code, .. } if code == "missing_from_answer" => "M".to_owned(),
            RowOutcome::Unknown { .. } => "U".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(found.outcomes.iter().map(short).collect::<Vec<_>>(), expected, "{body}");
        assert_eq!(found.notes.len(), notes, "{body}: {:?}", found.notes);
    }

    #[test]
    fn contacts_are_found_by_address_in_any_order() {
        let all = ["D 1", "D 2", "D 3"];
        check(r#"{"contact_ids":["1","2","3"],"email_contact_map":{"a@x.no":"1","b@x.no":"2","c@x.no":"3"}}"#, &all, 0);
        check(
            r#"{"email_contact_map":{"c@x.no":"3","a@x.no":"1","b@x.no":"2"},"_removeResultKeys":[{"x":1}]}"#,
            &all,
            0,
        );
        check(r#"{"email_contact_map":{"C@X.no":"3","A@x.NO":"1","b@x.no":"2"},"contact_ids":["9"]}"#, &all, 0);
        check(r#"{"email_contact_map":{"\u0061@x.no":"1","b@x.no":"2","c@x.no":"3"}}"#, &all, 0);
        check(r#" {"email_contact_map":{"a@x.no":"1","A@x.no":"9","b@x.no":"2","c@x.no":"3"}}"#, &all, 0);
        check(r#"{"email_contact_map":{"a@x.no":"1","a@x.no":"1","b@x.no":"2","c@x.no":"3"}}"#, &all, 0);
    }

    #[test]
    fn an_address_with_several_ids_is_unknown() {
        let answer = r#"{"email_contact_map":{"a@x.no":"1","a@x.no":"9","B@x.no":"2","b@X.no":"8","c@x.no":"3"}}"#;
        check(answer, &["U", "U", "D 3"], 0);
        check(r#"{"email_contact_map":{"a@x.no":null,"a@x.no":"1","b@x.no":"2"}}"#, &["U", "D 2", "M"], 0);
    }

    /// As where a destination takes two addresses for one. Whoever of them leaves stays on the list, which is the engine's to see to.
    #[test]
    fn several_addresses_may_have_one_id() {
        check(r#"{"email_contact_map":{"a@x.no":"1","b@x.no":"1","c@x.no":"3"}}"#, &["D 1", "D 1", "D 3"], 0);
    }

    #[test]
    fn only_the_two_forms_of_one_letter_are_alike() {
        let answered = |key: &str, sent: &str| {
            let body = format!("{{\"email_contact_map\":{{\"{key}\":\"1\"}}}}");
            matches!(acknowledged(body.as_bytes(), &[sent]).outcomes.as_slice(), [RowOutcome::Done(_)])
        };
        for (key, sent) in [("ÅSA@x.no", "åsa@x.no"), ("Σ@x.no", "σ@x.no"), ("straße@x.no", "straße@x.no")] {
            assert!(answered(key, sent), "{key} {sent}");
        }
        for (key, sent) in
            [("\u{212a}@x.no", "k@x.no"), ("İ@x.no", "i@x.no"), ("\u{17f}@x.no", "s@x.no"), ("ı@x.no", "i@x.no")]
        {
            assert!(!answered(key, sent), "{key} {sent}");
        }
    }

    #[test]
    fn missing_addresses_are_refused_and_foreign_ones_ignored() {
        check(r#"{"email_contact_map":{"b@x.no":"2"}}"#, &["M", "D 2", "M"], 0);
        check(r#"{"contact_ids":["1","2","3"],"email_contact_map":{}}"#, &["M", "M", "M"], 0);
        let foreign = r#"{"email_contact_map":{"a@x.no":"1","b@x.no":"2","z@x.no":"26"}}"#;
        check(foreign, &["D 1", "D 2", "M"], 1);
        let more = r#"{"email_contact_map":{"a@x.no":"1","b@x.no":"2","c@x.no":"3","z@x.no":"26"}}"#;
        check(more, &["D 1", "D 2", "D 3"], 1);
        check(r#"{"email_contact_map":{"a@x.no":null,"b@x.no":7,"c@x.no":""}}"#, &["U", "U", "U"], 0);
        check(r#"{"email_contact_map":{"a@x.no":"..","b@x.no":".","c@x.no":"3"}}"#, &["U", "U", "D 3"], 0);
    }

    #[test]
    fn ids_alone_are_taken_in_order_only_if_there_is_one_each() {
        check(r#"{"contact_ids":["1","2","3"]}"#, &["D 1", "D 2", "D 3"], 1);
        let none = ["U", "U", "U"];
        check(r#"{"contact_ids":["1","2"]}"#, &none, 0);
        check(r#"{"contact_ids":["1","2","3","4"]}"#, &none, 0);
        check(r#"{"contact_ids":["1","1","2"]}"#, &none, 0);
        check(r#"{"contact_ids":["1","","2"]}"#, &none, 0);
        check(r#"{"contact_ids":["1",null,"2"]}"#, &none, 0);
        check(r#"{"contact_ids":["1","2","3"],"email_contact_map":null}"#, &none, 0);
        check(r#"{"contact_ids":["1","2","3"],"email_contact_map":["1","2","3"]}"#, &none, 0);
        check(r#"{"contact_ids":["1","2","3"],"_removeResultKeys":[]}"#, &["D 1", "D 2", "D 3"], 1);
        // What is there may be the map under another name.
        check(r#"{"contact_ids":["1","2","3"],"emailContactMap":{"a@x.no":"1"}}"#, &none, 0);
    }

    #[test]
    fn an_unusable_answer_leaves_every_row_unknown() {
        let none = ["U", "U", "U"];
        for body in ["", "{}", "[]", "null", "<html>", "[[],{}]", r#"{"error":"x"}"#, r#"{"contact_ids":null}"#] {
            check(body, &none, 0);
        }
        let whole = r#"{"contact_ids":["1","2","3"],"email_contact_map":{"a@x.no":"1","b@x.no":"2","c@x.no":"3"}}"#;
        for end in 0..whole.len() {
            check(whole.get(..end).unwrap(), &none, 0);
        }
        check(&format!("{whole}{whole}"), &none, 0);
        // What no reader of JSON takes makes the whole unreadable.
        for id in ["1e999", r#""\ud800""#] {
            check(&whole.replace(r#":"1""#, &format!(":{id}")), &none, 0);
        }
        // Bytes that are no text make it no JSON, also where nothing is read.
        for place in 1..whole.len() {
            let mut body = whole.replacen('{', "{\"_removeResultKeys\":\"x\",", 1).into_bytes();
            body.insert(place, 0xff);
            let found = acknowledged(&body, &SENT).outcomes;
            assert!(found.iter().all(|outcome| matches!(outcome, RowOutcome::Unknown { .. })), "{place}: {found:?}");
        }
    }
}
