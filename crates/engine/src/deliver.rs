//! Sending what was packed: calls, several at once, and an outcome for every row.

mod call;
mod judged;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use segport_core::{Error, ErrorKind, RowOutcome};
use segport_host::Writer;
use segport_ledger::{Done, Journal, Record, SharedIds};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc, oneshot};

use self::judged::Judged;
pub use self::judged::{is_final, outcome_of};
use crate::broken_off::BrokenOff;
use crate::cancel::Cancel;
use crate::in_flight::InFlight;
use crate::line::Line;
use crate::movers::Movers;
use crate::pack::Dispatched;
use crate::parcel::{Fate, Handed, Parcel};
use crate::progress::Progress;
use crate::read_segments::ReadSegments;
use crate::report::{GuardVerdict, Verdict};
use crate::settle::Settlement;
use crate::watch::Watch;

/// Batches in a row that may fail as a whole before the run gives the destination up.
const MAX_FAILURES: u32 = 5;
/// Answered parcels that may wait for their commit.
const WAITING: usize = 256;
/// About how many outcomes are written together at most.
const RECORDS_PER_COMMIT: usize = 20_000;
/// How long answered batches wait for as many others as share a commit, where batches may wait at all.
const A_COMMIT_LATER: Duration = Duration::from_millis(20);

/// Why a delivery ends before everything was tried.
#[derive(Debug, Clone)]
pub(crate) enum Halt {
    /// A guard's limit is passed.
    Guard,
    /// Somebody cancelled the run.
    Cancelled,
    /// It is pointless to go on with this connection.
    Connection(Error),
}

impl Halt {
    /// Why a row was not tried, in words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Guard => "not tried: the guard max_refused stopped the run".to_owned(),
            Self::Cancelled => "not tried: the run was interrupted".to_owned(),
            Self::Connection(error) if error.kind() == ErrorKind::Cancelled => Self::Cancelled.reason(),
            Self::Connection(error) => format!("not tried: the run gave up the connection ({})", error.kind()),
        }
    }
}

/// How long requests on the wire are heard out once a run is cancelled.
pub(crate) const DRAIN: Duration = Duration::from_secs(8);

/// Everything a delivery works with.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) writer: &'a Writer<'a>,
    /// The connector's way to the destination.
    pub(crate) line: &'a Line,
    pub(crate) journal: &'a Journal,
    pub(crate) in_flight: &'a InFlight,
    pub(crate) watch: &'a Watch,
    pub(crate) cancel: &'a Cancel,
    pub(crate) read: ReadSegments<'a>,
    /// Told of every id that the destination gives.
    pub(crate) shared: &'a SharedIds,
    /// Told of every row that was not delivered.
    pub(crate) movers: &'a Movers,
    /// Rows the run set out to send.
    pub(crate) planned: u64,
    /// The same and the leavers to remove.
    pub(crate) to_send: u64,
    pub(crate) rows_per_batch: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) call_timeout: Duration,
    pub(crate) export: &'a str,
    /// Told of every row that has its outcome.
    pub(crate) progress: &'a dyn Progress,
    /// Rows that the destination has refused so far, those of batches that are not through with halving among them.
    pub(crate) refused: AtomicU64,
}

/// How a delivery ended.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// What was written down.
    pub(crate) settlement: Settlement,
    pub(crate) refusals: GuardVerdict,
    pub(crate) halt: Option<Halt>,
    /// What was handed to the connector and has no outcome that was written down: nothing, unless there is a failure.
    pub(crate) in_doubt: Handed,
    /// Why the rest has no outcome on record. The next run sends those rows again.
    pub(crate) failure: Option<BrokenOff>,
}

impl Delivered {
    /// The same, and then that of the leavers. What was refused is judged with the rows.
    pub(crate) fn then(mut self, leavers: Self) -> Self {
        self.settlement.absorb(leavers.settlement);
        self.in_doubt.rows += leavers.in_doubt.rows;
        self.in_doubt.leavers += leavers.in_doubt.leavers;
        Self { halt: leavers.halt, failure: leavers.failure, ..self }
    }
}

