//! Who is held, in memory or, of very many, in files.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::Acknowledged;
use crate::standing::{Again, Standing, Standings};
use crate::table::{Entry, Place, Room, Table};
use crate::{Error, Fingerprint, Identity, Intent, KeyHash, Memberships, Result, SegmentNumber, Undelivered};

/// What a row that was read means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// The destination is not known to hold it: to be sent.
    New,
    /// Its payload differs from what was acknowledged, or what the destination holds is uncertain, or it is to be sent all the
    /// same: to be sent.
    Changed,
    /// Its payload was acknowledged, but it must become a member of this segment: to be sent.
    MembershipGrew,
    /// The destination acknowledged just this.
    Unchanged,
    /// The same, under another key than this: nothing is sent, but the key must be written down ([`Index::rekeyed`]), by which the
    /// row is known if its identity cannot be told.
    UnchangedUnderOtherKey,
    /// The same profile was read in an earlier segment of this run; its values come from there.
    SeenInEarlierSegment {
        /// It was [`Observation::Unchanged`] so far, and this segment is the reason to send it now. `false` if it needs
        /// nothing, or is to be sent anyway: its memberships are then united ([`Index::read_in`]).
        membership_grew: bool,
    },
    /// The same profile was read in an earlier segment of this run, which does not send it ([`Index::leave_out`]).
    LeftOut,
    /// An earlier row of the same segment had this identity.
    Duplicate,
    /// A row of an earlier segment had this identity, under another key: by what the segments say, that is somebody else.
    DuplicateOfOtherKey,
}

/// What the ledger knows of a row that was acknowledged, or that was about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// `None` once the row was read in this run.
    mark: Option<Mark>,
    /// The memberships that were acknowledged.
    pub memberships: Memberships,
    /// An intent has no outcome: the destination may hold something else, and the row is sent again.
    pub uncertain: bool,
    /// The row is sent again, whatever is known of it: a later payload may have been written, or somebody asked for it.
    pub again: bool,
}

impl Held {
    /// Whether this is the payload that was acknowledged. Of a row that was read in this run that is no longer known: its
    /// [`Observation`] has said it.
    pub fn acknowledged(&self, fingerprint: Fingerprint) -> bool {
        !self.uncertain
            && !self.again
            && !self.memberships.is_empty()
            && self.mark.is_some_and(|mark| mark.is_of(fingerprint))
    }
}

/// The segments in which a row was read in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadIn {
    /// All of them.
    pub seen: Memberships,
    /// Those in which no membership was acknowledged.
    pub to_add: Memberships,
    /// The others, if they are to be sent again.
    pub to_repeat: Memberships,
}

impl ReadIn {
    fn of(Standing { seen, acknowledged, again, .. }: Standing) -> Self {
        let known = seen.intersection(acknowledged);
        Self {
            seen,
            to_add: seen.without(known),
            to_repeat: if again == Again::All { known } else { Memberships::NONE },
        }
    }

    /// The same, had nothing been acknowledged in these segments.
    #[must_use]
    pub fn without_acknowledged(self, segments: Memberships) -> Self {
        let Self { seen, to_add, to_repeat } = self;
        Self { seen, to_add: to_add.union(seen.intersection(segments)), to_repeat: to_repeat.without(segments) }
    }
}

/// Rows read in this run that stand alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRows {
    /// How many they are.
    pub rows: u64,
    /// Where each was read.
    pub read_in: ReadIn,
    /// An earlier intent has no outcome.
    pub uncertain: bool,
    /// Something of them is not acknowledged as it is.
    pub differs: bool,
}

/// Every row of an export that the destination acknowledged or may hold, that was read in this run, or that it was asked about: at most
/// [`Index::BYTES_A_ROW`] in memory for each of many, and some 50 kB however few there are. Beyond a limit hash buckets of it
/// go to files, where a look at a row takes one or two microseconds, or as long as the disk does.
///
/// A row is compared with what was acknowledged of it once, when it is first read; from then on only by its key. So there is one
/// place of 64 bits for both: first 48 of its fingerprint and 16 of its key, then all of its key. Two payloads of one identity are
/// mistaken for equal with probability 2⁻⁴⁸, two keys with 2⁻¹⁶, which matters only if a later row of that key cannot be used, and
/// two profiles that share an identity in different segments are taken for one with probability 2⁻⁶⁴.
///
/// Every method that looks at a row fails if such a file cannot be made, read or written. The index is of no use then.
#[derive(Debug)]
pub struct Index {
    rows: Table,
    standings: Standings,
    /// The state beside which files are made.
    state: PathBuf,
}

