//! Records sorted into buckets by identity, so that what there is of one row can be put together a few rows at a time.
//!
//! They are read once, in order, and keep that order within a bucket. Beyond a few megabytes they go to a file without a name:
//! keyed hashes and the destination's ids, as in the state itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::codec::{Chunk, Records, Stored};
use crate::{Error, Identity, Result};

/// Records by bucket.
#[derive(Debug)]
pub(crate) struct Buckets<'a> {
    /// Beside this a file may be made.
    state: &'a Path,
    buckets: Vec<Bucket>,
    in_memory: usize,
    file: Option<File>,
    end: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    pieces: Vec<Piece>,
    filling: Option<(i64, Chunk)>,
}

/// Records that one run wrote.
#[derive(Debug)]
struct Piece {
    run: i64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    Disk { offset: u64, length: usize },
}

impl<'a> Buckets<'a> {
    /// Bytes of all pieces that wait in memory before the rest goes to disk.
    const IN_MEMORY: usize = 8 << 20;

    /// A piece is closed when it has this many bytes; each bucket fills one.
    const PIECE: usize = 32 << 10;

    /// So many buckets, at least one, for the state at this path.
    pub(crate) fn new(state: &'a Path, count: u64) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX).max(1);
        let buckets = std::iter::repeat_with(Bucket::default).take(count).collect();
        Self { state, buckets, in_memory: 0, file: None, end: 0 }
    }

    /// How many buckets there are.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Adds a record of a run to the bucket of the row with this identity, which the record is about.
    ///
    /// # Errors
    /// If the disk is full, or no file can be made.
    pub(crate) fn add(&mut self, identity: Identity, run: i64, record: &Stored<'_>) -> Result<()> {
        self.add_to(number(identity, self.buckets.len()), run, record)
    }

    /// Adds a record of a run that is about all rows.
    ///
    /// # Errors
    /// As [`Buckets::add`].
    pub(crate) fn add_to_all(&mut self, run: i64, record: &Stored<'_>) -> Result<()> {
        (0..self.buckets.len()).try_for_each(|number| self.add_to(number, run, record))
    }

    fn add_to(&mut self, number: usize, run: i64, record: &Stored<'_>) -> Result<()> {
        let Some(bucket) = self.buckets.get_mut(number) else { return Ok(()) };
        let closed = bucket.filling.take_if(|(of, chunk)| *of != run || chunk.len() >= Self::PIECE);
        bucket.filling.get_or_insert_with(|| (run, Chunk::with_capacity(0))).1.again(record);
        match closed {
            Some((run, chunk)) => self.close(number, run, chunk),
            None => Ok(()),
        }
    }

    fn close(&mut self, number: usize, run: i64, chunk: Chunk) -> Result<()> {
        let bytes = chunk.into_bytes();
        let place = if self.in_memory + bytes.len() <= Self::IN_MEMORY {
            self.in_memory += bytes.len();
            Place::Memory(bytes)
        } else {
            let (offset, length) = (self.end, bytes.len());
            self.write(&bytes).map_err(|error| Error::io("sort records to be folded beside", self.state, error))?;
            self.end += length as u64;
            Place::Disk { offset, length }
        };
        if let Some(bucket) = self.buckets.get_mut(number) {
            bucket.pieces.push(Piece { run, place });
        }
        Ok(())
    }

