//! Cutting what waits in the outbox into parcels, each the rows of one call, and writing down that they are about to be sent.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use segport_core::rows::EncodedRows;
use segport_core::{Error, ErrorKind, Result, Workload};
use segport_ledger::{Identity, Index, Intent, Journal, Leaver, Memberships};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::batch_size::{BatchSize, Cut, Filled};
use crate::broken_off::BrokenOff;
use crate::outbox::{Block, Bundle, Ticket};
use crate::parcel::{Links, Listed, Parcel, picked};
use crate::room::Room;

/// Bytes of rows that may be loose. Beyond that those of the kinds that have most go in calls that are not full: it takes hundreds
/// of kinds, or some of wide rows.
pub(crate) const MOST_LOOSE: usize = 16 << 20;

/// Bytes of the rows that may be on their way, from their intents to their outcomes. In the plugin and in a request they take as
/// much again, several times.
pub(crate) const MOST_ON_THEIR_WAY: u32 = 32 << 20;

/// Cuts what waits in the outbox into parcels and writes down, block by block, that they are about to be sent.
#[derive(Debug)]
pub(crate) struct Packer<'a> {
    pub(crate) index: &'a Index,
    pub(crate) journal: &'a Journal,
    pub(crate) batch: BatchSize,
    /// The export's segments.
    pub(crate) segments: &'a [Listed],
    /// [`MOST_LOOSE`], unless a test has less.
    pub(crate) most_loose: usize,
    /// For [`MOST_ON_THEIR_WAY`], unless a test has less.
    pub(crate) room: &'a Room,
    /// Segments whose lists took the place of others: no membership that was acknowledged is one of theirs.
    pub(crate) replaced: Memberships,
}

/// A parcel that may be sent, and the room that it takes until it has its outcomes.
pub(crate) type Dispatched = (Parcel, Option<OwnedSemaphorePermit>);

