//! The rows handed to a connector in one call.

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
}

/// What is to be done with the rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchKind {
    /// Add or update each row, and make it a member of these segments, to which it is not known to belong yet.
    Upsert {
        /// Indexes into [`crate::ExportSpec::segments`].
        join: Vec<u16>,
    },
    /// Take each row off the list of this segment. The rows have the one column [`Batch::DESTINATION_ID`].
    Remove {
        /// Index into [`crate::ExportSpec::segments`].
        segment: u16,
    },
}

/// Rows for one call of [`crate::Connector::write`], all to be treated alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// What `begin` returned; the batches of a run share it.
    pub session: Arc<Session>,
    /// What to do.
    pub kind: BatchKind,
    /// One column per [`crate::MappedField`], in the same order, named `f0`, `f1` and so on. Text, e-mail and date columns
    /// are `Utf8`, integers `Int64`, numbers `Float64`, booleans `Boolean`.
    pub rows: RecordBatch,
}

impl Batch {
    /// The column of a removal: the destination's own id of each row, as an earlier outcome gave it.
    pub const DESTINATION_ID: &'static str = "destination_id";

    /// The column of a removal, or `None` for another kind of batch.
    pub fn destination_ids(&self) -> Option<&StringArray> {
        self.rows.column_by_name(Self::DESTINATION_ID)?.as_any().downcast_ref()
    }
}