impl Index {
    /// The most memory one row of many takes, in bytes.
    pub const BYTES_A_ROW: usize = 30;

    /// The most memory its rows take unless a store is told otherwise, in bytes: about 12 million rows.
    pub const MEMORY: usize = 320 << 20;

    /// How many rows are best announced at a time with [`Index::warm`].
    pub const AHEAD: usize = 128;

    /// An empty index that takes so much memory and has its files beside the state at this path.
    pub(crate) fn new(memory: usize, state: &Path) -> Self {
        let dir = state.parent().unwrap_or(Path::new("")).to_owned();
        let rows = Table::new(Room { bytes: memory, dir });
        Self { rows, standings: Standings::default(), state: state.to_owned() }
    }

    /// Announces rows that are about to be observed. Changes nothing but the time that takes.
    pub fn warm(&self, identities: &[Identity]) {
        self.rows.warm(identities);
    }

    /// Makes room for so many rows at once.
    pub(crate) fn reserve(&mut self, rows: u64) -> Result<()> {
        self.rows.reserve(usize::try_from(rows).unwrap_or(usize::MAX)).map_err(|error| self.failed(error))
    }

    /// Notes that a row was read, and says what that means. Rows come segment by segment, in the order of the manifest.
    pub fn observe(
        &mut self,
        identity: Identity,
        key: KeyHash,
        fingerprint: Fingerprint,
        segment: SegmentNumber,
    ) -> Result<Observation> {
        let (place, row) = self.rows.find_or_add(identity).map_err(|error| self.failed(error))?;
        let mut standing = self.standings.get(row.standing);
        let observation = if standing.is_seen() {
            if standing.seen.contains(segment) {
                return Ok(Observation::Duplicate);
            }
            if row.mark != key.bits() {
                return Ok(Observation::DuplicateOfOtherKey);
            }
            let membership_grew = !standing.sending && !standing.acknowledged.contains(segment);
            standing.sending |= membership_grew;
            match standing.left_out {
                true => Observation::LeftOut,
                false => Observation::SeenInEarlierSegment { membership_grew },
            }
        } else {
            let observation = if !standing.held {
                Observation::New
            } else if standing.uncertain() || standing.again != Again::Nothing || !Mark(row.mark).is_of(fingerprint) {
                Observation::Changed
            } else if !standing.acknowledged.contains(segment) {
                Observation::MembershipGrew
            } else if Mark(row.mark) == Mark::of(fingerprint, key) {
                Observation::Unchanged
            } else {
                Observation::UnchangedUnderOtherKey
            };
            standing.sending = !matches!(observation, Observation::Unchanged | Observation::UnchangedUnderOtherKey);
            observation
        };
        standing.seen = standing.seen.with(segment);
        let standing = self.standings.change(row.standing, standing);
        self.rows.set(place, Entry { mark: key.bits(), standing }).map_err(|error| self.failed(error))?;
        Ok(observation)
    }

    /// A row that was [`Observation::UnchangedUnderOtherKey`], for [`crate::Journal::rekey`].
    pub fn rekeyed(&self, identity: Identity, key: KeyHash, fingerprint: Fingerprint) -> Result<Rekeyed> {
        let standing = self.find(identity)?.map(|(_, standing)| standing).unwrap_or_default();
        Ok(Rekeyed { identity, value: Acknowledged { key, fingerprint }, standing })
    }

    /// Notes that a row with this identity is in `segment` but cannot be used, so that it is not taken for a leaver.
    pub fn keep(&mut self, identity: Identity, segment: SegmentNumber) -> Result<()> {
        self.change(identity, |standing| standing.present = standing.present.with(segment))
    }

    /// Notes that a row that was read is not sent by this run, whatever its [`Observation`] was.
    pub fn leave_out(&mut self, identity: Identity) -> Result<()> {
        self.change(identity, |standing| standing.left_out = true)
    }