impl Packer<'_> {
    /// Sends the parcels of every block into `parcels`. If nobody takes them any more, it returns the rows of the blocks it took
    /// that were not sent.
    pub(crate) async fn pack_rows(
        &self,
        mut next_block: impl FnMut() -> Option<Result<Block>>,
        parcels: &mpsc::Sender<Dispatched>,
    ) -> Result<Vec<Ticket>, BrokenOff> {
        let mut loose = Loose::default();
        while let Some(block) = next_block() {
            let rest = self.dispatch(self.cut(block?, &mut loose).await?, parcels).await?;
            if rest.len() > 0 {
                let loose = loose.0.into_values().flat_map(|waiting| waiting.bundles);
                return Ok(loose
                    .flat_map(|bundle| bundle.tickets)
                    .chain(rest.flat_map(Parcel::into_tickets))
                    .collect());
            }
        }
        let rest = self.dispatch(self.tie_all(loose)?, parcels).await?;
        Ok(rest.flat_map(Parcel::into_tickets).collect())
    }

    /// Sends the removal of leavers of one segment into `parcels`; returns those that nobody took.
    pub(crate) async fn pack_leavers(
        &self,
        segment: Listed,
        leavers: Vec<Leaver>,
        parcels: &mpsc::Sender<Dispatched>,
    ) -> Result<Vec<Leaver>, BrokenOff> {
        let mut rest = leavers.into_iter().peekable();
        let mut packed = Vec::new();
        while rest.peek().is_some() {
            packed.push(Parcel::Remove { leavers: rest.by_ref().take(self.batch.rows).collect(), segment });
        }
        let rest = self.dispatch(packed, parcels).await?;
        Ok(rest.flat_map(Parcel::into_leavers).collect())
    }

    /// Writes intents of half as many parcels as may wait in one commit, or as there is room for, then sends those, while the other
    /// half is taken: where parcels are taken slowly, few may wait, and few are in doubt if the run dies. Returns what nobody took;
    /// there is no intent for that.
    async fn dispatch(
        &self,
        packed: Vec<Parcel>,
        parcels: &mpsc::Sender<Dispatched>,
    ) -> Result<impl ExactSizeIterator<Item = Parcel> + use<>, BrokenOff> {
        let mut rest = packed.into_iter();
        while let Some(first) = rest.as_slice().first() {
            let taken = self.room.take(first.bytes()).await;
            let half = parcels.max_capacity().div_ceil(2);
            let Ok(places) = parcels.reserve_many(half.min(rest.len())).await else { break };
            let mut next: Vec<Dispatched> = rest.next().map(|first| (first, taken)).into_iter().collect();
            // None of these is on its way yet, so none may wait for the room that another has.
            while next.len() < places.len()
                && let Some(parcel) = rest.as_slice().first()
                && let Some(taken) = self.room.try_take(parcel.bytes())
            {
                next.extend(rest.next().map(|parcel| (parcel, Some(taken))));
            }
            let intents: Vec<Intent> = next.iter().flat_map(|(parcel, _)| parcel.intents()).collect();
            self.journal.intend(&intents).await.map_err(BrokenOff::Unwritten)?;
            places.zip(next).for_each(|(place, parcel)| place.send(parcel));
        }
        Ok(rest)
    }

    /// Rows that must gain the same memberships go together, those in doubt apart from the others. What does not fill a call
    /// is loose until another block has more of its kind.
    async fn cut(&self, block: Block, loose: &mut Loose) -> Result<Vec<Parcel>> {
        let groups = self.group(&block).await?;
        let mut parcels = Vec::new();
        if let Some(alike) = groups.keys().next().copied().filter(|_| groups.len() == 1) {
            for bundle in block {
                if bundle.tickets.len() == self.batch.rows {
                    parcels.extend(self.tie(alike, vec![bundle])?);
                } else {
                    parcels.extend(self.fill(alike, &bundle.rows.decode()?, &bundle.tickets, loose)?);
                }
            }
        } else if let Some(rows) = united(&block)? {
            let tickets: Vec<Ticket> = block.iter().flat_map(|bundle| &bundle.tickets).copied().collect();
            for (alike, places) in groups {
                let of_places = places.iter().filter_map(|&row| tickets.get(row as usize).copied());
                parcels.extend(self.fill(alike, &picked(&rows, &places)?, &of_places.collect::<Vec<_>>(), loose)?);
            }
        }
        for (alike, bundles) in loose.take_beyond(self.most_loose) {
            parcels.extend(self.tie(alike, bundles)?);
        }
        Ok(parcels)
    }

    /// The rows of a block by what they have in common.
    async fn group(&self, block: &Block) -> Result<BTreeMap<Alike, Vec<u32>>> {
        let mut groups: BTreeMap<Alike, Vec<u32>> = BTreeMap::new();
        let tickets: Vec<&Ticket> = block.iter().flat_map(|bundle| &bundle.tickets).collect();
        let mut rows = 0..;
        for ahead in tickets.chunks(Index::AHEAD) {
            if !ahead.iter().all(|ticket| self.is_plain(ticket)) {
                let identities: Vec<Identity> = ahead.iter().map(|ticket| ticket.identity).collect();
                self.index.warm(&identities);
                // Where the index is in files this may take long, and answers wait for the same task.
                tokio::task::yield_now().await;
            }
            for (ticket, row) in ahead.iter().zip(&mut rows) {
                let alike = Alike { in_doubt: ticket.in_doubt, links: self.links(ticket)? };
                groups.entry(alike).or_default().push(row);
            }
        }
        Ok(groups)
    }

    /// Adds rows to those that are loose of their kind. Gives parcels of those that fill a call, or leave no room in it for the
    /// next one.
    fn fill(&self, alike: Alike, rows: &RecordBatch, tickets: &[Ticket], loose: &mut Loose) -> Result<Vec<Parcel>> {
        let mut parcels = Vec::new();
        let (mut rest, mut tickets) = (rows.clone(), tickets.iter().copied());
        while rest.num_rows() > 0 {
            let waiting = loose.0.entry(alike).or_default();
            let Cut { rows, filled, is_full } = self.batch.cut(waiting.filled, &mut rest);
            if rows.num_rows() > 0 {
                let tickets = tickets.by_ref().take(rows.num_rows()).collect();
                waiting.bundles.push(Bundle { rows: EncodedRows::new(&rows)?, tickets });
                waiting.filled = filled;
            }
            if is_full {
                parcels.extend(self.tie(alike, std::mem::take(waiting).bundles)?);
            }
        }
        Ok(parcels)
    }

    /// One parcel of the rows of some bundles; `None` if there are none.
    fn tie(&self, alike: Alike, mut bundles: Vec<Bundle>) -> Result<Option<Parcel>> {
        let label = self.label(alike);
        if bundles.len() > 1 {
            let Some(rows) = united(&bundles)? else { return Ok(None) };
            let tickets = bundles.drain(..).flat_map(|bundle| bundle.tickets).collect();
            return Ok(Some(label.parcel(EncodedRows::new(&rows)?, tickets)));
        }
        Ok(bundles.pop().map(|Bundle { rows, tickets }| label.parcel(rows, tickets)))
    }

    /// Parcels of all that is loose.
    fn tie_all(&self, Loose(kinds): Loose) -> Result<Vec<Parcel>> {
        kinds.into_iter().filter_map(|(alike, waiting)| self.tie(alike, waiting.bundles).transpose()).collect()
    }

    /// What parcels of such rows have in common.
    fn label(&self, Alike { in_doubt, links }: Alike) -> Label {
        let positions = |of: Memberships| -> Vec<u16> {
            let segments = self.segments.iter().filter(|segment| of.contains(segment.number));
            segments.map(|segment| segment.position).collect()
        };
        Label { links, join: positions(links.join), rejoin: positions(links.rejoin), in_doubt }
    }

    /// The memberships that are sent with a row.
    fn links(&self, ticket: &Ticket) -> Result<Links> {
        match self.segments {
            [only] if self.is_plain(ticket) => Ok(Links { join: only.number.into(), rejoin: Memberships::NONE }),
            _ => {
                Ok(self.index.read_in(ticket.identity).map_err(Error::from)?.without_acknowledged(self.replaced).into())
            }
        }
    }

    /// Whether a row is like most rows of most first runs, so that it needs no look at the index.
    fn is_plain(&self, ticket: &Ticket) -> bool {
        self.segments.len() == 1 && ticket.added
    }
}

