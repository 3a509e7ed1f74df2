//! Rows in the form in which they cross the plugin boundary, and in which they wait until then.

use std::fmt;

use arrow_array::RecordBatch;
use bytes::Bytes;

use super::{decode, encode};
use crate::Result;

/// Rows as a stream of Arrow IPC, with their number. Clones share the stream.
#[derive(Clone)]
pub struct EncodedRows {
    stream: Bytes,
    count: usize,
}

impl EncodedRows {
    /// Encodes rows.
    ///
    /// # Errors
    /// `contract` for rows that IPC cannot carry.
    pub fn new(rows: &RecordBatch) -> Result<Self> {
        let mut stream = Vec::new();
        encode(rows, &mut stream)?;
        Ok(Self { stream: stream.into(), count: rows.num_rows() })
    }

    /// Takes a stream for `count` rows that [`encode`] wrote.
    pub fn from_stream(stream: Bytes, count: usize) -> Self {
        Self { stream, count }
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The stream.
    pub fn stream(&self) -> &[u8] {
        &self.stream
    }

    /// The rows.
    ///
    /// # Errors
    /// `contract` if the stream is none of rows.
    pub fn decode(&self) -> Result<RecordBatch> {
        decode(self.stream.clone())
    }
}

/// Their number only: values are profile data.
impl fmt::Debug for EncodedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedRows").field("count", &self.count).finish_non_exhaustive()
    }
}
