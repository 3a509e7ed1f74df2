//! Writing plain streams: a schema and one batch of texts, numbers and truth values. Texts that repeat may be numbered: each
//! stands once in a dictionary before the batch, and the batch has its number in every row.
//!
//! The library takes longer to write a batch of a hundred rows than to copy ten times as many: it writes the schema anew each
//! time, though it stays the same, and allocates for each column and each buffer. Whatever this writes, the library reads as the
//! same rows. Columns of other types are left to the library.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow_buffer::{BooleanBuffer, NullBuffer, ToByteSlice};
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, write_message};
use arrow_ipc::{
    Buffer, DictionaryBatchBuilder, FieldNode, MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder,
};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use bytes::Bytes;
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use super::plain::is_plain;

/// Every part of a stream begins at a multiple of this many bytes from its start.
const ALIGN: usize = 8;
/// Stands before the length of a message's head.
const MARK: [u8; 4] = [0xff; 4];
/// Ends a stream: a message without a head.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The columns of a stream.
pub(super) struct Columns<'a> {
    /// Those of its batch.
    of_batch: Vec<Column<'a>>,
    /// Its dictionaries, in the order of the columns that have one, which is how a schema numbers them.
    dictionaries: Vec<&'a StringArray>,
}

impl<'a> Columns<'a> {
    /// Those of these rows; `None` if there are none, or one is not plain.
    pub(super) fn of(rows: &'a RecordBatch) -> Option<Self> {
        let of_batch = rows.columns().iter().map(Column::of).collect::<Option<Vec<_>>>()?;
        let dictionaries =
            rows.columns().iter().filter_map(|column| numbered(column)).map(|(_, texts)| texts).collect();
        (!of_batch.is_empty()).then_some(Self { of_batch, dictionaries })
    }
}

thread_local! {
    /// Where the head of a message is put together. Kept, so that a batch does not allocate it anew.
    static FLAT: Cell<FlatBufferBuilder<'static>> = Cell::default();
}

/// Appends the rows, which have these columns, as a stream.
pub(super) fn plain(rows: &RecordBatch, columns: &Columns<'_>, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let start = out.len();
    out.extend_from_slice(&schema(rows.schema_ref())?);
    for (number, texts) in (0..).zip(&columns.dictionaries) {
        message(start, Kind::Dictionary(number), texts.len(), &[Column::Text(texts)], out)?;
    }
    message(start, Kind::Batch, rows.num_rows(), &columns.of_batch, out)?;
    out.extend_from_slice(&END);
    Ok(())
}

/// What the columns of a message are.
#[derive(Clone, Copy)]
enum Kind {
    /// The dictionary with this number, which has one.
    Dictionary(i64),
    /// Those of the rows.
    Batch,
}

/// Appends a message with columns of so many rows to the stream that begins at `start`.
fn message(start: usize, kind: Kind, rows: usize, columns: &[Column<'_>], out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let (mut nodes, mut places) = (Vec::with_capacity(columns.len()), Vec::with_capacity(3 * columns.len()));
    let mut length = 0;
    for column in columns {
        nodes.push(FieldNode::new(signed(rows), signed(column.nulls().map_or(0, NullBuffer::null_count))));
        for part in column.parts().into_iter().flatten() {
            places.push(Buffer::new(signed(length), signed(part.bytes())));
            length += part.bytes().next_multiple_of(ALIGN);
        }
    }
    let mut flat = FLAT.take();
    let head = head(&mut flat, kind, rows, &nodes, &places, length);

    out.reserve(MARK.len() + 4 + head.len() + ALIGN + length + END.len());
    let padded = head.len().next_multiple_of(ALIGN);
    let told = u32::try_from(padded).map_err(|_| ArrowError::IpcError("a batch has too many columns".to_owned()))?;
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&told.to_le_bytes());
    out.extend_from_slice(head);
    flat.reset();
    FLAT.set(flat);
    pad(out, start);
    for part in columns.iter().flat_map(Column::parts).flatten() {
        part.write(out);
        pad(out, start);
    }
    Ok(())
}

/// Zeros up to where the next part begins.
fn pad(out: &mut Vec<u8>, start: usize) {
    out.resize(start + (out.len() - start).next_multiple_of(ALIGN), 0);
}

/// The head of a message.
fn head<'a>(
    flat: &'a mut FlatBufferBuilder<'_>,
    kind: Kind,
    rows: usize,
    nodes: &[FieldNode],
    places: &[Buffer],
    length: usize,
) -> &'a [u8] {
    let (nodes, places) = (flat.create_vector(nodes), flat.create_vector(places));
    let mut batch = RecordBatchBuilder::new(flat);
    batch.add_length(signed(rows));
    batch.add_nodes(nodes);
    batch.add_buffers(places);
    let batch = batch.finish();
    let (header_type, header): (_, WIPOffset<UnionWIPOffset>) = match kind {
        Kind::Batch => (MessageHeader::RecordBatch, batch.as_union_value()),
        Kind::Dictionary(number) => {
            let mut dictionary = DictionaryBatchBuilder::new(flat);
            dictionary.add_id(number);
            dictionary.add_data(batch);
            (MessageHeader::DictionaryBatch, dictionary.finish().as_union_value())
        }
    };
    let mut message = MessageBuilder::new(flat);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(header_type);
    message.add_bodyLength(signed(length));
    message.add_header(header);
    let message = message.finish();
    flat.finish(message, None);
    flat.finished_data()
}

