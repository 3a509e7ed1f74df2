//! Rows that are to be sent, held between the plan and the delivery.
//!
//! A plan must be complete before anything is sent, so the rows wait. They are profile data: beyond a few megabytes they go
//! to files without a name, encrypted with a key that exists only in this process. A file is closed when its last rows were
//! read; what the system has not brought to the disk by then it need not bring there any more.
//!
//! They wait in the form in which they cross the plugin boundary, cut to the size of a call. Where all rows of a block must gain
//! the same memberships, as in most runs, nobody reads them again before the plugin does.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::{Buf, Bytes};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use segport_core::rows::{self, EncodedRows};
use segport_core::{Error, ErrorKind, Result};
use segport_ledger::{Fingerprint, Identity, KeyHash};

/// Most bundles of a block.
pub(crate) const BUNDLES_PER_BLOCK: usize = 128;
/// Bytes after which a block takes no further bundle, so that wide rows need no more memory than others.
const IN_BLOCK: usize = 4 << 20;
/// Rows of a bundle where a call has fewer: a bundle takes more than a thousand bytes whatever it holds.
const SMALLEST_BUNDLE: usize = 32;
/// Where the parts of a block begin.
const ALIGN: usize = 8;
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

/// Rows that were encoded together, with a ticket each.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) rows: EncodedRows,
    pub(crate) tickets: Vec<Ticket>,
}

/// Some thousand rows.
pub(crate) type Block = Vec<Bundle>;

/// Collects rows into blocks and gives the blocks back in the same order.
pub(crate) struct Outbox {
    schema: SchemaRef,
    rows_per_bundle: usize,
    /// Fewer rows than a bundle has.
    pending: Vec<RecordBatch>,
    /// Theirs.
    tickets: Vec<Ticket>,
    block: BlockWriter,
    store: BlockStore,
    rows: u64,
}

impl Outbox {
    /// An empty outbox whose bundles hold `rows_per_batch` rows, or a multiple where those are few, the last one fewer; `dir` is
    /// where files may be made.
    pub(crate) fn new(schema: SchemaRef, rows_per_batch: usize, dir: &Path) -> Result<Self> {
        let rows_per_batch = rows_per_batch.max(1);
        Ok(Self {
            schema,
            rows_per_bundle: rows_per_batch * SMALLEST_BUNDLE.div_ceil(rows_per_batch),
            pending: Vec::new(),
            tickets: Vec::new(),
            block: BlockWriter::default(),
            store: BlockStore::new(dir)?,
            rows: 0,
        })
    }

    /// Adds rows with one ticket each.
    pub(crate) fn push(&mut self, rows: &RecordBatch, tickets: Vec<Ticket>) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        let (mut start, mut tickets) = (0, tickets.into_iter());
        while start < rows.num_rows() {
            let taken = (self.rows_per_bundle - self.tickets.len()).min(rows.num_rows() - start);
            self.pending.push(rows.slice(start, taken));
            self.tickets.extend(tickets.by_ref().take(taken));
            start += taken;
            if self.tickets.len() == self.rows_per_bundle {
                self.end_bundle()?;
            }
        }
        Ok(())
    }

    /// Encodes the rows that are pending.
    fn end_bundle(&mut self) -> Result<()> {
        match self.pending.as_slice() {
            [rows] => self.block.add(rows, &self.tickets)?,
            parts => {
                let rows = arrow_select::concat::concat_batches(&self.schema, parts).map_err(|error| {
                    Error::new(ErrorKind::Internal, "mapped pages do not fit together").because(&error)
                })?;
                self.block.add(&rows, &self.tickets)?;
            }
        }
        self.pending.clear();
        self.tickets.clear();
        if self.block.is_full() { self.store.append(&mut self.block) } else { Ok(()) }
    }

    /// Ends the collecting.
    pub(crate) fn seal(mut self) -> Result<Sealed> {
        if !self.tickets.is_empty() {
            self.end_bundle()?;
        }
        if self.block.bundles > 0 {
            self.store.append(&mut self.block)?;
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

    /// Takes the next block.
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

/// What is not encoded yet is as secret as what is.
impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BlockStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockStore").field("blocks", &self.waiting.len()).finish_non_exhaustive()
    }
}

