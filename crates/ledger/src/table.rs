//! A compact hash table of rows by identity.

use prefetch_index::prefetch_index;

use crate::Identity;
use crate::standing::Number;

/// What is kept of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What its next reading is compared with.
    pub(crate) mark: u64,
    pub(crate) standing: Number,
}

impl Entry {
    const NEW: Self = Self { mark: 0, standing: Number::NOTHING };
}

/// Room for one row: 20 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
struct Slot {
    name: u64,
    mark: u64,
    /// `None` while there is no row.
    standing: Option<Number>,
}

impl Slot {
    /// No name is greater, so that a search ends here.
    const FREE: Self = Self { name: u64::MAX, mark: 0, standing: None };

    fn of(name: u64, Entry { mark, standing }: Entry) -> Self {
        Self { name, mark, standing: Some(standing) }
    }
}

/// Where a row is; holds until another one is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(usize);

impl Place {
    fn new(part: usize, slot: usize) -> Self {
        Self(slot * Table::PARTS + part)
    }

    /// Less than [`Table::places`].
    pub(crate) fn get(self) -> usize {
        self.0
    }

    fn part(self) -> usize {
        self.0 % Table::PARTS
    }

    fn slot(self) -> usize {
        self.0 / Table::PARTS
    }
}

/// Rows in parts that grow one at a time, so that there is never more than one part twice. Once they have grown they are
/// between 68 % and 85 % full: 23.5 to 29.4 bytes a row.
///
/// Of an identity 72 bits are kept, eight of them as the number of its part. Among n rows some two are taken for one with
/// probability n²·2⁻⁷³: among ten million 10⁻⁸.
#[derive(Debug)]
pub(crate) struct Table {
    parts: Vec<Part>,
}

impl Default for Table {
    fn default() -> Self {
        Self { parts: vec![Part::default(); Self::PARTS] }
    }
}

impl Table {
    /// As many as a byte has values.
    const PARTS: usize = 256;

    pub(crate) fn get(&self, place: Place) -> Option<Entry> {
        let slot = self.parts.get(place.part())?.slots.get(place.slot())?;
        slot.standing.map(|standing| Entry { mark: slot.mark, standing })
    }

    pub(crate) fn set(&mut self, place: Place, entry: Entry) {
        if let Some(part) = self.parts.get_mut(place.part())
            && let Some(slot) = part.slots.get_mut(place.slot())
        {
            *slot = Slot::of(slot.name, entry);
        }
    }

    pub(crate) fn find(&self, identity: Identity) -> Option<Place> {
        let slot = self.parts.get(part(identity))?.probe(name(identity)).ok()?;
        Some(Place::new(part(identity), slot))
    }

    /// The place of `identity`, which gets a new entry unless it has one.
    pub(crate) fn find_or_add(&mut self, identity: Identity) -> Place {
        let slot = self.parts.get_mut(part(identity)).map_or(0, |part| part.find_or_add(name(identity)));
        Place::new(part(identity), slot)
    }

    /// Announces that these identities will be looked up, so that memory answers for many at once. Looked up one after the
    /// other, each would be waited for; in a large table that is what takes the time. Processors for which there is no prefetch
    /// are told nothing.
    pub(crate) fn warm(&self, identities: &[Identity]) {
        for identity in identities {
            let Some(part) = self.parts.get(part(*identity)) else { continue };
            let home = part.home(name(*identity));
            // Three slots in a cache line, and most searches end in the second; to announce a third costs more than it saves.
            for ahead in [0, 3, 6] {
                prefetch_index(&part.slots, home + ahead);
            }
        }
    }

    /// Makes room for so many rows in all, and some more.
    pub(crate) fn reserve(&mut self, rows: usize) {
        let slots = rows.div_ceil(Self::PARTS).saturating_mul(5) / 4;
        for part in &mut self.parts {
            part.resize(slots.max(part.slots.len()));
        }
    }

    /// Places are numbered up to here.
    pub(crate) fn places(&self) -> usize {
        self.parts.iter().map(|part| part.slots.len()).max().unwrap_or(0) * Self::PARTS
    }

    pub(crate) fn bytes(&self) -> usize {
        let slots: usize = self.parts.iter().map(|part| part.slots.capacity()).sum();
        slots * size_of::<Slot>() + self.parts.capacity() * size_of::<Part>()
    }
}

/// The rows whose identities end in the same byte: sorted by name, each in the slot where its search starts or soon after it,
/// with no free slot in between.
#[derive(Debug, Clone, Default)]
struct Part {
    slots: Vec<Slot>,
    rows: usize,
}

impl Part {
    /// The slot of `name`, or the one where it belongs.
    fn probe(&self, name: u64) -> Result<usize, usize> {
        let near = self.near(name);
        let ahead = near.iter().position(|slot| slot.name >= name).unwrap_or(near.len());
        let at = self.home(name) + ahead;
        match near.get(ahead) {
            Some(slot) if slot.name == name && slot.standing.is_some() => Ok(at),
            _ => Err(at),
        }
    }