    /// Notes that the run is asked to consider a row, held or not.
    pub(crate) fn ask(&mut self, identity: Identity) -> Result<()> {
        let found = self.rows.find_or_add(identity).map_err(|error| self.failed(error))?;
        self.change_at(found, None, |standing| standing.asked = true)
    }

    /// Whether the run was asked to consider a row ([`crate::Snapshot::ask_about`]).
    pub fn is_asked(&self, identity: Identity) -> Result<bool> {
        Ok(self.find(identity)?.is_some_and(|(_, standing)| standing.asked))
    }

    /// Notes that the values of a row that was read are wanted after all.
    pub fn want(&mut self, identity: Identity) -> Result<()> {
        self.change(identity, |standing| standing.wanted = true)
    }

    /// Whether the values of a row are wanted; they are not any more.
    pub fn take_wanted(&mut self, identity: Identity) -> Result<bool> {
        let Some((place, row, _)) = self.row(identity)?.filter(|(_, _, standing)| standing.wanted) else {
            return Ok(false);
        };
        self.change_at((place, row), None, |standing| standing.wanted = false)?;
        Ok(true)
    }

    /// What is held of a row; `None` if nothing was ever acknowledged or intended, or all of it has left.
    pub fn held(&self, identity: Identity) -> Result<Option<Held>> {
        let Some((_, row, standing)) = self.row(identity)? else { return Ok(None) };
        Ok(standing.matters().then_some(Held {
            mark: (!standing.is_seen()).then_some(Mark(row.mark)),
            memberships: standing.acknowledged,
            uncertain: standing.uncertain(),
            again: standing.again != Again::Nothing,
        }))
    }

    /// The segments in which the row was read in this run.
    pub fn read_in(&self, identity: Identity) -> Result<ReadIn> {
        let standing = self.find(identity)?.map(|(_, standing)| standing).unwrap_or_default();
        Ok(ReadIn::of(standing))
    }

    /// The rows read in this run and not left out, those that stand alike together.
    pub fn read_rows(&self) -> impl Iterator<Item = ReadRows> {
        let read = self.standings.rows().filter(|(standing, _)| standing.is_seen() && !standing.left_out);
        read.map(|(standing, rows)| ReadRows {
            rows,
            read_in: ReadIn::of(standing),
            uncertain: standing.uncertain(),
            differs: standing.sending,
        })
    }

    /// Takes an intent into account.
    pub(crate) fn intend(&mut self, intent: &Intent) -> Result<()> {
        match *intent {
            Intent::Deliver { identity, memberships } => {
                let found = self.rows.find_or_add(identity).map_err(|error| self.failed(error))?;
                self.change_at(found, None, |standing| standing.intend_delivery(memberships))
            }
            Intent::Remove { identity, memberships } => {
                self.change(identity, |standing| standing.intend_removal(memberships))
            }
        }
    }

    /// From here on every row that is held or may be is sent again with its memberships, without being looked up, until it is
    /// acknowledged anew. For later runs [`crate::Journal::renew`] writes it down.
    pub fn renew(&mut self) {
        self.standings.change_all(Standing::renew);
    }

    /// Whether there is a row whose delivery is in doubt.
    pub fn has_doubts(&self) -> bool {
        self.standings.rows().any(|(standing, _)| standing.uncertain())
    }

    /// How many rows the destination is known to hold.
    pub fn held_rows(&self) -> u64 {
        self.standings.rows().filter(|(standing, _)| standing.held).map(|(_, rows)| rows).sum()
    }

    /// How many rows the ledger must remember.
    pub(crate) fn remembered_rows(&self) -> u64 {
        self.standings.rows().filter(|(standing, _)| standing.is_remembered()).map(|(_, rows)| rows).sum()
    }

    /// How many members these segments have together, those among them that they may have.
    pub fn members_of(&self, segments: Memberships) -> u64 {
        let held = self.standings.rows().filter(|(standing, _)| standing.held);
        held.map(|(standing, rows)| {
            let memberships = standing.acknowledged.union(standing.possible).intersection(segments);
            memberships.len() as u64 * rows
        })
        .sum()
    }

