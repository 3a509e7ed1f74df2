//! How many rows a call takes.

use arrow_array::RecordBatch;
use segport_core::rows;

use crate::open_export::OpenExport;

/// Most rows of one call. A connector that knows no limit gets no more.
const MOST_ROWS_PER_BATCH: usize = 10_000;
/// Most bytes of values in one call.
const MOST_BYTES_PER_BATCH: usize = 8 << 20;

/// How much one call takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchSize {
    /// At least one.
    pub(crate) rows: usize,
    /// Bytes of all their values. A row that alone has more goes alone.
    pub(crate) bytes: usize,
}

impl BatchSize {
    /// How much one call takes, whatever a plugin says: at least one row, and no more than memory has room for several times.
    pub(crate) fn of(open: &OpenExport) -> Self {
        Self {
            rows: (open.limits.rows_per_batch as usize).clamp(1, MOST_ROWS_PER_BATCH),
            bytes: (open.limits.bytes_per_batch as usize).clamp(1, MOST_BYTES_PER_BATCH),
        }
    }

    /// Cuts off as many of these rows as a batch has room for in which there are others already; one at least, if there are none.
    pub(crate) fn cut(self, filled: Filled, rows: &mut RecordBatch) -> Cut {
        let next = rows.slice(0, self.rows.saturating_sub(filled.rows).min(rows.num_rows()));
        let fitting = rows::fitting(&next, self.bytes.saturating_sub(filled.bytes));
        let count = if filled.rows == 0 { fitting.max(1).min(next.num_rows()) } else { fitting };
        let taken = next.slice(0, count);
        *rows = rows.slice(count, rows.num_rows() - count);
        let filled = Filled { rows: filled.rows + count, bytes: filled.bytes + rows::bytes(&taken) };
        let is_full = count < next.num_rows() || filled.rows >= self.rows || filled.bytes >= self.bytes;
        Cut { rows: taken, filled, is_full }
    }
}

/// What is in a batch that is being filled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filled {
    pub(crate) rows: usize,
    /// Of their values.
    pub(crate) bytes: usize,
}

/// Rows that were cut off for a batch.
#[derive(Debug)]
pub(crate) struct Cut {
    /// None, if there was no room.
    pub(crate) rows: RecordBatch,
    /// What is in the batch with them.
    pub(crate) filled: Filled,
    /// Whether there is no room for the next row.
    pub(crate) is_full: bool,
}
