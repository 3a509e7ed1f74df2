//! The story of a run: take the lease, read and compare, let the guards judge, deliver, settle, report.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use segport_core::{Error, ErrorKind};
use segport_ledger::{Identity, Journal, NewRun, RunLedger, Snapshot, Store};
use segport_manifest::Code;

use crate::calendar::Calendar;
use crate::cancel::Cancel;
use crate::conclusion::{Ending, Story};
use crate::guard::Override;
use crate::in_flight::InFlight;
use crate::open_export::OpenExport;
use crate::plan::{self, Compared, Comparison, LeaverRule, LeaverTally};
use crate::plan_report::PlanReport;
use crate::progress::Progress;
use crate::read::Pages;
use crate::report::{GuardVerdict, RunReport, Trigger, Verdict};
use crate::scope::Scope;
use crate::send::{GUARDED, Sending, Sent, Waiting};
use crate::settle::Settlement;
use crate::start_error::StartError;
use crate::tally::Tally;
use crate::watch::Watch;

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

/// An export that is to be planned or run, and what that takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) open: &'a OpenExport,
    /// Where rows that wait may be kept, encrypted.
    pub(crate) dir: &'a Path,
    pub(crate) store: &'a Store,
    pub(crate) request: &'a Request,
    pub(crate) calendar: &'a dyn Calendar,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
}

/// What a run knows from its beginning on.
#[derive(Debug)]
struct Begun {
    run_id: String,
    started_at: Timestamp,
    scope: Scope,
    in_flight: Arc<InFlight>,
    suppressed: Arc<HashSet<Identity>>,
    /// That of the ledger.
    generation: String,
    /// Members of the export's lists.
    held: u64,
}

/// What was judged of what was found.
#[derive(Debug)]
struct Judged {
    leavers: LeaverTally,
    guards: Vec<GuardVerdict>,
    hold: Option<Hold>,
}

