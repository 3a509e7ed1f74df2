//! What the runs of an export have left undone.
//!
//! A run that considered all rows, read its source to the end and found it normal lists all that is undone, and so makes up for
//! every earlier one. One that came to a part only adds what it lists, in place of what an earlier such run listed. A retry makes
//! up for the runs that it took.

use segport_ledger::{RunEnd, RunRecord, Store};

use crate::guard::Guard;
use crate::report::{RunReport, Verdict};

/// How many runs are looked at: a few, of which most often one makes up for all that are older, and else as many as are known row by
/// row.
const LOOKS: [u32; 2] = [20, 50];

/// What is undone of one export.
#[derive(Debug, Default)]
pub struct Undone {
    /// The runs that list it, oldest first.
    pub left: Vec<Left>,
    /// Rows that cannot be sent as they are.
    pub invalid: u64,
    /// The last run that was to consider all rows, if it failed, was stopped or cancelled, and nothing has made up for that.
    pub unmet: Option<RunReport>,
}

/// What one run has left undone.
#[derive(Debug)]
pub struct Left {
    /// The run.
    pub run_id: String,
    /// How many rows and leavers; nobody knows of a run that died.
    pub rows: Option<u64>,
    /// The runs that they were left by before they were retried.
    origins: Vec<String>,
    /// Whether there may be more than it lists.
    is_part: bool,
}

impl Undone {
    /// What is undone of an export now.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn of(store: &Store, export: &str) -> Result<Self, segport_ledger::Error> {
        let mut runs = Vec::new();
        for limit in LOOKS {
            runs = store.runs(Some(export), limit).await?;
            if runs.len() < limit as usize || runs.iter().any(makes_up_for_all) {
                break;
            }
        }
        Ok(Self::after(&runs))
    }

    /// What is undone after these runs, the newest of which stands first.
    fn after(runs: &[RunRecord]) -> Self {
        let mut undone = Self::default();
        runs.iter().rev().for_each(|run| undone.follow(run));
        undone
    }

    fn follow(&mut self, run: &RunRecord) {
        match RunReport::of(run) {
            None => *self = Self { left: vec![Left::of_dead(run)], ..Self::default() },
            Some(report) if report.retry_of.is_empty() => self.follow_run(report),
            Some(report) if is_complete(&report) => self.follow_retry(&report),
            // What it took is undone as before.
            Some(_) => {}
        }
    }

    /// After a run that was to consider all rows.
    fn follow_run(&mut self, report: RunReport) {
        let (is_part, has_rows) = (!is_complete(&report), report.open_rows() > 0);
        self.left.retain(|left| is_part && !(left.is_part && has_rows));
        if has_rows {
            let origins = vec![report.run_id.clone()];
            self.left.push(Left { run_id: report.run_id.clone(), rows: Some(report.open_rows()), origins, is_part });
        }
        let invalid = report.rows.invalid;
        self.invalid = if has_read_all(&report) { invalid } else { self.invalid.max(invalid) };
        self.unmet = is_unmet(&report).then_some(report);
    }

    fn follow_retry(&mut self, report: &RunReport) {
        let taken: Vec<Left> = self.left.extract_if(.., |left| left.is_in(&report.retry_of)).collect();
        let others = report.retry_of.iter().filter(|run| taken.iter().all(|left| left.run_id != **run));
        let origins: Vec<String> = taken.iter().flat_map(|left| &left.origins).chain(others).cloned().collect();
        if self.unmet.as_ref().is_some_and(|unmet| is_complete(unmet) && origins.contains(&unmet.run_id)) {
            self.unmet = None;
        }
        if report.open_rows() > 0 {
            let rows = Some(report.open_rows());
            self.left.push(Left { run_id: report.run_id.clone(), rows, origins, is_part: false });
        }
        self.invalid += report.rows.invalid;
    }

    /// The run that did not do what it was asked, if there is nothing to retry all the same.
    pub fn lists_nothing(&self) -> Option<&RunReport> {
        self.unmet.as_ref().filter(|_| self.left.is_empty())
    }
}

impl Left {
    fn of_dead(run: &RunRecord) -> Self {
        Self { run_id: run.run_id.clone(), rows: None, origins: vec![run.run_id.clone()], is_part: false }
    }

    /// Whether a retry that took these runs took all of it.
    fn is_in(&self, taken: &[String]) -> bool {
        taken.contains(&self.run_id) || self.origins.iter().all(|origin| taken.contains(origin))
    }
}

