//! The story of a run: take the lease, read and compare, let the guards judge, deliver, settle, report.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use segport_core::{Error, ErrorKind, Session};
use segport_ledger::{
    Identity, Journal, Leaver, Memberships, NewRun, OutcomeKind, Record, Row, RunStatus, Snapshot, Store, Suppressions,
    Undelivered,
};
use segport_manifest::Code;
use tokio::sync::{mpsc, watch};

use crate::conclusion::{Ending, Story, problem, run_end};
use crate::deliver::{Delivered, Delivery, Halt, Handed, ledger};
use crate::diff::Scope;
use crate::engine::{OpenExport, StartError};
use crate::first_run;
use crate::guard::{Override, Watch};
use crate::outbox::{BUNDLES_PER_BLOCK, Sealed};
use crate::pack::{Listed, MOST_LOOSE, Packer, Parcel};
use crate::plan::{self, Comparison, LeaverFate, LeaverRule, LeaverTally};
use crate::plan_report::PlanReport;
use crate::progress::{Progress, Stage};
use crate::report::{GuardVerdict, RunReport, Severity, Trigger, Verdict};
use crate::settle::Settlement;
use crate::tally::Tally;

/// Longest wait for a connector to prepare or end a run, retries and pauses of the destination included.
const SESSION_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How often a watcher is told whether the destination throttles.
const THROTTLE_TICK: Duration = Duration::from_millis(200);

/// What is asked of a run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Id of the export.
    pub export: String,
    /// What started it.
    pub trigger: Trigger,
    /// Which rows it considers.
    pub mode: Mode,
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
            mode: Mode::Changes,
            overrides: Override::default(),
            expected: None,
        }
    }
}

/// Which rows a run considers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Those that the destination has not acknowledged as they are.
    Changes,
    /// All of them.
    Full,
    /// Those that the run with this id failed to deliver, deferred, or left unknown.
    Only(String),
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
    let scope = scope(store, &request.mode).await?;
    let suppressed = store.suppressed().await?;
    let held = snapshot.index.held_rows();
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
        return Err(error.into());
    }
    let listed = plan::listed(&snapshot);
    let rule = LeaverRule::new(open, &scope, &listed, &compared.tally);
    let leavers = plan::count_leavers(&snapshot, &rule, &compared.tally).await?;
    let watch = Watch::new(open.export.guards, &request.overrides);
    let guards = plan::judge(&watch, open, &snapshot, &compared.tally, &leavers, held);
    Ok(plan::report(open, &snapshot, &compared.tally, &leavers, guards, &scope).await?)
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
        None => scope(store, &request.mode).await?,
    };
    let suppressions = store.suppressions().await?;
    let started_at = Timestamp::now();
    let run_id = uuid::Uuid::now_v7().to_string();
    let lease = store.lease(&open.export.id).await?;
    // With the lease in hand no other run can deliver anything newer than what is read from here on.
    let first = plan::begin_reading(open, 0, &run_id, store.hasher());
    let mut run = lease.begin(NewRun { run_id: &run_id, started_at, segments: &open.ledger_names }).await?;
    let held = run.snapshot.index.held_rows();
    let suppressed = suppressions.now().await?;
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
    let compared = comparison.compare(&mut run.snapshot, first).await?;
    let listed = plan::listed(&run.snapshot);
    let rule = LeaverRule::new(open, &scope, &listed, &compared.tally);
    let leavers = match compared.error {
        // Who left cannot be told from half a source.
        Some(_) => LeaverTally::default(),
        None => plan::count_leavers(&run.snapshot, &rule, &compared.tally).await?,
    };
    let watch = Watch::new(open.export.guards, &request.overrides);
    let guards = match compared.error {
        Some(_) => Vec::new(),
        None => plan::judge(&watch, open, &run.snapshot, &compared.tally, &leavers, held),
    };
    let moved = request.expected.as_ref().and_then(|expected| moved(expected, open, &generation, &compared.tally));
    let hold = hold(compared.error, &guards, moved);
    if hold.is_none() {
        run.accept((0..open.segments.len()).map(|position| compared.tally.rows_of(position)));
    }
    let mut story = Story {
        open,
        run_id: &run_id,
        started_at,
        trigger: request.trigger,
        problems: plan::problems(open, &compared.tally, &leavers, &run.snapshot),
        tally: compared.tally,
        leavers,
        guards,
        settlement: Settlement::default(),
        end: Ending::Through,
    };
    let stage = Sending {
        open,
        run_id: &run_id,
        snapshot: &run.snapshot,
        journal: &run.journal,
        suppressions: &suppressions,
        listed: &listed,
        scope: &scope,
    };
    match hold {
        Some(hold @ Hold::Outdated(_)) => {
            // Nothing was asked of these rows: a retry must not take them for rows left undone.
            story.tally = Tally::default();
            story.leavers = LeaverTally::default();
            story.end = hold.ending();
        }
        Some(hold) => {
            stage.decline(compared.outbox, &rule, &mut story, &hold.reason()).await?;
            story.end = hold.ending();
        }
        None => stage.send(compared.outbox, &rule, &watch, &mut story, progress, cancel).await?,
    }
    progress.finished(&open.export.id);
    let is_written = !matches!(story.end, Ending::Unwritten(_));
    let mut report = story.report();
    let json = serde_json::to_string(&report)
        .map_err(|error| Error::new(ErrorKind::Internal, "the report could not be written as JSON").because(&error))?;
    if let Err(error) = run.finish(run_end(report.status), report.finished_at, &json).await
        && is_written
    {
        report.end_unwritten(&error.into());
    }
    match moved {
        Some(what) => Err(StartError::Outdated { what }),
        None => Ok(report),
    }
}