impl Job<'_> {
    /// Compares and judges; sends nothing.
    pub(crate) async fn plan(&self) -> Result<PlanReport, StartError> {
        let Self { open, store, request, .. } = *self;
        // No lease is held: if a run delivers meanwhile, the plan is refused by its digest of the source.
        let first = plan::begin_reading(open, 0, "", store.hasher());
        let mut snapshot = store.snapshot(&open.export.id, &open.ledger_names).await?;
        let scope = request.scope.clone().of_ended(store).await?.asked(store, &mut snapshot).await?;
        let suppressed = store.suppressed().await?;
        let held = snapshot.members();
        let compared = self.comparison("", &scope, &suppressed, None).compare(&mut snapshot, first).await?;
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

    /// Runs the export from lease to report.
    pub(crate) async fn run(&self) -> Result<RunReport, StartError> {
        let Self { open, progress, cancel, .. } = *self;
        if !open.has_consent {
            return Err(StartError::NoConsent { connection: open.export.connection.clone() });
        }
        let (begun, mut ledger, first) = self.begin().await?;
        let Begun { run_id, scope, in_flight, .. } = &begun;
        let comparison = self.comparison(run_id, scope, &begun.suppressed, Some(&ledger.journal));
        let Compared { outbox, tally, error } = comparison.compare(&mut ledger.snapshot, first).await?;
        let listed = plan::listed(&ledger.snapshot);
        let mut rule = LeaverRule::new(open, scope, &listed, &tally);
        let watch = Watch::new(open.export.guards, &self.request.overrides);
        let judged = self.judge(&begun, &ledger.snapshot, &watch, &mut rule, &tally, error).await?;
        let (snapshot, journal) = (&ledger.snapshot, &ledger.journal);
        let (rule, listed, watch) = (&rule, &*listed, &watch);
        let sending = Sending { open, run_id, snapshot, journal, in_flight, listed, rule, watch, progress, cancel };
        let waiting = Waiting::new(outbox, judged.leavers.planned, snapshot.leavers(&tally.present));
        let sent = self.carry_out(&sending, waiting, scope, judged.hold.as_ref()).await?;
        if judged.hold.is_none() && !matches!(sent.end, Ending::HeldBack) {
            ledger.accept((0..open.segments.len()).map(|position| tally.rows_of(position)));
        }
        self.end(begun, ledger, tally, judged, sent).await
    }

    fn comparison<'a>(
        &'a self,
        run: &'a str,
        scope: &'a Scope,
        suppressed: &'a HashSet<Identity>,
        journal: Option<&'a Journal>,
    ) -> Comparison<'a> {
        let Self { open, dir, store, progress, cancel, .. } = *self;
        Comparison { open, run, hasher: store.hasher(), suppressed, scope, dir, journal, progress, cancel }
    }

    /// Takes the lease and writes down that the run begins; the first segment is read already.
    async fn begin(&self) -> Result<(Begun, RunLedger, Option<Pages>), StartError> {
        let Self { open, store, request, .. } = *self;
        // A plan is carried out as it was made.
        let scope = match &request.expected {
            Some(plan) if plan.full => Scope::Full,
            Some(_) => Scope::Changes,
            None => request.scope.clone().of_ended(store).await?,
        };
        let in_flight = Arc::new(InFlight::new(store.suppressions().await?));
        let (started_at, run_id) = (self.calendar.now(), self.calendar.new_run());
        let lease = store.lease(&open.export.id).await?;
        // With the lease in hand no other run can deliver anything newer than what is read from here on.
        let first = plan::begin_reading(open, 0, &run_id, store.hasher());
        let new = NewRun { run_id: &run_id, started_at, segments: &open.ledger_names };
        let mut ledger = lease.begin(new).await?;
        let scope = scope.asked(store, &mut ledger.snapshot).await?;
        // Whatever becomes of this run, it was asked for; a plan may turn out to be outdated.
        if matches!(scope, Scope::Full) && request.expected.is_none() {
            ledger.journal.renew().await?;
        }
        let held = ledger.snapshot.members();
        let suppressed = in_flight.suppressed().await?;
        let generation = ledger.snapshot.generation().to_string();
        Ok((Begun { run_id, started_at, scope, in_flight, suppressed, generation, held }, ledger, first))
    }

    /// Counts who left, and says what keeps the run from sending anything. Neither who left nor how large a segment is can be
    /// told after an `error`, from half a source.
    async fn judge(
        &self,
        begun: &Begun,
        snapshot: &Snapshot,
        watch: &Watch,
        rule: &mut LeaverRule<'_>,
        tally: &Tally,
        error: Option<Error>,
    ) -> Result<Judged, StartError> {
        if let Some(error) = error {
            let hold = Some(Hold::Unreadable(error));
            return Ok(Judged { leavers: LeaverTally::default(), guards: Vec::new(), hold });
        }
        let leavers = plan::count_leavers(snapshot, rule, tally).await?;
        let guards = plan::judge(watch, self.open, snapshot, tally, &leavers, begun.held);
        let expected = self.request.expected.as_ref();
        let hold = match expected.and_then(|expected| moved(expected, self.open, &begun.generation, tally)) {
            Some(what) => Some(Hold::Outdated(what)),
            None => guards.iter().any(|guard| guard.verdict == Verdict::Stopped).then_some(Hold::Guard),
        };
        Ok(Judged { leavers, guards, hold })
    }

    /// Sends what waits, or writes down that it was not tried.
    async fn carry_out(
        &self,
        sending: &Sending<'_>,
        waiting: Waiting<'_>,
        scope: &Scope,
        hold: Option<&Hold>,
    ) -> Result<Sent, StartError> {
        let is_as_planned = self.request.expected.is_some() && matches!(hold, None | Some(Hold::Guard));
        if matches!(scope, Scope::Full) && is_as_planned {
            sending.journal.renew().await?;
        }
        let Some(hold) = hold else {
            let sent = sending.send(waiting).await?;
            if let Ending::Failed { error, .. } = &sent.end
                && matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::PermissionDenied)
            {
                self.open.refusal.get_or_init(|| error.clone());
            }
            return Ok(sent);
        };
        let settlement = match hold {
            Hold::Outdated(_) => Settlement::default(),
            Hold::Unreadable(_) | Hold::Guard => sending.decline(waiting, &hold.reason()).await?,
        };
        Ok(Sent::nothing(settlement, &hold.reason(), hold.ending()))
    }

    /// Writes the report down, and with it that the run ended.
    async fn end(
        &self,
        begun: Begun,
        ledger: RunLedger,
        tally: Tally,
        judged: Judged,
        sent: Sent,
    ) -> Result<RunReport, StartError> {
        let Judged { leavers, mut guards, hold } = judged;
        let mut problems = plan::problems(self.open, &tally, &leavers, &ledger.snapshot);
        problems.extend(sent.problems);
        guards.extend(sent.guards);
        // Nothing was asked of the rows under an outdated plan: a retry must not take them for rows left undone.
        let (tally, leavers, guards, problems) = match hold {
            Some(Hold::Outdated(_)) => Default::default(),
            _ => (tally, leavers, guards, problems),
        };
        let story = Story {
            open: self.open,
            run_id: &begun.run_id,
            started_at: begun.started_at,
            finished_at: self.calendar.now(),
            trigger: self.request.trigger,
            retry_of: begun.scope.runs().to_vec(),
            tally,
            leavers,
            guards,
            settlement: sent.settlement,
            problems,
            end: sent.end,
        };
        let is_on_record = !matches!(story.end, Ending::BrokenOff(_));
        let mut report = story.report();
        let json = serde_json::to_string(&report).map_err(|error| {
            Error::new(ErrorKind::Internal, "the report could not be written as JSON").because(&error)
        })?;
        // One that broke off stays interrupted: had it ended, its records would be taken for all that it left undone.
        let written = match is_on_record {
            true => ledger.finish(report.status, report.finished_at, &json).await,
            false => Ok(()),
        };
        if let Err(error) = written {
            report.end_unwritten(error);
        }
        Ok(report)
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

impl Hold {
    fn reason(&self) -> String {
        match self {
            Self::Unreadable(error) => plan::unread(error),
            Self::Guard => GUARDED.to_owned(),
            Self::Outdated(what) => format!("not tried: {what} changed since the plan was made"),
        }
    }

    fn ending(&self) -> Ending {
        match self {
            Self::Unreadable(error) if error.kind() == ErrorKind::Cancelled => Ending::Cancelled,
            Self::Unreadable(error) => Ending::Failed { code: Code::SourceUnreadable, error: error.clone() },
            Self::Guard => Ending::HeldBack,
            Self::Outdated(what) => Ending::Outdated(what),
        }
    }
}
