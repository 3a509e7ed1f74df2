//! Reading a segment: pages in order, the next ones read and mapped while the ledger is loaded or the last is compared.
//!
//! To map a page and name its rows takes longer than to read or to compare it. So it is done by whoever has time: the task that
//! reads ahead, or who waits for the page.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use segport_core::op::ReadHead;
use segport_core::{Error, ErrorKind, Page, Result, UnreadableRow, rows};
use segport_host::SourceInstance;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use crate::map::Mapping;
use crate::name::{Candidate, Namer};
use crate::room::{Extra, Room};

/// Longest wait for one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(120);
/// How many bytes of pages may wait, by what the source gave, until the first is compared: about as much as is read while the
/// ledger of a million rows is loaded.
const MOST_BYTES: u32 = 64 << 20;
/// How many bytes may wait from then on, unless there were more by then: who compares may be slowed by the disk, and
/// what waits for it gains nothing.
const BYTES_THEN: u32 = 24 << 20;
/// How many pages, however small.
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

    /// Starts reading what `mapping` makes use of, from the beginning.
    pub(crate) fn pages(&self, run: &str, mapping: &Mapping) -> Ahead<Page> {
        let (source, run) = (Arc::clone(&self.source), run.to_owned());
        let mut head = ReadHead { read: self.read.clone(), cursor: None, columns: Some(mapping.columns()) };
        Ahead::start(1, async move |pages| {
            loop {
                let page = source.read(&run, &head, PAGE_TIMEOUT).await;
                let next = page.as_ref().ok().and_then(|page| page.next.clone());
                let is_stuck = next.is_some() && next == head.cursor;
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
                    Some(next) => head.cursor = Some(next),
                    None => return,
                }
            }
        })
    }

    /// Starts reading from the beginning, each page mapped and its rows named.
    pub(crate) fn start(&self, run: &str, mapping: &Arc<Mapping>, namer: Namer) -> Pages {
        Pages::start(self.pages(run, mapping), Preparer { mapping: Arc::clone(mapping), namer })
    }
}

/// The pages of a segment, in order. Dropping it ends the reading.
#[derive(Debug)]
pub(crate) struct Pages {
    ahead: Ahead<Waiting>,
    preparer: Arc<Preparer>,
    /// Whether somebody has asked for the next page and waits for it.
    is_awaited: Arc<AtomicBool>,
    /// Until the first page is asked for.
    extra: Option<Extra>,
}

impl Pages {
    fn start(mut pages: Ahead<Page>, preparer: Preparer) -> Self {
        let (preparer, is_awaited) = (Arc::new(preparer), Arc::new(AtomicBool::new(false)));
        let (room, extra) = Room::with_extra(BYTES_THEN, MOST_BYTES - BYTES_THEN);
        let (own_preparer, others_wait) = (Arc::clone(&preparer), Arc::clone(&is_awaited));
        let ahead = Ahead::start(MOST_PAGES, async move |waiting| {
            while let Some(page) = pages.next().await {
                let page = match page {
                    Ok(page) => {
                        let page = Raw { taken: room.take(Preparer::bytes(&page)).await, page };
                        if others_wait.swap(false, Ordering::Relaxed) {
                            Ok(Waiting::Raw(page))
                        } else {
                            own_preparer.prepare(page).map(Waiting::Prepared)
                        }
                    }
                    Err(error) => Err(error),
                };
                let is_last = page.is_err();
                if waiting.send(page).await.is_err() || is_last {
                    return;
                }
            }
        });
        Self { ahead, preparer, is_awaited, extra: Some(extra) }
    }

    /// The next page; `None` after the last, and nothing follows an error.
    pub(crate) async fn next(&mut self) -> Option<Result<Prepared>> {
        if let Some(extra) = self.extra.take() {
            extra.give_up();
        }
        self.is_awaited.store(true, Ordering::Relaxed);
        let page = self.ahead.next().await;
        self.is_awaited.store(false, Ordering::Relaxed);
        let prepared = match page? {
            Ok(Waiting::Prepared(page)) => Ok(page),
            // The preparer keeps nothing of a page that it broke off at.
            Ok(Waiting::Raw(page)) => {
                catch_unwind(AssertUnwindSafe(|| self.preparer.prepare(page))).unwrap_or_else(|_| Err(broken_off()))
            }
            Err(error) => Err(error),
        };
        if prepared.is_err() {
            self.ahead.end();
        }
        Some(prepared)
    }
}

/// A page that waits to be compared.
#[derive(Debug)]
enum Waiting {
    Prepared(Prepared),
    /// Whoever compares was waiting for it, and prepares it.
    Raw(Raw),
}

/// A page as it was read.
#[derive(Debug)]
struct Raw {
    page: Page,
    /// The room it takes.
    taken: Option<OwnedSemaphorePermit>,
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
    _taken: Option<OwnedSemaphorePermit>,
}

/// Maps the pages of a segment and names their rows.
#[derive(Debug)]
struct Preparer {
    mapping: Arc<Mapping>,
    namer: Namer,
}

impl Preparer {
    /// How much memory a page takes.
    fn bytes(page: &Page) -> usize {
        let unreadable = page.unreadable.iter().map(|row| size_of_val(row) + row.place.len() + row.reason.len());
        let named = page.rows.num_rows().saturating_mul(size_of::<Candidate>());
        rows::bytes(&page.rows).saturating_add(named).saturating_add(unreadable.sum())
    }

    fn prepare(&self, Raw { page, taken }: Raw) -> Result<Prepared> {
        let mapped = self.mapping.map(&page.rows)?;
        let candidates = self.namer.name(&mapped)?;
        Ok(Prepared { rows: mapped.rows, candidates, unreadable: page.unreadable, _taken: taken })
    }
}

