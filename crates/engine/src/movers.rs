//! Leavers that may have a new address only: the row with their key is sent under another one in the same run.
//!
//! Whoever is taken off under the old address before the new one is on the list would be on none. So those whose row was not
//! delivered stay until it is.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use segport_ledger::{KeyHash, Leaver, Memberships};

/// The keys of leavers that are to be removed, and those of them whose row was not delivered.
///
/// Takes some sixteen bytes for each leaver.
#[derive(Debug, Default)]
pub(crate) struct Movers {
    of_leavers: HashSet<KeyHash>,
    /// In which segments the row is.
    undelivered: Mutex<HashMap<KeyHash, Memberships>>,
}

impl Movers {
    /// Notes that a leaver is to be removed.
    pub(crate) fn leave(&mut self, leaver: &Leaver) {
        self.of_leavers.insert(leaver.key);
    }

    /// Whether a row with this key may be that of a leaver.
    pub(crate) fn may_be(&self, key: KeyHash) -> bool {
        self.of_leavers.contains(&key)
    }

    /// Notes that the row with this key, which is in these segments, was not delivered.
    pub(crate) fn not_delivered(&self, key: KeyHash, segments: Memberships) {
        let mut undelivered = self.undelivered();
        let known = undelivered.entry(key).or_insert(Memberships::NONE);
        *known = known.union(segments);
    }

    /// Whether the leaver's row is still in the segment and was not delivered.
    pub(crate) fn stays(&self, leaver: &Leaver) -> bool {
        self.undelivered().get(&leaver.key).is_some_and(|segments| segments.contains(leaver.segment))
    }

    fn undelivered(&self) -> MutexGuard<'_, HashMap<KeyHash, Memberships>> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