impl Delivery<'_> {
    /// Sends all parcels that come in. After a halt it takes no more, tells `halted` why, and those that have come already get
    /// their outcomes untried. Ends early if outcomes cannot be written down.
    pub(crate) async fn deliver(
        &self,
        mut parcels: mpsc::Receiver<Dispatched>,
        halted: oneshot::Sender<String>,
    ) -> Delivered {
        // A batch keeps its place until its outcomes are written down: whatever dies, no more than that is sent again.
        let places = Semaphore::new(self.max_in_flight + self.may_wait());
        let places = &places;
        let (to_settle, settling) = mpsc::channel(WAITING);
        let send = async move {
            let mut course = Course::new(self);
            let mut calls = FuturesUnordered::new();
            let mut open = true;
            let mut halted = Some(halted);
            while open || !calls.is_empty() {
                if let Some(halt) = &course.halt
                    && let Some(halted) = halted.take()
                {
                    parcels.close();
                    // Nobody listens once all is packed.
                    halted.send(halt.reason()).ok();
                }
                tokio::select! {
                    biased;
                    // What is answered from now on cannot be written down.
                    () = to_settle.closed() => break,
                    Some(answered) = calls.next() => {
                        let (place, parcel, judged): (Place<'_>, Parcel, Judged) = answered;
                        let answered = course.judge(place, parcel, judged);
                        if to_settle.send(answered).await.is_err() {
                            break;
                        }
                    }
                    () = self.cancel.cancelled(), if course.halt.is_none() => course.halt = Some(Halt::Cancelled),
                    next = next(places, &mut parcels), if open && calls.len() < self.max_in_flight => match (next, &course.halt) {
                        (None, _) => open = false,
                        (Some((place, parcel)), None) => {
                            course.handed.add(&parcel);
                            calls.push(self.call(place, parcel));
                        }
                        (Some((_, parcel)), Some(halt)) => {
                            let untried = Fate::Answered(RowOutcome::Deferred { reason: halt.reason() });
                            let fates = vec![untried; parcel.len()];
                            let untried = Answered { parcel, fates, notes: Vec::new(), place: None };
                            if to_settle.send(untried).await.is_err() {
                                break;
                            }
                        }
                    },
                }
            }
            // The last answer may have been the reason.
            if let (Some(halt), Some(halted)) = (&course.halt, halted) {
                halted.send(halt.reason()).ok();
            }
            course
        };
        let (course, settled) = tokio::join!(send, self.settle(settling));
        let mut refusals = self.watch.judge_refusals(settled.settlement.rows.refused, self.planned);
        if refusals.verdict == Verdict::Stopped && !matches!(course.halt, Some(Halt::Guard)) {
            refusals.verdict = Verdict::Exceeded;
        }
        Delivered {
            settlement: settled.settlement,
            refusals,
            halt: course.halt,
            in_doubt: course.handed.without(settled.handed),
            failure: settled.failure,
        }
    }

    /// How many answered batches may wait for their commit while others are sent: one in a hundred of the run. In a small run
    /// that is none, and in a large one the calls need not wait for the disk.
    fn may_wait(&self) -> usize {
        let batches = self.to_send / self.rows_per_batch as u64;
        usize::try_from(batches / 100).map_or(WAITING, |share| share.min(WAITING))
    }

    fn is_over_max_refused(&self) -> bool {
        let refused = self.refused.load(Ordering::Relaxed);
        refused > 0 && self.watch.judge_refusals(refused, self.planned).verdict == Verdict::Stopped
    }

    /// Tells which rows of a parcel were not delivered, if they may be those of leavers.
    fn tell_undelivered(&self, parcel: &Parcel, fates: &[Fate]) -> segport_core::Result<()> {
        let Parcel::Upsert { tickets, .. } = parcel else { return Ok(()) };
        for (ticket, _) in tickets.iter().zip(fates).filter(|(_, fate)| !fate.is_acknowledged()) {
            if self.movers.may_be(ticket.key) {
                self.movers.not_delivered(ticket.key, self.read.of(ticket.identity)?);
            }
        }
        Ok(())
    }

    /// Tells whose ids these are, if there are leavers that may have the same.
    fn tell_ids(&self, records: &[Record]) {
        if self.shared.is_empty() {
            return;
        }
        for record in records {
            if let Record::Done(Done { destination_id: Some(id), memberships, .. }) = record {
                self.shared.claim_now(id, *memberships);
            }
        }
    }

    /// Writes outcomes down, as many at once as are waiting.
    async fn settle(&self, mut answered: mpsc::Receiver<Answered<'_>>) -> Settled {
        let mut settled = Settled::default();
        let mut waiting = Vec::new();
        let most = RECORDS_PER_COMMIT / self.rows_per_batch + 1;
        while answered.recv_many(&mut waiting, most).await > 0 {
            let more = async {
                let enough = most.min(self.may_wait() / 2);
                while waiting.len() < enough && answered.recv_many(&mut waiting, most).await > 0 {}
            };
            // If no more came in time, those that did are enough.
            tokio::time::timeout(A_COMMIT_LATER, more).await.ok();
            let mut next = Settled::default();
            let mut records = Vec::with_capacity(waiting.iter().map(|answered| answered.fates.len()).sum());
            let mut places = Vec::with_capacity(waiting.len());
            for Answered { parcel, fates, notes, place } in waiting.drain(..) {
                if place.is_some() {
                    next.handed.add(&parcel);
                }
                places.push(place);
                next.settlement.notes.extend(notes);
                let told = self.tell_undelivered(&parcel, &fates);
                match told.and_then(|()| next.settlement.settle(&parcel, fates, self.read)) {
                    Ok(more) => records.extend(more),
                    Err(error) => settled.failure = Some(BrokenOff::Unread(error)),
                }
            }
            if settled.failure.is_none() {
                settled.failure = self.journal.settle(&records).await.err().map(BrokenOff::Unwritten);
            }
            if settled.failure.is_some() {
                break;
            }
            self.tell_ids(&records);
            drop(places);
            settled.settlement.absorb(next.settlement);
            settled.handed.rows += next.handed.rows;
            settled.handed.leavers += next.handed.leavers;
            self.progress.advance(self.export, records.len() as u64);
        }
        settled
    }
}