    /// Writes at the end of the file, which is made first if there is none.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(self.state.parent().unwrap_or(Path::new("")))?),
        };
        file.write_all_at(bytes, self.end)
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        if let Some(file) = &self.file {
            file.read_exact_at(&mut bytes, offset)?;
        }
        Ok(bytes)
    }

    /// Takes the records of a bucket, in the order they were added: `each` is given them with the run that wrote them, and says
    /// `None` if they are not records.
    ///
    /// # Errors
    /// If the file cannot be read, or does not hold what was written to it.
    pub(crate) fn take(&mut self, number: usize, mut each: impl FnMut(i64, Records<'_>) -> Option<()>) -> Result<()> {
        let Some(bucket) = self.buckets.get_mut(number).map(std::mem::take) else { return Ok(()) };
        let filling = bucket.filling.map(|(run, chunk)| Piece { run, place: Place::Memory(chunk.into_bytes()) });
        for Piece { run, place } in bucket.pieces.into_iter().chain(filling) {
            let bytes = match place {
                Place::Memory(bytes) => bytes,
                Place::Disk { offset, length } => self
                    .read(offset, length)
                    .map_err(|error| Error::io("read records to be folded beside", self.state, error))?,
            };
            each(run, Records::new(&bytes)).ok_or_else(|| {
                Error::damaged(self.state, "records to be folded, which waited in a file beside it, were changed there")
            })?;
        }
        Ok(())
    }
}

/// The bucket of an identity, of so many. They are in the order of their identities.
fn number(identity: Identity, of: usize) -> usize {
    let upper = identity.bits() >> 64;
    usize::try_from((upper * of as u128) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Acknowledged;
    use crate::destination_id::DestinationId;
    use crate::{Change, Fingerprint, KeyHash, Memberships};

    #[test]
    fn buckets_are_in_the_order_of_their_identities() {
        for of in [1, 2, 3, 7, 100] {
            let uppers = [0, 1, u64::MAX / 3, u64::MAX / 3 + 1, u64::MAX - 1, u64::MAX];
            let numbers = uppers.map(|upper| number(Identity::from_bits(u128::from(upper) << 64 | 7), of));
            assert!(numbers.is_sorted(), "{numbers:?}");
            assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&(of - 1))));
        }
    }

    /// What tells one record from another.
    #[derive(Debug, PartialEq, Eq)]
    struct Seen {
        run: i64,
        identity: Identity,
        key: u64,
        id: Option<String>,
    }

    fn id(row: u64) -> Option<String> {
        (!row.is_multiple_of(3)).then(|| format!("contact-{row}"))
    }

    /// Adds so many records of ten runs and takes them out of so many buckets.
    #[track_caller]
    fn check(records: u64, count: u64, is_on_disk: bool) {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state.db");
        let mut buckets = Buckets::new(&state, count);
        let identity = |row: u64| Identity::from_bits(u128::from(row.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64);
        let run = |row: u64| i64::try_from(row * 10 / records).unwrap();
        for row in 0..records {
            let id = id(row);
            let record = Stored::Done {
                identity: identity(row),
                value: Acknowledged { key: KeyHash::from_bits(row), fingerprint: Fingerprint::from_bits(7) },
                memberships: Memberships::from_bits(1),
                id: DestinationId::new(id.as_deref()),
                change: Change::Added,
                at: Memberships::from_bits(1),
            };
            buckets.add(identity(row), run(row), &record).unwrap();
        }
        assert_eq!(buckets.file.is_some(), is_on_disk);
        let mut expected: Vec<Vec<Seen>> = (0..buckets.len()).map(|_| Vec::new()).collect();
        for row in 0..records {
            let seen = Seen { run: run(row), identity: identity(row), key: row, id: id(row) };
            expected[number(seen.identity, buckets.len())].push(seen);
        }
        for (number, expected) in expected.iter().enumerate() {
            let mut found = Vec::new();
            let take = |run, records: Records<'_>| {
                for record in records {
                    let Stored::Done { identity, value, id, .. } = record.ok()? else { return None };
                    found.push(Seen { run, identity, key: value.key.bits(), id: id.to_text() });
                }
                Some(())
            };
            buckets.take(number, take).unwrap();
            assert!(found == *expected, "bucket {number} of {count}");
        }
    }

    #[test]
    fn records_come_out_of_their_bucket_in_their_order() {
        check(0, 1, false);
        check(1, 3, false);
        check(10_000, 1, false);
        check(10_000, 7, false);
        check(250_000, 1, true);
        check(250_000, 40, true);
    }
}