    /// How many memberships would end, by what was read so far: an upper bound of the leavers, which are less by those whose
    /// key is in [`crate::PresentKeys`].
    pub fn leavers_at_most(&self) -> u64 {
        self.standings.rows().map(|(standing, rows)| standing.left_behind().len() as u64 * rows).sum()
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.standings.bytes()
    }

    /// Every segment that has or may have a member.
    pub(crate) fn populated(&self) -> Memberships {
        self.standings
            .rows()
            .map(|(standing, _)| standing.acknowledged.union(standing.possible))
            .fold(Memberships::NONE, Memberships::union)
    }

    pub(crate) fn find(&self, identity: Identity) -> Result<Option<(Place, Standing)>> {
        Ok(self.row(identity)?.map(|(place, _, standing)| (place, standing)))
    }

    /// The key with which this run has read the row; `None` if it has not.
    pub(crate) fn key_read(&self, identity: Identity) -> Result<Option<KeyHash>> {
        let row = self.row(identity)?.filter(|(_, _, standing)| standing.is_seen());
        Ok(row.map(|(_, row, _)| KeyHash::from_bits(row.mark)))
    }

    /// Whether this run has read the row, and with another key.
    pub fn has_changed_hands(&self, identity: Identity, key: KeyHash) -> Result<bool> {
        Ok(self.key_read(identity)?.is_some_and(|read| read != key))
    }

    /// The places that [`Index::find`] gives are numbered up to here.
    pub(crate) fn places(&self) -> usize {
        self.rows.places()
    }

    pub(crate) fn done(
        &mut self,
        identity: Identity,
        Acknowledged { key, fingerprint }: Acknowledged,
        change: impl FnOnce(&mut Standing),
    ) -> Result<()> {
        let found = self.rows.find_or_add(identity).map_err(|error| self.failed(error))?;
        self.change_at(found, Some(Mark::of(fingerprint, key)), change)
    }

    pub(crate) fn undelivered(&mut self, identity: Identity, outcome: Undelivered) -> Result<()> {
        self.change(identity, |standing| standing.undelivered(outcome))
    }

    pub(crate) fn left(&mut self, identity: Identity, memberships: Memberships) -> Result<()> {
        self.change(identity, |standing| standing.left(memberships))
    }

    /// The lists of these segments are gone: who was on them has left them.
    pub(crate) fn vacate(&mut self, lists: Memberships) {
        self.standings.change_all(|standing| standing.vacate(lists));
    }

    /// To be called when all pages of a run are loaded, which is over: only its own outcomes settle its intents.
    pub(crate) fn run_over(&mut self) {
        self.standings.change_all(Standing::run_over);
    }

    fn row(&self, identity: Identity) -> Result<Option<(Place, Entry, Standing)>> {
        let found = self.rows.find(identity).map_err(|error| self.failed(error))?;
        Ok(found.map(|(place, row)| (place, row, self.standings.get(row.standing))))
    }

    fn change(&mut self, identity: Identity, change: impl FnOnce(&mut Standing)) -> Result<()> {
        match self.rows.find(identity).map_err(|error| self.failed(error))? {
            Some(found) => self.change_at(found, None, change),
            None => Ok(()),
        }
    }

    /// Changes where a row stands, and, unless it was read, what it will be compared with.
    fn change_at(
        &mut self,
        (place, row): (Place, Entry),
        acknowledged: Option<Mark>,
        change: impl FnOnce(&mut Standing),
    ) -> Result<()> {
        let mut standing = self.standings.get(row.standing);
        change(&mut standing);
        let mark = acknowledged.filter(|_| !standing.is_seen()).map_or(row.mark, |Mark(mark)| mark);
        let standing = self.standings.change(row.standing, standing);
        self.rows.set(place, Entry { mark, standing }).map_err(|error| self.failed(error))
    }

    #[cold]
    fn failed(&self, error: io::Error) -> Error {
        Error::io("keep the index of rows in a file beside", &self.state, error)
    }
}

/// What is kept in memory of what was acknowledged of a row: 48 bits of its fingerprint and, last, 16 of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(u64);

impl Mark {
    const OF_KEY: u64 = 0xffff;

