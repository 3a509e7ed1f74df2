//! From what a run did to its report: counts, status, problems.

use jiff::Timestamp;
use segport_core::{Error, ErrorKind};
use segport_ledger::RunEnd;
use segport_manifest::Code;

use crate::broken_off::BrokenOff;
use crate::guard::Guard;
use crate::open_export::OpenExport;
use crate::plan::{LeaverTally, shared_contacts};
use crate::report::{
    CallCounts, GuardVerdict, LeaverCounts, Problem, RowCounts, RunReport, Severity, Trigger, Verdict,
};
use crate::settle::Settlement;
use crate::tally::Tally;
use crate::word::Word;

/// How the story ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Everything was tried.
    Through,
    /// A guard stopped it before it sent anything.
    HeldBack,
    /// A guard stopped it.
    Stopped,
    /// Somebody stopped it.
    Cancelled,
    /// Something changed since the plan was made that it must match.
    Outdated(&'static str),
    /// It could not go on.
    Failed { code: Code, error: Error },
    /// Not all that became of it is on record.
    BrokenOff(BrokenOff),
}

impl Ending {
    /// How an error that made further calls pointless ends a run.
    pub(crate) fn of(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Cancelled => Self::Cancelled,
            kind => Self::Failed { code: Code::of(kind), error },
        }
    }
}

/// Everything that the report is made of.
#[derive(Debug)]
pub(crate) struct Story<'a> {
    pub(crate) open: &'a OpenExport,
    pub(crate) run_id: &'a str,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
    pub(crate) trigger: Trigger,
    pub(crate) retry_of: Vec<String>,
    pub(crate) tally: Tally,
    pub(crate) leavers: LeaverTally,
    pub(crate) guards: Vec<GuardVerdict>,
    pub(crate) settlement: Settlement,
    pub(crate) problems: Vec<Problem>,
    pub(crate) end: Ending,
}

impl Story<'_> {
    /// The report.
    pub(crate) fn report(mut self) -> RunReport {
        let (read, sent) = (self.tally.rows, self.settlement.rows);
        let rows = RowCounts {
            read: read.read,
            unchanged: read.unchanged,
            added: sent.added,
            changed: sent.changed,
            invalid: read.invalid,
            duplicate: read.duplicate,
            suppressed: read.suppressed + sent.suppressed,
            deferred: read.deferred + sent.deferred,
            refused: sent.refused,
            unknown: sent.unknown,
        };
        let (planned, done) = (self.leavers.planned, self.settlement.leavers);
        let leavers = LeaverCounts {
            planned: planned.planned,
            removed: done.removed,
            kept: planned.keep + done.kept,
            deferred: planned.deferred + done.deferred,
            refused: done.refused,
            unknown: done.unknown,
        };
        let calls = self.open.line.connection().map(segport_transport::Connection::counters).unwrap_or_default();
        let mut status = self.status(rows, leavers);
        self.problems.extend(self.settlement.problems(self.run_id));
        self.problems.extend(shared_contacts(self.leavers.shared + done.kept));
        match &self.end {
            Ending::Failed { code, error } => {
                self.problems.push(Problem::new(Severity::Error, *code, error.to_string()))
            }
            Ending::Outdated(what) => self.problems.push(outdated(what)),
            Ending::BrokenOff(why) => self.problems.push(why.problem()),
            Ending::Through | Ending::HeldBack | Ending::Stopped | Ending::Cancelled => {}
        }
        self.problems.extend(self.guards.iter().filter_map(stopped));
        if !rows.balances() || !leavers.balances() {
            status = RunEnd::Failed;
            let message =
                format!("the sums of the run do not balance ({rows:?}, {leavers:?}); this is a defect in Segport");
            self.problems.push(Problem::new(Severity::Error, Code::Unbalanced, message));
        }
        self.problems.sort_by_key(|problem| problem.severity);
        RunReport {
            schema_version: 1,
            run_id: self.run_id.to_owned(),
            export: self.open.export.id.clone(),
            connection: self.open.export.connection.clone(),
            trigger: self.trigger,
            retry_of: self.retry_of,
            status,
            started_at: self.started_at,
            finished_at: self.finished_at,
            config_hash: self.open.config_hash.clone(),
            plugin: self.open.plugin.clone(),
            rows,
            leavers,
            calls: CallCounts { requests: calls.requests, retried: calls.retried, throttled: calls.throttled },
            guards: self.guards,
            problems: self.problems,
        }
    }

    fn status(&self, rows: RowCounts, leavers: LeaverCounts) -> RunEnd {
        let undone = rows.deferred + rows.refused + rows.unknown + leavers.deferred + leavers.refused + leavers.unknown;
        let delivered = rows.added + rows.changed + leavers.removed;
        match &self.end {
            Ending::Cancelled => RunEnd::Cancelled,
            Ending::HeldBack | Ending::Stopped => RunEnd::Stopped,
            // A destination that went away half way through leaves a part; a revoked key is a failure whatever came before.
            Ending::Failed { error, .. }
                if delivered > 0
                    && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited) =>
            {
                RunEnd::Partial
            }
            Ending::Outdated(_) | Ending::Failed { .. } | Ending::BrokenOff(_) => RunEnd::Failed,
            Ending::Through if undone > 0 => RunEnd::Partial,
            Ending::Through => RunEnd::Succeeded,
        }
    }
}

impl RunReport {
    /// Says that the run's end could not be written down: everything else was.
    pub(crate) fn end_unwritten(&mut self, error: segport_ledger::Error) {
        self.status = RunEnd::Failed;
        self.problems.insert(0, BrokenOff::Unwritten(error).problem());
    }
}

/// What is to be said of a plan that did not hold.
fn outdated(what: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        code: Code::PlanOutdated.into(),
        message: format!("the plan is outdated: {what} changed since it was made, so nothing of it was sent"),
        help: Some("make a new plan with `segport plan --out FILE` and review it".to_owned()),
    }
}

/// What is to be said of a guard that stopped the run.
fn stopped(verdict: &GuardVerdict) -> Option<Problem> {
    let (Word::Known(guard), Verdict::Stopped) = (&verdict.guard, verdict.verdict) else { return None };
    let name = guard.as_str();
    // A guard that is on or off has no limit to show.
    let limit =
        if verdict.limit.parse::<bool>().is_ok() { String::new() } else { format!(" (limit {})", verdict.limit) };
    // Who goes to another account wants everybody there.
    let full = if *guard == Guard::AllowOtherAccount { "--full " } else { "" };
    Some(Problem {
        severity: Severity::Error,
        code: guard.code().into(),
        message: format!("guard `{name}` stopped the run: {}{limit}", verdict.found),
        help: Some(format!("if that is as it should be, run again with `{full}--override {name}`")),
    })
}
