//! Reading a segment: pages in order, the next one under way while the last is worked on.

use std::sync::Arc;
use std::time::Duration;

use segport_core::{Error, ErrorKind, Page, Result};
use segport_host::SourceInstance;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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

/// The pages of one reading. Dropping it ends the reading.
#[derive(Debug)]
pub(crate) struct Pages {
    pages: mpsc::Receiver<Result<Page>>,
    reader: JoinHandle<()>,
}

impl SegmentReader {
    /// The names of the segment's columns.
    pub(crate) async fn columns(&self) -> Result<Vec<String>> {
        let schema = self.source.schema("", &self.read, PAGE_TIMEOUT).await?;
        Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
    }

    /// Starts reading from the beginning.
    pub(crate) fn start(&self, run: &str) -> Pages {
        // One page waits and one is being made: the source works while the engine does, and memory stays bounded.
        let (sender, pages) = mpsc::channel(1);
        let (segment, run) = (self.clone(), run.to_owned());
        let reader = tokio::spawn(async move {
            let mut cursor: Option<String> = None;
            loop {
                let page = segment.source.read(&run, &segment.read, cursor.as_deref(), PAGE_TIMEOUT).await;
                let next = match &page {
                    Ok(page) => page.next.clone(),
                    Err(_) => None,
                };
                let is_stuck = next.is_some() && next == cursor;
                if sender.send(page).await.is_err() {
                    return;
                }
                match next {
                    Some(_) if is_stuck => {
                        let error =
                            Error::new(ErrorKind::Contract, "the source gave the same page twice; it would never end");
                        // The receiver may have been dropped in the meantime, and then nobody needs to know.
                        sender.send(Err(error)).await.ok();
                        return;
                    }
                    Some(next) => cursor = Some(next),
                    None => return,
                }
            }
        });
        Pages { pages, reader }
    }
}

impl Pages {
    /// The next page; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Result<Page>> {
        self.pages.recv().await
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
