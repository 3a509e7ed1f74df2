//! What became of the rows of a batch.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What became of one row.
///
/// In JSON the most common outcome is the shortest: a row that is done is the destination's id as text, or `null` where there
/// is none. Others are an object with one member, such as `{"unknown":{"reason":"..."}}`; `{"done":...}` is read too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOutcome {
    /// The destination acknowledged it, with its own id of the row where it has one.
    Done(Option<String>),
    /// The destination rejected it.
    Refused {
        /// Short stable code, such as `missing_from_answer`.
        code: String,
        /// A sentence without the profile's data.
        reason: String,
    },
    /// It was sent, but no usable answer says what became of it.
    Unknown {
        /// A sentence without the profile's data.
        reason: String,
    },
    /// It was not sent.
    Deferred {
        /// A sentence without the profile's data.
        reason: String,
    },
}

/// An outcome as an object, with its texts owned or borrowed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Member<Text> {
    Done(Option<Text>),
    Refused { code: Text, reason: Text },
    Unknown { reason: Text },
    Deferred { reason: Text },
}

impl Serialize for RowOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let member: Member<&str> = match self {
            Self::Done(Some(id)) => return serializer.serialize_str(id),
            Self::Done(None) => return serializer.serialize_none(),
            Self::Refused { code, reason } => Member::Refused { code, reason },
            Self::Unknown { reason } => Member::Unknown { reason },
            Self::Deferred { reason } => Member::Deferred { reason },
        };
        member.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RowOutcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrMember;
        impl<'de> Visitor<'de> for TextOrMember {
            type Value = RowOutcome;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, null, or an object with one member")
            }

            fn visit_str<E>(self, id: &str) -> Result<RowOutcome, E> {
                Ok(RowOutcome::Done(Some(id.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<RowOutcome, E> {
                Ok(RowOutcome::Done(None))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<RowOutcome, M::Error> {
                Ok(match Member::<String>::deserialize(MapAccessDeserializer::new(map))? {
                    Member::Done(id) => RowOutcome::Done(id),
                    Member::Refused { code, reason } => RowOutcome::Refused { code, reason },
                    Member::Unknown { reason } => RowOutcome::Unknown { reason },
                    Member::Deferred { reason } => RowOutcome::Deferred { reason },
                })
            }
        }
        deserializer.deserialize_any(TextOrMember)
    }
}

/// One outcome per row, in the order of the batch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes {
    /// The outcomes.
    pub rows: Vec<RowOutcome>,
    /// Sentences for the run's report; the host shows each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// An error that makes it pointless to go on with this connection, such as a revoked key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<crate::Error>,
}

impl Outcomes {
    /// The same outcome for `count` rows.
    pub fn all(outcome: RowOutcome, count: usize) -> Self {
        Self { rows: vec![outcome; count], notes: Vec::new(), stop: None }
    }
}

/// What a look at the destination says of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The destination holds it as it would be written, memberships included; with its own id of the row where it has one.
    Held(Option<String>),
    /// The destination does not hold it, or holds something else.
    Different,
    /// It could not be told.
    Unclear {
        /// A sentence without the profile's data.
        reason: String,
    },
}

/// What was found of each row, in the order of the batch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FoundRows {
    /// What was found.
    pub rows: Vec<Found>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, outcome: &RowOutcome) {
        assert_eq!(serde_json::to_string(outcome).unwrap(), json);
        read(json, outcome);
    }

    fn read(json: &str, outcome: &RowOutcome) {
        assert_eq!(serde_json::from_str::<RowOutcome>(json).unwrap(), *outcome, "{json}");
    }

    #[test]
    fn each_outcome_has_one_form_in_json() {
        let (code, reason) = ("c".to_owned(), "r".to_owned());
        check(r#""person_1""#, &RowOutcome::Done(Some("person_1".to_owned())));
        check(r#""a\"\\b""#, &RowOutcome::Done(Some("a\"\\b".to_owned())));
        check("null", &RowOutcome::Done(None));
        check(r#"{"refused":{"code":"c","reason":"r"}}"#, &RowOutcome::Refused { code, reason: reason.clone() });
        check(r#"{"unknown":{"reason":"r"}}"#, &RowOutcome::Unknown { reason: reason.clone() });
        check(r#"{"deferred":{"reason":"r"}}"#, &RowOutcome::Deferred { reason });
    }

    #[test]
    fn the_long_form_of_done_is_read_and_other_values_are_not() {
        read(r#"{"done":"person_1"}"#, &RowOutcome::Done(Some("person_1".to_owned())));
        read(r#"{"done":null}"#, &RowOutcome::Done(None));
        for json in ["1", "true", "[]", "{}", r#"{"gone":null}"#, r#"{"done":null,"unknown":{"reason":"r"}}"#] {
            assert!(serde_json::from_str::<RowOutcome>(json).is_err(), "{json}");
        }
    }
}
