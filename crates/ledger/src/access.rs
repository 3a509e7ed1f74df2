//! What the ledger needs of whatever keeps its state: SQLite, and in simulations memory.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::page::Page;
use crate::{Identity, Result, RunEnd, RunRecord};

/// How many runs of an export keep their rows.
pub(crate) const RUNS_WITH_ROWS: i64 = 50;

/// The line of an export in the table of leases.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
pub(crate) struct ExportLine {
    pub(crate) holder: String,
    pub(crate) generation: i64,
    pub(crate) first_page: i64,
    pub(crate) next_page: i64,
}

/// What a segment number means from a page on.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct SegmentLine {
    pub(crate) number: i64,
    pub(crate) from_page: i64,
    pub(crate) id: String,
}

/// A page of rows that a run did not try.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(crate) struct UntriedPage {
    pub(crate) number: i64,
    pub(crate) run: i64,
    pub(crate) rows: i64,
}

/// How many rows a segment had when a run accepted that as normal.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct AcceptedLine {
    pub(crate) segment: String,
    pub(crate) rows: i64,
}

/// Which list a segment has at the destination.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct ListLine {
    pub(crate) segment: String,
    pub(crate) id: String,
}

/// Which account an export reached at a place.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct AccountLine {
    pub(crate) place: String,
    pub(crate) id: String,
}

/// Whoever has it owns an export; free again when the last clone is dropped.
pub(crate) type Guard = Arc<dyn Debug + Send + Sync>;

/// Keeps the state.
#[async_trait]
pub(crate) trait Keeper: Debug + Send + Sync {
    /// Access to what is there, for one question after the other.
    async fn look(&self) -> Result<Box<dyn Access>>;

    /// A view that does not change while it is read.
    async fn view(&self) -> Result<Box<dyn Access>>;

    /// One transaction that can write from its first statement on; dropped, it has changed nothing.
    async fn write(&self) -> Result<Box<dyn Access>>;

    /// What a writer keeps for its transactions.
    async fn pen(&self) -> Result<Box<dyn Pen>>;

    /// Takes an export over; `None` if somebody else owns it.
    fn lock(&self, export: &str) -> Result<Option<Guard>>;

    /// Whether somebody owns an export now.
    fn is_held(&self, export: &str) -> Result<bool>;

    /// Brings what is durable into one place, as far as nothing is in the way.
    async fn gather(&self);

    /// The marks that changes of the suppression list leave.
    fn marks(&self) -> Result<Box<dyn Marks>>;
}

/// Opens one transaction after the other.
#[async_trait]
pub(crate) trait Pen: Debug + Send {
    /// As [`Keeper::write`].
    async fn write(&mut self) -> Result<Box<dyn Access + '_>>;
}

/// Counts the changes of the suppression list.
pub(crate) trait Marks: Debug + Send + Sync {
    /// How many there were.
    fn count(&self) -> Result<u64>;

    /// Adds one.
    fn leave(&self) -> Result<()>;
}

/// The state as one view or transaction has it.
#[async_trait]
pub(crate) trait Access: Send {
    /// Makes what was written durable.
    async fn commit(self: Box<Self>) -> Result<()>;

    /// Reads a fact.
    async fn fact(&mut self, name: &str) -> Result<Option<String>>;

    /// Sets a fact that has no value.
    async fn set_fact(&mut self, name: &str, value: &str) -> Result<()>;

    // ---- exports and segments ----

    /// Counts the epoch of an export up and returns it.
    async fn take_lease(&mut self, export: &str, holder: &str) -> Result<i64>;

    /// The line of an export, once it was leased.
    async fn export(&mut self, export: &str) -> Result<Option<ExportLine>>;

    /// Moves the pages of an export on; false if the epoch is not the newest.
    async fn advance(&mut self, export: &str, epoch: i64, to: &ExportLine) -> Result<bool>;

    /// Every meaning that the export's segment numbers ever had, oldest first.
    async fn segments(&mut self, export: &str) -> Result<Vec<SegmentLine>>;

    /// Gives a segment its number.
    async fn add_segment(&mut self, export: &str, segment: &SegmentLine) -> Result<()>;

    /// How many rows each segment had in the last run that accepted them.
    async fn accepted(&mut self, export: &str) -> Result<Vec<AcceptedLine>>;

