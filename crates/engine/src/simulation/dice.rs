//! Everything that is left to chance, from one seed.

use std::sync::Mutex;
use std::time::Duration;

use segport_transport::Random;

/// A source of numbers that gives the same ones for the same seed.
#[derive(Debug)]
pub(super) struct Dice(Mutex<u64>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// The next number (SplitMix64).
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, but not including, `end`.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number from `first` to `last`.
    pub(super) fn within(&self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// Whether something happens that happens so many times in a hundred.
    pub(super) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// `what`, so many times in a hundred.
    pub(super) fn maybe<T>(&self, percent: u64, what: impl FnOnce(&Self) -> T) -> Option<T> {
        self.chance(percent).then(|| what(self))
    }

    /// A time of so many milliseconds at most.
    pub(super) fn wait(&self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }
}

impl Random for Dice {
    fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
