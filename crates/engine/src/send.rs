//! Handing to the destination what a plan came to: first rows, then the removal of leavers; and writing down what is not tried.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use segport_core::{Capabilities, Error, ErrorKind, ExportSpec, Result, Session};
use segport_ledger::{Index, Journal, Leaver, Leavers, Memberships, Reached, Row, Snapshot, Undelivered, Untried};
use segport_manifest::Code;
use segport_transport::Permit;
use tokio::sync::{mpsc, oneshot};

use crate::batch_size::BatchSize;
use crate::broken_off::BrokenOff;
use crate::cancel::Cancel;
use crate::conclusion::Ending;
use crate::deliver::{DRAIN, Delivered, Delivery, Halt};
use crate::in_flight::InFlight;
use crate::lists;
use crate::open_export::OpenExport;
use crate::outbox::{BUNDLES_PER_BLOCK, Sealed, Ticket};
use crate::pack::{Dispatched, MOST_LOOSE, MOST_ON_THEIR_WAY, Packer};
use crate::parcel::{Handed, Listed};
use crate::plan::{LeaverFate, LeaverRule};
use crate::plan_report::PlannedLeavers;
use crate::progress::{Calls, Progress, Stage};
use crate::read_segments::ReadSegments;
use crate::report::{GuardVerdict, Problem, Severity, Verdict};
use crate::room::Room;
use crate::settle::Settlement;
use crate::watch::Watch;

/// Longest wait for a connector to prepare or end a run, retries and pauses of the destination included.
const SESSION_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How often a watcher is told of the calls.
const TICK: Duration = Duration::from_millis(200);

/// Why nothing is sent that a guard holds back.
pub(crate) const GUARDED: &str = "not tried: a guard stopped the run";

/// Why somebody whose row has a new address stays on a list under the old one.
const MOVED: &str = "the row with its key has another address now, under which it was not delivered";

/// About how many rows that are not tried are written down together.
const DECLINED_TOGETHER: usize = 50_000;

/// What a run knows by the time it sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending<'a> {
    pub(crate) open: &'a OpenExport,
    pub(crate) run_id: &'a str,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) journal: &'a Journal,
    pub(crate) in_flight: &'a Arc<InFlight>,
    pub(crate) listed: &'a [Listed],
    pub(crate) rule: &'a LeaverRule<'a>,
    pub(crate) watch: &'a Watch,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
}

/// What a run set out to send and has not handed over yet: no intent of it is written down.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    outbox: Sealed,
    /// Rows that have left the outbox.
    rows: Vec<Ticket>,
    planned: PlannedLeavers,
    leavers: Leavers<'a>,
    /// Those of them to be removed that were read already.
    removals: Vec<(Listed, Vec<Leaver>)>,
    /// What became of leavers that were to be removed and for whom no call is made.
    uncalled: Settlement,
    /// Segments whose lists are gone, and whose leavers with them.
    replaced: Memberships,
}

impl<'a> Waiting<'a> {
    /// All that waits in an outbox, and the leavers of a snapshot.
    pub(crate) fn new(outbox: Sealed, planned: PlannedLeavers, leavers: Leavers<'a>) -> Self {
        Self {
            outbox,
            rows: Vec::new(),
            planned,
            leavers,
            removals: Vec::new(),
            uncalled: Settlement::default(),
            replaced: Memberships::NONE,
        }
    }

    /// The next leavers; none at all where the plan has nothing to do with any.
    async fn next_leavers(&mut self) -> Result<Option<Vec<Leaver>>> {
        if self.planned.remove + self.planned.deferred == 0 {
            return Ok(None);
        }
        self.leavers.next().await.map_err(Error::from)
    }
}

/// How the sending ended.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) settlement: Settlement,
    /// What those guards say that judge more than the plan.
    pub(crate) guards: Vec<GuardVerdict>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) end: Ending,
}

