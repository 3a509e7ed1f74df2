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
use crate::pack::BatchSize;

/// Rows of a bundle where a call has fewer: a bundle takes more than a thousand bytes whatever it holds.
const SMALLEST_BUNDLE: usize = 32;

/// Collects rows into blocks and gives the blocks back in the same order.
pub(crate) struct Outbox {
    schema: SchemaRef,
    bundle: BatchSize,
    /// Rows of the next bundle.
    pending: Vec<RecordBatch>,
    /// Bytes of their values.
    bytes: usize,
    /// Theirs.
    tickets: Vec<Ticket>,
    block: BlockWriter,
    store: BlockStore,
    rows: u64,
    bundles: u64,
    /// Whether a bundle was ended for its bytes.
    has_wide_rows: bool,
}

impl Outbox {
    /// An empty outbox whose bundles hold the rows of a batch, or a multiple where those are few, and fewer where rows are wide;
    /// `dir` is where files may be made.
    pub(crate) fn new(schema: SchemaRef, batch: BatchSize, dir: &Path) -> Result<Self> {
        Ok(Self {
            schema,
            bundle: BatchSize { rows: batch.rows * SMALLEST_BUNDLE.div_ceil(batch.rows), bytes: batch.bytes },
            pending: Vec::new(),
            bytes: 0,
            tickets: Vec::new(),
            block: BlockWriter::default(),
            store: BlockStore::new(dir)?,
            rows: 0,
            bundles: 0,
            has_wide_rows: false,
        })
    }

    /// Adds rows with one ticket each.
    pub(crate) fn push(&mut self, rows: &RecordBatch, tickets: Vec<Ticket>) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        let (mut start, mut tickets) = (0, tickets.into_iter());
        while start < rows.num_rows() {
            let next = rows.slice(start, (self.bundle.rows - self.tickets.len()).min(rows.num_rows() - start));
            let taken = self.fitting(&next);
            let is_full = taken < next.num_rows();
            self.has_wide_rows |= is_full;
            if taken > 0 {
                let next = if is_full { next.slice(0, taken) } else { next };
                self.bytes += rows::bytes(&next);
                self.pending.push(next);
                self.tickets.extend(tickets.by_ref().take(taken));
                start += taken;
            }
            if is_full || self.tickets.len() == self.bundle.rows {
                self.end_bundle()?;
            }
        }
        Ok(())
    }

    /// How many of these rows the bundle has room for: at least one if it has none yet.
    fn fitting(&self, rows: &RecordBatch) -> usize {
        let room = self.bundle.bytes.saturating_sub(self.bytes);
        if rows::bytes(rows) <= room {
            return rows.num_rows();
        }
        let (mut fitting, mut beyond) = (0, rows.num_rows());
        while beyond - fitting > 1 {
            let middle = fitting.midpoint(beyond);
            let fits = rows::bytes(&rows.slice(0, middle)) <= room;
            *(if fits { &mut fitting } else { &mut beyond }) = middle;
        }
        fitting.max(usize::from(self.tickets.is_empty()))
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
        self.bytes = 0;
        self.bundles += 1;
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
        let wide_bundles = self.has_wide_rows.then_some(self.bundles);
        Ok(Sealed { store: self.store, rows: self.rows, wide_bundles })
    }
}

/// A complete outbox.
#[derive(Debug)]
pub(crate) struct Sealed {
    store: BlockStore,
    rows: u64,
    wide_bundles: Option<u64>,
}

impl Sealed {
    /// Rows in all.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many bundles there are, if some have fewer rows than others for their bytes.
    pub(crate) fn wide_bundles(&self) -> Option<u64> {
        self.wide_bundles
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
            let wide_bundles = sealed.wide_bundles();
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
            let is_cut = !expected.iter().rev().skip(1).all(|&rows| rows == 40);
            assert_eq!(wide_bundles, is_cut.then_some(expected.len() as u64));
        };
        // A row takes four bytes beside its value, and four more are taken by each page's first.
        check(&[(100, 6)], 404, &[40, 40, 20]);
        check(&[(100, 6)], 403, &[39, 39, 22]);
        check(&[(30, 6), (70, 96)], 1000, &[36, 9, 9, 9, 9, 9, 9, 9, 1]);
        check(&[(3, 2000), (2, 6), (1, 2000)], 1000, &[1, 1, 1, 2, 1]);
        check(&[(1, 2000), (1, 2000)], 0, &[1, 1]);
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