    /// Puts these in the place of what was accepted before. Segments that are not among them are no longer the export's.
    async fn accept(&mut self, export: &str, accepted: &[AcceptedLine]) -> Result<()>;

    /// Which lists the export's segments have, or had when they last were the export's.
    async fn lists(&mut self, export: &str) -> Result<Vec<ListLine>>;

    /// Writes down which list a segment has, in the place of any before.
    async fn put_list(&mut self, export: &str, list: &ListLine) -> Result<()>;

    /// Which accounts the export reached, one a place.
    async fn accounts(&mut self, export: &str) -> Result<Vec<AccountLine>>;

    /// Writes down which account the export reaches at a place, instead of any before.
    async fn put_account(&mut self, export: &str, account: &AccountLine) -> Result<()>;

    // ---- runs ----

    /// Writes down that a run begins, and that those before it are over. Returns the run's number.
    async fn add_run(&mut self, export: &str, epoch: i64, run_id: &str, started_at: Timestamp) -> Result<i64>;

    /// Writes down that a run ended.
    async fn end_run(&mut self, run: i64, end: RunEnd, finished_at: Timestamp, report: &str) -> Result<()>;

    /// Deletes what is kept of the rows of all but the newest runs.
    async fn prune(&mut self, export: &str, first_page: i64) -> Result<()>;

    /// The runs of an export among those with rows: (number, whether it ended).
    async fn runs_with_rows(&mut self, export: &str) -> Result<Vec<(i64, bool)>>;

    /// The newest runs, of one export or of all, newest first.
    async fn runs(&mut self, export: Option<&str>, limit: u32) -> Result<Vec<RunRecord>>;

    /// The runs whose id starts with `prefix`, at most two, an exact match alone; with their numbers.
    async fn runs_like(&mut self, prefix: &str) -> Result<Vec<(i64, RunRecord)>>;

    // ---- pages ----

    /// Writes a page; one with its number is replaced.
    async fn put_page(&mut self, export: &str, epoch: i64, page: &Page<Vec<u8>>) -> Result<()>;

    /// Deletes a page.
    async fn delete_page(&mut self, export: &str, number: i64) -> Result<()>;

    /// The pages there are from `first` up to, not including, `end`, in order. The bodies of untried rows are left out: there may be
    /// far more of them than of all others.
    fn pages<'a>(&'a mut self, export: &'a str, first: i64, end: i64) -> BoxStream<'a, Result<Page<Vec<u8>>>>;

    /// One page; `None` if there is none with that number.
    async fn page_at(&mut self, export: &str, number: i64) -> Result<Option<Page<Vec<u8>>>>;

    /// The next page that a run wrote, after the one with that number.
    async fn page_of_run(&mut self, export: &str, run: i64, after: i64) -> Result<Option<Page<Vec<u8>>>>;

    /// The numbers of the pages before `first` that say what was held.
    async fn old_pages(&mut self, export: &str, first: i64) -> Result<Vec<i64>>;

    /// The pages of untried rows that are not empty, newest first.
    async fn untried(&mut self, export: &str) -> Result<Vec<UntriedPage>>;

    /// Whether a run has a page of untried rows that was emptied.
    async fn has_emptied(&mut self, run: i64) -> Result<bool>;

    /// The pages of a run that hold nothing but intents: (number, records).
    async fn intents_of_run(&mut self, run: i64) -> Result<Vec<(i64, i64)>>;

    /// About how many rows the pages from `first` up to, not including, `end` amount to: the most records, intents apart, that one run has written, since
    /// a run writes about one for each row. No checksum was compared yet, so a page counts for no more than its bytes can hold:
    /// memory is reserved by this.
    async fn estimated_rows(&mut self, export: &str, first: i64, end: i64) -> Result<u64>;

    // ---- the suppression list ----

    /// Everybody on the suppression list.
    async fn suppressed(&mut self) -> Result<HashSet<Identity>>;

    /// Whether somebody is on the suppression list.
    async fn is_suppressed(&mut self, identity: Identity) -> Result<bool>;

    /// How many people are on the suppression list.
    async fn suppressed_count(&mut self) -> Result<u64>;

    /// Puts people on the suppression list; returns how many of them were not on it.
    async fn suppress(&mut self, identities: &[Identity], at: Timestamp) -> Result<u64>;

    /// Takes people off the suppression list; returns how many of them were on it.
    async fn unsuppress(&mut self, identities: &[Identity]) -> Result<u64>;
}