impl Sent {
    /// That nothing was tried. Whatever else ends a run like that has a problem of its own.
    pub(crate) fn nothing(declined: Settlement, reason: &str, end: Ending) -> Self {
        let settlement = if matches!(end, Ending::Cancelled) { declined.put_off(reason) } else { declined };
        Self { settlement, guards: Vec::new(), problems: Vec::new(), end }
    }
}

impl Sending<'_> {
    /// Writes down that nothing of what waits was tried.
    pub(crate) async fn decline(&self, mut waiting: Waiting<'_>, reason: &str) -> Result<Settlement, BrokenOff> {
        let mut declined = Settlement::default();
        let reason: Arc<str> = reason.into();
        let mut untried = self.not_sent(&std::mem::take(&mut waiting.rows), &reason)?;
        loop {
            // The next rows are put together while these are written down: somebody waits for the run to end.
            let next = async {
                let mut tickets = Vec::new();
                while tickets.len() < DECLINED_TOGETHER
                    && let Some(next) = waiting.outbox.next_tickets()?
                {
                    tickets.extend(next);
                }
                self.not_sent(&tickets, &reason)
            };
            let (written, next) = tokio::join!(self.journal.pass_over(&untried), next);
            written.map_err(BrokenOff::Unwritten)?;
            declined.rows.deferred += untried.len() as u64;
            untried = next?;
            if untried.is_empty() {
                break;
            }
        }
        let removals = std::mem::take(&mut waiting.removals);
        declined.leavers.deferred += self.decline_removals(&removals, &reason).await?;
        while let Some(leavers) = waiting.next_leavers().await? {
            let removals = self.removals(leavers, &mut waiting).await?;
            declined.leavers.deferred += self.decline_removals(&removals, &reason).await?;
        }
        declined.absorb(waiting.uncalled);
        Ok(declined)
    }

    fn not_sent(&self, rows: &[Ticket], reason: &Arc<str>) -> Result<Vec<Untried>> {
        let mut untried = Vec::with_capacity(rows.len());
        let mut ahead = Vec::with_capacity(Index::AHEAD);
        let read = ReadSegments::new(&self.snapshot.index, self.listed);
        for near in rows.chunks(Index::AHEAD) {
            ahead.clear();
            ahead.extend(near.iter().map(|ticket| ticket.identity));
            read.warm(&ahead);
            for &identity in &ahead {
                let memberships = read.of(identity)?;
                let (code, reason) = ("not_sent".into(), Arc::clone(reason));
                let outcome = Undelivered::Deferred;
                untried.push(Untried::Row(Row { outcome, whose: identity.into(), memberships, code, reason }));
            }
        }
        Ok(untried)
    }

    async fn decline_removals(&self, removals: &[(Listed, Vec<Leaver>)], reason: &Arc<str>) -> Result<u64, BrokenOff> {
        let leavers = removals.iter().flat_map(|(_, leavers)| leavers);
        let untried: Vec<Untried> = leavers.map(|leaver| stays(leaver, "not_sent", reason)).collect();
        self.journal.pass_over(&untried).await.map_err(BrokenOff::Unwritten)?;
        Ok(untried.len() as u64)
    }

    /// Which of these leavers come off which list. Of those who stay until a run can be sure, and of those whose list is gone, it is
    /// written down; who was to come off and needs no call is counted.
    async fn removals(
        &self,
        leavers: Vec<Leaver>,
        waiting: &mut Waiting<'_>,
    ) -> Result<Vec<(Listed, Vec<Leaver>)>, BrokenOff> {
        let Waiting { uncalled, replaced, .. } = waiting;
        let unreadable =
            "of some rows of the source nobody can tell whose they are, and this might be one of them".into();
        let moved = MOVED.into();
        let mut deferred = Vec::new();
        let mut off = Vec::new();
        let mut removals: Vec<(Listed, Vec<Leaver>)> = Vec::new();
        for leaver in leavers {
            match self.rule.judge(&leaver) {
                LeaverFate::Ignore | LeaverFate::Keep | LeaverFate::Stay => {}
                LeaverFate::Defer => deferred.push(stays(&leaver, "unreadable_rows", &unreadable)),
                LeaverFate::Remove(listed) if replaced.contains(listed.number) => {
                    off.push((leaver.identity, listed.number));
                }
                LeaverFate::Remove(_) if self.rule.turned_out_to_be_shared(&leaver) => uncalled.keep(1),
                LeaverFate::Remove(_) if self.rule.movers().stays(&leaver) => {
                    uncalled.put_off_leaver(MOVED);
                    deferred.push(stays(&leaver, "row_not_delivered", &moved));
                }
                LeaverFate::Remove(listed) => match removals.iter_mut().find(|(at, _)| at.number == listed.number) {
                    Some((_, leavers)) => leavers.push(leaver),
                    None => removals.push((listed, vec![leaver])),
                },
            }
        }
        self.journal.pass_over(&deferred).await.map_err(BrokenOff::Unwritten)?;
        self.journal.came_off(&off).await.map_err(BrokenOff::Unwritten)?;
        uncalled.leavers.removed += off.len() as u64;
        self.progress.advance(&self.open.export.id, off.len() as u64);
        Ok(removals)
    }

    /// Sends what waits, rows before leavers.
    pub(crate) async fn send(&self, mut waiting: Waiting<'_>) -> Result<Sent, BrokenOff> {
        let planned = Handed { rows: waiting.outbox.rows(), leavers: waiting.planned.remove };
        if planned.all() == 0 {
            return Ok(Sent {
                settlement: self.decline(waiting, "nothing is to be sent").await?,
                guards: self
                    .watch
                    .judge_account(None, None)
                    .into_iter()
                    .chain([self.watch.judge_refusals(0, 0)])
                    .collect(),
                problems: Vec::new(),
                end: Ending::Through,
            });
        }
        let export = &*self.open.export.id;
        self.progress.stage(export, Stage::Delivering { total: planned.all() });
        let place = self.open.place();
        let known = self.snapshot.account(&place);
        let spec = ExportSpec {
            account: known.map(str::to_owned),
            may_move: self.watch.allows_other_account(),
            ..lists::told(&self.open.spec, self.snapshot)
        };
        let interrupted = || Error::new(ErrorKind::Cancelled, "the run was interrupted before it sent anything");
        let begin = async {
            match self.open.refusal.get() {
                Some(error) => Err(error.clone()),
                None => self.begin(&spec).await,
            }
        };
        let begun = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(interrupted()),
            begun = begin => begun,
        };
        let session = match begun {
            Ok(session) => session,
            Err(error) => {
                let reason = match error.kind() {
                    ErrorKind::Cancelled => Halt::Cancelled.reason(),
                    kind => format!("not tried: the connection could not be prepared ({kind})"),
                };
                return Ok(Sent::nothing(self.decline(waiting, &reason).await?, &reason, Ending::of(error)));
            }
        };
        let account = session.account.as_deref();
        let mut guards = Vec::from_iter(self.watch.judge_account(known, account));
        if guards.iter().any(|guard| guard.verdict == Verdict::Stopped) {
            let settlement = self.decline(waiting, GUARDED).await?;
            return Ok(Sent { settlement, guards, problems: Vec::new(), end: Ending::HeldBack });
        }
        let reached = Reached { place: &place, account, lists: &session.lists };
        let replaced = self.journal.reach(self.snapshot, reached).await.map_err(BrokenOff::Unwritten)?;
        waiting.replaced = replaced;
        let mut problems = lists::gone(&spec, self.snapshot, &session, replaced);
        problems.extend(lists::problems(&spec, &session, self.open.identity(), self.open.export.leavers));
        problems.iter().for_each(|problem| self.progress.noted(export, problem));
        let (declined, delivered) = self.deliver(&session, waiting, planned).await?;
        let mut settlement = delivered.settlement;
        settlement.notes.extend(session.notes.iter().cloned());
        settlement.absorb(declined);
        let end = match (delivered.failure, delivered.halt) {
            (Some(why), _) => {
                settlement.leave_open(planned, delivered.in_doubt);
                Ending::BrokenOff(why)
            }
            (None, None) => Ending::Through,
            (None, Some(Halt::Guard)) => Ending::Stopped,
            (None, Some(Halt::Cancelled)) => Ending::Cancelled,
            (None, Some(Halt::Connection(error))) => Ending::of(error),
        };
        if matches!(end, Ending::Through)
            && let Err(error) = self.finish(&session).await
        {
            problems.push(Problem::new(Severity::Warning, Code::of(error.kind()), error.to_string()));
        }
        guards.push(delivered.refusals);
        Ok(Sent { settlement, guards, problems, end })
    }

    /// Prepares the destination, after everybody else who does so through this connection: each of two that found no list of a
    /// title would make one.
    async fn begin(&self, spec: &ExportSpec) -> Result<Session> {
        let late = |_| Error::new(ErrorKind::Timeout, "another run of the connection is still beginning");
        let _exclusive = match self.open.line.connection() {
            Some(connection) => {
                Some(tokio::time::timeout(SESSION_TIMEOUT, connection.exclusive()).await.map_err(late)?)
            }
            None => None,
        };
        let session = self.open.connector.begin(self.run_id, spec, SESSION_TIMEOUT).await?;
        lists::match_up(spec, &session)?;
        Ok(session)
    }

    /// Ends the session. Somebody who interrupts the run then waits for it no longer than for a call.
    async fn finish(&self, session: &Session) -> Result<()> {
        let drained = async {
            self.cancel.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            biased;
            finished = self.open.connector.finish(self.run_id, session, SESSION_TIMEOUT) => finished,
            () = drained => {
                Err(Error::new(ErrorKind::Cancelled, "the run was interrupted while the connector ended its session"))
            }
        }
    }

    /// Delivers the rows that wait, and then the leavers: only when all rows have their outcomes is it known whose ids they have.
    /// Returns what was declined after a halt, and what the delivery came to.
    async fn deliver(
        &self,
        session: &Session,
        waiting: Waiting<'_>,
        planned: Handed,
    ) -> Result<(Settlement, Delivered)> {
        let export = &*self.open.export.id;
        let max_in_flight = (self.open.limits.max_in_flight as usize).max(1);
        let batch = BatchSize::of(self.open);
        let writer = self.open.connector.writer(self.run_id, session)?;
        let delivery = Delivery {
            writer: &writer,
            line: &self.open.line,
            journal: self.journal,
            in_flight: self.in_flight,
            watch: self.watch,
            cancel: self.cancel,
            read: ReadSegments::new(&self.snapshot.index, self.listed),
            shared: self.rule.shared(),
            movers: self.rule.movers(),
            planned: planned.rows,
            to_send: planned.all(),
            rows_per_batch: batch.rows,
            max_in_flight,
            call_timeout: call_timeout(self.open, batch.rows, max_in_flight),
            export,
            progress: self.progress,
            refused: AtomicU64::new(0),
        };
        if let Some(connection) = self.open.line.connection() {
            connection.ask(Arc::clone(self.in_flight) as Arc<dyn Permit>);
        }
        let room = Room::new(MOST_ON_THEIR_WAY);
        let packer = Packer {
            index: &self.snapshot.index,
            journal: self.journal,
            batch,
            segments: self.listed,
            most_loose: MOST_LOOSE,
            room: &room,
            replaced: waiting.replaced,
        };
        let work = async {
            let rows = async |waiting, parcels| pack_rows(&packer, waiting, parcels).await;
            let Part { rest, mut declined, mut delivered } = self.part(&delivery, waiting, rows).await;
            if let Some(rest) = rest.filter(|_| delivered.failure.is_none()) {
                let leavers = async |waiting, parcels| self.pack_leavers(&packer, waiting, parcels).await;
                let part = self.part(&delivery, rest, leavers).await;
                declined.absorb(part.declined);
                declined.absorb(part.rest.map(|rest| rest.uncalled).unwrap_or_default());
                delivered = delivered.then(part.delivered);
            }
            (declined, delivered)
        };
        let mut work = Box::pin(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(TICK) => {
                    if let Some(connection) = self.open.line.connection() {
                        let (made, throttled) = (connection.counters().requests, connection.throttled_for().is_some());
                        self.progress.calls(export, Calls { made, throttled });
                    }
                }
            }
        }
    }

    /// Packs some of what waits and delivers it, side by side. If that halts, all that waits is declined, while calls end.
    async fn part<'w>(
        &self,
        delivery: &Delivery<'_>,
        waiting: Waiting<'w>,
        pack: impl AsyncFnOnce(Waiting<'w>, mpsc::Sender<Dispatched>) -> Result<Waiting<'w>, BrokenOff>,
    ) -> Part<'w> {
        let ahead = parcels_ahead(self.open.limits.requests_per_second, delivery.writer.capabilities());
        let (parcels, to_deliver) = mpsc::channel(ahead);
        let (halt, halted) = oneshot::channel::<String>();
        let pack = async {
            let rest = pack(waiting, parcels).await?;
            match halted.await {
                Ok(reason) => Ok((None, self.decline(rest, &reason).await?.put_off(&reason))),
                // All is delivered, or the delivery broke off.
                Err(_) => Ok((Some(rest), Settlement::default())),
            }
        };
        match tokio::join!(pack, delivery.deliver(to_deliver, halt)) {
            (Ok((rest, declined)), delivered) => Part { rest, declined, delivered },
            (Err(why), delivered) => {
                let failure = delivered.failure.or(Some(why));
                Part { rest: None, declined: Settlement::default(), delivered: Delivered { failure, ..delivered } }
            }
        }
    }

    /// Sends the removal of the leavers that wait into `parcels`; returns what nobody took.
    async fn pack_leavers<'w>(
        &self,
        packer: &Packer<'_>,
        mut waiting: Waiting<'w>,
        parcels: mpsc::Sender<Dispatched>,
    ) -> Result<Waiting<'w>, BrokenOff> {
        while let Some(leavers) = waiting.next_leavers().await? {
            let mut removals = self.removals(leavers, &mut waiting).await?.into_iter();
            for (listed, leavers) in removals.by_ref() {
                let rest = packer.pack_leavers(listed, leavers, &parcels).await?;
                if !rest.is_empty() {
                    waiting.removals.push((listed, rest));
                    waiting.removals.extend(removals);
                    return Ok(waiting);
                }
            }
        }
        Ok(waiting)
    }
}