    fn find_or_add(&mut self, name: u64) -> usize {
        loop {
            match self.probe(name) {
                Ok(slot) => return slot,
                Err(at) if !self.is_full() && self.insert(at, Slot::of(name, Entry::NEW)) => return at,
                Err(_) => self.grow(),
            }
        }
    }

    /// Makes room by moving what is there up to the next free slot; false if there is none.
    fn insert(&mut self, at: usize, slot: Slot) -> bool {
        let Some(free) = self.slots.iter().skip(at).position(|slot| slot.standing.is_none()) else { return false };
        if let Some(moved) = self.slots.get_mut(at..=at + free) {
            moved.rotate_right(1);
            moved.iter_mut().take(1).for_each(|first| *first = slot);
            self.rows += 1;
        }
        true
    }

    /// The slots from the one on where the search for `name` starts.
    fn near(&self, name: u64) -> &[Slot] {
        self.slots.get(self.home(name)..).unwrap_or_default()
    }

    /// Names are uniformly distributed, so that this spreads them evenly, in their order; after the last home there is room for
    /// those that do not find theirs free.
    fn home(&self, name: u64) -> usize {
        let homes = self.slots.len() - self.slots.len().div_ceil(64);
        usize::try_from((u128::from(name) * homes as u128) >> 64).unwrap_or(0)
    }

    fn is_full(&self) -> bool {
        (self.rows + 1) * 20 > self.slots.len() * 17
    }

    fn grow(&mut self) {
        self.resize(self.slots.len() + (self.slots.len() / 4).max(8));
    }

    /// Moves the rows to so many slots, no fewer than there were.
    fn resize(&mut self, size: usize) {
        let slots = std::mem::replace(&mut self.slots, vec![Slot::FREE; size]);
        let mut next = 0;
        for slot in slots.into_iter().filter(|slot| slot.standing.is_some()) {
            let at = self.home(slot.name).max(next);
            // It is there: every home is at least as far from the end as it was before.
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
            next = at + 1;
        }
    }
}

fn part(identity: Identity) -> usize {
    usize::from(identity.bits().to_le_bytes()[0])
}

fn name(identity: Identity) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = identity.bits().to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits spread like a hash's.
    fn identity(number: u64) -> Identity {
        let mut mixed = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
        mixed ^= mixed >> 61;
        Identity::from_bits(mixed.wrapping_mul(0x2545_f491_4f6c_dd1d_9e37_79b9_7f4a_7c15))
    }

    /// Adds all of these, each with its number as its mark; and then finds each at a place of its own, and nobody else. Whether
    /// there was room for none, half or all of them makes no difference.
    #[track_caller]
    fn check(rows: u64, identity: impl Fn(u64) -> Identity) {
        for room in [0, rows / 2, rows] {
            let mut table = Table::default();
            table.reserve(room as usize);
            check_table(table, rows, &identity);
        }
    }

    #[track_caller]
    fn check_table(mut table: Table, rows: u64, identity: impl Fn(u64) -> Identity) {
        for number in 0..rows {
            assert_eq!(table.find(identity(number)), None);
            let place = table.find_or_add(identity(number));
            assert_eq!(table.get(place), Some(Entry::NEW));
            table.set(place, Entry { mark: number, ..Entry::NEW });
            assert_eq!(table.find_or_add(identity(number)), place);
        }
        let mut places: Vec<usize> = (0..rows)
            .map(|number| {
                let place = table.find(identity(number)).unwrap();
                assert_eq!(table.get(place).unwrap().mark, number);
                place.get()
            })
            .collect();
        assert!(places.iter().all(|place| *place < table.places()));
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len() as u64, rows);
        assert_eq!(table.find(identity(rows)), None);
    }

    #[test]
    fn everything_added_is_found_at_its_place() {
        check(0, identity);
        check(1, identity);
        check(100_000, identity);
    }

    #[test]
    fn identities_that_are_looked_for_at_one_place_are_kept_apart() {
        let alike = |upper: u64, lower: u64| Identity::from_bits(u128::from(upper) << 64 | u128::from(lower));
        check(300, |number| alike(number, 7));
        // The last home, and on into the slots that are spare.
        check(300, |number| alike(u64::MAX - number, 7));
        check(255, |number| alike(7, number));
    }

    #[test]
    fn a_row_takes_at_most_thirty_bytes() {
        let mut table = Table::default();
        let mut most = 0.0_f64;
        for number in 1..600_000 {
            table.find_or_add(identity(number));
            if number > 200_000 && number % 1000 == 0 {
                most = most.max(table.bytes() as f64 / number as f64);
            }
        }
        assert!(most <= crate::Index::BYTES_A_ROW as f64, "{most} bytes a row");
    }
}
