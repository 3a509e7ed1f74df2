//! A parcel: the rows of one call, and what the ledger needs to know of them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray, UInt32Array};
use segport_core::rows::EncodedRows;
use segport_core::{Batch, BatchKind, Error, ErrorKind, Result, RowOutcome};
use segport_ledger::{Identity, Intent, Leaver, Memberships, ReadIn, SegmentNumber};

use crate::outbox::Ticket;

/// Rows for one call, and what the ledger needs to know of them.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// Rows to write.
    Upsert {
        rows: EncodedRows,
        tickets: Vec<Ticket>,
        /// The memberships the call adds, and those it names again.
        links: Links,
        /// The first of them as positions in the export.
        join: Vec<u16>,
        /// The others.
        rejoin: Vec<u16>,
        /// Whether an earlier run may have sent these rows.
        in_doubt: bool,
    },
    /// Leavers to take off one list.
    Remove { leavers: Vec<Leaver>, segment: Listed },
}

/// The memberships that are sent with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Links {
    /// Those that the row is not known to have yet.
    pub(crate) join: Memberships,
    /// Those that were acknowledged.
    pub(crate) rejoin: Memberships,
}

impl Links {
    /// All of them.
    pub(crate) fn all(self) -> Memberships {
        self.join.union(self.rejoin)
    }
}

impl From<ReadIn> for Links {
    fn from(ReadIn { to_add, to_repeat, .. }: ReadIn) -> Self {
        Self { join: to_add, rejoin: to_repeat }
    }
}

/// A segment with its position in the export.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) number: SegmentNumber,
    pub(crate) position: u16,
}

impl Parcel {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Upsert { tickets, .. } => tickets.len(),
            Self::Remove { leavers, .. } => leavers.len(),
        }
    }

    /// Whether an earlier run may have sent these rows.
    pub(crate) fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Upsert { in_doubt: true, .. })
    }

    /// How much room its rows take. Leavers are few bytes each.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Upsert { rows, .. } => rows.stream().len(),
            Self::Remove { .. } => 0,
        }
    }

    pub(crate) fn into_tickets(self) -> Vec<Ticket> {
        match self {
            Self::Upsert { tickets, .. } => tickets,
            Self::Remove { .. } => Vec::new(),
        }
    }

    pub(crate) fn into_leavers(self) -> Vec<Leaver> {
        match self {
            Self::Upsert { .. } => Vec::new(),
            Self::Remove { leavers, .. } => leavers,
        }
    }

    pub(crate) fn intents(&self) -> Vec<Intent> {
        match self {
            Self::Upsert { tickets, links, .. } => tickets
                .iter()
                .map(|ticket| Intent::Deliver { identity: ticket.identity, memberships: links.all() })
                .collect(),
            Self::Remove { leavers, segment } => leavers
                .iter()
                .map(|leaver| Intent::Remove { identity: leaver.identity, memberships: segment.number.into() })
                .collect(),
        }
    }

    /// Who these of its rows are, as far as somebody may not be sent: whoever has left may be taken off a list all the same.
    pub(crate) fn people(&self, part: &[u32]) -> Vec<Identity> {
        let Self::Upsert { tickets, .. } = self else { return Vec::new() };
        part.iter().filter_map(|&row| tickets.get(row as usize)).map(|ticket| ticket.identity).collect()
    }

    /// Whether a row is one that nobody may be sent. Whoever has left may be taken off a list all the same.
    pub(crate) fn may_not_be_sent(&self, row: u32, suppressed: &HashSet<Identity>) -> bool {
        let Self::Upsert { tickets, .. } = self else { return false };
        tickets.get(row as usize).is_some_and(|ticket| suppressed.contains(&ticket.identity))
    }

    /// What to do with these of its rows, in ascending order and each once, and the rows.
    pub(crate) fn batch(&self, part: &[u32]) -> Result<(BatchKind, EncodedRows)> {
        Ok(match self {
            Self::Upsert { rows, join, rejoin, .. } => {
                // All of them, and so in the order in which they were encoded.
                let rows = if part.len() == rows.count() {
                    rows.clone()
                } else {
                    EncodedRows::new(&picked(&rows.decode()?, part)?)?
                };
                (BatchKind::Upsert { join: join.clone(), rejoin: rejoin.clone() }, rows)
            }
            Self::Remove { leavers, segment } => {
                let leavers = part.iter().filter_map(|&row| leavers.get(row as usize));
                let ids: StringArray = leavers.map(|leaver| leaver.destination_id.as_deref()).collect();
                let rows = RecordBatch::try_from_iter([(Batch::DESTINATION_ID, Arc::new(ids) as _)])
                    .map_err(|error| Error::new(ErrorKind::Internal, "leavers do not form a batch").because(&error))?;
                (BatchKind::Remove { segment: segment.position }, EncodedRows::new(&rows)?)
            }
        })
    }
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

impl Fate {
    /// Whether the destination holds the row as it is.
    pub(crate) fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Answered(RowOutcome::Done(_)) | Self::Found(_))
    }
}

/// Rows and leavers that were handed to the connector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) rows: u64,
    pub(crate) leavers: u64,
}

impl Handed {
    pub(crate) fn add(&mut self, parcel: &Parcel) {
        match parcel {
            Parcel::Upsert { tickets, .. } => self.rows += tickets.len() as u64,
            Parcel::Remove { leavers, .. } => self.leavers += leavers.len() as u64,
        }
    }

    pub(crate) fn all(self) -> u64 {
        self.rows + self.leavers
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self { rows: self.rows - other.rows, leavers: self.leavers - other.leavers }
    }
}

/// The rows at these places, in ascending order; without copying where they stand together.
pub(crate) fn picked(rows: &RecordBatch, places: &[u32]) -> Result<RecordBatch> {
    if let (Some(first), Some(last)) = (places.first(), places.last())
        && (last - first) as usize + 1 == places.len()
    {
        return Ok(rows.slice(*first as usize, places.len()));
    }
    arrow_select::take::take_record_batch(rows, &UInt32Array::from(places.to_vec()))
        .map_err(|error| Error::new(ErrorKind::Internal, "rows could not be picked from a block").because(&error))
}
