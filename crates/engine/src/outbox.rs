//! Rows that are to be sent, held between the plan and the delivery.
//!
//! A plan must be complete before anything is sent, so the rows wait. They are profile data: beyond a few megabytes they go
//! to files without a name, encrypted with a key that exists only in this process. A file is closed when its last rows were
//! read; what the system has not brought to the disk by then it need not bring there any more.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use segport_core::{Error, ErrorKind, Result, rows};
use segport_ledger::{Fingerprint, Identity, KeyHash};

/// Bytes of encoded blocks that wait in memory before the rest goes to disk.
const IN_MEMORY: usize = 8 << 20;
/// Bytes after which a file takes no further block.
const IN_FILE: u64 = 128 << 20;

/// What the ledger needs to know of a row that is being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) identity: Identity,
    pub(crate) key: KeyHash,
    pub(crate) fingerprint: Fingerprint,
    /// Whether the destination has never acknowledged this identity.
    pub(crate) added: bool,
    /// Whether an earlier run may have sent the row: it got no usable answer.
    pub(crate) in_doubt: bool,
}

/// Some thousand rows with their tickets.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) rows: RecordBatch,
    pub(crate) tickets: Vec<Ticket>,
}

/// Collects rows into blocks and gives the blocks back in the same order.
#[derive(Debug)]
pub(crate) struct Outbox {
    schema: SchemaRef,
    rows_per_block: usize,
    pending: Vec<RecordBatch>,
    tickets: Vec<Ticket>,
    store: BlockStore,
    rows: u64,
}

impl Outbox {
    /// An empty outbox whose blocks hold `rows_per_block` rows, the last one fewer; `dir` is where a file may be made.
    pub(crate) fn new(schema: SchemaRef, rows_per_block: usize, dir: &Path) -> Result<Self> {
        Ok(Self {
            schema,
            rows_per_block,
            pending: Vec::new(),
            tickets: Vec::new(),
            store: BlockStore::new(dir)?,
            rows: 0,
        })
    }

    /// Adds rows with one ticket each.
    pub(crate) fn push(&mut self, rows: RecordBatch, tickets: impl IntoIterator<Item = Ticket>) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        self.pending.push(rows);
        self.tickets.extend(tickets);
        if self.tickets.len() >= self.rows_per_block { self.pack() } else { Ok(()) }
    }

    /// Writes every full block; what is left over waits for more.
    fn pack(&mut self) -> Result<()> {
        let joined = self.join()?;
        let mut start = 0;
        while joined.num_rows() - start >= self.rows_per_block {
            let tickets: Vec<Ticket> = self.tickets.drain(..self.rows_per_block).collect();
            self.store.append(&joined.slice(start, self.rows_per_block), &tickets)?;
            start += self.rows_per_block;
        }
        if start < joined.num_rows() {
            self.pending.push(joined.slice(start, joined.num_rows() - start));
        }
        Ok(())
    }

    fn join(&mut self) -> Result<RecordBatch> {
        let pending = std::mem::take(&mut self.pending);
        arrow_select::concat::concat_batches(&self.schema, &pending)
            .map_err(|error| Error::new(ErrorKind::Internal, "mapped pages do not fit together").because(&error))
    }

    /// Ends the collecting.
    pub(crate) fn seal(mut self) -> Result<Sealed> {
        if !self.tickets.is_empty() {
            let joined = self.join()?;
            self.store.append(&joined, &self.tickets)?;
        }
        Ok(Sealed { store: self.store, rows: self.rows })
    }
}

/// A complete outbox.
#[derive(Debug)]
pub(crate) struct Sealed {
    store: BlockStore,
    rows: u64,
}

impl Sealed {
    /// Rows in all.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The next block, or `None` after the last.
    pub(crate) fn next_block(&mut self) -> Result<Option<Block>> {
        self.store.take()
    }
}

/// Encoded blocks, the first in memory, the others on disk.
struct BlockStore {
    dir: PathBuf,
    in_memory: usize,
    waiting: VecDeque<Place>,
    /// How many blocks were taken out again.
    taken: usize,
    /// The file that takes the next block, and where that will begin.
    filling: Option<(Arc<File>, u64)>,
    cipher: LessSafeKey,
}

enum Place {
    Memory(Bytes),
    /// The last block of a file closes it.
    Disk {
        file: Arc<File>,
        offset: u64,
        length: usize,
    },
}

