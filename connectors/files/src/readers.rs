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
    place: Place,
    segment: Ready,
}

/// Where a segment stands.
#[derive(Debug, PartialEq)]
enum Place {
    /// Before its first page, with all columns.
    Start,
    /// At a cursor, with the columns that are used.
    At { columns: Option<Vec<String>>, cursor: String },
}

impl Place {
    fn new(columns: Option<&[String]>, cursor: Option<&str>) -> Self {
        match cursor {
            None => Self::Start,
            Some(cursor) => Self::At { columns: columns.map(<[String]>::to_vec), cursor: cursor.to_owned() },
        }
    }
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
        self.keep(Kept { read: read.clone(), place: Place::Start, segment: Ready::Open(Box::new(segment)) });
        Ok(schema)
    }

    /// The page at `cursor`, with these columns at least; the one after it begins to be read.
    ///
    /// # Errors
    /// What makes the segment unreadable from here on.
    pub(crate) async fn page(&self, read: &Read, columns: Option<&[String]>, cursor: Option<&str>) -> Result<Page> {
        let (mut segment, page) = match self.take(read, &Place::new(columns, cursor)) {
            Some(Ready::Ahead(page)) => page.await.map_err(lost)?,
            Some(Ready::Open(segment)) => self.open_page(read, columns, Some(segment), None).await?,
            None => self.open_page(read, columns, None, cursor).await?,
        };
        let page = page?;
        if let Some(next) = &page.next {
            let place = Place::new(columns, Some(next));
            let ahead = spawn_blocking(move || {
                let page = segment.page();
                (segment, page)
            });
            self.keep(Kept { read: read.clone(), place, segment: Ready::Ahead(ahead) });
        }
        Ok(page)
    }

    /// The page at `cursor` of a segment that is opened for it, or was for its schema: a read that begins now takes the files as they
    /// are now, not as they were then.
    async fn open_page(
        &self,
        read: &Read,
        columns: Option<&[String]>,
        opened: Option<Box<Segment>>,
        cursor: Option<&str>,
    ) -> Result<(Box<Segment>, Result<Page>)> {
        let (root, limit, read) = (self.root.clone(), self.limit, read.clone());
        let (columns, cursor) = (columns.map(<[String]>::to_vec), cursor.map(str::to_owned));
        off_thread(move || {
            let mut segment = match opened.filter(|segment| segment.is_current()) {
                Some(segment) => segment,
                None => Box::new(Segment::open(&root, &read, cursor.as_deref(), limit)?),
            };
            if let Some(columns) = columns {
                segment.keep_only(&columns, limit);
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

    fn take(&self, read: &Read, place: &Place) -> Option<Ready> {
        let mut kept = self.lock();
        let at = kept.iter().position(|kept| kept.place == *place && kept.read == *read)?;
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