/// Pages that a task of its own makes ahead of their use, up to a number of them. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    pages: mpsc::Receiver<Result<T>>,
    /// `None` once it was seen to have ended.
    maker: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    fn start<F: Future<Output = ()> + Send + 'static>(
        most: usize,
        make: impl FnOnce(mpsc::Sender<Result<T>>) -> F,
    ) -> Self {
        let (sender, pages) = mpsc::channel(most);
        Self { pages, maker: Some(tokio::spawn(make(sender))) }
    }

    /// The next page; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Result<T>> {
        if let Some(page) = self.pages.recv().await {
            return Some(page);
        }
        // A maker that broke off is not one that came to the end: who it had not read would be taken for leavers. What it said
        // may hold a profile's data.
        let ended = self.maker.take()?.await;
        ended.is_err().then(|| Err(broken_off()))
    }
}

impl<T> Ahead<T> {
    /// Makes no further page, and forgets those that wait.
    fn end(&mut self) {
        self.pages.close();
        while self.pages.try_recv().is_ok() {}
        if let Some(maker) = self.maker.take() {
            maker.abort();
        }
    }
}

fn broken_off() -> Error {
    Error::new(ErrorKind::Internal, "the reading of a segment broke off")
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use arrow_array::{RecordBatchOptions, StringArray};
    use arrow_schema::Schema;
    use segport_core::{FieldType, Secret};
    use segport_ledger::{Hasher, StateKey};
    use segport_manifest::{FieldMapping, WhenNull};

    use super::*;

    /// Who prepares the pages.
    #[derive(Debug, Clone, Copy)]
    enum By {
        /// The task that reads ahead.
        Maker,
        /// Who waits for them.
        Taker,
    }

    fn page(column: &str, address: &str) -> Page {
        let values: StringArray = [Some(address)].into_iter().collect();
        let rows = RecordBatch::try_from_iter_with_nullable([(column, Arc::new(values) as _, true)]).unwrap();
        Page { rows, unreadable: Vec::new(), next: None }
    }

    /// What the pages given come to: the address of each, or its error.
    async fn read(given: Vec<Result<Page>>, by: By) -> Vec<String> {
        let field = FieldMapping {
            name: "email".to_owned(),
            custom: false,
            field_type: FieldType::Email,
            column: "mail".to_owned(),
            transform: Vec::new(),
            when_null: WhenNull::Omit,
            span: 0..0,
        };
        let key = StateKey::from_secret(&Secret::new("of this test, and no other")).unwrap();
        let fields = Mapping::described(std::slice::from_ref(&field));
        let namer = Namer::new(&Hasher::new(&key), &fields, 0, "segment");
        let mapping = Arc::new(Mapping::new(&[field], vec![None], 0, &[]));
        let source = Ahead::start(1, async move |pages| {
            for page in given {
                if pages.send(page).await.is_err() {
                    return;
                }
            }
        });
        let mut pages = Pages::start(source, Preparer { mapping, namer });
        if matches!(by, By::Maker) {
            while pages.ahead.maker.as_ref().is_some_and(|maker| !maker.is_finished()) {
                tokio::task::yield_now().await;
            }
        }
        let mut seen = Vec::new();
        while let Some(page) = pages.next().await {
            seen.push(match page {
                Ok(page) => format!("{:?}", page.candidates),
                Err(error) => error.to_string(),
            });
        }
        seen
    }

    #[tokio::test]
    async fn it_is_the_same_whoever_prepares_a_page() {
        let good = || ["a@x.no", "b@x.no", "c@x.no", "no address"].map(|address| Ok(page("mail", address)));
        let [by_maker, by_taker] = [read(good().into(), By::Maker).await, read(good().into(), By::Taker).await];
        assert_eq!(by_maker, by_taker);
        assert_eq!(by_maker.iter().collect::<HashSet<_>>().len(), 4);

        // More rows than there is memory for what is said of each.
        let options = RecordBatchOptions::new().with_row_count(Some(1 << 60));
        let endless = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
        let bad = [
            (Ok(page("other", "a@x.no")), "mail"),
            (Ok(Page { rows: endless, unreadable: Vec::new(), next: None }), "broke off"),
            (Err(Error::new(ErrorKind::Unavailable, "the file is gone")), "is gone"),
        ];
        for (bad, expected) in bad {
            for by in [By::Maker, By::Taker] {
                let seen = read(vec![bad.clone(), Ok(page("mail", "a@x.no"))], by).await;
                assert_eq!(seen.len(), 1, "nothing follows an error: {seen:?}");
                assert!(seen.iter().all(|said| said.contains(expected)), "{seen:?} of {by:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_reading_that_breaks_off_is_no_end() {
        let mut pages = Ahead::start(1, async |pages| {
            pages.send(Ok(1)).await.unwrap();
            panic!("anna@example.com is not what was expected");
        });
        assert_eq!(pages.next().await.unwrap().unwrap(), 1);
        let error = pages.next().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the reading of a segment broke off");
        assert!(pages.next().await.is_none());
    }

    #[tokio::test]
    async fn pages_are_made_ahead_up_to_a_number_and_no_more_are_once_nobody_wants_them() {
        let (made, mut progress) = tokio::sync::watch::channel(0);
        let mut pages = Ahead::start(3, async move |pages| {
            for page in 0..100 {
                made.send_replace(page);
                pages.send(Ok(page)).await.ok();
            }
        });
        // Three wait, and the fourth is made.
        progress.wait_for(|made| *made == 3).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(*progress.borrow(), 3);
        assert_eq!(pages.next().await.unwrap().unwrap(), 0);
        progress.wait_for(|made| *made == 4).await.unwrap();
        drop(pages);
        assert!(progress.wait_for(|made| *made == 99).await.is_err(), "the maker has ended");
    }
}
