//! Rows in the form in which they cross the plugin boundary, and in which they wait until then.

use std::fmt;

use arrow_array::RecordBatch;
use bytes::Bytes;

use super::{decode, encode};
use crate::{Error, ErrorKind, Result};

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
    /// `contract` if the stream is none of as many rows.
    pub fn decode(&self) -> Result<RecordBatch> {
        let rows = decode(self.stream.clone())?;
        if rows.num_rows() == self.count {
            return Ok(rows);
        }
        let error = Error::new(ErrorKind::Contract, "encoded rows are not as many as they are said to be");
        Err(error.with("rows", rows.num_rows().to_string()).with("said", self.count.to_string()))
    }
}

/// Their number only: values are profile data.
impl fmt::Debug for EncodedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedRows").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::StringArray;

    use super::*;

    #[test]
    fn rows_come_back_if_they_are_as_many_as_was_said() {
        let names = Arc::new(StringArray::from(vec![Some("Zoë"), None])) as _;
        let rows = RecordBatch::try_from_iter_with_nullable([("f0", names, true)]).unwrap();
        let encoded = EncodedRows::new(&rows).unwrap();
        assert_eq!((encoded.count(), encoded.decode().unwrap()), (2, rows));
        assert_eq!(format!("{encoded:?}"), "EncodedRows { count: 2, .. }");
        let of = |count| EncodedRows::from_stream(Bytes::copy_from_slice(encoded.stream()), count);
        assert!(of(2).decode().is_ok());
        assert_eq!(of(3).decode().unwrap_err().kind(), ErrorKind::Contract);
    }
}
