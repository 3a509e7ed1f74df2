//! Sending what was packed: calls, several at once, and an outcome for every row.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use segport_core::rows::EncodedRows;
use segport_core::{BatchKind, Capabilities, Error, ErrorKind, Found, Outcomes, Result, RowOutcome};
use segport_host::Writer;
use segport_ledger::Journal;
use segport_transport::RECALLED;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc, oneshot};

use crate::guard::Watch;
use crate::in_flight::InFlight;
use crate::pack::{Dispatched, Parcel};
use crate::progress::Progress;
use crate::report::{GuardVerdict, Verdict};
use crate::run::Cancel;
use crate::settle::Settlement;

/// Batches in a row that may fail as a whole before the run gives the destination up.
const MAX_FAILURES: u32 = 5;
/// How long calls under way may take to end once a run is cancelled.
const DRAIN: Duration = Duration::from_secs(8);
/// Answered parcels that may wait for their commit.
const WAITING: usize = 256;
/// About how many outcomes are written together at most.
const RECORDS_PER_COMMIT: usize = 20_000;
/// How long answered batches wait for as many others as share a commit, where batches may wait at all.
const A_COMMIT_LATER: Duration = Duration::from_millis(20);
/// For so many refused rows batches are halved to their end, whatever `max_refused` says: the others in them are delivered, and a
/// small run is not left half done for one bad row. Beyond that the guard ends it, since a batch may take two hundred calls.
const HALVED_FOR: u64 = 20;
const CANNOT_ASK: &str = "an earlier run may have sent the row, the destination cannot be asked, and sending it again might do twice \
     what it does; `segport run --full` sends it all the same";

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

/// Everything a delivery works with.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) writer: &'a Writer<'a>,
    pub(crate) journal: &'a Journal,
    pub(crate) in_flight: &'a InFlight,
    pub(crate) watch: &'a Watch,
    pub(crate) cancel: &'a Cancel,
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
    /// Why outcomes could not be written down any more. The next run sends those rows again.
    pub(crate) failure: Option<Error>,
}

/// Rows and leavers that were handed to the connector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) rows: u64,
    pub(crate) leavers: u64,
}

impl Handed {
    fn add(&mut self, parcel: &Parcel) {
        match parcel {
            Parcel::Upsert { tickets, .. } => self.rows += tickets.len() as u64,
            Parcel::Remove { leavers, .. } => self.leavers += leavers.len() as u64,
        }
    }

    pub(crate) fn all(self) -> u64 {
        self.rows + self.leavers
    }

