//! From outcomes to the ledger's records and the report's counts.

use std::collections::{BTreeMap, BTreeSet};

use segport_core::{Result, RowOutcome};
use segport_ledger::{Change, Done, Identity, Memberships, OutcomeKind, Record, Row, Undelivered};
use segport_manifest::Code;

use crate::outbox::Ticket;
use crate::parcel::{Fate, Handed, Parcel};
use crate::read_segments::ReadSegments;
use crate::report::{LeaverCounts, Problem, RowCounts, Severity, counted};

/// What a delivery came to so far.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    pub(crate) rows: RowCounts,
    pub(crate) leavers: LeaverCounts,
    /// Of the delivered rows, those that an earlier run had sent, and that were not sent again.
    found: u64,
    /// Sentences of the connector, each once.
    pub(crate) notes: BTreeSet<String>,
    /// Rows and removals without acknowledgement, by outcome and reason.
    troubles: BTreeMap<(Subject, Undone, String), u64>,
}

/// What has no acknowledgement, in the order in which a report tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Removal,
    Row,
}

impl Subject {
    fn as_str(self) -> &'static str {
        match self {
            Self::Removal => "removal",
            Self::Row => "row",
        }
    }
}

/// An outcome that is to be tried again, in the order in which a report tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Undone {
    Deferred,
    Refused,
    Unknown,
}

impl Undone {
    fn code(self) -> Code {
        match self {
            Self::Deferred => Code::RowsDeferred,
            Self::Refused => Code::RowsRefused,
            Self::Unknown => Code::RowsUnknown,
        }
    }
}

impl From<Undone> for Undelivered {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Deferred => Self::Deferred,
            Undone::Refused => Self::Refused,
            Undone::Unknown => Self::Unknown,
        }
    }
}

/// More different reasons than this are not told apart in the report; `rows` has them all.
const MAX_TROUBLES: usize = 20;

impl Settlement {
    /// Turns a parcel's outcomes into records and counts them.
    pub(crate) fn settle(&mut self, parcel: &Parcel, fates: Vec<Fate>, read: ReadSegments<'_>) -> Result<Vec<Record>> {
        self.found += fates.iter().filter(|fate| matches!(fate, Fate::Found(_))).count() as u64;
        match parcel {
            Parcel::Upsert { tickets, .. } => {
                let mut records = Vec::with_capacity(tickets.len());
                read.warm(&tickets.iter().map(|ticket| ticket.identity).collect::<Vec<_>>());
                for (ticket, fate) in tickets.iter().zip(fates) {
                    // Those that the call did not name were acknowledged before.
                    let memberships = read.of(ticket.identity)?;
                    records.push(self.settle_row(ticket, fate, memberships));
                }
                Ok(records)
            }
            Parcel::Remove { leavers, segment } => Ok(leavers
                .iter()
                .zip(fates)
                .map(|(leaver, fate)| match acknowledged(fate) {
                    Ok(_) => {
                        self.leavers.removed += 1;
                        Record::Left { identity: leaver.identity, memberships: Memberships::from(segment.number) }
                    }
                    Err(trouble) => {
                        self.count_leaver(&trouble);
                        Record::Stayed(trouble.row(leaver.identity, Memberships::from(segment.number)))
                    }
                })
                .collect()),
        }
    }

    fn settle_row(&mut self, ticket: &Ticket, fate: Fate, memberships: Memberships) -> Record {
        let destination_id = match acknowledged(fate) {
            Ok(destination_id) => destination_id,
            Err(trouble) => {
                self.count_row(&trouble);
                return Record::Row(trouble.row(ticket.identity, memberships));
            }
        };
        let (change, count) = if ticket.added {
            (Change::Added, &mut self.rows.added)
        } else {
            (Change::Changed, &mut self.rows.changed)
        };
        *count += 1;
        let Ticket { identity, key, fingerprint, .. } = *ticket;
        Record::Done(Done { identity, key, fingerprint, memberships, destination_id, change })
    }

    /// Counts leavers that were to be removed, and stay because somebody turned out to be the same contact.
    pub(crate) fn keep(&mut self, leavers: u64) {
        self.leavers.kept += leavers;
    }

    /// Counts a leaver that was to be removed, and stays for now.
    pub(crate) fn put_off_leaver(&mut self, reason: &str) {
        self.leavers.deferred += 1;
        self.count_trouble((Subject::Removal, Undone::Deferred, reason.to_owned()), 1);
    }

    fn count_row(&mut self, trouble: &Trouble) {
        let Some(undone) = trouble.undone else {
            // As it should be: nothing to report.
            self.rows.suppressed += 1;
            return;
        };
        match undone {
            Undone::Deferred => self.rows.deferred += 1,
            Undone::Refused => self.rows.refused += 1,
            Undone::Unknown => self.rows.unknown += 1,
        }
        self.count_trouble((Subject::Row, undone, trouble.reason.clone()), 1);
    }

    fn count_leaver(&mut self, trouble: &Trouble) {
        // Nobody is left on a list for being suppressed.
        let undone = trouble.undone.unwrap_or(Undone::Deferred);
        match undone {
            Undone::Deferred => self.leavers.deferred += 1,
            Undone::Refused => self.leavers.refused += 1,
            Undone::Unknown => self.leavers.unknown += 1,
        }
        self.count_trouble((Subject::Removal, undone, trouble.reason.clone()), 1);
    }

