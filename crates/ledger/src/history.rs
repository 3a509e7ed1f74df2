//! What earlier runs did.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::SegmentLine;
use crate::codec::{Stored, StoredRow};
use crate::database::Database;
use crate::page::Page;
use crate::{Identity, Intent, Memberships, OutcomeKind, Result, SegmentNumber, Whose};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Status")]
pub enum RunEnd {
    /// Every row was delivered, unchanged, or skipped for a reason the configuration names.
    Succeeded,
    /// Some rows or leavers were refused, deferred or are unknown; or the run was given up because the destination was
    /// unavailable, too slow or throttling, after something was delivered.
    Partial,
    /// The run could not be carried out.
    Failed,
    /// A guard stopped it; nothing further was sent.
    Stopped,
    /// It was interrupted; the state is consistent.
    Cancelled,
}

impl RunEnd {
    const ALL: [Self; 5] = [Self::Succeeded, Self::Partial, Self::Failed, Self::Stopped, Self::Cancelled];

    /// The end as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// It is under way: somebody holds the lease it began with.
    Running,
    /// It died. The next run takes over.
    Interrupted,
    /// It ended.
    Ended(RunEnd),
}

impl RunStatus {
    /// The status as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Ended(end) => end.as_str(),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let ended = RunEnd::ALL.into_iter().map(Self::Ended);
        [Self::Running, Self::Interrupted].into_iter().chain(ended).find(|status| status.as_str() == text)
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its id.
    pub run_id: String,
    /// Id of its export.
    pub export: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` unless it did.
    pub finished_at: Option<Timestamp>,
    /// Its report as JSON; `None` unless it ended.
    pub report: Option<String>,
}

/// What became of one row in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRecord {
    /// What became of it.
    pub outcome: OutcomeKind,
    /// Whether it is about a removal from its segments, not about a delivery.
    pub leaver: bool,
    /// Short stable code; empty for what was acknowledged.
    pub code: String,
    /// A sentence; empty for what was acknowledged.
    pub reason: String,
    /// Whose row.
    pub whose: Whose,
    /// Ids of the segments concerned: joined, left, or the ones the row is in.
    pub segments: Vec<String>,
}

/// Reads the rows of one run in chunks, from [`crate::Store::rows`].
#[derive(Debug)]
pub struct RowReader {
    database: Database,
    run: RunRecord,
    number: i64,
    only: Option<OutcomeKind>,
    segments: Vec<SegmentLine>,
    last_page: i64,
    /// What was intended and has no outcome so far, in a run that did not end.
    open: BTreeMap<(Identity, bool), (Memberships, i64)>,
    found: VecDeque<RowRecord>,
    done: bool,
}

impl RowReader {
    /// Most rows in one chunk.
    pub const CHUNK: usize = 4096;

    pub(crate) async fn open(database: Database, run_id: &str, only: Option<OutcomeKind>) -> Result<Self> {
        let (number, run) = database.run(run_id).await?;
        let segments = database.keeper.look().await?.segments(&run.export).await?;
        Ok(Self {
            database,
            run,
            number,
            only,
            segments,
            last_page: 0,
            open: BTreeMap::new(),
            found: VecDeque::new(),
            done: false,
        })
    }

    /// The next chunk, at most [`RowReader::CHUNK`] rows in the order they were written; `None` after the last. What a run that
    /// died had sent without learning the outcome comes last, as *unknown*.
    ///
    /// # Errors
    /// If a page is damaged or cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<RowRecord>>> {
        while self.found.is_empty() && !self.done {
            match self.database.keeper.look().await?.page_of_run(&self.run.export, self.number, self.last_page).await? {
                Some(page) => {
                    self.last_page = page.number;
                    self.read(&page).ok_or_else(|| self.database.unreadable(&self.run.export, page.number))?;
                }
                None => {
                    self.done = true;
                    self.add_open();
                }
            }
        }
        if self.found.is_empty() {
            return Ok(None);
        }
        let chunk = self.found.len().min(Self::CHUNK);
        Ok(Some(self.found.drain(..chunk).collect()))
    }

    fn read(&mut self, page: &Page<Vec<u8>>) -> Option<()> {
        let number = page.number;
        let ended = matches!(self.run.status, RunStatus::Ended(_));
        for record in page.records() {
            match record.ok()? {
                Stored::Intent(_) if ended => {}
                Stored::Intent(Intent::Deliver { identity, memberships }) => {
                    self.open.insert((identity, false), (memberships, number));
                }
                Stored::Intent(Intent::Remove { identity, memberships }) => {
                    self.open.insert((identity, true), (memberships, number));
                }
                Stored::Done { identity, memberships, change, .. } | Stored::Past { identity, memberships, change } => {
                    self.open.remove(&(identity, false));
                    self.add(number, false, change.into(), identity.into(), memberships, ("", ""));
                }
                Stored::Left { identity, memberships } => {
                    self.open.remove(&(identity, true));
                    self.add(number, true, OutcomeKind::Removed, identity.into(), memberships, ("", ""));
                }
                Stored::Row(row) => self.add_row(number, false, &row),
                Stored::Stayed(row) => self.add_row(number, true, &row),
                Stored::Held { .. } | Stored::Renewed | Stored::Vacated(_) | Stored::Moved(_) => {}
            }
        }
        Some(())
    }

    fn add_row(&mut self, page: i64, leaver: bool, row: &StoredRow<'_>) {
        if let Some(identity) = row.whose.identity()
            && row.outcome.settles_an_intent()
        {
            self.open.remove(&(identity, leaver));
        }
        self.add(page, leaver, row.outcome.into(), row.whose, row.memberships, (row.code, row.reason));
    }

    fn add_open(&mut self) {
        for ((identity, leaver), (memberships, page)) in std::mem::take(&mut self.open) {
            let why = ("no_outcome", "it was about to be sent, and no outcome is known");
            self.add(page, leaver, OutcomeKind::Unknown, identity.into(), memberships, why);
        }
    }

    fn add(
        &mut self,
        page: i64,
        leaver: bool,
        outcome: OutcomeKind,
        whose: Whose,
        memberships: Memberships,
        (code, reason): (&str, &str),
    ) {
        if self.only.is_some_and(|only| only != outcome) {
            return;
        }
        let row = RowRecord {
            outcome,
            leaver,
            code: code.to_owned(),
            reason: reason.to_owned(),
            whose,
            segments: memberships.iter().map(|segment| self.segment(segment, page)).collect(),
        };
        self.found.push_back(row);
    }

    /// What a segment number meant when a page was written.
    fn segment(&self, segment: SegmentNumber, page: i64) -> String {
        let number = i64::from(segment.get());
        let mut meanings = self.segments.iter().rev().filter(|line| line.number == number && line.from_page <= page);
        meanings.next().map_or_else(|| format!("#{number}"), |line| line.id.clone())
    }
}
