//! Reading a segment: pages in order, the next ones read and mapped while the ledger is loaded or the last is compared.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use segport_core::{Error, ErrorKind, Page, Result, UnreadableRow, rows};
use segport_host::SourceInstance;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::map::Mapping;
use crate::name::{Candidate, Namer};

/// Longest wait for one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(120);
/// How many bytes of pages may wait to be compared, and how many pages: what is read while the ledger is loaded.
const MOST_BYTES: u32 = 64 << 20;
const MOST_PAGES: usize = 64;

/// A segment as its source knows it.
#[derive(Debug, Clone)]
pub(crate) struct SegmentReader {
    /// Id of the segment.
    pub(crate) id: String,
    /// The opened source.
    pub(crate) source: Arc<SourceInstance>,
    /// The segment's `read` table.
    pub(crate) read: Value,
}

impl SegmentReader {
    /// The names of the segment's columns.
    pub(crate) async fn columns(&self) -> Result<Vec<String>> {
        let schema = self.source.schema("", &self.read, PAGE_TIMEOUT).await?;
        Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
    }

    /// Starts reading from the beginning.
    pub(crate) fn pages(&self, run: &str) -> Ahead<Page> {
        let (segment, run) = (self.clone(), run.to_owned());
        Ahead::start(1, async move |pages| {
            let mut cursor: Option<String> = None;
            loop {
                let page = segment.source.read(&run, &segment.read, cursor.as_deref(), PAGE_TIMEOUT).await;
                let next = page.as_ref().ok().and_then(|page| page.next.clone());
                let is_stuck = next.is_some() && next == cursor;
                if pages.send(page).await.is_err() {
                    return;
                }
                match next {
                    Some(_) if is_stuck => {
                        let error =
                            Error::new(ErrorKind::Contract, "the source gave the same page twice; it would never end");
                        // The receiver may have been dropped in the meantime, and then nobody needs to know.
                        pages.send(Err(error)).await.ok();
                        return;
                    }
                    Some(next) => cursor = Some(next),
                    None => return,
                }
            }
        })
    }

    /// Starts reading from the beginning, each page mapped and its rows named.
    pub(crate) fn start(&self, run: &str, mapping: &Arc<Mapping>, namer: Namer) -> Reading {
        let (mut pages, work) = (self.pages(run), Arc::new(Work { mapping: Arc::clone(mapping), namer }));
        let room = Room::new(MOST_BYTES);
        Reading(Ahead::start(MOST_PAGES, async move |prepared| {
            while let Some(page) = pages.next().await {
                let page = match page {
                    Ok(page) => Ok(Work::start(&work, page, &room).await),
                    Err(error) => Err(error),
                };
                let is_last = page.is_err();
                if prepared.send(page).await.is_err() || is_last {
                    return;
                }
            }
        }))
    }
}

/// Pages that are being prepared, in order.
#[derive(Debug)]
pub(crate) struct Reading(Ahead<JoinHandle<Result<Prepared>>>);

impl Reading {
    /// The next page; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Result<Prepared>> {
        Some(match self.0.next().await? {
            Ok(page) => page.await.unwrap_or_else(|error| {
                Err(Error::new(ErrorKind::Internal, "a page that was read could not be prepared").because(&error))
            }),
            Err(error) => Err(error),
        })
    }
}

/// A page that is ready to be compared.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The payloads, one column a field.
    pub(crate) rows: RecordBatch,
    /// One for each row.
    pub(crate) candidates: Vec<Candidate>,
    /// Rows that the source could not read.
    pub(crate) unreadable: Vec<UnreadableRow>,
    /// The room it takes.
    _room: Option<OwnedSemaphorePermit>,
}

/// What is done with each page.
#[derive(Debug)]
struct Work {
    mapping: Arc<Mapping>,
    namer: Namer,
}

impl Work {
    /// Prepares a page in a task of its own, once there is room for it.
    async fn start(work: &Arc<Self>, page: Page, room: &Room) -> JoinHandle<Result<Prepared>> {
        let room = room.take(rows::bytes(&page.rows) + page.rows.num_rows() * size_of::<Candidate>()).await;
        let work = Arc::clone(work);
        tokio::spawn(async move {
            let mapped = work.mapping.map(&page.rows)?;
            let candidates = work.namer.name(&mapped)?;
            Ok(Prepared { rows: mapped.rows, candidates, unreadable: page.unreadable, _room: room })
        })
    }
}

/// Room for pages that wait to be compared.
#[derive(Debug)]
struct Room {
    free: Arc<Semaphore>,
    most: u32,
}

impl Room {
    /// For so many bytes.
    fn new(most: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// Waits until there is room for so many bytes, or until there is nothing else where that is more than all there is.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.most);
        // It fails only once the semaphore is closed, which nobody does.
        Arc::clone(&self.free).acquire_many_owned(bytes).await.ok()
    }
}

/// Pages that a task of its own makes ahead of their use, up to a number of them. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    pages: mpsc::Receiver<Result<T>>,
    maker: JoinHandle<()>,
}

impl<T: Send + 'static> Ahead<T> {
    fn start<F: Future<Output = ()> + Send + 'static>(
        most: usize,
        make: impl FnOnce(mpsc::Sender<Result<T>>) -> F,
    ) -> Self {
        let (sender, pages) = mpsc::channel(most);
        Self { pages, maker: tokio::spawn(make(sender)) }
    }

    /// The next page; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Result<T>> {
        self.pages.recv().await
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.maker.abort();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_waits_is_bounded_and_a_page_of_any_size_has_its_turn() {
        let room = Room::new(10);
        let taken = |bytes| room.take(bytes).now_or_never().flatten();
        let (first, second) = (taken(7).unwrap(), taken(3).unwrap());
        assert!(taken(1).is_none());
        drop(first);
        assert!(taken(8).is_none() && taken(11).is_none(), "one byte too many, and more than there will ever be");
        drop(second);
        let whole = taken(usize::MAX).unwrap();
        assert!(taken(1).is_none());
        assert!(taken(0).is_some(), "a page without rows needs none");
        drop(whole);
        assert!(taken(10).is_some());
    }
}
