//! Reading request bodies: one pass, borrowing from the body.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The most contacts one bulk write may hold.
pub(super) const BULK_LIMIT: usize = 100;

/// Why a body cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not JSON, or not of the expected shape.
    Malformed(String),
    /// It has no place for contacts, or a contact without any field.
    Empty,
    /// There are more than [`BULK_LIMIT`] contacts in it.
    TooMany,
}

/// The contacts of one write.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    /// In the order of the request.
    pub(super) writes: Vec<Write<'a>>,
    /// The custom fields that occur, each once, with the JSON text of a value.
    pub(super) custom: Vec<(Cow<'a, str>, &'a str)>,
}

/// One contact as it was sent.
#[derive(Debug, Default)]
pub(super) struct Write<'a> {
    /// Its JSON text, as sent.
    pub(super) text: &'a str,
    /// The address to match on; an empty one is none.
    pub(super) email: Option<Cow<'a, str>>,
    /// The address to change to.
    pub(super) new_email: Option<Cow<'a, str>>,
    /// The list to put the contact on.
    pub(super) list: Option<Cow<'a, str>>,
    fields: usize,
}

/// The JSON document of a body, whatever the content type says.
///
/// A body that is a JSON text whose content is the document is unwrapped: two real clients send that.
pub(super) fn document(body: &[u8]) -> Result<Cow<'_, str>, Unusable> {
    let text = std::str::from_utf8(body).map_err(|error| Unusable::Malformed(error.to_string()))?;
    if text.trim_start().starts_with('"') { parse::<String>(text).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
}

/// Reads JSON of a known shape.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unusable> {
    serde_json::from_str(text).map_err(|error| Unusable::Malformed(error.to_string()))
}

/// Reads the body of a single write. What stands beside `contact` is ignored.
pub(super) fn single(document: &str) -> Result<Batch<'_>, Unusable> {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        contact: Option<&'a RawValue>,
    }
    let body: Body<'_> = parse(document)?;
    batch(&[body.contact.ok_or(Unusable::Empty)?])
}

/// Reads the body of a bulk write.
pub(super) fn bulk(document: &str) -> Result<Batch<'_>, Unusable> {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        contacts: Option<Vec<&'a RawValue>>,
    }
    let body: Body<'_> = parse(document)?;
    match body.contacts {
        Some(contacts) if contacts.len() > BULK_LIMIT => Err(Unusable::TooMany),
        // No contacts at all are fine: a real client ends a full batch that way and reads the answer.
        Some(contacts) => batch(&contacts),
        None => Err(Unusable::Empty),
    }
}

fn batch<'a>(contacts: &[&'a RawValue]) -> Result<Batch<'a>, Unusable> {
    let mut batch = Batch { writes: Vec::with_capacity(contacts.len()), custom: Vec::new() };
    for raw in contacts {
        let mut reader =
            ContactReader { write: Write { text: raw.get(), ..Write::default() }, custom: &mut batch.custom };
        let mut json = serde_json::Deserializer::from_str(raw.get());
        (&mut json).deserialize_any(&mut reader).map_err(|error| Unusable::Malformed(error.to_string()))?;
        if reader.write.fields == 0 {
            return Err(Unusable::Empty);
        }
        batch.writes.push(reader.write);
    }
    Ok(batch)
}

/// Takes from a contact what matching and lists need, and skips the rest.
struct ContactReader<'a, 'b> {
    write: Write<'a>,
    custom: &'b mut Vec<(Cow<'a, str>, &'a str)>,
}

enum Key {
    Email,
    NewEmail,
    List,
    Custom,
    Other,
}

impl<'de> Visitor<'de> for &mut ContactReader<'de, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a contact, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key>()? {
            self.write.fields += 1;
            match key {
                Key::Email => self.write.email = map.next_value::<Address<'de>>()?.0,
                Key::NewEmail => self.write.new_email = map.next_value::<Address<'de>>()?.0,
                Key::List => self.write.list = map.next_value::<Address<'de>>()?.0,
                Key::Custom => map.next_value_seed(CustomReader(&mut *self.custom))?,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    // PHP writes an empty object as `[]`.
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        empty(seq)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Classifier;
        impl Visitor<'_> for Classifier {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a field name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "Email" => Key::Email,
                    "_NewEmail" => Key::NewEmail,
                    "_autopilot_list" => Key::List,
                    "custom" => Key::Custom,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(Classifier)
    }
}