async fn scope(store: &Store, mode: &Mode) -> Result<Scope, StartError> {
    let run_id = match mode {
        Mode::Changes => return Ok(Scope::Changes),
        Mode::Full => return Ok(Scope::Full),
        Mode::Only(run_id) => run_id,
    };
    if !matches!(store.run(run_id).await?.status, RunStatus::Ended(_)) {
        // A run that died wrote no list of what it left undone; that is whatever is not acknowledged.
        return Ok(Scope::Changes);
    }
    let mut wanted: HashSet<Identity> = HashSet::new();
    for outcome in [OutcomeKind::Refused, OutcomeKind::Deferred, OutcomeKind::Unknown] {
        let mut rows = store.rows(run_id, Some(outcome)).await?;
        while let Some(chunk) = rows.next().await? {
            wanted.extend(chunk.into_iter().filter_map(|row| row.identity));
        }
    }
    Ok(Scope::Only(wanted))
}

/// What differs from the plan that the run must match.
fn moved(expected: &PlanReport, open: &OpenExport, generation: &str, tally: &Tally) -> Option<&'static str> {
    if expected.export != open.export.id || expected.config_hash != open.config_hash {
        Some("the configuration")
    } else if expected.ledger_generation != generation {
        Some("the ledger")
    } else if expected.source_digest != format!("{:032x}", tally.digest) {
        Some("the source")
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

fn hold(error: Option<Error>, guards: &[GuardVerdict], moved: Option<&'static str>) -> Option<Hold> {
    if let Some(error) = error {
        return Some(Hold::Unreadable(error));
    }
    if let Some(what) = moved {
        return Some(Hold::Outdated(what));
    }
    guards.iter().any(|guard| guard.verdict == Verdict::Stopped).then_some(Hold::Guard)
}

impl Hold {
    fn reason(&self) -> String {
        match self {
            Self::Unreadable(error) if error.kind() == ErrorKind::Cancelled => {
                "not tried: the run was interrupted".to_owned()
            }
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

/// What a run knows by the time it sends.
#[derive(Debug, Clone, Copy)]
struct Sending<'a> {
    open: &'a OpenExport,
    run_id: &'a str,
    snapshot: &'a Snapshot,
    journal: &'a Journal,
    suppressions: &'a Suppressions,
    listed: &'a [Listed],
    scope: &'a Scope,
}

impl Sending<'_> {
    /// Writes down that nothing of the outbox was tried.
    async fn decline(
        &self,
        outbox: Sealed,
        rule: &LeaverRule<'_>,
        story: &mut Story<'_>,
        reason: &str,
    ) -> Result<(), StartError> {
        for block in outbox.blocks() {
            let block = block.map_err(StartError::Outbox)?;
            let mut records = Vec::new();
            for ticket in block.iter().flat_map(|bundle| &bundle.tickets) {
                records.push(Record::Row(Row {
                    outcome: Undelivered::Deferred,
                    identity: Some(ticket.identity),
                    memberships: self.snapshot.index.read_in(ticket.identity)?.seen,
                    code: "not_sent".into(),
                    reason: reason.to_owned().into(),
                }));
            }
            self.journal.settle(&records).await?;
            story.settlement.rows.deferred += records.len() as u64;
        }
        if story.leavers.planned.remove == 0 {
            return Ok(());
        }
        let mut leavers = self.snapshot.leavers(&story.tally.present);
        while let Some(chunk) = leavers.next().await? {
            let removals = chunk.iter().filter(|leaver| matches!(rule.judge(leaver), LeaverFate::Remove(_)));
            let records: Vec<Record> = removals.map(|leaver| stayed(leaver, "not_sent", reason.to_owned())).collect();
            self.journal.settle(&records).await?;
            story.settlement.leavers.deferred += records.len() as u64;
        }
        Ok(())
    }

    /// Sends what the outbox holds, then removes leavers.
    async fn send(
        &self,
        outbox: Sealed,
        rule: &LeaverRule<'_>,
        watch: &Watch,
        story: &mut Story<'_>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<(), StartError> {
        let total = outbox.rows() + story.leavers.planned.remove;
        if total == 0 {
            story.guards.push(watch.judge_refusals(0, 0));
            return Ok(());
        }
        let export = &*self.open.export.id;
        progress.stage(export, Stage::Delivering { total });
        let spec = first_run::marked(&self.open.spec, self.snapshot);
        let begun = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the run was interrupted before it sent anything")),
            begun = self.open.connector.begin(self.run_id, &spec, SESSION_TIMEOUT) => begun,
        };
        let session = match begun {
            Ok(session) => session,
            Err(error) => {
                let reason = format!("not tried: the connection could not be prepared ({})", error.kind());
                self.decline(outbox, rule, story, &reason).await?;
                story.end = Ending::of(error);
                return Ok(());
            }
        };
        story.settlement.notes.extend(session.notes.iter().cloned());
        for problem in first_run::problems(&spec, &session, self.open.identity(), self.open.export.leavers) {
            progress.noted(export, &problem);
            story.problems.push(problem);
        }
        let planned = Handed { rows: outbox.rows(), leavers: story.leavers.planned.remove };
        let delivered = self.deliver(&session, outbox, rule, watch, story, progress, cancel).await?;
        story.settlement.absorb(delivered.settlement);
        story.guards.push(delivered.refusals);
        story.end = match (delivered.failure, delivered.halt) {
            (Some(error), _) => {
                story.settlement.leave_open(planned, delivered.in_doubt);
                Ending::Unwritten(error)
            }
            (None, None) => Ending::Through,
            (None, Some(Halt::Guard)) => Ending::Stopped,
            (None, Some(Halt::Cancelled)) => Ending::Cancelled,
            (None, Some(Halt::Connection(error))) => Ending::of(error),
        };
        if matches!(story.end, Ending::Through)
            && let Err(error) = self.open.connector.finish(self.run_id, &session, SESSION_TIMEOUT).await
        {
            story.problems.push(problem(Severity::Warning, Code::of(error.kind()), error.to_string()));
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one delivery, named where they are made")]
    async fn deliver(
        &self,
        session: &Session,
        outbox: Sealed,
        rule: &LeaverRule<'_>,
        watch: &Watch,
        story: &Story<'_>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Delivered, StartError> {
        let export = &*self.open.export.id;
        let max_in_flight = (self.open.limits.max_in_flight as usize).max(1);
        let rows_per_batch = plan::rows_per_batch(self.open);
        let delivery = Delivery {
            writer: &self.open.connector.writer(self.run_id, session)?,
            journal: self.journal,
            suppressions: self.suppressions,
            watch,
            cancel,
            planned: outbox.rows(),
            to_send: outbox.rows() + story.leavers.planned.remove,
            rows_per_batch,
            max_in_flight,
            call_timeout: call_timeout(self.open, rows_per_batch, max_in_flight),
            export,
            progress,
        };
        let packer = Packer {
            index: &self.snapshot.index,
            journal: self.journal,
            rows_per_batch,
            segments: self.listed,
            scope: self.scope,
            most_loose: MOST_LOOSE,
        };
        let (parcels, to_deliver) = mpsc::channel(parcels_ahead(self.open.limits.requests_per_second));
        let pack = async {
            packer.pack_rows(outbox.blocks(), &parcels).await?;
            self.pack_leavers(&packer, rule, &story.tally, &parcels).await?;
            drop(parcels);
            Ok(())
        };
        let work = async {
            let (packed, delivered) = tokio::join!(pack, delivery.deliver(to_deliver));
            Delivered { failure: delivered.failure.or(packed.err()), ..delivered }
        };
        let mut work = Box::pin(work);
        loop {
            tokio::select! {
                biased;
                delivered = &mut work => return Ok(delivered),
                () = tokio::time::sleep(THROTTLE_TICK) => {
                    let pause = self.open.line.connection().and_then(segport_transport::Connection::throttled_for);
                    progress.throttled(export, pause.is_some());
                }
            }
        }
    }

    async fn pack_leavers(
        &self,
        packer: &Packer<'_>,
        rule: &LeaverRule<'_>,
        tally: &Tally,
        parcels: &mpsc::Sender<Parcel>,
    ) -> Result<(), Error> {
        let mut leavers = self.snapshot.leavers(&tally.present);
        while let Some(chunk) = leavers.next().await.map_err(ledger)? {
            let mut deferred = Vec::new();
            let mut by_list: Vec<(Listed, Vec<Leaver>)> = Vec::new();
            for leaver in chunk {
                match rule.judge(&leaver) {
                    LeaverFate::Ignore | LeaverFate::Keep => {}
                    LeaverFate::Defer => {
                        let reason = "rows of the source could not be read, and this might be one of them";
                        deferred.push(stayed(&leaver, "unreadable_rows", reason.to_owned()));
                    }
                    LeaverFate::Remove(listed) => match by_list.iter_mut().find(|(at, _)| at.number == listed.number) {
                        Some((_, leavers)) => leavers.push(leaver),
                        None => by_list.push((listed, vec![leaver])),
                    },
                }
            }
            if !deferred.is_empty() {
                self.journal.settle(&deferred).await.map_err(ledger)?;
            }
            for (listed, leavers) in by_list {
                if !packer.pack_leavers(listed, leavers, parcels).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// How many parcels have their intents written and wait to be sent, so that nobody waits for the disk: those of a second, and
/// no more than a block has bundles.
fn parcels_ahead(requests_per_second: f64) -> usize {
    if requests_per_second <= 0.0 {
        return BUNDLES_PER_BLOCK;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number, and a cast is capped"
    )]
    let a_second = requests_per_second.ceil() as usize;
    a_second.clamp(1, BUNDLES_PER_BLOCK)
}

/// A batch may take as long as its calls one by one at the connection's rate, behind all others that are under way.
fn call_timeout(open: &OpenExport, rows_per_batch: usize, max_in_flight: usize) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "both are small")]
    let calls = (rows_per_batch * (max_in_flight + 1)) as f64 * open.spec.segments.len() as f64;
    let rate = open.limits.requests_per_second;
    let paced = if rate > 0.0 { calls / rate } else { 0.0 };
    Duration::from_millis(open.limits.request_timeout_ms) * 20
        + SESSION_TIMEOUT
        + Duration::try_from_secs_f64(paced * 2.0).unwrap_or(SESSION_TIMEOUT)
}

/// That a leaver was not removed this time.
fn stayed(leaver: &Leaver, code: &'static str, reason: String) -> Record {
    Record::Stayed(Row {
        outcome: Undelivered::Deferred,
        identity: Some(leaver.identity),
        memberships: Memberships::from(leaver.segment),
        code: code.into(),
        reason: reason.into(),
    })
}
