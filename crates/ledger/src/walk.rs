//! The pages of an export's state from the newest to the oldest.

use crate::codec::{Acknowledged, Stored};
use crate::destination_id::DestinationId;
use crate::page::{Page, PageKind};
use crate::{Identity, Memberships, Result, Snapshot};

/// Where a walk through the pages of a snapshot is.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    rest: Option<Rest>,
    gone: Gone,
}

/// Of which segments an older record than those that were met speaks of other lists than the export has now.
#[derive(Debug, Clone, Copy, Default)]
struct Gone {
    /// At another account, or perhaps at one.
    lists: Memberships,
    /// At another account.
    account: Memberships,
}

impl Gone {
    fn add(&mut self, newer: Self) {
        self.lists = self.lists.union(newer.lists);
        self.account = self.account.union(newer.account);
    }
}

/// What a record says that was acknowledged of a row.
#[derive(Debug)]
pub(crate) struct Met<'a> {
    pub(crate) identity: Identity,
    pub(crate) value: Acknowledged,
    /// The destination's id of it, unless that is one of another account: such an id is somebody else's here.
    pub(crate) id: DestinationId<'a>,
    /// Whether the id is surely one of the account that the export has now: it has a list still that it had then.
    pub(crate) is_certain: bool,
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
                Some(current) => {
                    *self = Self {
                        rest: Some(Rest { next: current.next_page, first: current.first_page }),
                        gone: Gone::default(),
                    };
                }
                None => return Err(database.missing(export, number)),
            }
        }
    }

    /// What was acknowledged by the records of a page, the newest first; to be called once with each page of the walk.
    pub(crate) fn acknowledged<'p>(&mut self, snapshot: &Snapshot, page: &'p Page<Vec<u8>>) -> Result<Vec<Met<'p>>> {
        let (current, mut found) = (snapshot.current(), Vec::new());
        // What records of this page say of older ones, each with how many of those stand before it.
        let mut gone = Vec::new();
        for record in page.records() {
            let record = record.map_err(|_| snapshot.database.unreadable(&snapshot.export, page.number))?;
            match record {
                Stored::Done { identity, value, id, at, .. } | Stored::Held { identity, value, id, at, .. } => {
                    found.push((identity, value, id, at));
                }
                Stored::Vacated(lists) => gone.push((found.len(), Gone { lists, ..Gone::default() })),
                Stored::Moved(lists) => gone.push((found.len(), Gone { lists, account: lists })),
                _ => {}
            }
        }
        let mut met = Vec::with_capacity(found.len());
        while let Some((identity, value, id, at)) = found.pop() {
            while let Some((_, newer)) = gone.pop_if(|(before, _)| *before > found.len()) {
                self.gone.add(newer);
            }
            let is_of = |gone: Memberships| !at.without(gone).intersection(current).is_empty();
            let id = if is_of(self.gone.account) { id } else { DestinationId::None };
            met.push(Met { identity, value, id, is_certain: is_of(self.gone.lists) });
        }
        gone.into_iter().for_each(|(_, newer)| self.gone.add(newer));
        Ok(met)
    }
}
