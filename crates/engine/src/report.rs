//! What a run did: the object that `run --output json` prints, one per export.

use jiff::Timestamp;
use schemars::JsonSchema;
use segport_ledger::{RunEnd, RunRecord};
use segport_manifest::Code;
use serde::{Deserialize, Serialize};

use crate::guard::Guard;
use crate::word::Word;

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// `segport run`.
    Manual,
    /// `segport retry`.
    Retry,
    /// The export's own schedule; reserved.
    Schedule,
    /// The refresh of all exports without a schedule; reserved.
    Refresh,
}

/// The report of one run of one export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Report of a run")]
pub struct RunReport {
    /// Version of this form; 1.
    pub schema_version: u32,
    /// Id of the run, unique and growing with time.
    pub run_id: String,
    /// Id of the export.
    pub export: String,
    /// Id of the connection it went through.
    pub connection: String,
    /// What started it.
    pub trigger: Trigger,
    /// Ids of the runs whose undone rows it was limited to. Absent if it considered all rows, as the retry of a run that died does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry_of: Vec<String>,
    /// How it ended.
    pub status: RunEnd,
    /// When it started: ISO 8601, UTC.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// When it ended: ISO 8601, UTC.
    #[schemars(with = "String")]
    pub finished_at: Timestamp,
    /// Fingerprint of the configuration it ran with: SHA-256, in hexadecimal digits.
    pub config_hash: String,
    /// The connector that delivered.
    pub plugin: PluginRef,
    /// What became of the rows.
    pub rows: RowCounts,
    /// What became of the leavers, counted once per segment left.
    pub leavers: LeaverCounts,
    /// What was asked of the destination.
    pub calls: CallCounts,
    /// The guards' verdicts.
    pub guards: Vec<GuardVerdict>,
    /// What a reader should know, worst first.
    pub problems: Vec<Problem>,
}

/// Which plugin delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PluginRef {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the library, in hexadecimal digits.
    pub sha256: String,
}

/// A number of things: `1 row`, `2 rows`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// Rows by outcome; `read` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RowCounts {
    /// Profiles in the segments. One counts once, whatever the number of its segments, unless it cannot be sent as one of them
    /// has it and can as another does.
    pub read: u64,
    /// The destination has acknowledged exactly this before.
    pub unchanged: u64,
    /// Acknowledged, and not held before: for the first time, or anew after its list was gone.
    pub added: u64,
    /// Acknowledged with a new payload or membership.
    pub changed: u64,
    /// Not sendable: no or malformed identity, a value that does not fit, an unreadable row.
    pub invalid: u64,
    /// A later row with an identity that was already seen.
    pub duplicate: u64,
    /// On the suppression list.
    pub suppressed: u64,
    /// Not tried, or turned away at once: over the cap, stopped by a guard, interrupted, throttled, or the connection was given up.
    pub deferred: u64,
    /// Rejected by the destination.
    pub refused: u64,
    /// Sent, but no usable answer came.
    pub unknown: u64,
}

impl RowCounts {
    /// Whether every row read has exactly one outcome.
    pub fn balances(&self) -> bool {
        self.read == self.outcomes()
    }

    /// The sum of all outcomes.
    pub(crate) fn outcomes(&self) -> u64 {
        self.unchanged
            + self.added
            + self.changed
            + self.invalid
            + self.duplicate
            + self.suppressed
            + self.deferred
            + self.refused
            + self.unknown
    }

    pub(crate) fn add(&mut self, part: Self) {
        self.read += part.read;
        self.unchanged += part.unchanged;
        self.added += part.added;
        self.changed += part.changed;
        self.invalid += part.invalid;
        self.duplicate += part.duplicate;
        self.suppressed += part.suppressed;
        self.deferred += part.deferred;
        self.refused += part.refused;
        self.unknown += part.unknown;
    }
}

/// Leavers by outcome; `planned` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LeaverCounts {
    /// Rows this export put into a segment's list that are no longer in the segment, as far as can be told: one that the source
    /// could not read this time is among them.
    pub planned: u64,
    /// Taken off the list.
    pub removed: u64,
    /// Left on the list: the policy is `keep`, the export no longer names the segment, somebody who is still in it is the same
    /// contact, or it was never acknowledged at the account that the export has now.
    pub kept: u64,
    /// Not tried, or turned away at once, as for `rows`; also where rows of the source could not be read, or have neither a key nor
    /// a known address, since the leaver might be one of them.
    pub deferred: u64,
    /// The destination rejected the removal.
    pub refused: u64,
    /// Asked for, but no usable answer came.
    pub unknown: u64,
}

