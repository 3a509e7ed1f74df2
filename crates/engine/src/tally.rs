//! What a comparison found, in numbers, and the records of rows that are not sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use segport_core::UnreadableRow;
use segport_ledger::{
    Identity, Memberships, OutcomeKind, PresentKeys, Row, SegmentNumber, Undelivered, Untried, Whose,
};

use crate::map::FlawKind;
use crate::plan_report::{PlannedRows, Skipped};

/// What the comparison found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rows: PlannedRows,
    /// Rows of each segment, in the order of the export.
    by_segment: Vec<u64>,
    pub(crate) skipped: BTreeMap<(&'static str, Arc<str>), Skipped>,
    /// Keys of rows that are there but not sent.
    pub(crate) present: PresentKeys,
    /// Rows that the source could not read, so that nobody knows whose they are.
    pub(crate) unreadable: u64,
    /// Rows that cannot be sent as they are, in whatever segment, those among them that could not be read.
    pub(crate) unusable: u64,
    /// Rows that were read, and of which nobody knows whose they are either: they have no key, and no address that was ever sent.
    pub(crate) nameless: u64,
    /// The first of them, for the report.
    pub(crate) first_unreadable: Option<UnreadableRow>,
    /// Duplicates of rows that an earlier segment has under another key.
    pub(crate) of_other_keys: u64,
    /// Rows beyond those that one run sends.
    pub(crate) over_cap: u64,
    /// Rows whose values are wanted and were not found yet.
    pub(crate) wanted: u64,
    /// Keyed fingerprint of all that was read.
    pub(crate) digest: u128,
    /// That of the rows that are suppressed.
    pub(crate) suppressed_digest: u128,
}

impl Tally {
    /// Rows of the segment at this position of the export.
    pub(crate) fn rows_of(&self, position: usize) -> u64 {
        self.by_segment.get(position).copied().unwrap_or(0)
    }

    /// Whether there are rows, and none can be sent as it is.
    pub(crate) fn has_nothing_usable(&self) -> bool {
        self.unusable > 0 && self.unusable == self.by_segment.iter().sum::<u64>()
    }

    pub(crate) fn add_rows(&mut self, position: usize, rows: u64) {
        if self.by_segment.len() <= position {
            self.by_segment.resize(position + 1, 0);
        }
        if let Some(count) = self.by_segment.get_mut(position) {
            *count += rows;
        }
    }

    pub(crate) fn absorb(&mut self, bits: u128) {
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.digest = (self.digest.rotate_left(29) ^ bits).wrapping_mul(ODD);
    }

    /// Counts a row of this segment that is not sent, and gives its record.
    pub(crate) fn skip(&mut self, segment: SegmentNumber, whose: Whose, skip: Skip) -> Untried {
        self.record(segment.into(), whose, skip)
    }

    /// Counts a row whose values a second reading did not give, and gives its record.
    pub(crate) fn lose(&mut self, identity: Identity, skip: Skip) -> Untried {
        self.wanted -= 1;
        self.rows.change -= 1;
        self.rows.read -= 1;
        self.record(Memberships::NONE, identity.into(), skip)
    }

    fn record(&mut self, memberships: Memberships, whose: Whose, skip: Skip) -> Untried {
        let rows = &mut self.rows;
        rows.read += 1;
        let Skip { why, reason } = skip;
        let (count, outcome) = match why {
            Why::Unreadable | Why::Flawed(_) => (&mut rows.invalid, Undelivered::Invalid),
            Why::Duplicate => (&mut rows.duplicate, Undelivered::Duplicate),
            Why::Suppressed => (&mut rows.suppressed, Undelivered::Suppressed),
            Why::OverCap | Why::SourceMoved | Why::NotRead => (&mut rows.deferred, Undelivered::Deferred),
        };
        *count += 1;
        self.over_cap += u64::from(why == Why::OverCap);
        let code = why.code();
        // Every unreadable row has a reason of its own; in the plan they are one line with the first as example.
        let group = if why == Why::Unreadable { Arc::default() } else { Arc::clone(&reason) };
        let skipped = self.skipped.entry((code, group)).or_insert_with(|| Skipped {
            outcome: OutcomeKind::from(outcome).into(),
            code: code.to_owned(),
            reason: reason.as_ref().to_owned(),
            rows: 0,
        });
        skipped.rows += 1;
        Untried::Row(Row { outcome, whose, memberships, code: code.into(), reason })
    }
}

/// A row that is not sent.
#[derive(Debug)]
pub(crate) struct Skip {
    pub(crate) why: Why,
    /// The same in words.
    pub(crate) reason: Arc<str>,
}

/// Why a row is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The source could not read it.
    Unreadable,
    /// It cannot be sent as it is.
    Flawed(FlawKind),
    /// An earlier row has its identity.
    Duplicate,
    /// It is on the suppression list.
    Suppressed,
    /// One run sends no more.
    OverCap,
    /// It was gone when it was read again.
    SourceMoved,
    /// It could not be read again.
    NotRead,
}

impl Why {
    /// Short stable code for `rows` and plans.
    fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Flawed(kind) => kind.code(),
            Self::Duplicate => "duplicate",
            Self::Suppressed => "suppressed",
            Self::OverCap => "over_cap",
            Self::SourceMoved => "source_moved",
            Self::NotRead => "not_sent",
        }
    }
}
