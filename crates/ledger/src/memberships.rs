//! Sets of segments as bits.

use std::fmt;

/// The number a segment has within the ledger of one export, from 0 to 63. Not its position in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(u8);

impl SegmentNumber {
    /// How many segments of one export can have members at a time.
    pub const COUNT: usize = 64;

    /// The number, or `None` from 64 on.
    pub fn new(number: u8) -> Option<Self> {
        (usize::from(number) < Self::COUNT).then_some(Self(number))
    }

    /// The number itself.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A set of segments of one export.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Memberships(u64);

impl Memberships {
    /// No segment.
    pub const NONE: Self = Self(0);

    /// The set whose bit `n` says whether segment number `n` is in it.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Bit `n` says whether segment number `n` is in the set.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many segments are in the set.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether `segment` is in the set.
    pub const fn contains(self, segment: SegmentNumber) -> bool {
        self.0 >> segment.0 & 1 == 1
    }

    /// This set and `segment`.
    #[must_use]
    pub const fn with(self, segment: SegmentNumber) -> Self {
        Self(self.0 | 1 << segment.0)
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The segments in ascending order.
    pub fn iter(self) -> impl Iterator<Item = SegmentNumber> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let number = u8::try_from(rest.trailing_zeros()).ok().and_then(SegmentNumber::new)?;
            rest &= rest - 1;
            Some(number)
        })
    }
}

impl From<SegmentNumber> for Memberships {
    fn from(segment: SegmentNumber) -> Self {
        Self::NONE.with(segment)
    }
}

impl FromIterator<SegmentNumber> for Memberships {
    fn from_iter<I: IntoIterator<Item = SegmentNumber>>(segments: I) -> Self {
        segments.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Memberships {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(SegmentNumber::get)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_segments_are_the_same_set() {
        for bits in [0, 1, 0b1010, 1 << 63, u64::MAX] {
            let set = Memberships::from_bits(bits);
            assert_eq!(set.iter().collect::<Memberships>(), set);
            assert_eq!(set.iter().count(), set.len());
            assert!(set.iter().all(|segment| set.contains(segment)));
        }
        assert!(SegmentNumber::new(64).is_none());
    }
}