/// What the rows of a compared index come to once a [`Packer`] has cut them, if none is wide: each batch is full, but for one of
/// each kind.
pub(crate) fn workload(index: &Index, rows_per_batch: u64) -> Workload {
    let mut kinds: BTreeMap<Alike, u64> = BTreeMap::new();
    for alike in index.read_rows().filter(|alike| alike.differs) {
        let links = alike.read_in.into();
        *kinds.entry(Alike { in_doubt: alike.uncertain, links }).or_default() += alike.rows;
    }
    let mut workload = Workload::default();
    for (Alike { in_doubt, links }, rows) in kinds {
        let batches = rows.div_ceil(rows_per_batch);
        workload.rows += rows;
        workload.batches += batches;
        workload.batches_at_most += batches;
        workload.joins += rows * links.join.len() as u64;
        workload.rejoins += rows * links.rejoin.len() as u64;
        if in_doubt {
            workload.in_doubt += rows;
            workload.batches_in_doubt += batches;
        }
    }
    workload
}

/// Rows that do not fill a call yet, by what they have in common.
#[derive(Debug, Default)]
struct Loose(BTreeMap<Alike, Waiting>);

/// Those of one kind: fewer than a call takes.
#[derive(Debug, Default)]
struct Waiting {
    bundles: Vec<Bundle>,
    filled: Filled,
}

impl Waiting {
    /// How long their streams are.
    fn length(&self) -> usize {
        self.bundles.iter().map(|bundle| bundle.rows.stream().len()).sum()
    }
}

impl Loose {
    /// If streams are longer than `most` together: takes the kinds whose are longest, until those that stay are half as long. There
    /// may be as many kinds as rows, so they are not looked at again for each that is taken.
    fn take_beyond(&mut self, most: usize) -> Vec<(Alike, Vec<Bundle>)> {
        let mut kinds: Vec<(usize, Alike)> = self.0.iter().map(|(&alike, waiting)| (waiting.length(), alike)).collect();
        let mut length: usize = kinds.iter().map(|(length, _)| length).sum();
        if length <= most {
            return Vec::new();
        }
        kinds.sort_unstable_by_key(|&(length, _)| Reverse(length));
        let mut taken = Vec::new();
        for (of_kind, alike) in kinds {
            if length <= most / 2 {
                break;
            }
            length -= of_kind;
            taken.extend(self.0.remove(&alike).map(|waiting| (alike, waiting.bundles)));
        }
        taken
    }
}

/// What stands on every parcel of rows that are alike.
#[derive(Debug)]
struct Label {
    links: Links,
    join: Vec<u16>,
    rejoin: Vec<u16>,
    in_doubt: bool,
}

impl Label {
    fn parcel(&self, rows: EncodedRows, tickets: Vec<Ticket>) -> Parcel {
        let Self { links, join, rejoin, in_doubt } = self;
        Parcel::Upsert { rows, tickets, links: *links, join: join.clone(), rejoin: rejoin.clone(), in_doubt: *in_doubt }
    }
}

/// What the rows of a parcel have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    in_doubt: bool,
    links: Links,
}

/// The rows of these bundles, one after the other; `None` if there is no bundle.
fn united(bundles: &[Bundle]) -> Result<Option<RecordBatch>> {
    let parts = bundles.iter().map(|bundle| bundle.rows.decode()).collect::<Result<Vec<_>>>()?;
    let Some(first) = parts.first() else { return Ok(None) };
    let rows = arrow_select::concat::concat_batches(first.schema_ref(), &parts)
        .map_err(|error| Error::new(ErrorKind::Internal, "bundles that wait do not fit together").because(&error))?;
    Ok(Some(rows))
}

#[cfg(test)]
mod tests;
