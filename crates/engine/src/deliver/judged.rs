//! What became of the rows of one parcel.

use segport_core::{Error, ErrorKind, Outcomes, RowOutcome};

use super::Halt;
use crate::parcel::Fate;

/// The outcomes of a parcel while they come in.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) rows: Vec<Fate>,
    pub(super) notes: Vec<String>,
    /// What failed the parcel, or a part of it, as a whole.
    pub(super) error: Option<Error>,
    pub(super) stop: Option<Error>,
    /// Whether `max_refused` kept a part of it from being tried.
    pub(super) is_stopped: bool,
    /// Whether requests were recalled meanwhile, so that an error says little of the connection.
    pub(super) was_recalled: bool,
}

impl Judged {
    /// Rows count as not tried until something is known of them.
    pub(super) fn pending(rows: usize) -> Self {
        Self {
            rows: vec![Fate::Untried; rows],
            notes: Vec::new(),
            error: None,
            stop: None,
            is_stopped: false,
            was_recalled: false,
        }
    }

    /// What may have had its effect stays in doubt if it is not tried once more.
    pub(super) fn set(&mut self, row: u32, fate: Fate) {
        let Some(slot) = self.rows.get_mut(row as usize) else { return };
        let is_deferred = matches!(fate, Fate::Answered(RowOutcome::Deferred { .. }));
        if !(is_deferred && matches!(slot, Fate::Answered(RowOutcome::Unknown { .. }))) {
            *slot = fate;
        }
    }

    pub(super) fn refused(&self) -> u64 {
        let is_refused = |fate: &&Fate| matches!(fate, Fate::Answered(RowOutcome::Refused { .. }));
        self.rows.iter().filter(is_refused).count() as u64
    }

    /// Whether a row was not tried, or without a usable answer.
    pub(super) fn is_open(&self, row: u32) -> bool {
        let fate = self.rows.get(row as usize);
        matches!(fate, Some(Fate::Answered(RowOutcome::Deferred { .. } | RowOutcome::Unknown { .. })))
    }

    pub(super) fn defer(&mut self, rows: &[u32], halt: &Halt) {
        let untried = Fate::Answered(RowOutcome::Deferred { reason: halt.reason() });
        rows.iter().for_each(|&row| self.set(row, untried.clone()));
    }

    /// These rows are not tried for a reason that is no fault of the connection.
    pub(super) fn put_off(&mut self, rows: &[u32], error: &Error) {
        let outcome = outcome_of(error);
        rows.iter().for_each(|&row| self.set(row, Fate::Answered(outcome.clone())));
    }

    pub(super) fn suppress(&mut self, rows: &[u32]) {
        for &row in rows {
            let was_tried = !matches!(self.rows.get(row as usize), Some(Fate::Untried));
            self.set(row, if was_tried { Fate::SuppressedMeanwhile } else { Fate::Suppressed });
        }
    }

    pub(super) fn take(&mut self, part: &[u32], outcomes: Outcomes) {
        for (&row, outcome) in part.iter().zip(outcomes.rows) {
            self.set(row, Fate::Answered(outcome));
        }
        self.notes.extend(outcomes.notes);
        self.stop = self.stop.take().or(outcomes.stop);
    }

    /// Takes it for a failure if no row got a usable answer: whoever answers without a word on any row is no better than whoever
    /// does not answer.
    pub(super) fn conclude(&mut self) {
        let mut reasons = self.rows.iter().map(|fate| match fate {
            Fate::Answered(RowOutcome::Unknown { reason }) => Some(reason),
            _ => None,
        });
        if let Some(Some(first)) = reasons.next()
            && reasons.all(|reason| reason.is_some())
            && self.error.is_none()
        {
            self.error = Some(Error::new(ErrorKind::Unavailable, format!("no row got a usable answer: {first}")));
        }
    }

    pub(super) fn fail(&mut self, part: &[u32], error: Error) {
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
        _ if error.was_not_sent() => RowOutcome::Deferred { reason },
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