/// A text that names something; null and blank are nothing.
struct Address<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Address<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `Option<Cow>` alone would copy: serde borrows only through a visitor of its own.
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Option<Cow<'de, str>>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or null")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Some(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Some(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
        }
        let text = deserializer.deserialize_any(Borrowing)?;
        Ok(Self(text.filter(|text| !text.trim().is_empty())))
    }
}

/// Notes the custom fields of a contact.
struct CustomReader<'a, 'b>(&'b mut Vec<(Cow<'a, str>, &'a str)>);

impl<'de> DeserializeSeed<'de> for CustomReader<'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CustomReader<'de, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of custom fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Contacts of one batch tend to have the same fields in the same order.
        let mut guess = 0;
        while let Some(key) = map.next_key::<FieldKey<'de>>()? {
            let value = map.next_value::<&'de RawValue>()?;
            // Null tells no type, and there is nothing to clear in a field that nobody has.
            if value.get() == "null" {
                continue;
            }
            if self.0.get(guess).is_none_or(|(known, _)| *known != key.0) {
                guess = self.0.iter().position(|(known, _)| *known == key.0).unwrap_or_else(|| {
                    self.0.push((key.0, value.get()));
                    self.0.len() - 1
                });
            }
            guess += 1;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        empty(seq)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key of an object, borrowed where it holds no escape.
#[derive(serde::Deserialize)]
pub(super) struct FieldKey<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

fn empty<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    match seq.next_element::<IgnoredAny>()? {
        None => Ok(()),
        Some(_) => Err(serde::de::Error::custom("expected an object, found an array")),
    }
}

#[cfg(test)]
mod tests {
    use super::{BULK_LIMIT, Unusable, bulk, document, single};
    use std::borrow::Cow;

    #[test]
    fn what_matching_needs_is_borrowed_from_the_body() {
        let body = r#"{"contact":{"FirstName":"A\u00e9","Email":"a@b.c","_autopilot_list":"contactlist_1",
                       "custom":{"string--City":"x","age":1}},"_autopilot_list":"ignored"}"#;
        let batch = single(body).unwrap();
        let write = &batch.writes[0];
        assert!(matches!(write.email, Some(Cow::Borrowed("a@b.c"))));
        assert_eq!((write.list.as_deref(), write.new_email.as_deref()), (Some("contactlist_1"), None));
        assert!(write.text.starts_with(r#"{"FirstName":"A\u00e9""#) && write.text.ends_with("}}"));
        let custom: Vec<(&str, &str)> = batch.custom.iter().map(|(key, value)| (key.as_ref(), *value)).collect();
        assert_eq!(custom, [("string--City", "\"x\""), ("age", "1")]);
    }

    #[test]
    fn a_double_encoded_body_is_unwrapped() {
        let wrapped = serde_json::to_string(r#"{"contact":{"Email":"ø\"@b.c"}}"#).unwrap();
        assert_eq!(document(wrapped.as_bytes()).unwrap(), r#"{"contact":{"Email":"ø\"@b.c"}}"#);
    }

    #[test]
    fn blank_and_null_addresses_are_none() {
        for email in ["null", "\"\"", "\"  \""] {
            let body = format!(r#"{{"contact":{{"Email":{email}}}}}"#);
            assert_eq!(single(&body).unwrap().writes[0].email, None, "{email}");
        }
    }

    #[test]
    fn unusable_bodies_say_why() {
        for body in ["{}", r#"{"contact":{}}"#, r#"{"contact":[]}"#, r#"{"contact":null}"#, r#"{"Email":"a@b.c"}"#] {
            assert_eq!(single(body).unwrap_err(), Unusable::Empty, "{body}");
        }
        for body in ["", "{", r#"{"contact":7}"#, r#"{"contact":{"Email":7}}"#, r#"{"contact":[1]}"#] {
            assert!(matches!(single(body).unwrap_err(), Unusable::Malformed(_)), "{body}");
        }
        let contacts = vec![r#"{"Email":"a@b.c"}"#; BULK_LIMIT + 1];
        assert_eq!(bulk(&format!(r#"{{"contacts":[{}]}}"#, contacts.join(","))).unwrap_err(), Unusable::TooMany);
        assert_eq!(bulk("{}").unwrap_err(), Unusable::Empty);
        assert!(matches!(document(b"\xff").unwrap_err(), Unusable::Malformed(_)));
    }

    #[test]
    fn custom_fields_of_a_batch_are_noted_once_in_any_order() {
        let body =
            r#"{"contacts":[{"custom":{"a":1,"b":2}},{"custom":{"b":2,"c":3,"a":1}},{"custom":[]},{"custom":null}]}"#;
        let keys: Vec<String> = bulk(body).unwrap().custom.iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(keys, ["a", "b", "c"]);
    }
}
