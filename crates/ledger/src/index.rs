//! Who is held, in memory.

use crate::standing::{Standing, Standings};
use crate::table::{Entry, Place, Table};
use crate::{Fingerprint, Identity, Intent, KeyHash, Memberships, Record, SegmentNumber, Undelivered};

/// What a row that was read means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// The destination is not known to hold it: to be sent.
    New,
    /// Its payload differs from what was acknowledged, or what the destination holds is uncertain: to be sent.
    Changed,
    /// Its payload was acknowledged, but it must become a member of this segment: to be sent.
    MembershipGrew,
    /// The destination acknowledged just this.
    Unchanged,
    /// The same profile was read in an earlier segment of this run; its values come from there.
    SeenInEarlierSegment {
        /// It was [`Observation::Unchanged`] so far, and this segment is the reason to send it now. `false` if it needs
        /// nothing, or is to be sent anyway: its memberships are then united ([`Index::memberships_to_add`]).
        membership_grew: bool,
    },
    /// Another profile, or the same one in the same segment, had this identity first.
    Duplicate,
}

/// What the ledger knows of a row that was acknowledged, or that was about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    fingerprint: u64,
    /// The memberships that were acknowledged.
    pub memberships: Memberships,
    /// An intent has no outcome: the destination may hold something else, and the row is sent again.
    pub uncertain: bool,
}

impl Held {
    /// Whether this is the payload that was acknowledged.
    pub fn acknowledged(&self, fingerprint: Fingerprint) -> bool {
        !self.uncertain && !self.memberships.is_empty() && self.fingerprint == short(fingerprint)
    }
}

/// Every row of an export that the destination acknowledged or may hold, and every row read in this run: at most
/// [`Index::BYTES_A_ROW`] in memory for each.
///
/// Of a fingerprint 64 bits are kept, of a key 32. Two payloads of one identity are mistaken for equal with probability
/// 2⁻⁶⁴, and two profiles that share an identity in different segments for one profile with 2⁻³².
#[derive(Debug, Default)]
pub struct Index {
    rows: Table,
    standings: Standings,
}

impl Index {
    /// The most memory one row takes, in bytes.
    pub const BYTES_A_ROW: usize = 40;

    /// How many rows are best announced at a time with [`Index::warm`].
    pub const AHEAD: usize = 128;

    /// Announces rows that are about to be observed. Changes nothing but the time that takes.
    pub fn warm(&self, identities: &[Identity]) {
        self.rows.warm(identities);
    }

    /// Makes room for so many rows at once.
    pub(crate) fn reserve(&mut self, rows: u64) {
        self.rows.reserve(usize::try_from(rows).unwrap_or(usize::MAX));
    }

    /// Notes that a row was read, and says what that means. Rows come segment by segment, in the order of the manifest.
    pub fn observe(
        &mut self,
        identity: Identity,
        key: KeyHash,
        fingerprint: Fingerprint,
        segment: SegmentNumber,
    ) -> Observation {
        let place = self.rows.find_or_add(identity, Standings::NOTHING);
        let Some(row) = self.rows.get_mut(place) else { return Observation::New };
        let mut standing = self.standings.get(row.standing);
        let observation = if !standing.seen.is_empty() {
            if row.key != short_key(key) || standing.seen.contains(segment) {
                return Observation::Duplicate;
            }
            let membership_grew = !standing.sending && !standing.acknowledged.contains(segment);
            standing.sending |= membership_grew;
            Observation::SeenInEarlierSegment { membership_grew }
        } else {
            let observation = if !standing.held {
                Observation::New
            } else if standing.uncertain() || row.fingerprint != short(fingerprint) {
                Observation::Changed
            } else if !standing.acknowledged.contains(segment) {
                Observation::MembershipGrew
            } else {
                Observation::Unchanged
            };
            row.key = short_key(key);
            standing.sending = observation != Observation::Unchanged;
            observation
        };
        standing.seen = standing.seen.with(segment);
        row.standing = self.standings.number(standing);
        observation
    }

    /// Notes that a row with this identity is in `segment` but cannot be used, so that it is not taken for a leaver.
    pub fn keep(&mut self, identity: Identity, segment: SegmentNumber) {
        self.change(identity, |standing| standing.present = standing.present.with(segment));
    }

    /// What is held of a row; `None` if nothing was ever acknowledged or intended, or all of it has left.
    pub fn held(&self, identity: Identity) -> Option<Held> {
        let row = self.rows.get(self.rows.find(identity)?)?;
        let standing = self.standings.get(row.standing);
        standing.matters().then_some(Held {
            fingerprint: row.fingerprint,
            memberships: standing.acknowledged,
            uncertain: standing.uncertain(),
        })
    }

