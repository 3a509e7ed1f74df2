//! The database: whatever keeps the state, with what holds of it wherever it is kept.

use std::path::Path;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};

use crate::access::{Access, Guard, Keeper, Marks, Pen};
use crate::page::{Page, PageKind, Seal};
use crate::sqlite::Sqlite;
use crate::{Error, Faults, Folding, Index, Result, RunRecord};

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

/// The state, wherever it is kept, and its faults.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    keeper: Arc<dyn Keeper>,
    path: Arc<Path>,
    faults: Arc<dyn Faults>,
    pub(crate) folding: Folding,
    /// Most memory of an index, in bytes.
    pub(crate) index_memory: usize,
}

impl Database {
    pub(crate) async fn open(path: &Path, seal: Seal, faults: Arc<dyn Faults>) -> Result<Self> {
        let sqlite = Sqlite::open(path, seal, Arc::clone(&faults)).await?;
        Ok(Self::of(Arc::new(sqlite), path, faults))
    }

    pub(crate) async fn open_existing(path: &Path, seal: Seal, faults: Arc<dyn Faults>) -> Result<Self> {
        let sqlite = Sqlite::open_existing(path, seal, Arc::clone(&faults)).await?;
        Ok(Self::of(Arc::new(sqlite), path, faults))
    }

    pub(crate) fn of(keeper: Arc<dyn Keeper>, path: &Path, faults: Arc<dyn Faults>) -> Self {
        Self { keeper, path: path.into(), faults, folding: Folding::default(), index_memory: Index::MEMORY }
    }

