//! Who is no longer in a segment.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::destination_id::DestinationId;
use crate::page::Page;
use crate::standing::Standing;
use crate::table::Place;
use crate::walk::{Met, Walk};
use crate::{Identity, KeyHash, Memberships, Result, SegmentNumber, Snapshot};

/// One membership that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    /// Whose row.
    pub identity: Identity,
    /// Hash of its key in the source: the one that this run has read, or else the last one that is on record.
    pub key: KeyHash,
    /// The segment it left; possibly one that was dropped from the manifest.
    pub segment: SegmentNumber,
    /// The destination's own id of the row, where it ever gave one while the export had this segment.
    pub destination_id: Option<String>,
    /// Whether this run was asked to consider the row ([`Snapshot::ask_about`]).
    pub asked: bool,
    /// Whether the destination has ids of its own, and gave none with which the row could be taken off: it was sent to the account
    /// that the export has now, and was acknowledged at others only.
    pub is_out_of_reach: bool,
}

/// Collects the keys of rows that are in a segment but cannot be delivered: eight bytes each.
#[derive(Debug, Clone, Default)]
pub struct Present(BTreeMap<SegmentNumber, Vec<KeyHash>>);

impl Present {
    /// Notes that the row with this key is in `segment`.
    pub fn add(&mut self, segment: SegmentNumber, key: KeyHash) {
        self.0.entry(segment).or_default().push(key);
    }
}

/// Keys of rows that are in a segment but cannot be delivered, so that they are not taken for leavers.
#[derive(Debug, Clone, Default)]
pub struct PresentKeys {
    /// In ascending order.
    by_segment: BTreeMap<SegmentNumber, Vec<KeyHash>>,
}

impl From<Present> for PresentKeys {
    fn from(Present(mut by_segment): Present) -> Self {
        by_segment.values_mut().for_each(|keys| keys.sort_unstable());
        Self { by_segment }
    }
}

impl PresentKeys {
    pub(crate) fn of(&self, key: KeyHash) -> Memberships {
        let segments = self.by_segment.iter().filter(|(_, keys)| keys.binary_search(&key).is_ok());
        segments.map(|(segment, _)| *segment).collect()
    }
}

/// Reads leavers in chunks, from [`crate::Snapshot::leavers`].
///
/// Keys and the destination's ids are not in memory, so this walks through the pages from the newest to the oldest: of the records
/// of a row the first that is met tells its key, and the first with an id of the export's account now its id.
#[derive(Debug)]
pub struct Leavers<'a> {
    snapshot: &'a Snapshot,
    present: &'a PresentKeys,
    walk: Walk,
    /// A bit for each place of the index, set once its row is dealt with.
    met: Vec<u64>,
    /// The newest key of each row whose records so far have no id of the account that the export has now.
    keys: HashMap<Identity, KeyHash>,
    found: VecDeque<Leaver>,
}

impl<'a> Leavers<'a> {
    /// Most leavers in one chunk.
    pub const CHUNK: usize = 4096;

    pub(crate) fn new(snapshot: &'a Snapshot, present: &'a PresentKeys) -> Self {
        Self {
            snapshot,
            present,
            walk: Walk::default(),
            met: vec![0; snapshot.index.places().div_ceil(64)],
            keys: HashMap::new(),
            found: VecDeque::new(),
        }
    }

    /// The next chunk, at most [`Leavers::CHUNK`] leavers in a stable order; `None` after the last.
    ///
    /// # Errors
    /// If a page is damaged or cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Leaver>>> {
        while self.found.is_empty() {
            if self.snapshot.index.leavers_at_most() == 0 {
                return Ok(None);
            }
            let leavers = match self.walk.page(self.snapshot).await? {
                Some(page) => self.leavers(&page)?,
                None if self.keys.is_empty() => return Ok(None),
                None => self.without_id()?,
            };
            self.found.extend(leavers);
        }
        let chunk = self.found.len().min(Self::CHUNK);
        Ok(Some(self.found.drain(..chunk).collect()))
    }

    /// The leavers whose newest record is in this page, the newest first.
    fn leavers(&mut self, page: &Page<Vec<u8>>) -> Result<Vec<Leaver>> {
        let mut leavers = Vec::new();
        for Met { identity, value, id, is_certain } in self.walk.acknowledged(self.snapshot, page)? {
            let Some(behind) = self.left_behind(identity)? else { continue };
            let id = if is_certain { id } else { DestinationId::None };
            if behind.needs_id && !id.is_some() {
                self.keys.entry(identity).or_insert(value.key);
                continue;
            }
            let key = self.keys.remove(&identity).unwrap_or(value.key);
            self.leave(&mut leavers, identity, key, &behind, id)?;
        }
        Ok(leavers)
    }

    /// Those of whom the account that the export has now gave no id.
    fn without_id(&mut self) -> Result<Vec<Leaver>> {
        let mut rest: Vec<_> = self.keys.drain().collect();
        rest.sort_unstable_by_key(|(identity, _)| *identity);
        let mut leavers = Vec::new();
        for (identity, key) in rest {
            if let Some(behind) = self.left_behind(identity)? {
                let out_of_reach = behind.possible.intersection(self.snapshot.current());
                self.leave(&mut leavers, identity, key, &Behind { out_of_reach, ..behind }, DestinationId::None)?;
            }
        }
        Ok(leavers)
    }

    /// Adds the segments that a row has left; it is not met again.
    fn leave(
        &mut self,
        leavers: &mut Vec<Leaver>,
        identity: Identity,
        key: KeyHash,
        &Behind { place, segments, out_of_reach, asked, .. }: &Behind,
        id: DestinationId<'_>,
    ) -> Result<()> {
        self.meet(place);
        // Where the former owner of an address is, the address need not be any more.
        let key = self.snapshot.index.key_read(identity)?.unwrap_or(key);
        let present = self.present.of(key);
        leavers.extend(segments.without(present).iter().map(|segment| Leaver {
            identity,
            key,
            segment,
            destination_id: id.to_text(),
            asked,
            is_out_of_reach: out_of_reach.contains(segment),
        }));
        Ok(())
    }

    /// Whether the export still has one of these segments, and so the account that they belong to.
    fn is_current(&self, segments: Memberships) -> bool {
        !segments.intersection(self.snapshot.current()).is_empty()
    }

    /// What a row has left; `None` if it is no leaver, or was met.
    fn left_behind(&self, identity: Identity) -> Result<Option<Behind>> {
        let Some((place, standing)) = self.snapshot.index.find(identity)? else { return Ok(None) };
        let segments = standing.left_behind();
        let met = self.met.get(place.get() / 64).is_none_or(|word| word >> (place.get() % 64) & 1 == 1);
        let needs_id = standing.has_destination_id && self.is_current(segments);
        let Standing { asked, possible, .. } = standing;
        let out_of_reach = Memberships::NONE;
        Ok((!met && !segments.is_empty()).then_some(Behind {
            place,
            segments,
            possible,
            out_of_reach,
            needs_id,
            asked,
        }))
    }

    fn meet(&mut self, place: Place) {
        if let Some(word) = self.met.get_mut(place.get() / 64) {
            *word |= 1 << (place.get() % 64);
        }
    }
}

/// A row that is no longer in some segments.
#[derive(Debug, Clone, Copy)]
struct Behind {
    place: Place,
    segments: Memberships,
    /// Those of them in which it was not acknowledged since something was last sent.
    possible: Memberships,
    /// Those of them of which it cannot be taken off, for want of an id.
    out_of_reach: Memberships,
    /// It must be taken off a list, and a destination once gave an id of its own.
    needs_id: bool,
    asked: bool,
}
