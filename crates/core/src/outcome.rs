//! What became of the rows of a batch.

use serde::{Deserialize, Serialize};

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
