//! Rows that are to be sent, held between the plan and the delivery.
//!
//! A plan must be complete before anything is sent, so the rows wait. They are profile data: beyond a few megabytes they go
//! to files without a name, encrypted with a key that exists only in this process. A file is closed when its last rows were
//! read; what the system has not brought to the disk by then it need not bring there any more.
//!
//! They wait in the form in which they cross the plugin boundary, cut to the size of a call. Where all rows of a block must gain
//! the same memberships, as in most runs, nobody reads them again before the plugin does. What the ledger needs to know of them
//! stands apart: where a run ends before it has sent them, that is all that is read.

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
/// Where a stream begins in its part of a block: columns need no copy then when they are read.
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

    /// Takes the next block, for its tickets alone.
    pub(crate) fn next_tickets(&mut self) -> Result<Option<Vec<Ticket>>> {
        self.store.take_tickets()
    }
}

/// Encoded blocks, the first in memory, the others on disk.
struct BlockStore {
    dir: PathBuf,
    in_memory: usize,
    waiting: VecDeque<Place>,
    /// How many parts of blocks were sealed.
    sealed: u64,
    /// The file that takes the next block, and where that will begin.
    filling: Option<(Arc<File>, u64)>,
    cipher: LessSafeKey,
}

/// Where a block is. The last one of a file closes it.
enum Place {
    Memory { tickets: Bytes, streams: Bytes },
    Disk { file: Arc<File>, tickets: Stretch, streams: Stretch },
}

/// A sealed part of a block in a file.
struct Stretch {
    offset: u64,
    length: usize,
    /// How many parts were sealed before it.
    number: u64,
}

impl Stretch {
    fn end(&self) -> u64 {
        self.offset + self.length as u64
    }
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

/// A block that is being written.
#[derive(Default)]
struct BlockWriter {
    /// For each bundle, how many rows it has, how long their stream is, the tickets.
    tickets: Vec<u8>,
    /// The streams, each where columns need no copy when they are read.
    streams: Vec<u8>,
    bundles: usize,
}

const TICKET_BYTES: usize = 16 + 8 + 16 + 1;
const ADDED: u8 = 1;
const IN_DOUBT: u8 = 2;

impl BlockWriter {
    fn is_full(&self) -> bool {
        self.bundles >= BUNDLES_PER_BLOCK || self.bytes() >= IN_BLOCK
    }

    fn bytes(&self) -> usize {
        self.tickets.len() + self.streams.len()
    }

    fn add(&mut self, rows: &RecordBatch, tickets: &[Ticket]) -> Result<()> {
        if rows.num_rows() != tickets.len() {
            return Err(Error::new(ErrorKind::Internal, "rows that wait must have one ticket each"));
        }
        let Self { tickets: bytes, streams, bundles } = self;
        let start = streams.len();
        rows::encode(rows, streams)?;
        let length = streams.len() - start;
        streams.resize(streams.len().next_multiple_of(ALIGN), 0);
        bytes.extend_from_slice(&(tickets.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(length as u64).to_le_bytes());
        for ticket in tickets {
            bytes.extend_from_slice(&ticket.identity.bits().to_le_bytes());
            bytes.extend_from_slice(&ticket.key.bits().to_le_bytes());
            bytes.extend_from_slice(&ticket.fingerprint.bits().to_le_bytes());
            bytes.push((u8::from(ticket.added) * ADDED) | (u8::from(ticket.in_doubt) * IN_DOUBT));
        }
        *bundles += 1;
        Ok(())
    }
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
            sealed: 0,
            filling: None,
            cipher: LessSafeKey::new(key),
        })
    }

    /// Takes a block, whose writer then begins the next one.
    fn append(&mut self, block: &mut BlockWriter) -> Result<()> {
        if self.in_memory + block.bytes() <= IN_MEMORY {
            self.in_memory += block.bytes();
            let [tickets, streams] = [&block.tickets, &block.streams].map(|part| Bytes::copy_from_slice(part));
            self.waiting.push_back(Place::Memory { tickets, streams });
        } else {
            let (file, start) = match self.filling.take().filter(|(_, end)| *end < IN_FILE) {
                Some(filling) => filling,
                None => (self.new_file()?, 0),
            };
            let tickets = self.write(&file, start, &mut block.tickets)?;
            let streams = self.write(&file, tickets.end(), &mut block.streams)?;
            self.filling = Some((Arc::clone(&file), streams.end()));
            self.waiting.push_back(Place::Disk { file, tickets, streams });
        }
        block.tickets.clear();
        block.streams.clear();
        block.bundles = 0;
        Ok(())
    }

    /// Seals a part of a block, and writes it to the end of a file.
    fn write(&mut self, mut file: &File, offset: u64, bytes: &mut Vec<u8>) -> Result<Stretch> {
        let number = self.sealed;
        self.sealed += 1;
        self.cipher
            .seal_in_place_append_tag(nonce(number), Aad::empty(), bytes)
            .map_err(|_| Error::new(ErrorKind::Internal, "rows that wait on disk could not be encrypted"))?;
        file.write_all(bytes).map_err(|error| self.disk("written", &error))?;
        Ok(Stretch { offset, length: bytes.len(), number })
    }

    /// The next block. Nothing may be appended any more.
    fn take(&mut self) -> Result<Option<Block>> {
        let (tickets, streams) = match self.next() {
            None => return Ok(None),
            Some(Place::Memory { tickets, streams }) => (tickets, streams),
            Some(Place::Disk { file, tickets, streams }) => {
                (self.read_back(&file, &tickets)?, self.read_back(&file, &streams)?)
            }
        };
        decode(tickets, streams).map(Some)
    }

    /// The tickets of the next block. Nothing may be appended any more.
    fn take_tickets(&mut self) -> Result<Option<Vec<Ticket>>> {
        let tickets = match self.next() {
            None => return Ok(None),
            Some(Place::Memory { tickets, .. }) => tickets,
            Some(Place::Disk { file, tickets, .. }) => self.read_back(&file, &tickets)?,
        };
        decode_tickets(tickets).map(Some)
    }

    fn next(&mut self) -> Option<Place> {
        self.filling = None;
        self.waiting.pop_front()
    }

    fn read_back(&self, mut file: &File, stretch: &Stretch) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(stretch.length);
        file.seek(SeekFrom::Start(stretch.offset))
            .and_then(|_| file.take(stretch.length as u64).read_to_end(&mut bytes))
            .map_err(|error| self.disk("read back", &error))?;
        let plain = self
            .cipher
            .open_in_place(nonce(stretch.number), Aad::empty(), &mut bytes)
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

