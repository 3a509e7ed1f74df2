//! Random numbers that are the same everywhere and for ever, so that a seed can be played again.

use std::ops::RangeInclusive;

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one case of a seed.
    pub(super) fn new(seed: u64, case: u64) -> Self {
        let mut dice = Self(seed);
        Self(dice.roll() ^ case.wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range.
    pub(super) fn between(&mut self, range: RangeInclusive<u32>) -> u32 {
        let width = u64::from(range.end() - range.start()) + 1;
        range.start() + u32::try_from(self.roll() % width).unwrap()
    }

    /// Whether something happens that does so in `percent` of all cases.
    pub(super) fn hits(&mut self, percent: u32) -> bool {
        self.between(1..=100) <= percent
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(1..=u32::try_from(choices.len()).unwrap()) as usize - 1]
    }
}
