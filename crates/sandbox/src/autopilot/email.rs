//! How contacts are told apart by address.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

/// An e-mail address as contacts are matched on it: a 128-bit hash of its lower-cased form.
///
/// Letter case in matching is unknown for the real service; case is ignored here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EmailKey {
    high: u64,
    low: u64,
}

impl EmailKey {
    /// The key of an address.
    pub(super) fn of(email: &str) -> Self {
        let mut hasher = SipHasher13::new();
        if email.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
            hasher.write(email.to_lowercase().as_bytes());
        } else {
            hasher.write(email.as_bytes());
        }
        let hash = hasher.finish128();
        Self { high: hash.h1, low: hash.h2 }
    }
}

impl Hash for EmailKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// Contacts by address; the key is a hash already, so it is not hashed again.
pub(super) type EmailIndex = HashMap<EmailKey, usize, BuildHasherDefault<Verbatim>>;

/// Uses a number as its own hash.
#[derive(Debug, Default)]
pub(super) struct Verbatim(u64);

impl Hasher for Verbatim {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::EmailKey;

    #[test]
    fn letter_case_does_not_matter() {
        assert_eq!(EmailKey::of("Ann@Example.COM"), EmailKey::of("ann@example.com"));
        assert_eq!(EmailKey::of("ÅSE@example.com"), EmailKey::of("åse@example.com"));
        assert_ne!(EmailKey::of("ann@example.com"), EmailKey::of("anne@example.com"));
    }
}