    /// Where the state is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fault(&self, operation: &'static str) -> Result<()> {
        self.faults.before(operation).map_err(|error| Error::io("write the state", &self.path, error))
    }

    pub(crate) fn damaged(&self, problem: impl Into<String>) -> Error {
        Error::damaged(&self.path, problem)
    }

    pub(crate) fn missing(&self, export: &str, number: i64) -> Error {
        self.damaged(format!("page {number} of export `{export}` is missing"))
    }

    pub(crate) fn unreadable(&self, export: &str, number: i64) -> Error {
        unreadable(&self.path, export, number)
    }

    /// Access to what is there, for one question after the other.
    pub(crate) async fn look(&self) -> Result<Box<dyn Access>> {
        self.keeper.look().await
    }

    /// A view that does not change while it is read.
    pub(crate) async fn view(&self) -> Result<Box<dyn Access>> {
        self.keeper.view().await
    }

    /// One transaction that can write from its first statement on.
    pub(crate) async fn write(&self) -> Result<Box<dyn Access>> {
        self.keeper.write().await
    }

    /// What a writer keeps for its transactions.
    pub(crate) async fn pen(&self) -> Result<Box<dyn Pen>> {
        self.keeper.pen().await
    }

    pub(crate) fn lock(&self, export: &str) -> Result<Option<Guard>> {
        self.keeper.lock(export)
    }

    pub(crate) fn is_held(&self, export: &str) -> Result<bool> {
        self.keeper.is_held(export)
    }

    /// Brings what is durable into one place, as far as nothing is in the way.
    pub(crate) async fn gather(&self) {
        self.keeper.gather().await;
    }

    pub(crate) fn marks(&self) -> Result<Box<dyn Marks>> {
        self.keeper.marks()
    }

    pub(crate) async fn commit(&self, transaction: Box<dyn Access + '_>) -> Result<()> {
        self.fault("commit")?;
        transaction.commit().await?;
        self.fault("acknowledge")
    }

    /// Reads a fact, or sets it to `first` if it has no value.
    pub(crate) async fn fact_or(&self, name: &str, first: &str) -> Result<String> {
        if let Some(value) = self.fact(name).await? {
            return Ok(value);
        }
        let mut transaction = self.write().await?;
        transaction.set_fact(name, first).await?;
        self.commit(transaction).await?;
        Ok(self.fact(name).await?.unwrap_or_default())
    }

    pub(crate) async fn fact(&self, name: &str) -> Result<Option<String>> {
        self.look().await?.fact(name).await
    }

    /// Counts the epoch of an export up and returns it.
    pub(crate) async fn take_lease(&self, export: &str, holder: &str) -> Result<i64> {
        self.fault("take_lease")?;
        let mut transaction = self.write().await?;
        let epoch = transaction.take_lease(export, holder).await?;
        self.commit(transaction).await?;
        Ok(epoch)
    }

    /// Moves the pages of an export on, if the epoch is still the caller's.
    pub(crate) async fn advance(
        &self,
        transaction: &mut (dyn Access + '_),
        export: &str,
        epoch: i64,
        to: &ExportLine,
    ) -> Result<()> {
        if transaction.advance(export, epoch, to).await? {
            Ok(())
        } else {
            Err(Error::LeaseLost { export: export.to_owned() })
        }
    }

    pub(crate) async fn runs(&self, export: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        self.look().await?.runs(export, limit).await
    }

    pub(crate) async fn runs_like(&self, prefix: &str) -> Result<Vec<(i64, RunRecord)>> {
        self.look().await?.runs_like(prefix).await
    }

    pub(crate) async fn add_page(
        &self,
        transaction: &mut (dyn Access + '_),
        export: &str,
        epoch: i64,
        page: &Page<Vec<u8>>,
    ) -> Result<()> {
        self.fault("append_page")?;
        transaction.put_page(export, epoch, page).await
    }

    /// The pages from `first` up to, not including, `end`, in order and without gaps.
    pub(crate) fn pages<'a>(
        &'a self,
        access: &'a mut (dyn Access + '_),
        export: &'a str,
        first: i64,
        end: i64,
    ) -> BoxStream<'a, Result<Page<Vec<u8>>>> {
        let mut expected = first;
        let pages = access.pages(export, first, end).map(Some).chain(futures::stream::iter([None]));
        let pages = pages.map(move |page| {
            let Some(page) = page else {
                return if expected < end { Err(self.missing(export, expected)) } else { Ok(None) };
            };
            let page = page?;
            if page.number != expected {
                return Err(self.missing(export, expected));
            }
            expected += 1;
            Ok(Some(page))
        });
        pages.filter_map(|page| std::future::ready(page.transpose())).boxed()
    }

    /// Empties pages of untried rows: of all but the newest runs, and of those that make them too many.
    pub(crate) async fn thin_untried(
        &self,
        transaction: &mut (dyn Access + '_),
        export: &str,
        epoch: i64,
    ) -> Result<()> {
        let oldest = transaction.runs_with_rows(export).await?.last().map_or(0, |(number, _)| *number);
        let untried = transaction.untried(export).await?;
        let mut rows = 0;
        for (before, of_run) in untried.chunk_by(|one, other| one.run == other.run).enumerate() {
            rows += of_run.iter().map(|page| page.rows.unsigned_abs()).sum::<u64>();
            let is_kept = before == 0 || rows <= self.folding.untried_rows;
            for &UntriedPage { number, run, .. } in of_run.iter().filter(|page| !is_kept || page.run < oldest) {
                let page = Page { number, run, kind: PageKind::Untried.number(), rows: 0, body: Vec::new() };
                self.add_page(transaction, export, epoch, &page).await?;
            }
        }
        Ok(())
    }

    /// Empties the pages of a run that hold nothing but intents, once every one of them has been carried out; returns how many
    /// records they held.
    pub(crate) async fn empty_intents(
        &self,
        transaction: &mut (dyn Access + '_),
        export: &str,
        epoch: i64,
        run: i64,
    ) -> Result<u64> {
        let mut records = 0;
        for (number, rows) in transaction.intents_of_run(run).await? {
            let page = Page { number, run, kind: PageKind::Intents.number(), rows: 0, body: Vec::new() };
            self.add_page(transaction, export, epoch, &page).await?;
            records += rows.unsigned_abs();
        }
        Ok(records)
    }
}

/// The error for a page whose content is not what was written to it.
pub(crate) fn unreadable(path: &Path, export: &str, number: i64) -> Error {
    Error::damaged(path, format!("page {number} of export `{export}` does not hold what was written to it"))
}