/// The number of a sealed part is used once per key, as the cipher demands.
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Takes a block apart. Its bytes are those that were written: what comes from disk is proved by its seal.
fn decode(mut tickets: Bytes, mut streams: Bytes) -> Result<Block> {
    let mut block = Block::with_capacity(BUNDLES_PER_BLOCK);
    while !tickets.is_empty() {
        let (tickets, length) = split_tickets(&mut tickets).ok_or_else(damaged)?;
        let stream = split_stream(&mut streams, length).ok_or_else(damaged)?;
        block.push(Bundle { rows: EncodedRows::from_stream(stream, tickets.len()), tickets });
    }
    Ok(block)
}

/// The tickets of all bundles of a block.
fn decode_tickets(mut tickets: Bytes) -> Result<Vec<Ticket>> {
    let mut all = Vec::with_capacity(tickets.len() / TICKET_BYTES);
    while !tickets.is_empty() {
        all.extend(split_tickets(&mut tickets).ok_or_else(damaged)?.0);
    }
    Ok(all)
}

fn damaged() -> Error {
    Error::new(ErrorKind::Internal, "a block of waiting rows is damaged")
}

/// Takes the tickets of the first bundle off those of a block, and how long its stream is.
fn split_tickets(bytes: &mut Bytes) -> Option<(Vec<Ticket>, usize)> {
    let count = split_number(bytes)?;
    let length = split_number(bytes)?;
    let tickets = split(bytes, count * TICKET_BYTES)?;
    Some((tickets.chunks_exact(TICKET_BYTES).map(ticket).collect::<Option<_>>()?, length))
}

/// Takes the first stream off those of a block, and what aligns the next one.
fn split_stream(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    split(bytes, length.next_multiple_of(ALIGN)).map(|padded| padded.slice(..length))
}

fn split_number(bytes: &mut Bytes) -> Option<usize> {
    let number = u64::from_le_bytes(*bytes.first_chunk()?);
    bytes.advance(8);
    usize::try_from(number).ok()
}

fn split(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
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
    fn tickets_come_without_their_rows() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::new(page(0, 1, 1).0.schema(), 100, dir.path()).unwrap();
        for from in (0..30_000).step_by(1000) {
            let (rows, tickets) = page(from, 1000, 500);
            outbox.push(&rows, tickets).unwrap();
        }
        let mut sealed = outbox.seal().unwrap();
        let (mut tickets, mut is_for_rows) = (Vec::new(), false);
        loop {
            let next = if is_for_rows {
                let block = sealed.next_block().unwrap();
                block.map(|block| block.into_iter().flat_map(|bundle| bundle.tickets).collect())
            } else {
                sealed.next_tickets().unwrap()
            };
            let Some(next) = next else { break };
            tickets.extend(next);
            is_for_rows = !is_for_rows;
        }
        assert_eq!(tickets, page(0, 30_000, 1).1, "in order, from memory and disk");
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
                Place::Memory { .. } => None,
                Place::Disk { file, .. } => Some(Arc::as_ptr(file)),
            });
            open.push(files.collect::<HashSet<_>>().len());
        }
        open.dedup();
        assert_eq!(open, [3, 2, 1, 0], "of 300 MB, nothing holds a file whose last block was taken");
        assert!(sealed.store.filling.is_none());
    }
}
