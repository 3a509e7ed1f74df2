//! The database: whatever keeps the state, with what holds of it wherever it is kept.

use std::path::Path;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};

use crate::access::{Access, ExportLine, Keeper, UntriedPage};
use crate::page::{Page, PageKind};
use crate::{Error, Faults, Folding, Index, Result, RunRecord};

/// The state, wherever it is kept, and its faults.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) keeper: Arc<dyn Keeper>,
    path: Arc<Path>,
    faults: Arc<dyn Faults>,
    pub(crate) folding: Folding,
    /// Most memory of an index, in bytes.
    pub(crate) index_memory: usize,
}

impl Database {
    pub(crate) fn new(keeper: Arc<dyn Keeper>, path: &Path, faults: Arc<dyn Faults>) -> Self {
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
        Error::unreadable_page(&self.path, export, number)
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
        let mut transaction = self.keeper.write().await?;
        transaction.set_fact(name, first).await?;
        self.commit(transaction).await?;
        Ok(self.fact(name).await?.unwrap_or_default())
    }

    pub(crate) async fn fact(&self, name: &str) -> Result<Option<String>> {
        self.keeper.look().await?.fact(name).await
    }

    /// Counts the epoch of an export up and returns it.
    pub(crate) async fn take_lease(&self, export: &str, holder: &str) -> Result<i64> {
        self.fault("take_lease")?;
        let mut transaction = self.keeper.write().await?;
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

    /// The run with this whole id, and its number.
    pub(crate) async fn run(&self, run_id: &str) -> Result<(i64, RunRecord)> {
        let found = self.keeper.look().await?.runs_like(run_id).await?;
        found.into_iter().find(|(_, run)| run.run_id == run_id).ok_or_else(|| Error::NoRun { run: run_id.to_owned() })
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