/// A block that is being written: for each bundle, how many rows it has, how long their stream is, the tickets, the stream.
#[derive(Default)]
struct BlockWriter {
    bytes: Vec<u8>,
    bundles: usize,
}

const TICKET_BYTES: usize = 16 + 8 + 16 + 1;
const ADDED: u8 = 1;
const IN_DOUBT: u8 = 2;

impl BlockWriter {
    fn is_full(&self) -> bool {
        self.bundles >= BUNDLES_PER_BLOCK || self.bytes.len() >= IN_BLOCK
    }

    fn add(&mut self, rows: &RecordBatch, tickets: &[Ticket]) -> Result<()> {
        if rows.num_rows() != tickets.len() {
            return Err(Error::new(ErrorKind::Internal, "rows that wait must have one ticket each"));
        }
        let Self { bytes, bundles } = self;
        bytes.extend_from_slice(&(tickets.len() as u64).to_le_bytes());
        let length = bytes.len();
        bytes.extend_from_slice(&[0; 8]);
        for ticket in tickets {
            bytes.extend_from_slice(&ticket.identity.bits().to_le_bytes());
            bytes.extend_from_slice(&ticket.key.bits().to_le_bytes());
            bytes.extend_from_slice(&ticket.fingerprint.bits().to_le_bytes());
            bytes.push((u8::from(ticket.added) * ADDED) | (u8::from(ticket.in_doubt) * IN_DOUBT));
        }
        align(bytes);
        let start = bytes.len();
        rows::encode(rows, bytes)?;
        let written = (bytes.len() - start) as u64;
        bytes.iter_mut().skip(length).zip(written.to_le_bytes()).for_each(|(to, byte)| *to = byte);
        align(bytes);
        *bundles += 1;
        Ok(())
    }
}