/// The next parcel, once there is a place for it among those in flight. Dropping the future loses nothing.
async fn next<'p>(places: &'p Semaphore, parcels: &mut mpsc::Receiver<Dispatched>) -> Option<(Place<'p>, Parcel)> {
    // Nobody closes the semaphore.
    let place = places.acquire().await.ok()?;
    let (parcel, room) = parcels.recv().await?;
    Some((Place { _in_flight: place, _room: room }, parcel))
}

/// What a parcel takes up until its outcomes are written down.
#[derive(Debug)]
struct Place<'p> {
    _in_flight: SemaphorePermit<'p>,
    /// Of its rows in memory.
    _room: Option<OwnedSemaphorePermit>,
}

/// A parcel with the fate of each row.
#[derive(Debug)]
struct Answered<'p> {
    parcel: Parcel,
    fates: Vec<Fate>,
    notes: Vec<String>,
    /// Its place among those in flight, if the connector saw it: free again when the outcomes are written down.
    place: Option<Place<'p>>,
}

/// What was written down.
#[derive(Debug, Default)]
struct Settled {
    settlement: Settlement,
    handed: Handed,
    failure: Option<BrokenOff>,
}

/// The state of a delivery that decides whether to go on.
#[derive(Debug)]
struct Course<'a> {
    delivery: &'a Delivery<'a>,
    handed: Handed,
    failures: u32,
    halt: Option<Halt>,
}

impl<'a> Course<'a> {
    fn new(delivery: &'a Delivery<'a>) -> Self {
        Self { delivery, handed: Handed::default(), failures: 0, halt: None }
    }

    fn judge<'p>(&mut self, place: Place<'p>, parcel: Parcel, judged: Judged) -> Answered<'p> {
        if matches!(parcel, Parcel::Upsert { .. }) {
            let rest = self.delivery.to_send.saturating_sub(self.handed.all());
            let has_more = rest > 0 || judged.is_stopped;
            if has_more && self.halt.is_none() && self.delivery.is_over_max_refused() {
                self.halt = Some(Halt::Guard);
            }
        }
        match judged.error {
            None => self.failures = 0,
            Some(_) => self.failures += u32::from(!judged.was_recalled),
        }
        let gives_up = |error: &Error| is_final(error.kind()) || self.failures >= MAX_FAILURES;
        if let Some(error) = judged.stop.or_else(|| judged.error.filter(gives_up))
            // A request that was kept back for what another one was answered only says so.
            && !matches!(&self.halt, Some(Halt::Connection(earlier)) if !earlier.was_not_sent())
        {
            self.halt = Some(Halt::Connection(error));
        }
        Answered { parcel, fates: judged.rows, notes: judged.notes, place: Some(place) }
    }
}

#[cfg(test)]
mod doubt;
#[cfg(test)]
mod races;
