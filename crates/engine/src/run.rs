//! The story of a run: take the lease, read and compare, let the guards judge, deliver, settle, report.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use segport_core::{Error, ErrorKind};
use segport_ledger::{NewRun, Store};
use segport_manifest::Code;
use tokio::sync::watch;

use crate::conclusion::{Ending, Story};
use crate::deliver::Halt;
use crate::engine::OpenExport;
use crate::guard::{Override, Watch};
use crate::in_flight::InFlight;
use crate::plan::{self, Compared, Comparison, LeaverRule, LeaverTally};
use crate::plan_report::PlanReport;
use crate::progress::Progress;
use crate::report::{GuardVerdict, RunReport, Trigger, Verdict};
use crate::scope::Scope;
use crate::send::{Sending, Waiting};
use crate::settle::Settlement;
use crate::start_error::StartError;
use crate::tally::Tally;

/// What is asked of a run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Id of the export.
    pub export: String,
    /// What started it.
    pub trigger: Trigger,
    /// Which rows it considers.
    pub scope: Scope,
    /// Guards that may not stop it.
    pub overrides: Override,
    /// The plan it must match, from `run --plan`.
    pub expected: Option<PlanReport>,
}

impl Request {
    /// A run by hand of what has changed.
    pub fn new(export: impl Into<String>) -> Self {
        Self {
            export: export.into(),
            trigger: Trigger::Manual,
            scope: Scope::Changes,
            overrides: Override::default(),
            expected: None,
        }
    }
}

/// Cancels runs; clones share it.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Sender<bool>);

