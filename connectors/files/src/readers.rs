//! Segments kept open between two pages, and one page read ahead of each.
//!
//! A cursor says everything, so whatever is lost here (a dropped call, an evicted segment) costs time and nothing else.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use segport_sdk::{Error, ErrorKind, Page, Result};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::page::PageLimit;
use crate::place::Root;
use crate::segment::Segment;
use crate::settings::Read;

/// Segments kept open at most; the oldest makes room.
const KEPT: usize = 4;

/// Reads segments below one root.
pub(crate) struct Readers {
    root: Root,
    limit: PageLimit,
    kept: Mutex<VecDeque<Kept>>,
}

/// A segment that stands at a cursor.
struct Kept {
    read: Read,
    cursor: Option<String>,
    segment: Ready,
}

enum Ready {
    /// Opened, nothing read yet.
    Open(Box<Segment>),
    /// The page at the cursor is being read, or is ready.
    Ahead(JoinHandle<(Box<Segment>, Result<Page>)>),
}

impl Readers {
    pub(crate) fn new(root: Root, limit: PageLimit) -> Self {
        Self { root, limit, kept: Mutex::new(VecDeque::new()) }
    }

    /// Opens a segment and keeps it for the first page.
    ///
    /// # Errors
    /// What is wrong with `read` or the files.
    pub(crate) async fn schema(&self, read: &Read) -> Result<arrow_schema::SchemaRef> {
        let (root, limit, wanted) = (self.root.clone(), self.limit, read.clone());
        let segment = off_thread(move || Segment::open(&root, &wanted, None, limit)).await??;
        let schema = segment.schema();
        self.keep(Kept { read: read.clone(), cursor: None, segment: Ready::Open(Box::new(segment)) });
        Ok(schema)
    }

    /// The page at `cursor`; the one after it begins to be read.
    ///
    /// # Errors
    /// What makes the segment unreadable from here on.
    pub(crate) async fn page(&self, read: &Read, cursor: Option<&str>) -> Result<Page> {
        let (mut segment, page) = match self.take(read, cursor) {
            Some(Ready::Ahead(page)) => page.await.map_err(lost)?,
            Some(Ready::Open(segment)) => self.first_page(read, segment).await?,
            None => {
                let (root, limit, read, cursor) =
                    (self.root.clone(), self.limit, read.clone(), cursor.map(str::to_owned));
                off_thread(move || {
                    let mut segment = Box::new(Segment::open(&root, &read, cursor.as_deref(), limit)?);
                    let page = segment.page();
                    Ok((segment, page))
                })
                .await??
            }
        };
        let page = page?;
        if let Some(next) = &page.next {
            let ahead = spawn_blocking(move || {
                let page = segment.page();
                (segment, page)
            });
            self.keep(Kept { read: read.clone(), cursor: Some(next.clone()), segment: Ready::Ahead(ahead) });
        }
        Ok(page)
    }

    /// A read that begins now takes the files as they are now, not as they were when the schema was asked for.
    async fn first_page(&self, read: &Read, mut segment: Box<Segment>) -> Result<(Box<Segment>, Result<Page>)> {
        let (root, limit, read) = (self.root.clone(), self.limit, read.clone());
        off_thread(move || {
            if !segment.is_current() {
                *segment = Segment::open(&root, &read, None, limit)?;
            }
            let page = segment.page();
            Ok((segment, page))
        })
        .await?
    }

    fn keep(&self, fresh: Kept) {
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(fresh);
    }

    fn take(&self, read: &Read, cursor: Option<&str>) -> Option<Ready> {
        let mut kept = self.lock();
        let at = kept.iter().position(|kept| kept.cursor.as_deref() == cursor && kept.read == *read)?;
        kept.remove(at).map(|kept| kept.segment)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        // The list is whole between any two statements above.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(lost)
}

/// What the thread said when it broke off may hold a profile's data.
fn lost(_: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "reading a file was cut off")
}
