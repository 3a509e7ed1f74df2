//! How many rows a call takes.

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
}