impl std::fmt::Debug for BlockStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockStore").field("blocks", &self.waiting.len()).finish_non_exhaustive()
    }
}

const TICKET_BYTES: usize = 16 + 8 + 16 + 1;
const ADDED: u8 = 1;
const IN_DOUBT: u8 = 2;

impl BlockStore {
    fn new(dir: &Path) -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|error| Error::new(ErrorKind::Internal, "the system gave no random bytes").because(&error))?;
        let key = UnboundKey::new(&AES_256_GCM, &key)
            .map_err(|_| Error::new(ErrorKind::Internal, "no key could be made for rows that wait on disk"))?;
        Ok(Self {
            dir: dir.to_owned(),
            in_memory: 0,
            waiting: VecDeque::new(),
            taken: 0,
            filling: None,
            cipher: LessSafeKey::new(key),
        })
    }

    fn append(&mut self, rows: &RecordBatch, tickets: &[Ticket]) -> Result<()> {
        let mut bytes = Vec::with_capacity(8 + tickets.len() * TICKET_BYTES + rows.get_array_memory_size());
        bytes.extend_from_slice(&(tickets.len() as u64).to_le_bytes());
        for ticket in tickets {
            bytes.extend_from_slice(&ticket.identity.bits().to_le_bytes());
            bytes.extend_from_slice(&ticket.key.bits().to_le_bytes());
            bytes.extend_from_slice(&ticket.fingerprint.bits().to_le_bytes());
            bytes.push((u8::from(ticket.added) * ADDED) | (u8::from(ticket.in_doubt) * IN_DOUBT));
        }
        // The IPC payload is aligned so that its columns need no copy when they are read back.
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        rows::encode(rows, &mut bytes)?;
        if self.in_memory + bytes.len() <= IN_MEMORY {
            self.in_memory += bytes.len();
            self.waiting.push_back(Place::Memory(bytes.into()));
            return Ok(());
        }
        let nonce = nonce(self.taken + self.waiting.len());
        self.cipher
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes)
            .map_err(|_| Error::new(ErrorKind::Internal, "rows that wait on disk could not be encrypted"))?;
        let (file, offset) = match self.filling.take().filter(|(_, end)| *end < IN_FILE) {
            Some(filling) => filling,
            None => (self.new_file()?, 0),
        };
        (&*file).write_all(&bytes).map_err(|error| self.disk("written", &error))?;
        self.filling = Some((Arc::clone(&file), offset + bytes.len() as u64));
        self.waiting.push_back(Place::Disk { file, offset, length: bytes.len() });
        Ok(())
    }

    /// The next block. Nothing may be appended any more.
    fn take(&mut self) -> Result<Option<Block>> {
        self.filling = None;
        let Some(place) = self.waiting.pop_front() else { return Ok(None) };
        let nonce = nonce(self.taken);
        self.taken += 1;
        let bytes = match place {
            Place::Memory(bytes) => bytes,
            Place::Disk { file, offset, length } => self.read_back(nonce, &file, offset, length)?,
        };
        decode(bytes).map(Some)
    }

    fn read_back(&self, nonce: Nonce, mut file: &File, offset: u64, length: usize) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(length);
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(length as u64).read_to_end(&mut bytes))
            .map_err(|error| self.disk("read back", &error))?;
        let plain = self
            .cipher
            .open_in_place(nonce, Aad::empty(), &mut bytes)
            .map_err(|_| Error::new(ErrorKind::Internal, "rows that waited on disk were changed there"))?
            .len();
        bytes.truncate(plain);
        Ok(bytes.into())
    }

    fn new_file(&self) -> Result<Arc<File>> {
        std::fs::create_dir_all(&self.dir)
            .and_then(|()| tempfile::tempfile_in(&self.dir))
            .map(Arc::new)
            .map_err(|error| self.disk("created", &error))
    }

    fn disk(&self, verb: &str, error: &std::io::Error) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!("the encrypted file of rows that wait to be sent could not be {verb}"),
        )
        .with("directory", self.dir.display().to_string())
        .because(error)
    }
}

