//! What a run would do: the object that `plan` prints and `plan --out` writes.

use schemars::JsonSchema;
use segport_ledger::OutcomeKind;
use serde::{Deserialize, Serialize};

use crate::report::{GuardVerdict, Problem};
use crate::word::Word;

/// The plan of one export. It holds counts and fingerprints, no profile's data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Plan of an export")]
pub struct PlanReport {
    /// Version of this form; 1.
    pub schema_version: u32,
    /// Id of the export.
    pub export: String,
    /// Id of the connection.
    pub connection: String,
    /// Whether every row is sent, changed or not (`--full`).
    pub full: bool,
    /// Fingerprint of the configuration, as in a report.
    pub config_hash: String,
    /// Keyed fingerprint of all rows as mapped; changes when the source does.
    pub source_digest: String,
    /// Keyed fingerprint of the rows that are suppressed; changes when the suppression list does, as far as it has to do with the
    /// export.
    #[serde(default)]
    pub suppressed_digest: String,
    /// Changes when the ledger does.
    pub ledger_generation: String,
    /// The rows.
    pub rows: PlannedRows,
    /// The leavers, counted once per segment left.
    pub leavers: PlannedLeavers,
    /// Rows of each segment.
    pub segments: Vec<PlannedSegment>,
    /// Why rows are skipped.
    pub skipped: Vec<Skipped>,
    /// Calls to the destination.
    pub calls: PlannedCalls,
    /// The guards' verdicts.
    pub guards: Vec<GuardVerdict>,
    /// What a reader should know.
    pub problems: Vec<Problem>,
}

impl PlanReport {
    /// The JSON schema of a plan (draft-07), as committed in `schemas/plan.json`.
    pub fn schema() -> serde_json::Value {
        schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<Self>().to_value()
    }

    /// Whether a run would send anything.
    pub fn has_changes(&self) -> bool {
        self.rows.add + self.rows.change + self.leavers.remove > 0
    }
}

/// What would become of the rows; `read` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlannedRows {
    /// Profiles in the segments, counted as in a report.
    pub read: u64,
    /// New to the destination.
    pub add: u64,
    /// Known, with a new payload or membership.
    pub change: u64,
    /// Acknowledged exactly like this before.
    pub unchanged: u64,
    /// Not sendable.
    pub invalid: u64,
    /// A later row with an identity that was already seen.
    pub duplicate: u64,
    /// On the suppression list.
    pub suppressed: u64,
    /// Over the cap; left to the next run.
    pub deferred: u64,
}

/// What would become of the leavers; `planned` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlannedLeavers {
    /// Rows this export put into a list that are no longer in the segment.
    pub planned: u64,
    /// To be taken off the list.
    pub remove: u64,
    /// Left on the list, as in a report.
    pub keep: u64,
    /// Left alone this time, because rows of which nobody knows whose they are might be among them.
    pub deferred: u64,
}

/// One segment of the export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedSegment {
    /// Id of the segment.
    pub id: String,
    /// Its display name, which names its list.
    pub display_name: String,
    /// Rows read from it.
    pub rows: u64,
}

/// Rows skipped for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// The outcome they would end in.
    pub outcome: Word<OutcomeKind>,
    /// Short stable code of the reason.
    pub code: String,
    /// The reason in words; for the first such row where it differs by row.
    pub reason: String,
    /// How many.
    pub rows: u64,
}

/// What would be asked of the destination.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlannedCalls {
    /// Fewest calls.
    pub at_least: u64,
    /// Most calls, without retries and without those that halve a batch to find what is refused in it.
    pub at_most: u64,
    /// Calls a second that the connection allows itself; 0 = no limit.
    pub requests_per_second: f64,
    /// Fewest seconds at that rate; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_at_least: Option<f64>,
    /// Most seconds at that rate, without retries; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_at_most: Option<f64>,
    /// What decides between the two.
    pub notes: Vec<String>,
}