    fn count_trouble(&mut self, mut key: (Subject, Undone, String), count: u64) {
        if self.troubles.len() >= MAX_TROUBLES && !self.troubles.contains_key(&key) {
            key.2 = "for other reasons".to_owned();
        }
        *self.troubles.entry(key).or_default() += count;
    }

    /// The same, with this as the reason why all of it was put off that has no other.
    pub(crate) fn put_off(mut self, reason: &str) -> Self {
        for (subject, deferred) in [(Subject::Row, self.rows.deferred), (Subject::Removal, self.leavers.deferred)] {
            let told =
                self.troubles.iter().filter(|((of, undone, _), _)| (*of, *undone) == (subject, Undone::Deferred));
            let count = deferred.saturating_sub(told.map(|(_, count)| count).sum());
            if count > 0 {
                self.count_trouble((subject, Undone::Deferred, reason.to_owned()), count);
            }
        }
        self
    }

    /// Adds what a further part came to.
    pub(crate) fn absorb(&mut self, part: Self) {
        self.rows.add(part.rows);
        self.leavers.add(part.leavers);
        self.found += part.found;
        self.notes.extend(part.notes);
        for (trouble, count) in part.troubles {
            self.count_trouble(trouble, count);
        }
    }

    /// Counts rows and leavers that have no outcome that was written down: those in doubt are unknown, the others were not
    /// tried.
    pub(crate) fn leave_open(&mut self, planned: Handed, in_doubt: Handed) {
        self.rows.unknown += in_doubt.rows;
        self.rows.deferred += planned.rows.saturating_sub(self.rows.outcomes());
        self.leavers.unknown += in_doubt.leavers;
        self.leavers.deferred += planned.leavers.saturating_sub(self.leavers.outcomes());
    }

    /// The troubles and the connector's sentences, for the report of this run.
    pub(crate) fn problems(&self, run_id: &str) -> Vec<Problem> {
        let troubles = self.troubles.iter().map(|((subject, undone, reason), &count)| {
            let outcome = OutcomeKind::from(Undelivered::from(*undone));
            Problem {
                severity: Severity::Warning,
                code: undone.code().into(),
                message: format!("{} {outcome}: {reason}", counted(count, subject.as_str())),
                help: Some(format!(
                    "`segport rows {run_id} --outcome {outcome}` lists them; `segport retry` tries them again"
                )),
            }
        });
        let notes = self.notes.iter().map(|note| Problem {
            severity: Severity::Note,
            code: Code::ConnectorNote.into(),
            message: note.clone(),
            help: None,
        });
        let found = (self.found > 0).then(|| Problem {
            severity: Severity::Note,
            code: Code::RowsFound.into(),
            message: format!(
                "{} found at the destination that an earlier run may have sent; not sent again",
                counted(self.found, "row")
            ),
            help: None,
        });
        troubles.chain(found).chain(notes).collect()
    }
}

/// A row or leaver without acknowledgement.
struct Trouble {
    /// `None` if it is suppressed.
    undone: Option<Undone>,
    code: String,
    reason: String,
}

impl Trouble {
    fn row(self, identity: Identity, memberships: Memberships) -> Row {
        let outcome = self.undone.map_or(Undelivered::Suppressed, Undelivered::from);
        Row { outcome, whose: identity.into(), memberships, code: self.code.into(), reason: self.reason.into() }
    }
}

fn suppressed(reason: &str) -> Trouble {
    Trouble { undone: None, code: "suppressed".to_owned(), reason: reason.to_owned() }
}

/// The destination's id of an acknowledged row, or why there is no acknowledgement.
fn acknowledged(fate: Fate) -> Result<Option<String>, Trouble> {
    let outcome = match fate {
        Fate::Answered(outcome) => outcome,
        Fate::Found(id) => return Ok(id),
        Fate::Suppressed => return Err(suppressed("put on the suppression list before its batch was sent")),
        Fate::SuppressedMeanwhile => {
            return Err(suppressed(
                "put on the suppression list while its batch was under way; it may have been written",
            ));
        }
        Fate::Untried => RowOutcome::Deferred { reason: "not tried: an earlier part of its batch failed".to_owned() },
    };
    let (undone, code, reason) = match outcome {
        RowOutcome::Done(id) => return Ok(id),
        RowOutcome::Refused { code, reason } => (Undone::Refused, code, reason),
        RowOutcome::Unknown { reason } => (Undone::Unknown, "no_answer".to_owned(), reason),
        RowOutcome::Deferred { reason } => (Undone::Deferred, "not_sent".to_owned(), reason),
    };
    Err(Trouble { undone: Some(undone), code, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_off_has_one_reason() {
        let mut declined = Settlement::default();
        declined.put_off_leaver("its row was not delivered");
        declined.leavers.deferred += 2;
        let told = declined.put_off("the run was interrupted").problems("r1");
        let told: Vec<&str> = told.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(
            told,
            ["1 removal deferred: its row was not delivered", "2 removals deferred: the run was interrupted"]
        );
    }
}