/// The message that begins a stream with this schema.
fn schema(schema: &SchemaRef) -> Result<Bytes, ArrowError> {
    thread_local! {
        /// What was written last on this thread: batches come by the thousand.
        static LATEST: RefCell<Option<(SchemaRef, Bytes)>> = const { RefCell::new(None) };
    }
    let latest = LATEST.with_borrow(|latest| latest.clone());
    if let Some((_, message)) = latest.filter(|(written, _)| Arc::ptr_eq(written, schema)) {
        return Ok(message);
    }
    let (options, mut message) = (IpcWriteOptions::default(), Vec::new());
    let mut tracker = DictionaryTracker::new(false);
    let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options);
    write_message(&mut message, encoded, &options)?;
    let message = Bytes::from(message);
    LATEST.set(Some((Arc::clone(schema), message.clone())));
    Ok(message)
}

/// The number of each row's text, and the texts; `None` of a column whose texts are not numbered.
fn numbered(column: &ArrayRef) -> Option<(&[i32], &StringArray)> {
    let column = column.as_dictionary_opt::<Int32Type>()?;
    Some((column.keys().values(), column.values().as_string_opt()?))
}

/// A plain column.
enum Column<'a> {
    Text(&'a StringArray),
    Number(&'a [u8], Option<&'a NullBuffer>),
    Truth(&'a BooleanArray),
}

/// What a stream holds of a column.
enum Part<'a> {
    Bits(&'a BooleanBuffer),
    /// Counted from the first.
    Offsets(&'a [i32]),
    Bytes(&'a [u8]),
    /// Of a column in which nothing is missing.
    NoNulls,
}

impl<'a> Column<'a> {
    fn of(column: &'a ArrayRef) -> Option<Self> {
        Some(match column.data_type() {
            data_type if !is_plain(data_type) => return None,
            DataType::Utf8 => Self::Text(column.as_string_opt()?),
            DataType::Dictionary(..) => {
                let (numbers, _) = numbered(column)?;
                Self::Number(numbers.to_byte_slice(), column.nulls())
            }
            DataType::Int64 => {
                Self::Number(column.as_primitive_opt::<Int64Type>()?.values().to_byte_slice(), column.nulls())
            }
            DataType::Float64 => {
                Self::Number(column.as_primitive_opt::<Float64Type>()?.values().to_byte_slice(), column.nulls())
            }
            _ => Self::Truth(column.as_boolean_opt()?),
        })
    }

    fn nulls(&self) -> Option<&'a NullBuffer> {
        match *self {
            Self::Text(texts) => texts.nulls(),
            Self::Number(_, nulls) => nulls,
            Self::Truth(values) => values.nulls(),
        }
    }

    fn parts(&self) -> [Option<Part<'a>>; 3] {
        let nulls = match self.nulls().filter(|nulls| nulls.null_count() > 0) {
            Some(nulls) => Part::Bits(nulls.inner()),
            None => Part::NoNulls,
        };
        let (first, second) = match *self {
            Self::Text(texts) => (Part::Offsets(texts.value_offsets()), Some(Part::Bytes(text(texts)))),
            Self::Number(values, _) => (Part::Bytes(values), None),
            Self::Truth(values) => (Part::Bits(values.values()), None),
        };
        [Some(nulls), Some(first), second]
    }
}

/// The bytes of all texts.
fn text(texts: &StringArray) -> &[u8] {
    let place = |offset: Option<&i32>| offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    let offsets = texts.value_offsets();
    texts.value_data().get(place(offsets.first())..place(offsets.last())).unwrap_or_default()
}

impl Part<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Bits(bits) => bits.len().div_ceil(8),
            Self::Offsets(offsets) => size_of_val(*offsets),
            Self::Bytes(bytes) => bytes.len(),
            Self::NoNulls => 0,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bits(bits) => out.extend(bits.sliced().iter().take(self.bytes())),
            Self::Offsets(offsets) => {
                let first = offsets.first().copied().unwrap_or(0);
                let from = out.len();
                out.resize(from + self.bytes(), 0);
                let places = out.get_mut(from..).unwrap_or_default().chunks_exact_mut(size_of::<i32>());
                places.zip(*offsets).for_each(|(to, offset)| to.copy_from_slice(&(offset - first).to_ne_bytes()));
            }
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::NoNulls => {}
        }
    }
}

/// Lengths in memory, and of columns that are in it, which are never greater.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
