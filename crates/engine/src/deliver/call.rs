//! The calls of the connector for one parcel.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use segport_core::rows::EncodedRows;
use segport_core::{BatchKind, Capabilities, Error, ErrorKind, Found, Result, RowOutcome};

use super::judged::{Judged, is_final};
use super::{DRAIN, Delivery, Halt, Place};
use crate::parcel::{Fate, Parcel};

/// How long a call may take then to say what became of each row.
const LAST_WORD: Duration = Duration::from_secs(1);
/// For so many refused rows batches are halved to their end, whatever `max_refused` says: the others in them are delivered, and a
/// small run is not left half done for one bad row. Beyond that the guard ends it, since a batch may take two hundred calls.
const HALVED_FOR: u64 = 20;
const CANNOT_ASK: &str = "an earlier run may have sent the row, the destination cannot be asked, and sending it again might do twice \
     what it does; `segport run --full` sends it all the same";

impl Delivery<'_> {
    /// Calls the connector for one parcel; a refused batch is halved until the refused rows are alone. Before each call, who
    /// has been suppressed meanwhile is taken out.
    pub(super) async fn call<'p>(&self, place: Place<'p>, parcel: Parcel) -> (Place<'p>, Parcel, Judged) {
        let mut judged = Judged::pending(parcel.len());
        let recalls_before = self.in_flight.recalls();
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
        let mut was_answered = false;
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
                    was_answered |= !part.is_empty();
                    judged.take(&part, outcomes);
                    // Some of its requests may have been recalled, before their rows were tried or tried again.
                    if repeatable && judged.stop.is_none() && self.in_flight.recalls() != recalls {
                        part.retain(|&row| judged.is_open(row));
                        parts.extend(self.recalled(part).await);
                    }
                }
                Err(error) if error.is_recalled() => {
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
                // It may have been kept from repeating a request for somebody who was suppressed, which says nothing of the others.
                Err(error)
                    if repeatable
                        && self.in_flight.recalls() != recalls
                        && error.kind() != ErrorKind::Rejected
                        && !is_final(error.kind()) =>
                {
                    judged.put_off(&part, &error);
                    parts.extend(self.recalled(part).await);
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
        // Calls that were cut short say nothing of the connection, and neither do rows that were not sent.
        if was_answered && !self.cancel.is_cancelled() {
            judged.conclude();
        }
        judged.was_recalled = self.in_flight.recalls() != recalls_before;
        (place, parcel, judged)
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
            loop {
                match self.call_for(parcel, &mut rows, judged, settle).await {
                    // To ask once more does no harm.
                    Err(error) if error.is_recalled() && !self.cancel.is_cancelled() => {
                        rows = self.recalled(rows).await.unwrap_or_default();
                    }
                    other => break other,
                }
            }
        } else {
            Ok(vec![Found::Unclear { reason: CANNOT_ASK.to_owned() }; rows.len()])
        };
        let found = match found {
            Ok(found) => found,
            Err(error) if is_final(error.kind()) || self.cancel.is_cancelled() => {
                judged.fail(&rows, error);
                return Vec::new();
            }
            // What is asked about is not what is refused: nothing is known of the rows.
            Err(error) if !repeatable => {
                let reason = format!("an earlier run may have sent the row, and it could not be looked up: {error}");
                rows.iter()
                    .for_each(|&row| judged.set(row, Fate::Answered(RowOutcome::Unknown { reason: reason.clone() })));
                judged.error = Some(error);
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
        let mut call = pin!(call);
        tokio::select! {
            biased;
            answered = &mut call => return answered,
            () = self.drained() => self.line.cut_off(),
        }
        tokio::time::timeout(LAST_WORD, call).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Cancelled, "the run was interrupted before the destination answered"))
        })
    }

    /// Winds the connection up when the run is cancelled, and resolves when it has waited long enough for its calls.
    async fn drained(&self) {
        self.cancel.cancelled().await;
        self.line.wind_up();
        tokio::time::sleep(DRAIN).await;
    }
}
