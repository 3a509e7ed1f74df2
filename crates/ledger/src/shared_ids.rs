//! Contacts that two identities lead to: the destination gave both the same id.
//!
//! So it is where somebody's address was corrected there too, or where a destination takes two addresses for one. Who is a leaver
//! under one identity may then still be in the segment under the other, and must not be taken off the list.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::destination_id::DestinationId;
use crate::walk::{Met, Walk};
use crate::{Memberships, PresentKeys, Result, SegmentNumber, Snapshot};

/// The destination's ids of leavers, and those of them that somebody has who is still in the segment.
///
/// Takes about twenty bytes for each leaver that has an id.
#[derive(Debug, Default)]
pub struct SharedIds {
    hasher: RandomState,
    of_leavers: HashSet<u64>,
    /// In which segments somebody is who has this id by what earlier runs know.
    before: Claims,
    /// The same by what this run was told.
    now: Mutex<Claims>,
}

type Claims = HashMap<u64, Memberships>;

impl SharedIds {
    /// Notes that a leaver has this id.
    pub fn leave(&mut self, id: &str) {
        let id = self.hash(&DestinationId::new(Some(id)));
        self.of_leavers.insert(id);
    }

    /// Whether no leaver has an id.
    pub fn is_empty(&self) -> bool {
        self.of_leavers.is_empty()
    }

    /// Whether anybody who is still there has the id of a leaver.
    pub fn has_claims(&self) -> bool {
        !self.before.is_empty()
    }

    /// Whether somebody in this segment had the id before this run, so that a leaver with the same must stay on its list.
    pub fn is_claimed(&self, id: &str, segment: SegmentNumber) -> bool {
        has(&self.before, self.hash(&DestinationId::new(Some(id))), segment)
    }

    /// Notes that the destination just gave this id to somebody in these segments.
    pub fn claim_now(&self, id: &str, segments: Memberships) {
        let id = self.hash(&DestinationId::new(Some(id)));
        if self.of_leavers.contains(&id) {
            add(&mut self.now(), id, segments);
        }
    }

    /// Whether the destination gave the id to somebody in this segment during this run.
    pub fn is_claimed_now(&self, id: &str, segment: SegmentNumber) -> bool {
        has(&self.now(), self.hash(&DestinationId::new(Some(id))), segment)
    }

    fn hash(&self, id: &DestinationId<'_>) -> u64 {
        self.hasher.hash_one(id)
    }

    fn now(&self) -> MutexGuard<'_, Claims> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has(claims: &Claims, id: u64, segment: SegmentNumber) -> bool {
    claims.get(&id).is_some_and(|segments| segments.contains(segment))
}

fn add(claims: &mut Claims, id: u64, segments: Memberships) {
    let known = claims.entry(id).or_insert(Memberships::NONE);
    *known = known.union(segments);
}

impl Snapshot {
    /// Finds out in which segments somebody is who has one of these ids; to be called when everything is read. Who is there by the
    /// key alone, since the row cannot be used, is there too; and who had the id once and has another one by now counts as well.
    ///
    /// # Errors
    /// If a page is damaged or cannot be read.
    pub async fn find_claims(&self, present: &PresentKeys, ids: &mut SharedIds) -> Result<()> {
        let current = self.current();
        let mut walk = Walk::default();
        while let Some(page) = walk.page(self).await? {
            for Met { identity, value, id, .. } in walk.acknowledged(self, &page)? {
                if !id.is_some() {
                    continue;
                }
                let id = ids.hash(&id);
                if !ids.of_leavers.contains(&id) {
                    continue;
                }
                let standing = self.index.find(identity)?.map(|(_, standing)| standing).unwrap_or_default();
                let mut segments = standing.seen.union(standing.present);
                if !self.index.has_changed_hands(identity, value.key)? {
                    segments = segments.union(present.of(value.key));
                }
                let segments = segments.intersection(current);
                if !segments.is_empty() {
                    add(&mut ids.before, id, segments);
                }
            }
        }
        Ok(())
    }
}
