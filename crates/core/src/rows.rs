//! Rows as Arrow IPC streams: the one form in which they cross the plugin boundary or wait on disk.

mod encoded;
mod plain;
mod write;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;

pub use self::encoded::EncodedRows;
use self::plain::Stream;
use crate::{Error, ErrorKind, Result};

/// About how many bytes of a stream are not values: the heads of its messages, and what aligns its columns.
const HEADS: usize = 4096;

/// Most rows of a batch without columns, such as a page of a CSV file whose columns have no names.
const MOST_EMPTY: usize = 1 << 20;

/// How many bytes the values of these rows take, and four more for each text; of a slice, only those in it. Columns that cannot
/// tell count as nothing.
pub fn bytes(rows: &RecordBatch) -> usize {
    let in_column = |column: &ArrayRef| match ends(column) {
        // Asked for every few rows, and most columns are texts.
        Some([first, rest @ ..]) => length(*first, *rest.last().unwrap_or(first)) + size_of_val(rest),
        _ => column.to_data().get_slice_memory_size().unwrap_or(0),
    };
    rows.columns().iter().map(in_column).sum()
}

/// At least as many [`bytes()`] as each of these rows has alone: as if the longest value of each column stood in one row.
pub fn widest(rows: &RecordBatch) -> usize {
    let in_column = |column: &ArrayRef| match ends(column) {
        Some(ends) => {
            ends.array_windows().map(|[start, end]| length(*start, *end)).max().unwrap_or(0) + size_of::<i32>()
        }
        _ => size_of::<i64>(),
    };
    rows.columns().iter().map(in_column).sum()
}

/// How many of the first of these rows have no more than `room` [`bytes()`] together.
pub fn fitting(rows: &RecordBatch, room: usize) -> usize {
    if bytes(rows) <= room {
        return rows.num_rows();
    }
    let (mut fitting, mut beyond) = (0, rows.num_rows());
    while beyond - fitting > 1 {
        let middle = fitting.midpoint(beyond);
        let fits = bytes(&rows.slice(0, middle)) <= room;
        *(if fits { &mut fitting } else { &mut beyond }) = middle;
    }
    fitting
}

/// Where the values of a column of texts end, after where the first begins; `None` for other columns.
fn ends(column: &ArrayRef) -> Option<&[i32]> {
    column.as_string_opt::<i32>().map(StringArray::value_offsets)
}

fn length(start: i32, end: i32) -> usize {
    usize::try_from(end - start).unwrap_or(0)
}

/// Appends a stream of one batch to `out`.
///
/// # Errors
/// `contract` for a batch that IPC cannot carry.
pub fn encode(rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    if let Some(columns) = write::Columns::of(rows) {
        return write::plain(rows, &columns, out).map_err(unwritable);
    }
    out.reserve(HEADS + bytes(rows));
    let mut writer = StreamWriter::try_new(out, rows.schema_ref()).map_err(unwritable)?;
    writer.write(rows).map_err(unwritable)?;
    writer.finish().map_err(unwritable)
}

/// Appends a stream that carries `schema` and no rows to `out`.
///
/// # Errors
/// `contract` for a schema that IPC cannot carry.
pub fn encode_schema(schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
    let mut writer = StreamWriter::try_new(out, schema).map_err(unwritable)?;
    writer.finish().map_err(unwritable)
}

/// Reads a stream of one batch; columns share memory with `bytes` where alignment allows.
///
/// # Errors
/// `contract` if the bytes are not such a stream.
pub fn decode(bytes: Bytes) -> Result<RecordBatch> {
    match plain::decode(Buffer::from(bytes.clone())) {
        Stream::Plain(rows) => Ok(rows),
        Stream::Broken => Err(Error::new(ErrorKind::Contract, "bytes are not rows in Arrow IPC")),
        Stream::Other => decode_any(bytes),
    }
}

fn decode_any(bytes: Bytes) -> Result<RecordBatch> {
    guarded(|| {
        let mut buffer = Buffer::from(bytes);
        let mut decoder = StreamDecoder::new();
        let mut found = None;
        while !buffer.is_empty() {
            match decoder.decode(&mut buffer).map_err(unreadable)? {
                // Nothing stands behind their number, so it may be any.
                Some(rows) if rows.num_columns() == 0 && rows.num_rows() > MOST_EMPTY => {
                    return Err(Error::new(ErrorKind::Contract, "more rows without a column than a page can have"));
                }
                Some(_) if found.is_some() => {
                    return Err(Error::new(
                        ErrorKind::Contract,
                        "the Arrow stream holds several batches of rows, not one",
                    ));
                }
                rows @ Some(_) => found = rows,
                None => {}
            }
        }
        found.ok_or_else(|| Error::new(ErrorKind::Contract, "rows were announced but the Arrow stream holds none"))
    })
}