impl LeaverCounts {
    /// Whether every leaver has exactly one outcome.
    pub fn balances(&self) -> bool {
        self.planned == self.outcomes()
    }

    /// The sum of all outcomes.
    pub(crate) fn outcomes(&self) -> u64 {
        self.removed + self.kept + self.deferred + self.refused + self.unknown
    }

    pub(crate) fn add(&mut self, part: Self) {
        self.planned += part.planned;
        self.removed += part.removed;
        self.kept += part.kept;
        self.deferred += part.deferred;
        self.refused += part.refused;
        self.unknown += part.unknown;
    }
}

/// Calls to the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CallCounts {
    /// Requests that were tried, each further try included, whether or not they reached the destination.
    pub requests: u64,
    /// Requests that were a further try.
    pub retried: u64,
    /// Answers that asked for fewer calls.
    pub throttled: u64,
}

/// What a guard found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuardVerdict {
    /// Name of the guard, as in the manifest and in `--override`: `allow_empty`, `max_removals`, `max_growth`, `max_shrink`,
    /// `max_refused` or `allow_other_account`.
    pub guard: Word<Guard>,
    /// The limit, as in the manifest.
    pub limit: String,
    /// What was found.
    pub found: String,
    /// What follows.
    pub verdict: Verdict,
    /// Who said that it may not stop the run, if somebody did, whether it would have or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden_by: Option<String>,
    /// Why, if they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The result of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within the limit.
    Passed,
    /// Over the limit: the run stops.
    Stopped,
    /// Over the limit, but only after everything had been tried: there was nothing left to stop.
    Exceeded,
    /// Over the limit, but the user said to go on.
    Overridden,
}

/// Something a reader of the report should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Stable code, explained by `segport explain`.
    pub code: Word<Code>,
    /// What happened.
    pub message: String,
    /// What to do, if there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Problem {
    /// One without advice.
    pub(crate) fn new(severity: Severity, code: Code, message: String) -> Self {
        Self { severity, code: code.into(), message, help: None }
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The run could not do what it was asked.
    Error,
    /// Some rows need attention.
    Warning,
    /// Worth knowing.
    Note,
}

impl RunReport {
    /// The report of a run in the ledger, if it ended.
    pub fn of(run: &RunRecord) -> Option<Self> {
        serde_json::from_str(run.report.as_deref()?).ok()
    }

    /// Rows and leavers that were deferred, refused or are unknown.
    pub fn open_rows(&self) -> u64 {
        let Self { rows, leavers, .. } = self;
        rows.deferred + rows.refused + rows.unknown + leavers.deferred + leavers.refused + leavers.unknown
    }

    /// Whether nothing was asked of any row, because something changed since the plan was made that the run was to match.
    pub fn is_outdated(&self) -> bool {
        self.problems.iter().any(|problem| problem.code == Code::PlanOutdated)
    }

    /// The JSON schema of a report (draft-07), as committed in `schemas/run-report.json`.
    pub fn schema() -> serde_json::Value {
        schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<Self>().to_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_report::PlanReport;

    #[test]
    fn committed_schemas_are_those_of_the_types() {
        for (name, schema) in [("run-report", RunReport::schema()), ("plan", PlanReport::schema())] {
            let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/{}.json"), name);
            let committed = std::fs::read_to_string(path).unwrap_or_default();
            let current = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            assert_eq!(committed, current, "schemas/{name}.json is out of date; run `cargo xtask schemas`");
        }
    }

    #[test]
    fn a_lost_row_breaks_the_balance() {
        let mut rows = RowCounts { read: 9, unchanged: 1, added: 1, changed: 1, invalid: 1, ..RowCounts::default() };
        (rows.duplicate, rows.suppressed, rows.deferred, rows.refused, rows.unknown) = (1, 1, 1, 1, 1);
        assert!(rows.balances());
        rows.read += 1;
        assert!(!rows.balances());
    }
}