/// Sends the rows that wait into `parcels`; returns what nobody took.
async fn pack_rows<'w>(
    packer: &Packer<'_>,
    mut waiting: Waiting<'w>,
    parcels: mpsc::Sender<Dispatched>,
) -> Result<Waiting<'w>, BrokenOff> {
    waiting.rows = packer.pack_rows(|| waiting.outbox.next_block().transpose(), &parcels).await?;
    Ok(waiting)
}

/// What came of delivering a part of what waits.
#[derive(Debug)]
struct Part<'a> {
    /// What still waits, unless it was declined.
    rest: Option<Waiting<'a>>,
    declined: Settlement,
    delivered: Delivered,
}

/// How many parcels have their intents written and wait to be sent, so that nobody waits for the disk: those of a second, and
/// no more than a block has bundles. Only one where rows in doubt stay so for good: if the run dies, all that wait are in doubt.
fn parcels_ahead(requests_per_second: f64, Capabilities { settle, repeatable, .. }: Capabilities) -> usize {
    if !settle && !repeatable {
        return 1;
    }
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

/// That a leaver is not removed this time.
fn stays(leaver: &Leaver, code: &'static str, reason: &Arc<str>) -> Untried {
    Untried::Leaver(Row {
        outcome: Undelivered::Deferred,
        whose: leaver.identity.into(),
        memberships: Memberships::from(leaver.segment),
        code: code.into(),
        reason: Arc::clone(reason),
    })
}