/// Reads the schema of a stream.
///
/// # Errors
/// `contract` if the bytes are not a stream.
pub fn decode_schema(bytes: &Bytes) -> Result<SchemaRef> {
    guarded(|| {
        let reader = arrow_ipc::reader::StreamReader::try_new(Cursor::new(bytes), None).map_err(unreadable)?;
        Ok(reader.schema())
    })
}

/// Calls into the Arrow reader, which panics on offsets that no writer would write: bytes of a plugin must not end the host.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the closure borrows is not used again after a panic.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Contract, "bytes are not rows in Arrow IPC: their parts contradict each other"))
    })
}

fn unwritable(error: ArrowError) -> Error {
    Error::new(ErrorKind::Contract, "rows could not be written as Arrow IPC").because(&error)
}

fn unreadable(error: ArrowError) -> Error {
    Error::new(ErrorKind::Contract, "bytes are not rows in Arrow IPC").because(&error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatchOptions};
    use arrow_schema::Schema;

    use super::*;

    fn rows() -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("Zoë"), None, Some("")]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(-1), None]));
        RecordBatch::try_from_iter_with_nullable([("f0", names, true), ("f1", counts, true)]).unwrap()
    }

    #[test]
    fn rows_and_schema_survive() {
        let mut bytes = Vec::new();
        encode(&rows(), &mut bytes).unwrap();
        let bytes = Bytes::from(bytes);
        assert_eq!(decode_schema(&bytes).unwrap(), rows().schema());
        assert_eq!(decode(bytes).unwrap(), rows());
    }

    #[test]
    fn a_stream_of_several_batches_is_refused() {
        let times: ArrayRef = Arc::new(arrow_array::Date32Array::from(vec![1, 2]));
        for rows in [rows(), RecordBatch::try_from_iter([("f0", times)]).unwrap()] {
            let mut bytes = Vec::new();
            let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema()).unwrap();
            writer.write(&rows).unwrap();
            writer.flush().unwrap();
            // Whether or not the end is told.
            assert_eq!(decode(writer.get_ref().to_vec().into()).unwrap(), rows);
            writer.write(&rows).unwrap();
            writer.finish().unwrap();
            drop(writer);
            let error = decode(Bytes::from(bytes)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Contract);
            assert!(error.to_string().contains("several batches"), "{error}");
        }
    }

    #[test]
    fn a_slice_takes_the_bytes_of_its_rows() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("four"), None, Some("seven..")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter([("f0", texts), ("f1", numbers)]).unwrap();
        let check = |start, count, texts: usize| {
            assert_eq!(bytes(&rows.slice(start, count)), texts + (4 + 8) * count, "{count} from {start}");
        };
        check(0, 3, 11);
        check(0, 1, 4);
        check(1, 1, 0);
        check(1, 2, 7);
        check(3, 0, 0);
        assert_eq!(widest(&rows), 7 + 4 + 8);
        for (room, expected) in [(0, 0), (15, 0), (16, 1), (28, 2), (46, 2), (47, 3)] {
            assert_eq!(fitting(&rows, room), expected, "in {room}");
        }
    }

    #[test]
    fn rows_without_columns_are_read_up_to_a_number() {
        let of = |rows: usize| {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
            let mut bytes = Vec::new();
            encode(&batch, &mut bytes).unwrap();
            decode(Bytes::from(bytes)).map(|rows| rows.num_rows())
        };
        for rows in [0, 1, MOST_EMPTY] {
            assert_eq!(of(rows).unwrap(), rows);
        }
        for rows in [MOST_EMPTY + 1, 1 << 60] {
            assert_eq!(of(rows).unwrap_err().kind(), ErrorKind::Contract);
        }
    }

    #[test]
    fn a_truncated_stream_is_an_error_at_every_length() {
        let mut bytes = Vec::new();
        encode(&rows(), &mut bytes).unwrap();
        let bytes = Bytes::from(bytes);
        let complete = (0..=bytes.len()).filter(|&end| decode(bytes.slice(..end)).is_ok()).count();
        assert!(complete < 64, "only streams that lack nothing but their end may be read");
    }

    #[test]
    fn a_damaged_stream_is_read_or_refused_at_every_byte() {
        let mut whole = Vec::new();
        encode(&rows(), &mut whole).unwrap();
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let bytes = Bytes::from(bytes);
                for error in [decode_schema(&bytes).err(), decode(bytes).err()].into_iter().flatten() {
                    assert_eq!(error.kind(), ErrorKind::Contract, "byte {at} is {byte}");
                }
            }
        }
    }
}