    /// The segments in which the row was read in this run, and in which no membership was acknowledged.
    pub fn memberships_to_add(&self, identity: Identity) -> Memberships {
        let standing = self.standing(identity);
        standing.seen.without(standing.acknowledged)
    }

    /// The segments in which the row was read in this run.
    pub fn seen(&self, identity: Identity) -> Memberships {
        self.standing(identity).seen
    }

    /// Takes an intent into account. A run need not do this, unless it goes on reading what it has begun to deliver.
    pub fn intend(&mut self, intent: &Intent) {
        match *intent {
            Intent::Deliver { identity, memberships } => {
                self.change_or_add(identity, |standing| standing.intend_delivery(memberships));
            }
            Intent::Remove { identity, memberships } => {
                self.change(identity, |standing| standing.intend_removal(memberships));
            }
        }
    }

    /// Takes an outcome into account. A run need not do this, unless it goes on reading what it has begun to deliver.
    pub fn settle(&mut self, record: &Record) {
        match record {
            Record::Done(done) => {
                self.done(done.identity, done.fingerprint, |standing| {
                    standing.done(done.memberships, done.destination_id.is_some());
                });
            }
            Record::Row(row) => {
                if let Some(identity) = row.identity {
                    self.undelivered(identity, row.outcome);
                }
            }
            Record::Left { identity, memberships } => self.left(*identity, *memberships),
            Record::Stayed(_) => {}
        }
    }

    /// Whether there may be a row whose delivery is in doubt.
    pub fn has_doubts(&self) -> bool {
        self.standings.any(Standing::uncertain)
    }

    /// How many rows the destination is known to hold.
    pub fn held_rows(&self) -> u64 {
        self.standings().filter(|standing| standing.held).map(|_| 1).sum()
    }

    /// How many memberships would end, by what was read so far: an upper bound of the leavers, which are less by those whose
    /// key is in [`crate::PresentKeys`].
    pub fn leavers_at_most(&self) -> u64 {
        self.standings().map(|standing| standing.left_behind().len() as u64).sum()
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.standings.bytes()
    }

    /// Every segment that has or may have a member.
    pub(crate) fn populated(&self) -> Memberships {
        self.standings()
            .map(|standing| standing.acknowledged.union(standing.possible))
            .fold(Memberships::NONE, Memberships::union)
    }

    pub(crate) fn find(&self, identity: Identity) -> Option<(Place, Standing)> {
        let place = self.rows.find(identity)?;
        self.rows.get(place).map(|row| (place, self.standings.get(row.standing)))
    }

    /// Whether this run has read the row, and with another key.
    pub(crate) fn has_changed_hands(&self, identity: Identity, key: KeyHash) -> bool {
        let row = self.find(identity).filter(|(_, standing)| !standing.seen.is_empty());
        row.and_then(|(place, _)| self.rows.get(place)).is_some_and(|row| row.key != short_key(key))
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn done(&mut self, identity: Identity, fingerprint: Fingerprint, change: impl FnOnce(&mut Standing)) {
        if let Some(row) = self.change_or_add(identity, change) {
            row.fingerprint = short(fingerprint);
        }
    }

    pub(crate) fn undelivered(&mut self, identity: Identity, outcome: Undelivered) {
        self.change(identity, |standing| standing.undelivered(outcome));
    }

    pub(crate) fn left(&mut self, identity: Identity, memberships: Memberships) {
        self.change(identity, |standing| standing.left(memberships));
    }

    /// To be called when all pages of a run are loaded, which is over: only its own outcomes settle its intents.
    pub(crate) fn run_over(&mut self) {
        self.standings.change_all(Standing::run_over);
    }

    fn standings(&self) -> impl Iterator<Item = Standing> {
        self.rows.iter().map(|row| self.standings.get(row.standing))
    }

    fn standing(&self, identity: Identity) -> Standing {
        self.find(identity).map(|(_, standing)| standing).unwrap_or_default()
    }

    fn change(&mut self, identity: Identity, change: impl FnOnce(&mut Standing)) {
        if self.rows.find(identity).is_some() {
            self.change_or_add(identity, change);
        }
    }

    fn change_or_add(&mut self, identity: Identity, change: impl FnOnce(&mut Standing)) -> Option<&mut Entry> {
        let place = self.rows.find_or_add(identity, Standings::NOTHING);
        let row = self.rows.get_mut(place)?;
        let mut standing = self.standings.get(row.standing);
        change(&mut standing);
        row.standing = self.standings.number(standing);
        Some(row)
    }
}

/// The part of a fingerprint that is kept in memory.
fn short(fingerprint: Fingerprint) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = fingerprint.bits().to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The part of a key's hash that is kept in memory.
fn short_key(key: KeyHash) -> u32 {
    let [a, b, c, d, ..] = key.bits().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