    fn without(self, other: Self) -> Self {
        Self { rows: self.rows - other.rows, leavers: self.leavers - other.leavers }
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
                records.extend(next.settlement.settle(&parcel, fates));
            }
            if let Err(error) = self.journal.settle(&records).await {
                settled.failure = Some(error.into());
                break;
            }
            drop(places);
            settled.settlement.absorb(next.settlement);
            settled.handed.rows += next.handed.rows;
            settled.handed.leavers += next.handed.leavers;
            self.progress.advance(self.export, records.len() as u64);
        }
        settled
    }

    /// Calls the connector for one parcel; a refused batch is halved until the refused rows are alone. Before each call, who
    /// has been suppressed meanwhile is taken out.
    async fn call<'p>(&self, place: Place<'p>, parcel: Parcel) -> (Place<'p>, Parcel, Judged) {
        let mut judged = Judged::pending(parcel.len());
        let all: Vec<u32> = (0..).take(parcel.len()).collect();
        let to_write = if parcel.is_in_doubt() {
            // Rare, and large as a future: most calls need no room for it.
            Box::pin(self.look_up(&parcel, all, &mut judged)).await
        } else {
            all
        };
        let mut parts = if to_write.is_empty() { Vec::new() } else { vec![to_write] };
        let mut has_called = parcel.is_in_doubt();
        let repeatable = self.writer.capabilities().repeatable;
        let is_upsert = matches!(parcel, Parcel::Upsert { .. });
        let recalls_before = self.in_flight.recalls();
        while let Some(mut part) = parts.pop() {
            // The call that was under way when the run was cancelled was its last: each further one would get its own time to end.
            if has_called && self.cancel.is_cancelled() {
                judged.defer(&part, &Halt::Cancelled);
                continue;
            }
            if has_called
                && is_upsert
                && self.refused.load(Ordering::Relaxed) > HALVED_FOR
                && self.is_over_max_refused()
            {
                judged.defer(&part, &Halt::Guard);
                judged.is_stopped = true;
                continue;
            }
            let refused = judged.refused();
            has_called = true;
            let recalls = self.in_flight.recalls();
            let write =
                async |kind: &BatchKind, rows: &EncodedRows| self.writer.write(kind, rows, self.call_timeout).await;
            match self.call_for(&parcel, &mut part, &mut judged, write).await {
                Ok(outcomes) => {
                    judged.take(&part, outcomes);
                    // Some of its requests may have been recalled, and their rows not tried.
                    if repeatable && judged.stop.is_none() && self.in_flight.recalls() != recalls {
                        part.retain(|&row| judged.is_deferred(row));
                        parts.extend(self.recalled(part).await);
                    }
                }
                Err(error) if error.fact(RECALLED).is_some() => {
                    if repeatable {
                        parts.extend(self.recalled(part).await);
                    } else {
                        judged.put_off(&part, &error);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Rejected && part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
                Err(error) => {
                    judged.fail(&part, error);
                    if judged.error.is_some() {
                        break;
                    }
                }
            }
            if is_upsert {
                self.refused.fetch_add(judged.refused() - refused, Ordering::Relaxed);
            }
        }
        judged.was_recalled = self.in_flight.recalls() != recalls_before;
        (place, parcel, judged)
    }

    fn is_over_max_refused(&self) -> bool {
        let refused = self.refused.load(Ordering::Relaxed);
        refused > 0 && self.watch.judge_refusals(refused, self.planned).verdict == Verdict::Stopped
    }

    /// These rows, if there are any, once they can be written anew: their requests were recalled for somebody who was suppressed.
    async fn recalled(&self, rows: Vec<u32>) -> Option<Vec<u32>> {
        if rows.is_empty() {
            return None;
        }
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.in_flight.cleared() => {}
        }
        Some(rows)
    }

    /// Looks up rows that an earlier run may have sent, and returns those that must be written again.
    async fn look_up(&self, parcel: &Parcel, mut rows: Vec<u32>, judged: &mut Judged) -> Vec<u32> {
        let Capabilities { settle: can_look_up, repeatable, .. } = self.writer.capabilities();
        let found = if can_look_up {
            let settle =
                async |kind: &BatchKind, rows: &EncodedRows| self.writer.settle(kind, rows, self.call_timeout).await;
            self.call_for(parcel, &mut rows, judged, settle).await
        } else {
            Ok(vec![Found::Unclear { reason: CANNOT_ASK.to_owned() }; rows.len()])
        };
        let found = match found {
            Ok(found) => found,
            Err(error) if !repeatable || is_final(error.kind()) || self.cancel.is_cancelled() => {
                judged.fail(&rows, error);
                return Vec::new();
            }
            // Writing them again does no harm.
            Err(_) => return rows,
        };
        let mut to_write = Vec::new();
        for (row, found) in rows.into_iter().zip(found) {
            match found {
                Found::Held(id) => judged.set(row, Fate::Found(id)),
                Found::Unclear { reason } if !repeatable => {
                    judged.set(row, Fate::Answered(RowOutcome::Unknown { reason }));
                }
                Found::Different | Found::Unclear { .. } => to_write.push(row),
            }
        }
        to_write
    }

    /// Makes one call of the connector for a part of a parcel, less those who are suppressed by now.
    async fn call_for<T: Default>(
        &self,
        parcel: &Parcel,
        part: &mut Vec<u32>,
        judged: &mut Judged,
        call: impl AsyncFnOnce(&BatchKind, &EncodedRows) -> Result<T>,
    ) -> Result<T> {
        let call = async {
            let list = self.in_flight.suppressed().await?;
            // Nothing may be awaited from here until the call has begun, and so this is one future.
            let suppressed: Vec<u32> = part.extract_if(.., |row| parcel.may_not_be_sent(*row, &list)).collect();
            judged.suppress(&suppressed);
            if part.is_empty() {
                return Ok(T::default());
            }
            let _under_way = self.in_flight.begin(parcel.people(part), &list);
            let (kind, rows) = parcel.batch(part)?;
            call(&kind, &rows).await
        };
        tokio::select! {
            biased;
            answered = call => answered,
            () = self.drained() => {
                Err(Error::new(ErrorKind::Cancelled, "the run was interrupted before the destination answered"))
            }
        }
    }

    /// Winds the connection up when the run is cancelled, and resolves when it has waited long enough for its calls.
    async fn drained(&self) {
        self.cancel.cancelled().await;
        self.writer.wind_up();
        tokio::time::sleep(DRAIN).await;
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

/// What became of one row of a parcel.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// What the connector said, or what follows from its error.
    Answered(RowOutcome),
    /// The destination was asked, and holds it already as it would be written; with its own id of the row.
    Found(Option<String>),
    /// It was put on the suppression list before it could be sent.
    Suppressed,
    /// It was put on it while its batch was under way, after a part of that had been done.
    SuppressedMeanwhile,
    /// An earlier part of its batch failed.
    Untried,
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
    failure: Option<Error>,
}

/// The outcomes of a parcel while they come in.
#[derive(Debug)]
pub(crate) struct Judged {
    rows: Vec<Fate>,
    notes: Vec<String>,
    /// What failed the parcel, or a part of it, as a whole.
    error: Option<Error>,
    stop: Option<Error>,
    /// Whether `max_refused` kept a part of it from being tried.
    is_stopped: bool,
    /// Whether requests were recalled meanwhile, so that an error says little of the connection.
    was_recalled: bool,
}

impl Judged {
    /// Rows count as not tried until something is known of them.
    fn pending(rows: usize) -> Self {
        Self {
            rows: vec![Fate::Untried; rows],
            notes: Vec::new(),
            error: None,
            stop: None,
            is_stopped: false,
            was_recalled: false,
        }
    }

    fn set(&mut self, row: u32, fate: Fate) {
        if let Some(slot) = self.rows.get_mut(row as usize) {
            *slot = fate;
        }
    }

    fn refused(&self) -> u64 {
        let is_refused = |fate: &&Fate| matches!(fate, Fate::Answered(RowOutcome::Refused { .. }));
        self.rows.iter().filter(is_refused).count() as u64
    }

    fn is_deferred(&self, row: u32) -> bool {
        matches!(self.rows.get(row as usize), Some(Fate::Answered(RowOutcome::Deferred { .. })))
    }

    fn defer(&mut self, rows: &[u32], halt: &Halt) {
        let untried = Fate::Answered(RowOutcome::Deferred { reason: halt.reason() });
        rows.iter().for_each(|&row| self.set(row, untried.clone()));
    }

    /// These rows are not tried for a reason that is no fault of the connection.
    fn put_off(&mut self, rows: &[u32], error: &Error) {
        let outcome = outcome_of(error);
        rows.iter().for_each(|&row| self.set(row, Fate::Answered(outcome.clone())));
    }

    fn suppress(&mut self, rows: &[u32]) {
        for &row in rows {
            let was_tried = !matches!(self.rows.get(row as usize), Some(Fate::Untried));
            self.set(row, if was_tried { Fate::SuppressedMeanwhile } else { Fate::Suppressed });
        }
    }

    fn take(&mut self, part: &[u32], outcomes: Outcomes) {
        for (&row, outcome) in part.iter().zip(outcomes.rows) {
            self.set(row, Fate::Answered(outcome));
        }
        self.notes.extend(outcomes.notes);
        self.stop = self.stop.take().or(outcomes.stop);
    }

    fn fail(&mut self, part: &[u32], error: Error) {
        self.put_off(part, &error);
        if error.kind() != ErrorKind::Rejected {
            self.error = Some(error);
        }
    }
}

/// What an error of a whole call means for its rows.
pub fn outcome_of(error: &Error) -> RowOutcome {
    let reason = error.to_string();
    match error.kind() {
        ErrorKind::Rejected => RowOutcome::Refused { code: "rejected".to_owned(), reason },
        // The destination said that it did nothing, or nothing reached it.
        ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::ConfigInvalid
        | ErrorKind::Unsupported
        | ErrorKind::RateLimited => RowOutcome::Deferred { reason },
        _ if error.fact("sent") == Some("no") => RowOutcome::Deferred { reason },
        _ => RowOutcome::Unknown { reason },
    }
}

/// Whether errors of this kind make every further call pointless, so that they end a run.
pub fn is_final(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::Timeout
            | ErrorKind::Unavailable
            | ErrorKind::RateLimited
            | ErrorKind::Cancelled
            | ErrorKind::Rejected
    )
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
            && !matches!(self.halt, Some(Halt::Connection(_)))
        {
            self.halt = Some(Halt::Connection(error));
        }
        Answered { parcel, fates: judged.rows, notes: judged.notes, place: Some(place) }
    }
}

/// An error of the ledger as the engine passes it on.
pub(crate) fn ledger(error: segport_ledger::Error) -> Error {
    error.into()
}

#[cfg(test)]
mod doubt;
#[cfg(test)]
mod races;