/// Columns need no copy when they are read where a stream begins at a multiple of eight.
fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
}

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

    /// Takes a block, whose writer then begins the next one.
    fn append(&mut self, BlockWriter { bytes, bundles }: &mut BlockWriter) -> Result<()> {
        *bundles = 0;
        if self.in_memory + bytes.len() <= IN_MEMORY {
            self.in_memory += bytes.len();
            self.waiting.push_back(Place::Memory(Bytes::copy_from_slice(bytes)));
            bytes.clear();
            return Ok(());
        }
        let nonce = nonce(self.taken + self.waiting.len());
        self.cipher
            .seal_in_place_append_tag(nonce, Aad::empty(), bytes)
            .map_err(|_| Error::new(ErrorKind::Internal, "rows that wait on disk could not be encrypted"))?;
        let (file, offset) = match self.filling.take().filter(|(_, end)| *end < IN_FILE) {
            Some(filling) => filling,
            None => (self.new_file()?, 0),
        };
        (&*file).write_all(bytes).map_err(|error| self.disk("written", &error))?;
        self.filling = Some((Arc::clone(&file), offset + bytes.len() as u64));
        self.waiting.push_back(Place::Disk { file, offset, length: bytes.len() });
        bytes.clear();
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

/// Takes a block apart. Its bytes are those that were written: what comes from disk is proved by its seal.
fn decode(mut bytes: Bytes) -> Result<Block> {
    let mut block = Block::with_capacity(BUNDLES_PER_BLOCK);
    while !bytes.is_empty() {
        let bundle = split_bundle(&mut bytes);
        block.push(bundle.ok_or_else(|| Error::new(ErrorKind::Internal, "a block of waiting rows is damaged"))?);
    }
    Ok(block)
}

/// Takes the first bundle off a block.
fn split_bundle(bytes: &mut Bytes) -> Option<Bundle> {
    let count = split_number(bytes)?;
    let length = split_number(bytes)?;
    let tickets = split_padded(bytes, count * TICKET_BYTES)?;
    let tickets = tickets.chunks_exact(TICKET_BYTES).map(ticket).collect::<Option<_>>()?;
    let stream = split_padded(bytes, length)?;
    Some(Bundle { rows: EncodedRows::from_stream(stream, count), tickets })
}

fn split_number(bytes: &mut Bytes) -> Option<usize> {
    let number = u64::from_le_bytes(*bytes.first_chunk()?);
    bytes.advance(8);
    usize::try_from(number).ok()
}

/// Takes so many bytes, and what aligns the next part.
fn split_padded(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    let padded = length.next_multiple_of(ALIGN);
    (padded <= bytes.len()).then(|| bytes.split_to(padded).slice(..length))
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

    fn check(pages: &[u32], rows_per_batch: usize, width: usize, [rows_per_bundle, bundles_per_block]: [usize; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let schema = page(0, 1, 1).0.schema();
        let mut outbox = Outbox::new(schema, rows_per_batch, dir.path()).unwrap();
        let mut row = 0;
        for &count in pages {
            let (rows, tickets) = page(row, count, width);
            outbox.push(&rows, tickets).unwrap();
            row += count;
        }
        let mut sealed = outbox.seal().unwrap();
        assert_eq!(sealed.rows(), u64::from(row));
        let (mut seen, mut sizes, mut blocks) = (0_u32, Vec::new(), Vec::new());
        while let Some(block) = sealed.next_block().unwrap() {
            blocks.push(block.len());
            for Bundle { rows, tickets } in block {
                let decoded = rows.decode().unwrap();
                assert_eq!((decoded.num_rows(), tickets.len()), (rows.count(), rows.count()));
                for (value, ticket) in decoded.column(0).as_string::<i32>().iter().zip(&tickets) {
                    assert_eq!(value.unwrap(), format!("{seen:0>width$}"));
                    assert_eq!(ticket.identity.bits(), u128::from(seen));
                    assert_eq!((ticket.added, ticket.in_doubt), (seen.is_multiple_of(2), seen.is_multiple_of(3)));
                    seen += 1;
                }
                sizes.push(tickets.len());
            }
        }
        assert_eq!(seen, row);
        assert!(sizes.iter().rev().skip(1).all(|&size| size == rows_per_bundle), "{sizes:?}");
        assert!(blocks.iter().rev().skip(1).all(|&bundles| bundles == bundles_per_block), "{blocks:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn rows_come_back_in_order_from_memory_and_disk() {
        check(&[], 100, 1, [100, BUNDLES_PER_BLOCK]);
        check(&[1], 100, 1, [100, BUNDLES_PER_BLOCK]);
        check(&[250, 50, 1], 100, 1, [100, BUNDLES_PER_BLOCK]);
        check(&[99, 1, 1, 199], 100, 1, [100, BUNDLES_PER_BLOCK]);
        check(&[4000, 4000, 700], 300, 1000, [300, 14]);
        check(&[4000, 4000, 4001], 50, 2000, [50, 41]);
        check(&[9000], 1, 1, [SMALLEST_BUNDLE, BUNDLES_PER_BLOCK]);
        check(&[300], 2, 25_000, [SMALLEST_BUNDLE, 6]);
        check(&[100], 20, 1, [40, BUNDLES_PER_BLOCK]);
        check(&[100], 31, 1, [62, BUNDLES_PER_BLOCK]);
    }

    #[test]
    fn files_are_closed_as_they_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::new(page(0, 1, 1).0.schema(), SMALLEST_BUNDLE, dir.path()).unwrap();
        for from in (0..150_000).step_by(1000) {
            let (rows, tickets) = page(from, 1000, 2000);
            outbox.push(&rows, tickets).unwrap();
        }
        let mut sealed = outbox.seal().unwrap();
        let mut open = Vec::new();
        while sealed.store.take().unwrap().is_some() {
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
