//! Rows that are to be sent, held between the plan and the delivery.
//!
//! A plan must be complete before anything is sent, so the rows wait. They are profile data: beyond a few megabytes they go
//! to files without a name, encrypted with a key that exists only in this process. A file is closed when its last rows were
//! read; what the system has not brought to the disk by then it need not bring there any more.
//!
//! They wait in the form in which they cross the plugin boundary, cut to the size of a call. Where all rows of a block must gain
//! the same memberships, as in most runs, nobody reads them again before the plugin does. What the ledger needs to know of them
//! stands apart: where a run ends before it has sent them, that is all that is read.

mod block;
mod store;

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use segport_core::{Error, ErrorKind, Result, rows};

use self::block::BlockWriter;
pub(crate) use self::block::{BUNDLES_PER_BLOCK, Block, Bundle, Ticket};
use self::store::BlockStore;
use crate::batch_size::{BatchSize, Cut, Filled};
use crate::numbered::written_out;

/// Rows of a bundle where a call has fewer: a bundle takes more than a thousand bytes whatever it holds.
const SMALLEST_BUNDLE: usize = 32;

/// Collects rows into blocks and gives the blocks back in the same order.
pub(crate) struct Outbox {
    schema: SchemaRef,
    bundle: BatchSize,
    /// Rows of the next bundle.
    pending: Vec<RecordBatch>,
    filled: Filled,
    /// Theirs.
    tickets: Vec<Ticket>,
    block: BlockWriter,
    store: BlockStore,
    rows: u64,
    size: Size,
}

impl Outbox {
    /// An empty outbox whose bundles hold the rows of a batch, or a multiple where those are few, and fewer where rows are wide;
    /// `dir` is where files may be made.
    pub(crate) fn new(schema: SchemaRef, batch: BatchSize, dir: &Path) -> Result<Self> {
        Ok(Self {
            schema,
            bundle: BatchSize { rows: batch.rows * SMALLEST_BUNDLE.div_ceil(batch.rows), bytes: batch.bytes },
            pending: Vec::new(),
            filled: Filled::default(),
            tickets: Vec::new(),
            block: BlockWriter::default(),
            store: BlockStore::new(dir)?,
            rows: 0,
            size: Size { batch, bytes: 0, widest: 0 },
        })
    }

