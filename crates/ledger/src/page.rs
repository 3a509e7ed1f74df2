//! Pages: packed records with a checksum.

use std::fmt;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::codec::Records;
use crate::key::{StateKey, Subkey};

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// Outcomes as a run wrote them.
    Log,
    /// What all earlier records amount to, sorted by identity.
    Base,
    /// What is kept of a folded log page for `segport rows`.
    History,
    /// Intents as a run wrote them; emptied at the end of a run that has carried all of them out.
    Intents,
    /// What became of rows that a run never intended to send. Emptied once the run is an old one: pages have no gaps.
    Untried,
}

impl PageKind {
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Log => 1,
            Self::Base => 2,
            Self::History => 3,
            Self::Intents => 4,
            Self::Untried => 5,
        }
    }

    /// Whether pages of this kind say what is held.
    pub(crate) fn is_state(self) -> bool {
        match self {
            Self::Log | Self::Base | Self::Intents => true,
            Self::History | Self::Untried => false,
        }
    }

    fn of(number: i64) -> Option<Self> {
        [Self::Log, Self::Base, Self::History, Self::Intents, Self::Untried]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// A page as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Page<B> {
    pub(crate) number: i64,
    pub(crate) run: i64,
    pub(crate) kind: i64,
    pub(crate) rows: i64,
    pub(crate) body: B,
}

/// Computes checksums. They are keyed, and cover where a page belongs, so that a page cannot stand in for another one.
#[derive(Clone)]
pub(crate) struct Seal([u8; 16]);

impl Seal {
    pub(crate) fn new(key: &StateKey) -> Self {
        Self(key.subkey(Subkey::Page))
    }

    pub(crate) fn checksum<B: AsRef<[u8]>>(&self, export: &str, page: &Page<B>) -> i64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        for number in [page.number, page.run, page.kind, page.rows] {
            hasher.write(&number.to_le_bytes());
        }
        hasher.write(&(export.len() as u64).to_le_bytes());
        hasher.write(export.as_bytes());
        hasher.write(page.body.as_ref());
        i64::from_le_bytes(hasher.finish().to_le_bytes())
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl<B: AsRef<[u8]>> Page<B> {
    pub(crate) fn kind(&self) -> Option<PageKind> {
        PageKind::of(self.kind)
    }

    pub(crate) fn records(&self) -> Records<'_> {
        Records::new(self.body.as_ref())
    }
}
