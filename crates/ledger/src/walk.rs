//! The pages of an export's state from the newest to the oldest.

use crate::page::{Page, PageKind};
use crate::{Result, Snapshot};

/// Where a walk through the pages of a snapshot is.
#[derive(Debug, Default)]
pub(crate) struct Walk(Option<Rest>);

/// Pages before `next` down to `first` are still to be read.
#[derive(Debug, Clone, Copy)]
struct Rest {
    next: i64,
    first: i64,
}

impl Walk {
    /// The next page of the snapshot's state, or of what a later run made of it; `None` after the oldest.
    pub(crate) async fn page(&mut self, snapshot: &Snapshot) -> Result<Option<Page<Vec<u8>>>> {
        let Snapshot { database, export, line, .. } = snapshot;
        loop {
            let Rest { next, first } = self.0.unwrap_or(Rest { next: line.next_page, first: line.first_page });
            if next <= first {
                return Ok(None);
            }
            let number = next - 1;
            if let Some(page) = database.keeper.look().await?.page_at(export, number).await? {
                match page.kind() {
                    Some(kind) if kind.is_state() => {
                        self.0 = Some(Rest { next: number, first });
                        return Ok(Some(page));
                    }
                    Some(PageKind::Untried) => {
                        self.0 = Some(Rest { next: number, first });
                        continue;
                    }
                    // Folded history says what a run did, not what is held.
                    _ => {}
                }
            }
            // A run that ended since the snapshot was taken may have folded the pages. What it made of them serves as well for
            // whoever takes no row twice.
            let current = database.keeper.look().await?.export(export).await?;
            match current.filter(|current| current.first_page > first) {
                Some(current) => self.0 = Some(Rest { next: current.next_page, first: current.first_page }),
                None => return Err(database.missing(export, number)),
            }
        }
    }
}
