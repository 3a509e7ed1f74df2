//! What became of the rows of a batch.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Batch, Error, ErrorKind, Frame, rows};

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
    #[serde(default)]
    pub rows: Vec<RowOutcome>,
    /// Sentences for the run's report; the host shows each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// An error that makes it pointless to go on with this connection, such as a revoked key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Error>,
}

/// The rows of an answer in which every row is done.
static IDS: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new(Batch::DESTINATION_ID, DataType::Utf8, true)])));

impl Outcomes {
    /// The same outcome for `count` rows.
    pub fn all(outcome: RowOutcome, count: usize) -> Self {
        Self { rows: vec![outcome; count], notes: Vec::new(), stop: None }
    }

    /// Writes the answer to a call of [`crate::op::WRITE`]. Where all rows are done, which is the rule, their ids are rows of
    /// one column, since JSON takes several times as long for as many texts.
    ///
    /// # Errors
    /// As [`Frame::encode`].
    pub fn into_answer(mut self) -> crate::Result<Bytes> {
        let Some(ids) = self.ids_if_done() else { return Frame::header_only(&self) };
        self.rows.clear();
        let ids = RecordBatch::try_new(Arc::clone(&IDS), vec![Arc::new(ids)])
            .map_err(|error| Error::new(ErrorKind::Internal, "ids do not form a column").because(&error))?;
        Frame::encode(&self, |out| rows::encode(&ids, out))
    }

    /// The ids, if there are rows and all of them are done.
    fn ids_if_done(&self) -> Option<StringArray> {
        let ids = self.rows.iter().map(|outcome| match outcome {
            RowOutcome::Done(id) => Some(id.as_deref()),
            _ => None,
        });
        ids.collect::<Option<StringArray>>().filter(|ids| !ids.is_empty())
    }

    /// Reads the answer to a call of [`crate::op::WRITE`].
    ///
    /// # Errors
    /// `contract` if it is none.
    pub fn from_answer(answer: &Frame) -> crate::Result<Self> {
        let mut outcomes: Self = answer.header()?;
        let payload = answer.payload();
        if payload.is_empty() {
            return Ok(outcomes);
        }
        let ids = rows::decode(payload)?;
        let ids = match ids.columns() {
            [ids] if outcomes.rows.is_empty() => ids.as_string_opt::<i32>(),
            _ => None,
        };
        let ids = ids.ok_or_else(|| {
            Error::new(
                ErrorKind::Contract,
                "the payload of an answer must be one column of ids, with no outcome beside it",
            )
        })?;
        outcomes.rows.extend(ids.iter().map(|id| RowOutcome::Done(id.map(str::to_owned))));
        Ok(outcomes)
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

    /// An answer is read as what was written, in this form.
    fn survives(rows: &[RowOutcome], has_payload: bool) {
        let outcomes = Outcomes { rows: rows.to_vec(), notes: vec!["n".to_owned()], stop: None };
        let frame = Frame::decode(outcomes.clone().into_answer().unwrap()).unwrap();
        assert_eq!(!frame.payload().is_empty(), has_payload, "{rows:?}");
        assert_eq!(Outcomes::from_answer(&frame).unwrap(), outcomes);
    }

    #[test]
    fn an_answer_in_which_all_rows_are_done_has_their_ids_as_payload() {
        let done = |id: &str| RowOutcome::Done(Some(id.to_owned()));
        survives(&[], false);
        survives(&[done("person_1"), RowOutcome::Done(None), done("a\"\\é")], true);
        survives(&[RowOutcome::Done(None)], true);
        survives(&[done("person_1"), RowOutcome::Unknown { reason: "r".to_owned() }], false);
    }

    #[test]
    fn a_payload_that_is_no_column_of_ids_is_refused() {
        let refused = |header: &str, payload: &RecordBatch| {
            let header: serde_json::Value = serde_json::from_str(header).unwrap();
            let answer = Frame::encode(&header, |out| rows::encode(payload, out)).unwrap();
            Outcomes::from_answer(&Frame::decode(answer).unwrap()).unwrap_err().kind()
        };
        let ids = Arc::new(StringArray::from(vec!["person_1"])) as _;
        let ids = RecordBatch::try_from_iter([(Batch::DESTINATION_ID, ids)]).unwrap();
        let numbers = Arc::new(arrow_array::Int64Array::from(vec![1])) as _;
        let numbers = RecordBatch::try_from_iter([(Batch::DESTINATION_ID, numbers)]).unwrap();
        assert_eq!(refused("{}", &numbers), ErrorKind::Contract);
        assert_eq!(refused(r#"{"rows":["person_1"]}"#, &ids), ErrorKind::Contract);
        let junk = Frame::encode(&serde_json::json!({}), |out| {
            out.extend_from_slice(b"junk");
            Ok(())
        });
        let junk = Frame::decode(junk.unwrap()).unwrap();
        assert_eq!(Outcomes::from_answer(&junk).unwrap_err().kind(), ErrorKind::Contract);
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
