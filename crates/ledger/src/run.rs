//! The ledger as one run sees it.

use jiff::Timestamp;

use crate::access::AcceptedLine;
use crate::{Journal, Result, RunEnd, Snapshot};

/// A run that is about to begin.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// Id of the run; used once.
    pub run_id: &'a str,
    /// When it began.
    pub started_at: Timestamp,
    /// Ids of the export's segments, in the order of its manifest.
    pub segments: &'a [String],
}

/// One run's share of the ledger. Dropping it without [`RunLedger::finish`] leaves an interrupted run, which is sound.
///
/// The export stays leased until this and every clone of its [`Journal`] are dropped.
#[derive(Debug)]
pub struct RunLedger {
    /// What the run started from, and what it has observed.
    pub snapshot: Snapshot,
    /// Where it writes.
    pub journal: Journal,
    pub(crate) accepted: Option<Vec<AcceptedLine>>,
}

impl RunLedger {
    /// Takes it as normal that the segments have so many rows, in the order of the manifest; later runs compare theirs with
    /// that ([`Snapshot::accepted_rows`]). Written down with the end of the run, so it is never without the report that says
    /// why.
    pub fn accept(&mut self, rows: impl IntoIterator<Item = u64>) {
        let segments = self.snapshot.segments().iter().filter_map(|number| self.snapshot.segment_id(*number));
        let line = |(segment, rows): (&str, u64)| AcceptedLine {
            segment: segment.to_owned(),
            rows: i64::try_from(rows).unwrap_or(i64::MAX),
        };
        self.accepted = Some(segments.zip(rows).map(line).collect());
    }

    /// Ends the run: waits for what is queued, writes its report (JSON), and folds the pages when dead weight outgrows what is
    /// live. Later writes through a clone of the journal fail.
    ///
    /// # Errors
    /// If the journal is poisoned, the lease was lost, or the database fails. The run is then *interrupted*.
    pub async fn finish(self, end: RunEnd, finished_at: Timestamp, report: &str) -> Result<()> {
        let Self { snapshot, journal, accepted } = self;
        // Folding takes memory of its own.
        drop(snapshot);
        journal.end(end, finished_at, report.to_owned(), accepted).await
    }
}
