//! A compact hash table of rows by identity.

use crate::Identity;

/// A row: 32 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) identity: Identity,
    pub(crate) fingerprint: u64,
    pub(crate) key: u32,
    pub(crate) standing: u32,
}

/// Where an entry is; stays the same as the table grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    pub(crate) fn get(self) -> usize {
        self.0 as usize
    }
}

/// A bucket: a place, and eight bits of the identity so that most other entries need not be looked at.
type Bucket = [u8; 5];

const EMPTY: Bucket = [0xff; 5];

/// Entries in the order of their arrival, in blocks so that growing copies nothing, and buckets with linear probing. The
/// buckets are between 65% and 85% full and are rebuilt without their predecessor in memory: 5.9 to 7.7 bytes a row.
#[derive(Debug, Default)]
pub(crate) struct Table {
    blocks: Vec<Vec<Entry>>,
    len: usize,
    buckets: Vec<Bucket>,
}

impl Table {
    const BLOCK: usize = 1024;

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().flatten()
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Entry> {
        self.blocks.get(place.get() / Self::BLOCK)?.get(place.get() % Self::BLOCK)
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut Entry> {
        self.blocks.get_mut(place.get() / Self::BLOCK)?.get_mut(place.get() % Self::BLOCK)
    }

    pub(crate) fn find(&self, identity: Identity) -> Option<Place> {
        self.probe(identity).ok()
    }

    /// Reads what is known of all these identities, so that memory answers for many at once. Looked up one after the other,
    /// each would be waited for; in a large table that is what takes the time.
    pub(crate) fn warm(&self, identities: &[Identity]) {
        let size = self.buckets.len();
        let homes = identities.iter().map(|identity| home(*identity, size));
        let touched = homes.clone().filter_map(|home| self.buckets.get(home)).fold(0, |sum, bucket| sum ^ bucket[4]);
        std::hint::black_box(touched);
        let entries = identities.iter().zip(homes).filter_map(|(identity, home)| {
            let mut near = self.buckets.get(home..)?.iter();
            let &[a, b, c, d, _] = near.find(|bucket| bucket[4] == tag(*identity) || **bucket == EMPTY)?;
            self.get(Place(u32::from_le_bytes([a, b, c, d])))
        });
        std::hint::black_box(entries.fold(0, |sum, entry| sum ^ entry.standing));
    }

    /// The place of `identity`, which gets a new entry unless it has one.
    pub(crate) fn find_or_add(&mut self, identity: Identity, standing: u32) -> Place {
        let bucket = match self.probe(identity) {
            Ok(place) => return place,
            Err(_) if self.is_full() => {
                self.grow();
                self.probe(identity).err().flatten()
            }
            Err(bucket) => bucket,
        };
        // 2^32 rows would take 128 GiB of entries; memory ends before the numbers do.
        let place = Place(u32::try_from(self.len).unwrap_or(u32::MAX));
        if let Some(bucket) = bucket.and_then(|bucket| self.buckets.get_mut(bucket)) {
            *bucket = filled(place, identity);
        }
        if self.len.is_multiple_of(Self::BLOCK) {
            // Small exports are many: the first block grows, further ones are taken whole.
            self.blocks.push(if self.len == 0 { Vec::new() } else { Vec::with_capacity(Self::BLOCK) });
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(Entry { identity, fingerprint: 0, key: 0, standing });
        }
        self.len += 1;
        place
    }

    pub(crate) fn bytes(&self) -> usize {
        let entries: usize = self.blocks.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry>() + self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Makes room for so many entries in all.
    pub(crate) fn reserve(&mut self, entries: usize) {
        let size = entries.saturating_mul(100) / 85 + 1;
        if size > self.buckets.len() {
            self.rebuild(size);
        }
    }

    /// The place of `identity`, or the free bucket where it belongs, if there is one.
    fn probe(&self, identity: Identity) -> Result<Place, Option<usize>> {
        let tag = tag(identity);
        let mut at = home(identity, self.buckets.len());
        // It ends, because a table is never full.
        while let Some(&[a, b, c, d, its_tag]) = self.buckets.get(at) {
            let number = u32::from_le_bytes([a, b, c, d]);
            if number == u32::MAX {
                return Err(Some(at));
            }
            if its_tag == tag && self.get(Place(number)).is_some_and(|entry| entry.identity == identity) {
                return Ok(Place(number));
            }
            at = self.after(at);
        }
        Err(None)
    }

    /// The bucket after this one, the first after the last.
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }

    fn is_full(&self) -> bool {
        (self.len + 1) * 100 > self.buckets.len() * 85
    }

    fn grow(&mut self) {
        self.rebuild((self.buckets.len() * 13 / 10).max(16));
    }

    fn rebuild(&mut self, size: usize) {
        // Freed before the new ones are made, so that they are never in memory together.
        self.buckets = Vec::new();
        self.buckets = vec![EMPTY; size];
        for number in 0..u32::try_from(self.len).unwrap_or(u32::MAX) {
            let Some(identity) = self.get(Place(number)).map(|entry| entry.identity) else { return };
            let mut at = home(identity, size);
            while self.buckets.get(at).is_some_and(|bucket| *bucket != EMPTY) {
                at = self.after(at);
            }
            if let Some(free) = self.buckets.get_mut(at) {
                *free = filled(Place(number), identity);
            }
        }
    }
}

/// The bucket where the search starts. Identities are uniformly distributed, so their upper half spreads evenly; and rows that
/// arrive sorted, as from folded pages, fill the buckets from left to right.
fn home(identity: Identity, buckets: usize) -> usize {
    let upper = identity.bits() >> 64;
    usize::try_from((upper * buckets as u128) >> 64).unwrap_or(0)
}

fn tag(identity: Identity) -> u8 {
    identity.bits().to_le_bytes()[0]
}

fn filled(place: Place, identity: Identity) -> Bucket {
    let [a, b, c, d] = place.0.to_le_bytes();
    [a, b, c, d, tag(identity)]
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

    #[test]
    fn everything_added_is_found_at_its_place() {
        let mut table = Table::default();
        for number in 0..20_000 {
            assert_eq!(table.find(identity(number)), None);
            let place = table.find_or_add(identity(number), 7);
            assert_eq!(table.find_or_add(identity(number), 8), place);
        }
        assert_eq!(table.len(), 20_000);
        for number in 0..20_000 {
            let place = table.find(identity(number)).unwrap();
            assert_eq!(place.get() as u64, number);
            assert_eq!(table.get(place).unwrap().standing, 7);
        }
        assert!(table.iter().map(|entry| entry.identity).eq((0..20_000).map(identity)));
    }

    #[test]
    fn identities_that_share_a_bucket_are_kept_apart() {
        let mut table = Table::default();
        let same = |number: u128| Identity::from_bits(u128::MAX << 64 | number << 8);
        for number in 0..300 {
            table.find_or_add(same(number), 0);
        }
        assert!((0..300).all(|number| table.find(same(number)).unwrap().get() as u128 == number));
        assert_eq!(table.find(same(300)), None);
    }

    #[test]
    fn a_row_takes_at_most_forty_bytes() {
        let mut table = Table::default();
        let mut most = 0.0_f64;
        for number in 0..150_000 {
            table.find_or_add(identity(number), 0);
            if number > 50_000 && number % 1000 == 0 {
                most = most.max(table.bytes() as f64 / table.len() as f64);
            }
        }
        assert!(most <= crate::Index::BYTES_A_ROW as f64, "{most} bytes a row");
    }
}