/// Whether what is undone by earlier runs is of no matter after this one.
fn makes_up_for_all(run: &RunRecord) -> bool {
    RunReport::of(run).is_none_or(|report| report.retry_of.is_empty() && is_complete(&report))
}

/// Whether a run lists all that is undone of what it considered. Where a guard found the source abnormal, rows may be missing in it.
fn is_complete(report: &RunReport) -> bool {
    let mut stopped = report.guards.iter().filter(|guard| guard.verdict == Verdict::Stopped);
    has_read_all(report)
        && stopped.all(|guard| guard.guard == Guard::MaxRefused || guard.guard == Guard::AllowOtherAccount)
}

/// Whether a run read its source to the end, which is what guards judge, and says what it found. One under an outdated plan does
/// not.
fn has_read_all(report: &RunReport) -> bool {
    !report.guards.is_empty() && !report.is_outdated()
}

/// Whether a run did not do what it was asked.
pub fn is_unmet(report: &RunReport) -> bool {
    match report.status {
        RunEnd::Failed | RunEnd::Stopped | RunEnd::Cancelled => true,
        RunEnd::Succeeded | RunEnd::Partial => false,
    }
}

/// Whether a run left rows behind that it was meant to deliver; who knows, if it never ended.
pub fn has_open_rows(run: &RunRecord) -> bool {
    RunReport::of(run).is_none_or(|report| report.open_rows() > 0)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use segport_ledger::RunStatus;
    use serde_json::json;

    use super::*;

    /// A run whose id is `r` and its number, as told by words: `sent`, `unread`, `outdated`, `stopped` by a guard before it sent,
    /// `too-many-refused`, `locked-out`, or `died`; how many rows are `open=` and `invalid=`; and the runs it is a retry `of=`.
    fn run(number: usize, words: &str) -> RunRecord {
        let is = |word: &str| words.split(' ').any(|one| one == word);
        let after = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name));
        let count = |name: &str| after(name).map_or(0, |number| number.parse::<u64>().unwrap());
        let open = count("open=");
        let status = match open {
            _ if is("unread") || is("outdated") || is("locked-out") => "failed",
            _ if is("stopped") || is("too-many-refused") => "stopped",
            0 => "succeeded",
            _ => "partial",
        };
        let guard = |name: &str, stopped: bool| {
            let verdict = if stopped { "stopped" } else { "passed" };
            json!({ "guard": name, "limit": "", "found": "", "verdict": verdict })
        };
        let guards = json!([guard("max_removals", is("stopped")), guard("max_refused", is("too-many-refused"))]);
        let code = if is("outdated") { "SP0604" } else { "SP0601" };
        let report = json!({
            "schema_version": 1, "run_id": format!("r{number}"), "export": "news", "connection": "autopilot",
            "trigger": "manual", "status": status, "config_hash": "",
            "retry_of": after("of=").map_or_else(Vec::new, |runs| runs.split(',').collect()),
            "started_at": "2026-11-27T10:00:00Z", "finished_at": "2026-11-27T10:00:00Z",
            "plugin": { "id": "", "version": "", "sha256": "" },
            "rows": {
                "read": 0, "unchanged": 0, "added": 0, "changed": 0, "invalid": count("invalid="), "duplicate": 0,
                "suppressed": 0, "deferred": 0, "refused": open, "unknown": 0,
            },
            "leavers": { "planned": 0, "removed": 0, "kept": 0, "deferred": 0, "refused": 0, "unknown": 0 },
            "calls": { "requests": 0, "retried": 0, "throttled": 0 },
            "guards": if is("unread") { json!([]) } else { guards },
            "problems": if status == "failed" { json!([{ "severity": "error", "code": code, "message": "" }]) } else { json!([]) },
        });
        RunRecord {
            run_id: format!("r{number}"),
            export: "news".to_owned(),
            status: if is("died") { RunStatus::Interrupted } else { RunStatus::Ended(RunEnd::Failed) },
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
            report: (!is("died")).then(|| report.to_string()),
        }
    }

    /// What is undone after these runs, oldest first: `r1=3` for each run with its rows, then the others.
    fn told(runs: &[&str]) -> String {
        let mut runs: Vec<RunRecord> = (1..).zip(runs).map(|(number, words)| run(number, words)).collect();
        runs.reverse();
        let Undone { left, invalid, unmet } = Undone::after(&runs);
        let rows = |left: &Left| left.rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let mut told: Vec<String> = left.iter().map(|left| format!("{}={}", left.run_id, rows(left))).collect();
        told.extend((invalid > 0).then(|| format!("{invalid} invalid")));
        told.extend(unmet.map(|report| format!("{} unmet", report.run_id)));
        told.join(", ")
    }

    #[test]
    fn what_is_undone_is_forgotten_once_it_is_made_up_for_and_not_before() {
        let check = |runs: &[&str], expected: &str| assert_eq!(told(runs), expected, "{runs:?}");
        // Runs that consider all rows.
        check(&[], "");
        check(&["sent"], "");
        check(&["sent open=2 invalid=1"], "r1=2, 1 invalid");
        check(&["sent open=2 invalid=1", "sent open=3"], "r2=3");
        check(&["sent open=2 invalid=1", "sent"], "");
        check(&["locked-out open=9"], "r1=9, r1 unmet");
        check(&["sent open=2", "locked-out open=9"], "r2=9, r2 unmet");
        check(&["sent open=2", "too-many-refused open=9"], "r2=9, r2 unmet");
        // Runs that come to a part only.
        check(&["unread"], "r1 unmet");
        check(&["unread open=5 invalid=1"], "r1=5, 1 invalid, r1 unmet");
        check(&["sent open=2 invalid=2", "unread"], "r1=2, 2 invalid, r2 unmet");
        check(&["sent open=2 invalid=2", "unread open=5 invalid=1"], "r1=2, r2=5, 2 invalid, r2 unmet");
        check(&["sent open=2", "unread open=5", "unread open=4"], "r1=2, r3=4, r3 unmet");
        check(&["sent open=2", "unread open=5", "unread"], "r1=2, r2=5, r3 unmet");
        check(&["sent open=2", "unread open=5", "sent"], "");
        check(&["sent open=2 invalid=1", "outdated"], "r1=2, 1 invalid, r2 unmet");
        check(&["sent", "outdated"], "r2 unmet");
        check(&["sent", "outdated", "sent"], "");
        check(&["sent open=2 invalid=1", "stopped open=30"], "r1=2, r2=30, r2 unmet");
        check(&["sent open=2", "stopped"], "r1=2, r2 unmet");
        check(&["sent open=2", "stopped open=30", "stopped open=31", "sent open=1"], "r4=1");
        // Runs that died.
        check(&["sent open=2 invalid=1", "died"], "r2=?");
        check(&["sent open=2", "died", "unread open=5"], "r2=?, r3=5, r3 unmet");
        check(&["died", "sent open=1"], "r2=1");
        // Retries.
        check(&["sent open=2 invalid=1", "sent of=r1"], "1 invalid");
        check(&["sent open=2 invalid=1", "sent open=1 invalid=1 of=r1"], "r2=1, 2 invalid");
        check(&["sent open=2", "sent open=1 of=r1", "sent of=r2"], "");
        check(&["sent open=2", "sent open=1 of=r1", "sent of=r1"], "");
        check(&["sent open=2", "sent open=1 of=r1", "sent open=1 of=r2", "sent of=r1"], "");
        check(&["sent open=2", "unread of=r1"], "r1=2");
        check(&["sent open=2", "unread open=1 of=r1"], "r1=2");
        check(&["sent open=2", "stopped open=2 of=r1"], "r1=2");
        check(&["sent open=2", "too-many-refused open=2 of=r1"], "r2=2");
        check(&["sent open=2", "died", "sent open=1"], "r3=1");
        check(&["locked-out open=9", "sent of=r1"], "");
        check(&["locked-out open=9", "sent open=1 of=r1"], "r2=1");
        // Retries of several runs, and of others than those that are undone.
        check(&["sent open=2", "unread open=5", "sent open=1 of=r1,r2"], "r3=1, r2 unmet");
        check(&["sent open=2", "unread open=5", "sent open=1 of=r1,r2", "sent of=r3"], "r2 unmet");
        check(&["sent open=2", "unread open=5", "sent open=1 of=r1,r2", "sent of=r1"], "r3=1, r2 unmet");
        check(&["sent open=2", "unread open=5", "sent of=r1"], "r2=5, r2 unmet");
        check(&["sent open=2", "stopped open=30", "sent of=r2"], "r1=2, r2 unmet");
        check(&["sent open=2", "unread", "sent of=r1"], "r2 unmet");
        check(&["sent open=2", "outdated", "sent of=r1"], "r2 unmet");
        check(&["sent open=4", "sent open=2", "sent of=r1"], "r2=2");
        check(&["sent open=4", "sent open=2", "sent open=1 of=r1"], "r2=2, r3=1");
        check(&["sent open=4", "sent open=2", "sent open=1 of=r1", "sent of=r2,r3"], "");
    }
}
