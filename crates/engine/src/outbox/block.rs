//! Blocks of rows as bytes: their tickets, and apart from those the rows.

use arrow_array::RecordBatch;
use bytes::{Buf, Bytes};
use segport_core::rows::{self, EncodedRows};
use segport_core::{Error, ErrorKind, Result};
use segport_ledger::{Fingerprint, Identity, KeyHash};

/// Most bundles of a block.
pub(crate) const BUNDLES_PER_BLOCK: usize = 128;
/// Bytes after which a block takes no further bundle, so that wide rows need no more memory than others.
const IN_BLOCK: usize = 4 << 20;
/// Where a stream begins in its part of a block: columns need no copy then when they are read.
const ALIGN: usize = 8;

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

/// A block that is being written.
#[derive(Default)]
pub(super) struct BlockWriter {
    /// For each bundle, how many rows it has, how long their stream is, the tickets.
    pub(super) tickets: Vec<u8>,
    /// The streams, each where columns need no copy when they are read.
    pub(super) streams: Vec<u8>,
    bundles: usize,
}

const TICKET_BYTES: usize = 16 + 8 + 16 + 1;
const ADDED: u8 = 1;
const IN_DOUBT: u8 = 2;

impl BlockWriter {
    pub(super) fn is_empty(&self) -> bool {
        self.bundles == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.bundles >= BUNDLES_PER_BLOCK || self.bytes() >= IN_BLOCK
    }

    pub(super) fn bytes(&self) -> usize {
        self.tickets.len() + self.streams.len()
    }

    /// Adds rows as a bundle.
    pub(super) fn add(&mut self, rows: &RecordBatch, tickets: &[Ticket]) -> Result<()> {
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

    /// Begins the next block.
    pub(super) fn clear(&mut self) {
        self.tickets.clear();
        self.streams.clear();
        self.bundles = 0;
    }
}

/// Takes a block apart. Its bytes are those that were written: what comes from disk is proved by its seal.
pub(super) fn decode(mut tickets: Bytes, mut streams: Bytes) -> Result<Block> {
    let mut block = Block::with_capacity(BUNDLES_PER_BLOCK);
    while !tickets.is_empty() {
        let (tickets, length) = split_tickets(&mut tickets).ok_or_else(damaged)?;
        let stream = split_stream(&mut streams, length).ok_or_else(damaged)?;
        block.push(Bundle { rows: EncodedRows::from_stream(stream, tickets.len()), tickets });
    }
    Ok(block)
}

/// The tickets of all bundles of a block.
pub(super) fn decode_tickets(mut tickets: Bytes) -> Result<Vec<Ticket>> {
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
