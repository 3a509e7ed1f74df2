//! The pages of an export's state from the newest to the oldest.

use crate::codec::{Acknowledged, Stored};
use crate::destination_id::DestinationId;
use crate::page::{Page, PageKind};
use crate::{Identity, Memberships, Result, Snapshot};

/// Where a walk through the pages of a snapshot is.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    rest: Option<Rest>,
    /// Segments whose lists were found gone in a page that was met already: what an older record says of them was so at lists, and
    /// perhaps at an account, that are not the export's any more.
    vacated: Memberships,
}

/// What a record says that was acknowledged of a row.
#[derive(Debug)]
pub(crate) struct Met<'a> {
    pub(crate) identity: Identity,
    pub(crate) value: Acknowledged,
    /// The destination's id of it; where the export has none of the lists any more that it had then, that of another account.
    pub(crate) id: DestinationId<'a>,
}

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
            let Rest { next, first } = self.rest.unwrap_or(Rest { next: line.next_page, first: line.first_page });
            if next <= first {
                return Ok(None);
            }
            let number = next - 1;
            if let Some(page) = database.keeper.look().await?.page_at(export, number).await? {
                match page.kind() {
                    Some(kind) if kind.is_state() => {
                        self.rest = Some(Rest { next: number, first });
                        return Ok(Some(page));
                    }
                    Some(PageKind::Untried) => {
                        self.rest = Some(Rest { next: number, first });
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
                Some(current) => self.rest = Some(Rest { next: current.next_page, first: current.first_page }),
                None => return Err(database.missing(export, number)),
            }
        }
    }

    /// What was acknowledged by the records of a page, the newest first; to be called once with each page of the walk. An id that is
    /// not of the account that the export has now is left out: another account's id of somebody is somebody else's here.
    pub(crate) fn acknowledged<'p>(&mut self, snapshot: &Snapshot, page: &'p Page<Vec<u8>>) -> Result<Vec<Met<'p>>> {
        let (current, mut found) = (snapshot.current(), Vec::new());
        // Those of records of this page, each with how many were met before it.
        let mut vacated = Vec::new();
        for record in page.records() {
            let record = record.map_err(|_| snapshot.database.unreadable(&snapshot.export, page.number))?;
            match record {
                Stored::Done { identity, value, id, at, .. } | Stored::Held { identity, value, id, at, .. } => {
                    found.push((Met { identity, value, id }, at));
                }
                Stored::Vacated(lists) => vacated.push((found.len(), lists)),
                _ => {}
            }
        }
        let mut met = Vec::with_capacity(found.len());
        while let Some((acknowledged, at)) = found.pop() {
            while let Some((_, lists)) = vacated.pop_if(|(before, _)| *before > found.len()) {
                self.vacated = self.vacated.union(lists);
            }
            let is_current = !at.without(self.vacated).intersection(current).is_empty();
            met.push(Met { id: if is_current { acknowledged.id } else { DestinationId::None }, ..acknowledged });
        }
        vacated.into_iter().for_each(|(_, lists)| self.vacated = self.vacated.union(lists));
        Ok(met)
    }
}
