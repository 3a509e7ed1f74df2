//! In which segments of an export a row was read.

use segport_core::Result;
use segport_ledger::{Identity, Index, Memberships, SegmentNumber};

use crate::parcel::Listed;

/// Tells in which segments rows were read; without a look at the index where the export has one only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadSegments<'a> {
    index: &'a Index,
    only: Option<SegmentNumber>,
}

impl<'a> ReadSegments<'a> {
    /// For the rows of this index, in an export of these segments.
    pub(crate) fn new(index: &'a Index, listed: &[Listed]) -> Self {
        let only = if let [only] = listed { Some(only.number) } else { None };
        Self { index, only }
    }

    /// Announces rows that are about to be asked for.
    pub(crate) fn warm(&self, identities: &[Identity]) {
        if self.only.is_none() {
            self.index.warm(identities);
        }
    }

    /// Those of one row.
    pub(crate) fn of(&self, identity: Identity) -> Result<Memberships> {
        match self.only {
            Some(only) => Ok(only.into()),
            None => Ok(self.index.read_in(identity)?.seen),
        }
    }
}
