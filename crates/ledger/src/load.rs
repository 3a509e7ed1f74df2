//! Loading an index from pages. Of a large ledger one thread reads and decodes them, and another one applies what they say: to find
//! millions of rows in an index takes longer than to read them.

use std::panic::resume_unwind;

use futures::TryStreamExt;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::access::{Access, ExportLine};
use crate::codec::{Acknowledged, Stored, StoredRow};
use crate::database::Database;
use crate::page::{Page, PageKind};
use crate::standing::Standing;
use crate::{Error, Identity, Index, Intent, Memberships, Result, Undelivered, Whose};

/// Pages that are applied where they are read: with so few, some million rows, another thread gains little. A simulation, which has
/// one thread only, stays far below.
const FEW_PAGES: u64 = 512;

/// Decoded pages that may wait to be applied; one takes less than a megabyte.
const AHEAD: usize = 4;

/// Applies the pages that make up an export's state to an empty index; returns how many records they hold.
pub(crate) async fn load(
    database: &Database,
    view: &mut (dyn Access + '_),
    export: &str,
    line: &ExportLine,
    mut index: Index,
) -> Result<(Index, u64)> {
    index.reserve(view.estimated_rows(export, line.first_page, line.next_page).await?)?;
    let mut applier = Applier::new(index, line.next_page.abs_diff(line.first_page));
    let mut records = 0;
    let mut run = None;
    let mut pages = database.pages(view, export, line.first_page, line.next_page);
    while let Some(page) = pages.try_next().await? {
        let unreadable = || database.unreadable(export, page.number);
        match page.kind() {
            Some(kind) if kind.is_state() => {}
            Some(PageKind::Untried) => continue,
            _ => return Err(unreadable()),
        }
        let is_of_another_run = run.replace(page.run).is_some_and(|before| before != page.run);
        let effects = effects(&page, is_of_another_run).ok_or_else(unreadable)?;
        records += page.rows.unsigned_abs();
        if !applier.apply(effects).await? {
            break;
        }
    }
    let mut index = applier.finish().await?;
    index.run_over();
    Ok((index, records))
}

/// What a record changes in an index.
#[derive(Debug)]
enum Effect {
    /// The run is over whose records stand before.
    RunOver,
    Intended(Intent),
    Done {
        identity: Identity,
        value: Acknowledged,
        memberships: Memberships,
        has_destination_id: bool,
    },
    Left {
        identity: Identity,
        memberships: Memberships,
    },
    Undelivered {
        identity: Identity,
        outcome: Undelivered,
    },
    Held {
        identity: Identity,
        value: Acknowledged,
        standing: Standing,
    },
    Renewed,
    Vacated(Memberships),
    Moved(Memberships),
}

/// What a page changes; `None` if it holds something else than records.
fn effects(page: &Page<Vec<u8>>, is_of_another_run: bool) -> Option<Vec<Effect>> {
    let mut effects = Vec::with_capacity(usize::try_from(page.rows).unwrap_or(0).min(page.body.len()) + 1);
    effects.extend(is_of_another_run.then_some(Effect::RunOver));
    for record in page.records() {
        effects.extend(Effect::of(record.ok()?));
    }
    Some(effects)
}

impl Effect {
    /// `None` of a record that says nothing of what is held.
    fn of(record: Stored<'_>) -> Option<Self> {
        Some(match record {
            Stored::Intent(intent) => Self::Intended(intent),
            Stored::Done { identity, value, memberships, id, .. } => {
                Self::Done { identity, value, memberships, has_destination_id: id.is_some() }
            }
            Stored::Left { identity, memberships } => Self::Left { identity, memberships },
            Stored::Row(StoredRow { whose: Whose::Identity(identity), outcome, .. }) => {
                Self::Undelivered { identity, outcome }
            }
            Stored::Held { identity, value, standing, .. } => Self::Held { identity, value, standing },
            Stored::Renewed => Self::Renewed,
            Stored::Vacated(lists) => Self::Vacated(lists),
            Stored::Moved(lists) => Self::Moved(lists),
            Stored::Row(_) | Stored::Stayed(_) | Stored::Past { .. } => return None,
        })
    }

    /// Whom it is about.
    fn identity(&self) -> Option<Identity> {
        match *self {
            Self::Intended(Intent::Deliver { identity, .. } | Intent::Remove { identity, .. })
            | Self::Done { identity, .. }
            | Self::Left { identity, .. }
            | Self::Undelivered { identity, .. }
            | Self::Held { identity, .. } => Some(identity),
            Self::RunOver | Self::Renewed | Self::Vacated(_) | Self::Moved(_) => None,
        }
    }

    fn apply(self, index: &mut Index) -> Result<()> {
        match self {
            Self::RunOver => index.run_over(),
            Self::Intended(intent) => index.intend(&intent)?,
            Self::Done { identity, value, memberships, has_destination_id } => {
                index.done(identity, value, |standing| standing.done(memberships, has_destination_id))?;
            }
            Self::Left { identity, memberships } => index.left(identity, memberships)?,
            Self::Undelivered { identity, outcome } => index.undelivered(identity, outcome)?,
            Self::Held { identity, value, standing } => {
                index.done(identity, value, |current| {
                    // The ids of a row that has several stand before it.
                    let has_destination_id = standing.has_destination_id || current.has_destination_id;
                    *current = Standing { has_destination_id, ..standing };
                })?;
            }
            Self::Renewed => index.renew(),
            Self::Vacated(lists) => index.vacate(lists),
            Self::Moved(lists) => {
                index.renew();
                index.vacate(lists);
            }
        }
        Ok(())
    }
}

/// Applies what pages say to an index, here or elsewhere.
enum Applier {
    Here(Box<Index>),
    /// A thread has the index, and takes what is sent to it until nothing more is, or it fails.
    Elsewhere(mpsc::Sender<Vec<Effect>>, JoinHandle<Result<Index>>),
}

impl Applier {
    /// For so many pages.
    fn new(mut index: Index, pages: u64) -> Self {
        if pages <= FEW_PAGES {
            return Self::Here(Box::new(index));
        }
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        let applying = spawn_blocking(move || {
            while let Some(effects) = receiver.blocking_recv() {
                apply(&mut index, effects)?;
            }
            Ok(index)
        });
        Self::Elsewhere(sender, applying)
    }

    /// Takes more; `false` if that is no use any more, and [`Applier::finish`] tells why.
    async fn apply(&mut self, effects: Vec<Effect>) -> Result<bool> {
        match self {
            Self::Here(index) => apply(index, effects).map(|()| true),
            Self::Elsewhere(sender, _) => Ok(sender.send(effects).await.is_ok()),
        }
    }

    /// The index, once everything is applied.
    async fn finish(self) -> Result<Index> {
        match self {
            Self::Here(index) => Ok(*index),
            Self::Elsewhere(sender, applying) => {
                drop(sender);
                match applying.await {
                    Ok(index) => index,
                    Err(broken) => match broken.try_into_panic() {
                        Ok(panic) => resume_unwind(panic),
                        // The program is shutting down.
                        Err(_) => Err(Error::Closed),
                    },
                }
            }
        }
    }
}

fn apply(index: &mut Index, effects: Vec<Effect>) -> Result<()> {
    let mut effects = effects.into_iter();
    let mut ahead = Vec::with_capacity(Index::AHEAD);
    while !effects.as_slice().is_empty() {
        ahead.clear();
        ahead.extend(effects.as_slice().iter().take(Index::AHEAD).filter_map(Effect::identity));
        index.warm(&ahead);
        effects.by_ref().take(Index::AHEAD).try_for_each(|effect| effect.apply(index))?;
    }
    Ok(())
}