    fn of(fingerprint: Fingerprint, key: KeyHash) -> Self {
        let [a, b, c, d, e, f, ..] = fingerprint.bits().to_le_bytes();
        Self(u64::from_le_bytes([0, 0, a, b, c, d, e, f]) | key.bits() & Self::OF_KEY)
    }

    fn is_of(self, fingerprint: Fingerprint) -> bool {
        self.0 & !Self::OF_KEY == Self::of(fingerprint, KeyHash::from_bits(0)).0
    }
}

/// A row whose payload is what was acknowledged, and whose key is not; from [`Index::rekeyed`].
#[derive(Debug, Clone)]
pub struct Rekeyed {
    pub(crate) identity: Identity,
    pub(crate) value: Acknowledged,
    pub(crate) standing: Standing,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be done to the row.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// It is read in this segment, with this key and payload, and that means this.
        Read(u8, u64, u128, Observation),
        /// This payload is acknowledged, with key 1.
        Done(u128),
        /// Whether this payload is known as acknowledged.
        Acknowledged(u128, bool),
        /// Whether it was read with another key than this.
        ChangedHands(u64, bool),
    }

    #[test]
    fn a_row_is_compared_with_its_payload_until_it_is_read_and_then_with_its_key() {
        use Observation::{
            Changed, Duplicate, DuplicateOfOtherKey, MembershipGrew, New, SeenInEarlierSegment, Unchanged,
            UnchangedUnderOtherKey,
        };
        use Step::{Acknowledged as Known, ChangedHands, Done as Settled, Read};
        const SEEN: Observation = SeenInEarlierSegment { membership_grew: false };
        const GREW: Observation = SeenInEarlierSegment { membership_grew: true };
        let stories: &[&[Step]] = &[
            &[Known(7, false), Read(0, 1, 7, New), Known(7, false), ChangedHands(1, false), ChangedHands(7, true)],
            &[Settled(7), Known(7, true), Known(1, false), ChangedHands(1, false), Read(0, 1, 7, Unchanged)],
            &[Settled(7), Settled(8), Read(0, 1, 7, Changed), Read(0, 1, 8, Duplicate), Read(1, 1, 7, SEEN)],
            // A payload that looks like the key is no key, and the other way round.
            &[
                Settled(1),
                Read(0, 7, 1, UnchangedUnderOtherKey),
                Read(1, 1, 1, DuplicateOfOtherKey),
                Read(1, 7, 9, GREW),
                Read(2, 7, 9, SEEN),
            ],
            &[
                Read(0, 1, 7, New),
                Settled(7),
                ChangedHands(1, false),
                Read(1, 7, 7, DuplicateOfOtherKey),
                Read(1, 1, 7, GREW),
            ],
            &[Settled(7), Read(1, 1, 7, MembershipGrew), Settled(8), Known(8, false), ChangedHands(2, true)],
        ];
        let identity = Identity::from_bits(3);
        let segment = |number: u8| SegmentNumber::new(number).unwrap();
        for (number, story) in stories.iter().enumerate() {
            let mut index = Index::new(Index::MEMORY, Path::new("state.db"));
            for step in *story {
                match *step {
                    Read(at, key, payload, expected) => {
                        let (key, payload) = (KeyHash::from_bits(key), Fingerprint::from_bits(payload));
                        let observation = index.observe(identity, key, payload, segment(at)).unwrap();
                        assert_eq!(observation, expected, "story {number}, {step:?}");
                    }
                    Settled(payload) => {
                        let (key, fingerprint) = (KeyHash::from_bits(1), Fingerprint::from_bits(payload));
                        index
                            .done(identity, Acknowledged { key, fingerprint }, |standing| {
                                standing.done(segment(0).into(), false);
                            })
                            .unwrap();
                    }
                    Known(payload, expected) => {
                        let held = index.held(identity).unwrap();
                        let is_known = held.is_some_and(|held| held.acknowledged(Fingerprint::from_bits(payload)));
                        assert_eq!(is_known, expected, "story {number}, {step:?}");
                    }
                    ChangedHands(key, expected) => {
                        let changed = index.has_changed_hands(identity, KeyHash::from_bits(key)).unwrap();
                        assert_eq!(changed, expected, "story {number}, {step:?}");
                    }
                }
            }
        }
    }
}