    /// Adds rows with one ticket each.
    pub(crate) fn push(&mut self, rows: &RecordBatch, tickets: Vec<Ticket>) -> Result<()> {
        let mut rows = written_out(rows, &self.schema)?;
        self.rows += rows.num_rows() as u64;
        self.size.widest = self.size.widest.max(rows::widest(&rows));
        let mut tickets = tickets.into_iter();
        while rows.num_rows() > 0 {
            let Cut { rows: taken, filled, is_full } = self.bundle.cut(self.filled, &mut rows);
            if taken.num_rows() > 0 {
                self.tickets.extend(tickets.by_ref().take(taken.num_rows()));
                self.pending.push(taken);
                self.filled = filled;
            }
            if is_full {
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
        self.size.bytes += std::mem::take(&mut self.filled).bytes.min(self.bundle.bytes) as u64;
        if self.block.is_full() { self.store.append(&mut self.block) } else { Ok(()) }
    }

    /// Ends the collecting.
    pub(crate) fn seal(mut self) -> Result<Sealed> {
        if !self.tickets.is_empty() {
            self.end_bundle()?;
        }
        if !self.block.is_empty() {
            self.store.append(&mut self.block)?;
        }
        Ok(Sealed { store: self.store, rows: self.rows, size: self.size })
    }
}

/// What is known of the bytes of all rows.
#[derive(Debug, Clone, Copy)]
struct Size {
    batch: BatchSize,
    /// Of all bundles; one with more than a batch may have is a single row, and counts as a batch.
    bytes: u64,
    /// No row has more.
    widest: usize,
}

/// A complete outbox.
#[derive(Debug)]
pub(crate) struct Sealed {
    store: BlockStore,
    rows: u64,
    size: Size,
}

impl Sealed {
    /// Rows in all.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many batches they make at least and at most, if they made `narrow` without regard to their bytes.
    pub(crate) fn batches(&self, narrow: u64) -> [u64; 2] {
        let Size { batch, bytes, widest } = self.size;
        if widest.saturating_mul(batch.rows) <= batch.bytes {
            return [narrow, narrow];
        }
        // One that is ended by its bytes has more than a batch may have, with the first row of the next one of its kind.
        let full = bytes / batch.bytes as u64;
        [narrow.max(full), narrow.saturating_add(2 * full + 1).min(self.rows)]
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

/// What is not encoded yet is as secret as what is.
impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("rows", &self.rows).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::{ArrayRef, StringArray};
    use segport_ledger::{Fingerprint, Identity, KeyHash};

    use super::*;
    use crate::numbered::numbered;

    /// Rows that are numbered from `from`, each with a value of `width` bytes.
    pub(super) fn page(from: u32, count: u32, width: usize) -> (RecordBatch, Vec<Ticket>) {
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

    fn narrow(rows: usize) -> BatchSize {
        BatchSize { rows, bytes: usize::MAX }
    }

    fn check(pages: &[u32], rows_per_batch: usize, width: usize, [rows_per_bundle, bundles_per_block]: [usize; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let schema = page(0, 1, 1).0.schema();
        let mut outbox = Outbox::new(schema, narrow(rows_per_batch), dir.path()).unwrap();
        let mut row = 0;
        for (number, &count) in pages.iter().enumerate() {
            let (mut rows, tickets) = page(row, count, width);
            // Whether or not a source numbers its texts.
            if number % 2 == 1 {
                rows = RecordBatch::try_from_iter_with_nullable([("f0", numbered(rows.column(0)), true)]).unwrap();
            }
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
    fn wide_rows_make_bundles_of_fewer() {
        let dir = tempfile::tempdir().unwrap();
        let check = |pages: &[(u32, usize)], bytes: usize, expected: &[usize]| {
            let batch = BatchSize { rows: 40, bytes };
            let mut outbox = Outbox::new(page(0, 1, 1).0.schema(), batch, dir.path()).unwrap();
            let mut row = 0;
            for &(count, width) in pages {
                let (rows, tickets) = page(row, count, width);
                outbox.push(&rows, tickets).unwrap();
                row += count;
            }
            let mut sealed = outbox.seal().unwrap();
            let batches = sealed.batches(u64::from(row).div_ceil(40));
            let (mut sizes, mut seen) = (Vec::new(), Vec::new());
            while let Some(block) = sealed.next_block().unwrap() {
                for Bundle { rows, tickets } in block {
                    assert!(tickets.len() == 1 || rows::bytes(&rows.decode().unwrap()) <= bytes);
                    sizes.push(tickets.len());
                    seen.extend(tickets);
                }
            }
            assert_eq!(sizes, expected, "{pages:?}");
            assert_eq!(seen, page(0, row, 1).1);
            let made = expected.len() as u64;
            assert!((batches[0]..=batches[1]).contains(&made), "{made} of {batches:?}");
        };
        // A row takes four bytes beside its value.
        check(&[(100, 6)], 400, &[40, 40, 20]);
        check(&[(100, 6)], 399, &[39, 39, 22]);
        check(&[(30, 6), (70, 96)], 1000, &[37, 10, 10, 10, 10, 10, 10, 3]);
        check(&[(3, 2000), (2, 6), (1, 2000)], 1000, &[1, 1, 1, 2, 1]);
        check(&[(1, 2000), (1, 2000)], 1, &[1, 1]);
    }

    #[test]
    fn tickets_come_without_their_rows() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::new(page(0, 1, 1).0.schema(), narrow(100), dir.path()).unwrap();
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
}
