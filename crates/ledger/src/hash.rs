//! Keyed hashes: all that the ledger knows of anybody.

use std::fmt;

use siphasher::sip128::{SipHasher13, SipHasher24};

use crate::key::{StateKey, Subkey};

/// Who a row is at the destination: keyed 128-bit hash of the normalised identity, such as the lower-cased e-mail address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(u128);

/// Which row of the source it is: keyed 64-bit hash of its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(u64);

/// What the destination was told: keyed 128-bit hash of the mapped payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

macro_rules! hash {
    ($name:ident, $number:ty, $width:literal) => {
        impl $name {
            /// The hash with this value.
            pub const fn from_bits(bits: $number) -> Self {
                Self(bits)
            }

            /// The value of the hash.
            pub const fn bits(self) -> $number {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $width, "x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:0", $width, "x})"), self.0)
            }
        }
    };
}

hash!(Identity, u128, 32);
hash!(KeyHash, u64, 16);
hash!(Fingerprint, u128, 32);

/// Makes the keyed hashes. Each kind has a key of its own, so equal bytes of different kinds have unrelated hashes.
///
/// Who somebody is gets SipHash-2-4. A payload is ten times as long and names nobody without its identity, so it gets the
/// faster SipHash-1-3.
#[derive(Clone)]
pub struct Hasher {
    identity: SipHasher24,
    key: SipHasher24,
    fingerprint: SipHasher13,
}

impl Hasher {
    /// The hasher of a state.
    pub fn new(key: &StateKey) -> Self {
        Self {
            identity: SipHasher24::new_with_key(&key.subkey(Subkey::Identity)),
            key: SipHasher24::new_with_key(&key.subkey(Subkey::Key)),
            fingerprint: SipHasher13::new_with_key(&key.subkey(Subkey::Fingerprint)),
        }
    }

    /// Hash of a normalised identity.
    pub fn identity(&self, normalised: &[u8]) -> Identity {
        Identity(self.identity.hash(normalised).as_u128())
    }

    /// Hash of a source key; keys of several columns must be written so that different keys are different bytes.
    pub fn key(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.key.hash(key).as_u64().0)
    }

    /// Hash of the canonical form of a mapped payload.
    pub fn fingerprint(&self, payload: &[u8]) -> Fingerprint {
        Fingerprint(self.fingerprint.hash(payload).as_u128())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(..)")
    }
}

#[cfg(test)]
mod tests {
    use segport_core::Secret;

    use super::*;

    #[test]
    fn kinds_and_keys_are_separate() {
        let key = |text: &str| StateKey::from_secret(&Secret::new(text)).unwrap();
        let (one, two) =
            (Hasher::new(&key("correct horse battery staple")), Hasher::new(&key("incorrect horse battery staple")));
        let email = b"ada@example.com";
        assert_eq!(one.identity(email), one.identity(email));
        assert_ne!(one.identity(email), two.identity(email));
        assert_ne!(one.identity(email).bits(), one.fingerprint(email).bits());
        assert_eq!(one.identity(email).to_string().len(), 32);
        assert_eq!(format!("{one:?}"), "Hasher(..)");
    }
}