/// A block's position is used once per key, as the cipher demands.
fn nonce(position: usize) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&(position as u64).to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn decode(bytes: Bytes) -> Result<Block> {
    let broken = || Error::new(ErrorKind::Internal, "a block of waiting rows is damaged");
    let count: [u8; 8] = bytes.get(..8).and_then(|count| count.try_into().ok()).ok_or_else(broken)?;
    let count = usize::try_from(u64::from_le_bytes(count)).map_err(|_| broken())?;
    let end = 8 + count * TICKET_BYTES;
    let tickets: Vec<Ticket> =
        bytes.get(8..end).ok_or_else(broken)?.chunks_exact(TICKET_BYTES).filter_map(ticket).collect();
    let rows = rows::decode(bytes.slice(end.next_multiple_of(64)..))?;
    if rows.num_rows() == count && tickets.len() == count { Ok(Block { rows, tickets }) } else { Err(broken()) }
}

fn ticket(bytes: &[u8]) -> Option<Ticket> {
    let (identity, rest) = bytes.split_first_chunk::<16>()?;
    let (key, rest) = rest.split_first_chunk::<8>()?;
    let (fingerprint, rest) = rest.split_first_chunk::<16>()?;
    Some(Ticket {
        identity: Identity::from_bits(u128::from_le_bytes(*identity)),
        key: KeyHash::from_bits(u64::from_le_bytes(*key)),
        fingerprint: Fingerprint::from_bits(u128::from_le_bytes(*fingerprint)),
        added: rest.first()? & ADDED != 0,
        in_doubt: rest.first()? & IN_DOUBT != 0,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::{ArrayRef, StringArray};

    use super::*;

    fn page(from: u32, count: u32, width: usize) -> (RecordBatch, Vec<Ticket>) {
        let text: ArrayRef =
            Arc::new((from..from + count).map(|row| Some(format!("{row:0>width$}"))).collect::<StringArray>());
        let ticket = |row: u32| Ticket {
            identity: Identity::from_bits(u128::from(row)),
            key: KeyHash::from_bits(u64::from(row)),
            fingerprint: Fingerprint::from_bits(7),
            added: row.is_multiple_of(2),
            in_doubt: row.is_multiple_of(3),
        };
        let rows = RecordBatch::try_from_iter_with_nullable([("f0", text, true)]).unwrap();
        (rows, (from..from + count).map(ticket).collect())
    }

    fn check(pages: &[u32], rows_per_block: usize, width: usize) {
        let dir = tempfile::tempdir().unwrap();
        let schema = page(0, 1, 1).0.schema();
        let mut outbox = Outbox::new(schema, rows_per_block, dir.path()).unwrap();
        let mut row = 0;
        for &count in pages {
            let (rows, tickets) = page(row, count, width);
            outbox.push(rows, tickets).unwrap();
            row += count;
        }
        let mut sealed = outbox.seal().unwrap();
        let (mut seen, mut sizes) = (0_u32, Vec::new());
        while let Some(block) = sealed.next_block().unwrap() {
            for (value, ticket) in block.rows.column(0).as_string::<i32>().iter().zip(&block.tickets) {
                assert_eq!(value.unwrap(), format!("{seen:0>width$}"));
                assert_eq!((ticket.added, ticket.in_doubt), (seen.is_multiple_of(2), seen.is_multiple_of(3)));
                seen += 1;
            }
            sizes.push(block.tickets.len());
        }
        assert_eq!(seen, row);
        assert!(sizes.iter().rev().skip(1).all(|&size| size == rows_per_block), "{sizes:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn blocks_come_back_in_order_from_memory_and_disk() {
        check(&[], 100, 1);
        check(&[1], 100, 1);
        check(&[250, 50, 1], 100, 1);
        check(&[700, 700, 700], 300, 1000);
        check(&[4000, 4000, 4001], 1000, 2000);
    }

    #[test]
    fn files_are_closed_as_they_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::new(page(0, 1, 1).0.schema(), 1000, dir.path()).unwrap();
        for from in (0..150_000).step_by(1000) {
            let (rows, tickets) = page(from, 1000, 2000);
            outbox.push(rows, tickets).unwrap();
        }
        let mut sealed = outbox.seal().unwrap();
        let mut open = Vec::new();
        while sealed.next_block().unwrap().is_some() {
            let files = sealed.store.waiting.iter().filter_map(|place| match place {
                Place::Memory(_) => None,
                Place::Disk { file, .. } => Some(Arc::as_ptr(file)),
            });
            open.push(files.collect::<HashSet<_>>().len());
        }
        open.dedup();
        assert_eq!(open, [3, 2, 1, 0], "of 300 MB, nothing holds a file whose last block was taken");
        assert!(sealed.store.filling.is_none());
    }
}