impl Default for Cancel {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Cancel {
    /// One that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every run that has it to end: calls under way may end within seconds, the rest is deferred.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once it is cancelled.
    pub async fn cancelled(&self) {
        // The sender is `self`, so waiting ends only with the value that is waited for.
        self.0.subscribe().wait_for(|is_cancelled| *is_cancelled).await.ok();
    }
}

/// Compares and judges; sends nothing. Rows that wait may be kept in `dir`, encrypted.
pub(crate) async fn plan(
    open: &OpenExport,
    dir: &Path,
    store: &Store,
    request: &Request,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<PlanReport, StartError> {
    // No lease is held: if a run delivers meanwhile, the plan is refused by its digest of the source.
    let first = plan::begin_reading(open, 0, "", store.hasher());
    let mut snapshot = store.snapshot(&open.export.id, &open.ledger_names).await?;
    let scope = request.scope.clone().of_ended(store).await?.asked(store, &mut snapshot).await?;
    let suppressed = store.suppressed().await?;
    let held = snapshot.members();
    let comparison = Comparison {
        open,
        run: "",
        hasher: store.hasher(),
        suppressed: &suppressed,
        scope: &scope,
        dir,
        journal: None,
        progress,
        cancel,
    };
    let compared = comparison.compare(&mut snapshot, first).await?;
    progress.finished(&open.export.id);
    if let Some(error) = compared.error {
        return Err(StartError::Source(error));
    }
    let listed = plan::listed(&snapshot);
    let mut rule = LeaverRule::new(open, &scope, &listed, &compared.tally);
    let leavers = plan::count_leavers(&snapshot, &mut rule, &compared.tally).await?;
    let watch = Watch::new(open.export.guards, &request.overrides);
    let guards = plan::judge(&watch, open, &snapshot, &compared.tally, &leavers, held);
    Ok(plan::report(open, &snapshot, &compared, &leavers, guards, &scope).await?)
}

/// Runs an export from lease to report. Rows that wait may be kept in `dir`, encrypted.
pub(crate) async fn run(
    open: &OpenExport,
    dir: &Path,
    store: &Store,
    request: &Request,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<RunReport, StartError> {
    if !open.has_consent {
        return Err(StartError::NoConsent { connection: open.export.connection.clone() });
    }
    // A plan is carried out as it was made.
    let scope = match &request.expected {
        Some(plan) if plan.full => Scope::Full,
        Some(_) => Scope::Changes,
        None => request.scope.clone().of_ended(store).await?,
    };
    let in_flight = Arc::new(InFlight::new(store.suppressions().await?));
    let started_at = Timestamp::now();
    let run_id = uuid::Uuid::now_v7().to_string();
    let lease = store.lease(&open.export.id).await?;
    // With the lease in hand no other run can deliver anything newer than what is read from here on.
    let first = plan::begin_reading(open, 0, &run_id, store.hasher());
    let mut run = lease.begin(NewRun { run_id: &run_id, started_at, segments: &open.ledger_names }).await?;
    let scope = scope.asked(store, &mut run.snapshot).await?;
    // Whatever becomes of this run, it was asked for; a plan may turn out to be outdated.
    if matches!(scope, Scope::Full) && request.expected.is_none() {
        run.journal.renew().await?;
    }
    let held = run.snapshot.members();
    let suppressed = in_flight.suppressed().await?;
    let comparison = Comparison {
        open,
        run: &run_id,
        hasher: store.hasher(),
        suppressed: &suppressed,
        scope: &scope,
        dir,
        journal: Some(&run.journal),
        progress,
        cancel,
    };
    let generation = run.snapshot.generation().to_string();
    let Compared { outbox, tally, error } = comparison.compare(&mut run.snapshot, first).await?;
    let listed = plan::listed(&run.snapshot);
    let mut rule = LeaverRule::new(open, &scope, &listed, &tally);
    let watch = Watch::new(open.export.guards, &request.overrides);
    let (leavers, mut guards) = match error {
        // Neither who left nor how large a segment is can be told from half a source.
        Some(_) => (LeaverTally::default(), Vec::new()),
        None => {
            let leavers = plan::count_leavers(&run.snapshot, &mut rule, &tally).await?;
            let guards = plan::judge(&watch, open, &run.snapshot, &tally, &leavers, held);
            (leavers, guards)
        }
    };
    let moved = || request.expected.as_ref().and_then(|expected| moved(expected, open, &generation, &tally));
    let hold = hold(error, moved, &guards);
    if hold.is_none() {
        run.accept((0..open.segments.len()).map(|position| tally.rows_of(position)));
    }
    let mut problems = plan::problems(open, &tally, &leavers, &run.snapshot);
    let sending = Sending {
        open,
        run_id: &run_id,
        snapshot: &run.snapshot,
        journal: &run.journal,
        in_flight: &in_flight,
        listed: &listed,
        rule: &rule,
        watch: &watch,
        progress,
        cancel,
    };
    if matches!(scope, Scope::Full) && request.expected.is_some() && matches!(hold, None | Some(Hold::Guard)) {
        run.journal.renew().await?;
    }
    let waiting = Waiting::new(outbox, leavers.planned, run.snapshot.leavers(&tally.present));
    let (settlement, end, outdated) = match hold {
        None => {
            let sent = sending.send(waiting).await?;
            if let Ending::Failed { error, .. } = &sent.end
                && matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::PermissionDenied)
            {
                open.refusal.get_or_init(|| error.clone());
            }
            guards.extend(sent.refusals);
            problems.extend(sent.problems);
            (sent.settlement, sent.end, None)
        }
        Some(hold @ Hold::Outdated(what)) => (Settlement::default(), hold.ending(), Some(what)),
        Some(hold) => (sending.decline(waiting, &hold.reason()).await?, hold.ending(), None),
    };
    // Nothing was asked of the rows under an outdated plan: a retry must not take them for rows left undone.
    let (tally, leavers) = if outdated.is_some() { Default::default() } else { (tally, leavers) };
    let story = Story {
        open,
        run_id: &run_id,
        started_at,
        trigger: request.trigger,
        retry_of: scope.runs().to_vec(),
        tally,
        leavers,
        guards,
        settlement,
        problems,
        end,
    };
    progress.finished(&open.export.id);
    let is_on_record = !matches!(story.end, Ending::BrokenOff(_));
    let mut report = story.report();
    let json = serde_json::to_string(&report)
        .map_err(|error| Error::new(ErrorKind::Internal, "the report could not be written as JSON").because(&error))?;
    // One that broke off stays interrupted: had it ended, its records would be taken for all that it left undone.
    if is_on_record && let Err(error) = run.finish(report.status, report.finished_at, &json).await {
        report.end_unwritten(error);
    }
    match outdated {
        Some(what) => Err(StartError::Outdated { what }),
        None => Ok(report),
    }
}

/// What differs from the plan that the run must match.
fn moved(expected: &PlanReport, open: &OpenExport, generation: &str, tally: &Tally) -> Option<&'static str> {
    if expected.export != open.export.id || expected.config_hash != open.config_hash {
        Some("the configuration")
    } else if expected.ledger_generation != generation {
        Some("the ledger")
    } else if expected.source_digest != format!("{:032x}", tally.digest) {
        Some("the source")
    } else if expected.suppressed_digest != format!("{:032x}", tally.suppressed_digest) {
        Some("the suppression list")
    } else {
        None
    }
}

/// Why nothing is sent at all.
#[derive(Debug)]
enum Hold {
    Unreadable(Error),
    Guard,
    Outdated(&'static str),
}

/// What was not read to its end is not compared with a plan, nor judged.
fn hold(error: Option<Error>, moved: impl FnOnce() -> Option<&'static str>, guards: &[GuardVerdict]) -> Option<Hold> {
    if let Some(error) = error {
        return Some(Hold::Unreadable(error));
    }
    if let Some(what) = moved() {
        return Some(Hold::Outdated(what));
    }
    guards.iter().any(|guard| guard.verdict == Verdict::Stopped).then_some(Hold::Guard)
}

impl Hold {
    fn reason(&self) -> String {
        match self {
            Self::Unreadable(error) if error.kind() == ErrorKind::Cancelled => Halt::Cancelled.reason(),
            Self::Unreadable(_) => "not tried: the source could not be read to its end".to_owned(),
            Self::Guard => "not tried: a guard stopped the run".to_owned(),
            Self::Outdated(what) => format!("not tried: {what} changed since the plan was made"),
        }
    }

    fn ending(self) -> Ending {
        match self {
            Self::Unreadable(error) if error.kind() == ErrorKind::Cancelled => Ending::Cancelled,
            Self::Unreadable(error) => Ending::Failed { code: Code::SourceUnreadable, error },
            Self::Guard => Ending::Stopped,
            Self::Outdated(what) => Ending::Failed {
                code: Code::PlanOutdated,
                error: Error::new(
                    ErrorKind::Rejected,
                    format!("the plan is outdated: {what} changed since it was made"),
                ),
            },
        }
    }
}
