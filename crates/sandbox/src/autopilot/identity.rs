//! Ids: shaped like UUIDs, made from a counter, and readable back.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Bits of the counter inside an id: the last twelve hexadecimal digits.
const MASK: u64 = (1 << 48) - 1;

/// An odd number, so that multiplying by it modulo 2^48 can be undone.
const SPREAD: u64 = 0x9e37_79b9_7f4b;

const UNSPREAD: u64 = inverse(SPREAD);

/// Makes ids from a counter and a seed.
///
/// An id costs a few multiplications and no table: the counter can be read back from it, and the rest of the id proves
/// that this very generator made it. Ids of an earlier stand-in are therefore unknown to a later one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    seed: u64,
}

impl Identity {
    /// A generator with a seed of its own.
    pub(super) fn fresh() -> Self {
        Self { seed: RandomState::new().build_hasher().finish() }
    }

    /// The UUID with this number, in lower case.
    pub(super) fn uuid(self, number: u64) -> [u8; 36] {
        let node = number.wrapping_mul(SPREAD).wrapping_add(self.seed) & MASK;
        let (head, tail) = (mix(self.seed ^ node), mix(self.seed.rotate_left(32) ^ node));
        let high = (head & !0xf000) | 0x4000;
        let low = (0x8000 | (tail & 0x3fff)) << 48 | node;
        let mut text = [b'-'; 36];
        let mut at = 0;
        for digit in 0..32 {
            if matches!(at, 8 | 13 | 18 | 23) {
                at += 1;
            }
            let (half, shift) = if digit < 16 { (high, 60 - 4 * digit) } else { (low, 124 - 4 * digit) };
            text[at] = b"0123456789abcdef"[usize::from((half >> shift) as u8 & 0xf)];
            at += 1;
        }
        text
    }

    /// The UUID with this number, as text behind a prefix.
    pub(super) fn text(self, prefix: &str, number: u64) -> String {
        let mut text = String::with_capacity(prefix.len() + 36);
        text.push_str(prefix);
        text.extend(self.uuid(number).into_iter().map(char::from));
        text
    }

    /// The number of a UUID this generator made, in either letter case.
    pub(super) fn number(self, uuid: &str) -> Option<u64> {
        let node = u64::from_str_radix(uuid.get(24..36)?, 16).ok()?;
        let number = node.wrapping_sub(self.seed).wrapping_mul(UNSPREAD) & MASK;
        uuid.as_bytes().eq_ignore_ascii_case(&self.uuid(number)).then_some(number)
    }
}

/// The finaliser of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The inverse of an odd number modulo 2^64, and so modulo 2^48.
const fn inverse(odd: u64) -> u64 {
    let mut guess = odd;
    let mut round = 0;
    while round < 6 {
        guess = guess.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(guess)));
        round += 1;
    }
    guess
}

#[cfg(test)]
mod tests {
    use super::Identity;
    use std::collections::HashSet;

    #[test]
    fn a_number_comes_back_in_either_case() {
        let identity = Identity::fresh();
        for number in (0..1000).chain([1 << 31, (1 << 48) - 1]) {
            let uuid = identity.text("", number);
            assert_eq!(identity.number(&uuid), Some(number), "{uuid}");
            assert_eq!(identity.number(&uuid.to_uppercase()), Some(number), "{uuid}");
        }
    }

    #[test]
    fn ids_look_like_uuids_and_differ() {
        let identity = Identity::fresh();
        let ids: HashSet<String> = (0..10_000).map(|number| identity.text("", number)).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            let groups: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12]);
            assert_eq!(&id[14..15], "4");
            assert!("89ab".contains(&id[19..20]));
        }
    }

    #[test]
    fn ids_of_others_are_unknown() {
        let (one, other) = (Identity { seed: 1 }, Identity { seed: 2 });
        assert_eq!(one.number(&other.text("", 7)), None);
        for text in ["", "x", "7c4dff27-0000-4000-8000-0000000000zz", "ééééééééééééééééééé"] {
            assert_eq!(one.number(text), None);
        }
    }
}
