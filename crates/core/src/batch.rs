//! The rows handed to a connector in one call.

use std::fmt;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch, StringArray};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A connector's own notes on a run under way: made by `begin`, given back with every batch and to `finish`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Session {
    /// What the connector wants to remember, such as the list of each segment. Opaque to the host.
    #[serde(default)]
    pub state: Value,
    /// Sentences for the run's report.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The account that the session is with, as the destination names it: an id that it keeps whatever key is used. Later runs
    /// give it back ([`crate::ExportSpec::account`]). `None` if the connector cannot tell, or had no reason to ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The destination's ids of the lists, one a segment in their order; empty from connectors that do not tell. Later runs give
    /// them back ([`crate::ExportSegment::list`]). Where a segment has another list than it was given, the host takes that one
    /// for gone: nobody is on it any more, and the next run sends everybody to the other one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<String>,
    /// Lists of [first runs](crate::ExportSegment::first_run) that have members already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub occupied: Vec<OccupiedList>,
}

/// A list that has members before the first run of its segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OccupiedList {
    /// Index into [`crate::ExportSpec::segments`].
    pub segment: u16,
    /// The name by which people know the list at the destination.
    pub list: String,
    /// How many are on it.
    pub members: Members,
}

/// How many are on a list, as far as that can be told cheaply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// Just as many.
    Exactly(u64),
    /// As many, and perhaps more.
    AtLeast(u64),
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (few, count) = match *self {
            Self::Exactly(count) => ("", count),
            Self::AtLeast(count) => ("at least ", count),
        };
        write!(f, "{few}{count} member{}", if count == 1 { "" } else { "s" })
    }
}

/// What is to be done with the rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchKind {
    /// Add or update each row, and make it a member of these segments. They are indexes into [`crate::ExportSpec::segments`].
    Upsert {
        /// Those to which the row is not known to belong yet.
        join: Vec<u16>,
        /// Those of which it was acknowledged as a member before, but may not be one any more: nobody has looked, and the run
        /// was asked to send everything again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rejoin: Vec<u16>,
    },
    /// Take each row off the list of this segment. The rows have the one column [`Batch::DESTINATION_ID`].
    Remove {
        /// Index into [`crate::ExportSpec::segments`].
        segment: u16,
    },
}

/// Rows for one call of [`crate::Connector::write`], all to be treated alike.
#[derive(Clone, PartialEq)]
pub struct Batch {
    /// What `begin` returned; the batches of a run share it.
    pub session: Arc<Session>,
    /// What to do.
    pub kind: BatchKind,
    /// One column per [`crate::MappedField`], in the same order, named `f0`, `f1` and so on. Text, e-mail and date columns
    /// are `Utf8`, integers `Int64`, numbers `Float64`, booleans `Boolean`.
    pub rows: RecordBatch,
}

/// Without the values of the rows.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, kind, rows } = self;
        let (count, columns) = (rows.num_rows(), rows.num_columns());
        f.debug_struct("Batch")
            .field("session", session)
            .field("kind", kind)
            .field("rows", &count)
            .field("columns", &columns)
            .finish()
    }
}

impl Batch {
    /// The column of a removal: the destination's own id of each row, as an earlier outcome gave it.
    pub const DESTINATION_ID: &'static str = "destination_id";

    /// The column of a removal, or `None` for another kind of batch.
    pub fn destination_ids(&self) -> Option<&StringArray> {
        self.rows.column_by_name(Self::DESTINATION_ID)?.as_any().downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ExportSegment;

    #[test]
    fn messages_from_before_first_runs_were_told_are_read_as_ever() {
        let segment: ExportSegment = serde_json::from_value(json!({ "id": "vip", "display_name": "Vip" })).unwrap();
        assert!(!segment.first_run);
        let session: Session = serde_json::from_value(json!({ "state": 1, "notes": [] })).unwrap();
        assert_eq!((session.occupied.len(), session.lists.len(), segment.list), (0, 0, None));
        assert_eq!(serde_json::to_value(session).unwrap(), json!({ "state": 1, "notes": [] }));
    }

    #[test]
    fn members_are_counted_in_words() {
        let check = |members: Members, expected: &str| assert_eq!(members.to_string(), expected);
        check(Members::Exactly(1), "1 member");
        check(Members::Exactly(4711), "4711 members");
        check(Members::AtLeast(100), "at least 100 members");
    }
}
