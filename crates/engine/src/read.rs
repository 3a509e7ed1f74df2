//! Reading a segment: pages in order, the next ones read and mapped while the last is compared.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use segport_core::{Error, ErrorKind, Page, Result, UnreadableRow};
use segport_host::SourceInstance;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::map::Mapping;
use crate::name::{Candidate, Namer};

/// Longest wait for one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(120);

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
        Ahead::start(async move |pages| {
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
    pub(crate) fn start(&self, run: &str, mapping: &Arc<Mapping>, mut namer: Namer) -> Ahead<Prepared> {
        let (mut pages, mapping) = (self.pages(run), Arc::clone(mapping));
        Ahead::start(async move |prepared| {
            while let Some(page) = pages.next().await {
                let page = page.and_then(|page| Prepared::new(page, &mapping, &mut namer));
                let is_last = page.is_err();
                if prepared.send(page).await.is_err() || is_last {
                    return;
                }
            }
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
}

impl Prepared {
    fn new(page: Page, mapping: &Mapping, namer: &mut Namer) -> Result<Self> {
        let mapped = mapping.map(&page.rows)?;
        let candidates = namer.name(&mapped)?;
        Ok(Self { rows: mapped.rows, candidates, unreadable: page.unreadable })
    }
}

/// Pages that a task of its own makes ahead of their use: one waits while the next is made, so that memory stays bounded.
/// Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    pages: mpsc::Receiver<Result<T>>,
    maker: JoinHandle<()>,
}

impl<T: Send + 'static> Ahead<T> {
    fn start<F: Future<Output = ()> + Send + 'static>(make: impl FnOnce(mpsc::Sender<Result<T>>) -> F) -> Self {
        let (sender, pages) = mpsc::channel(1);
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
