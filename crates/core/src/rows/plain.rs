//! Reading the streams that Segport itself writes: a schema and one batch of texts, numbers and truth values, with a dictionary
//! for each column whose texts are numbered.
//!
//! The library's reader checks each value of a text column by itself, three times on the way of a row, and trusts the lengths
//! that a stream tells, which ends in a panic if they lie. Here a column is checked as a whole, in a quarter of the time.
//! Whatever this accepts, the library accepts, with equal values. Streams that are not so plain (compression, other types,
//! dictionaries in pieces) are left to the library.

use std::cell::RefCell;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{Buffer as Place, FieldNode, RecordBatch as Told, root_as_message};
use arrow_schema::{DataType, SchemaRef};
use flatbuffers::VectorIter;

/// Bytes of a schema beyond which it is read anew each time.
const LONGEST_REMEMBERED: usize = 64 << 10;

/// What ends a stream, or nothing does.
const END: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// What a stream turns out to be.
#[derive(Debug)]
pub(super) enum Stream {
    /// Plain columns.
    Plain(RecordBatch),
    /// Plain columns, were it not broken.
    Broken,
    /// Something for the library.
    Other,
}

/// Reads a stream as far as it is plain.
pub(super) fn decode(stream: Buffer) -> Stream {
    // Columns lie at places that suit their type if the stream does.
    let is_aligned = stream.as_ptr().cast::<u64>().is_aligned();
    let stream = if is_aligned { stream } else { Buffer::from_slice_ref(&stream) };
    match schema(stream) {
        None => Stream::Broken,
        Some((None, _)) => Stream::Other,
        Some((Some(schema), rest)) => batch(schema, rest).unwrap_or(Stream::Broken),
    }
}

/// Whether columns of this type are plain.
pub(super) fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::Int64 | DataType::Float64 | DataType::Boolean => true,
        DataType::Dictionary(number, text) => (&**number, &**text) == (&DataType::Int32, &DataType::Utf8),
        _ => false,
    }
}

/// The schema if it is plain, and what follows it; `None` if it is broken.
fn schema(stream: Buffer) -> Option<(Option<SchemaRef>, Buffer)> {
    thread_local! {
        /// What was read last on this thread: batches come by the thousand.
        static LATEST: RefCell<Option<(Buffer, Option<SchemaRef>)>> = const { RefCell::new(None) };
    }
    let (head, rest) = message(stream)?;
    let latest = LATEST.with_borrow(|latest| latest.clone());
    if let Some((_, schema)) = latest.filter(|(read, _)| *read == head) {
        return Some((schema, rest));
    }
    let told = root_as_message(&head).ok()?.header_as_schema()?;
    let schema = try_fb_to_schema(told).ok()?;
    let mut numbers = told.fields()?.iter().filter_map(|field| field.dictionary()).map(|dictionary| dictionary.id());
    let is_in_order = (0..).zip(&mut numbers).all(|(expected, number)| number == expected);
    let is_plain = is_in_order && schema.fields().iter().all(|field| is_plain(field.data_type()));
    let schema = is_plain.then(|| Arc::new(schema));
    if head.len() <= LONGEST_REMEMBERED {
        // Copied, since what it is a part of may be large.
        LATEST.set(Some((Buffer::from_slice_ref(&head), schema.clone())));
    }
    Some((schema, rest))
}

/// The head of the first message, and what follows it: its body, and further messages.
fn message(stream: Buffer) -> Option<(Buffer, Buffer)> {
    let word = |at: usize| Some(u32::from_le_bytes(stream.get(at..at + 4)?.try_into().ok()?));
    if word(0)? != u32::MAX {
        return None;
    }
    let length = word(4)? as usize;
    Some((stream.get_slice(8, length)?, stream.get_slice(8 + length, stream.len().checked_sub(8 + length)?)?))
}

/// The batch of a stream, whose dictionaries stand before it; `None` if it is broken.
fn batch(schema: SchemaRef, stream: Buffer) -> Option<Stream> {
    let is_numbered = |data_type: &DataType| matches!(data_type, DataType::Dictionary(..));
    let (mut stream, mut dictionaries) = (stream, Vec::new());
    for number in (0..).take(schema.fields().iter().filter(|field| is_numbered(field.data_type())).count()) {
        let (head, rest) = message(stream)?;
        let message = root_as_message(&head).ok()?;
        let length = usize::try_from(message.bodyLength()).ok()?;
        let texts = match message.header_as_dictionary_batch() {
            Some(dictionary) if dictionary.id() == number && !dictionary.isDelta() => dictionary.data()?,
            _ => return Some(Stream::Other),
        };
        if texts.compression().is_some() {
            return Some(Stream::Other);
        }
        dictionaries.push(Arc::new(Columns::of(texts, rest.get_slice(0, length)?)?.texts()?) as ArrayRef);
        stream = rest.get_slice(length, rest.len().checked_sub(length)?)?;
    }
    let (head, rest) = message(stream)?;
    let message = root_as_message(&head).ok()?;
    let length = usize::try_from(message.bodyLength()).ok()?;
    let body = rest.get_slice(0, length)?;
    let batch = message.header_as_record_batch()?;
    // What follows is not overlooked: a further batch would be rows.
    let is_last = matches!(rest.get(length..), Some([] | END));
    if batch.compression().is_some() || schema.fields().is_empty() || !is_last {
        return Some(Stream::Other);
    }
    let (mut given, mut dictionaries) = (Columns::of(batch, body)?, dictionaries.into_iter());
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column: ArrayRef = match field.data_type() {
            DataType::Utf8 => Arc::new(given.texts()?),
            DataType::Int64 => Arc::new(given.numbers::<Int64Type>()?),
            DataType::Float64 => Arc::new(given.numbers::<Float64Type>()?),
            DataType::Boolean => Arc::new(given.truths()?),
            DataType::Dictionary(..) => {
                Arc::new(DictionaryArray::try_new(given.numbers::<Int32Type>()?, dictionaries.next()?).ok()?)
            }
            _ => return None,
        };
        columns.push(column);
    }
    RecordBatch::try_new(schema, columns).ok().map(Stream::Plain)
}

/// The columns of a message, to be taken in order. Each is `None` if it is broken.
struct Columns<'a> {
    rows: usize,
    nodes: VectorIter<'a, FieldNode>,
    places: VectorIter<'a, Place>,
    body: Buffer,
}

impl<'a> Columns<'a> {
    fn of(batch: Told<'a>, body: Buffer) -> Option<Self> {
        let rows = usize::try_from(batch.length()).ok()?;
        Some(Self { rows, nodes: batch.nodes()?.iter(), places: batch.buffers()?.iter(), body })
    }

    fn texts(&mut self) -> Option<StringArray> {
        let nulls = self.nulls()?;
        let (offsets, text) = (self.part()?, self.part()?);
        StringArray::try_new(rising(offsets, self.rows)?, text, nulls).ok()
    }

    fn numbers<T: ArrowPrimitiveType>(&mut self) -> Option<PrimitiveArray<T>> {
        let nulls = self.nulls()?;
        PrimitiveArray::try_new(scalars(self.part()?, self.rows)?, nulls).ok()
    }

    fn truths(&mut self) -> Option<BooleanArray> {
        let nulls = self.nulls()?;
        Some(BooleanArray::new(bits(self.part()?, self.rows)?, nulls))
    }

    /// What a column begins with: which of its rows are there.
    fn nulls(&mut self) -> Option<Option<NullBuffer>> {
        let node = self.nodes.next()?;
        if usize::try_from(node.length()).ok()? != self.rows {
            return None;
        }
        let validity = self.part()?;
        match node.null_count() {
            0 => Some(None),
            count => nulls(validity, self.rows, count).map(Some),
        }
    }

    fn part(&mut self) -> Option<Buffer> {
        let place = self.places.next()?;
        self.body.get_slice(usize::try_from(place.offset()).ok()?, usize::try_from(place.length()).ok()?)
    }
}

fn bits(buffer: Buffer, rows: usize) -> Option<BooleanBuffer> {
    (buffer.len() >= rows.div_ceil(8)).then(|| BooleanBuffer::new(buffer, 0, rows))
}

/// Which of the rows are there, if so many are not.
fn nulls(validity: Buffer, rows: usize, count: i64) -> Option<NullBuffer> {
    let nulls = NullBuffer::new(bits(validity, rows)?);
    (usize::try_from(count) == Ok(nulls.null_count())).then_some(nulls)
}

fn scalars<T: ArrowNativeType>(buffer: Buffer, count: usize) -> Option<ScalarBuffer<T>> {
    let is_whole = buffer.len().is_multiple_of(size_of::<T>()) && buffer.len() / size_of::<T>() >= count;
    let is_aligned = buffer.as_ptr().cast::<T>().is_aligned();
    (is_whole && is_aligned).then(|| ScalarBuffer::new(buffer, 0, count))
}

/// Where each text begins and the last one ends; a column without rows may leave them out.
fn rising(buffer: Buffer, rows: usize) -> Option<OffsetBuffer<i32>> {
    if rows == 0 && buffer.is_empty() {
        return Some(OffsetBuffer::new_empty());
    }
    let offsets = scalars::<i32>(buffer, rows.checked_add(1)?)?;
    // Without an early end, so that it is done in vectors.
    let never_falls = offsets.iter().zip(offsets.iter().skip(1)).fold(true, |so_far, (from, to)| so_far & (from <= to));
    let is_rising = never_falls && offsets.first().is_some_and(|first| *first >= 0);
    is_rising.then(|| OffsetBuffer::new(offsets))
}

/// What [`Buffer::slice_with_length`] gives, where the buffer has it.
trait Slices: Sized {
    fn get_slice(&self, start: usize, length: usize) -> Option<Self>;
}

impl Slices for Buffer {
    fn get_slice(&self, start: usize, length: usize) -> Option<Self> {
        (start.checked_add(length)? <= self.len()).then(|| self.slice_with_length(start, length))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int64Array};
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::rows::{decode_any, encode};

    prop_compose! {
        fn batch()(
            rows in proptest::collection::vec(
                (
                    (proptest::option::of(".{0,6}"), ".{0,3}", proptest::option::of("[ab]{0,2}"), "[cd]"),
                    any::<Option<i64>>(),
                    any::<Option<f64>>(),
                    any::<Option<bool>>(),
                ),
                0..20,
            ),
            cut in (0_usize..20, 0_usize..20),
        ) -> RecordBatch {
            let columns: [(&str, ArrayRef); 7] = [
                ("f0", Arc::new(rows.iter().map(|row| row.0.0.clone()).collect::<StringArray>())),
                ("f1", Arc::new(rows.iter().map(|row| row.0.2.as_deref()).collect::<DictionaryArray<Int32Type>>())),
                ("f2", Arc::new(rows.iter().map(|row| Some(row.0.1.clone())).collect::<StringArray>())),
                ("f3", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>())),
                ("f4", Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>())),
                ("f5", Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>())),
                ("f6", Arc::new(rows.iter().map(|row| Some(&*row.0.3)).collect::<DictionaryArray<Int32Type>>())),
            ];
            let whole = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
            let start = cut.0.min(whole.num_rows());
            whole.slice(start, cut.1.min(whole.num_rows() - start))
        }
    }

    /// As text, since no two NaN are equal. The numbers of dictionaries are the stream's own.
    fn shown(rows: &RecordBatch) -> String {
        let fields = rows.schema_ref().fields().iter().map(|field| (field.name(), field.data_type()));
        format!("{:?}, {:?}, {} rows", fields.collect::<Vec<_>>(), rows.columns(), rows.num_rows())
    }

    /// A stream at a place in memory that suits every type.
    fn stream(bytes: &[u8]) -> Buffer {
        Buffer::from_slice_ref(bytes)
    }

    proptest! {
        #[test]
        fn what_segport_writes_is_plain(rows in batch()) {
            let mut bytes = Vec::new();
            encode(&rows, &mut bytes).unwrap();
            let Stream::Plain(plain) = decode(stream(&bytes)) else { panic!("not plain") };
            prop_assert_eq!(shown(&plain), shown(&rows));
            let library = decode_any(Bytes::from(bytes)).expect("the library reads it too");
            prop_assert_eq!(shown(&library), shown(&rows));
        }

        #[test]
        fn streams_of_several_schemas_are_told_apart(batches in proptest::collection::vec((batch(), 1_usize..8), 1..5)) {
            for (rows, columns) in batches {
                let rows = rows.project(&(0..columns.min(7)).collect::<Vec<_>>()).unwrap();
                let mut bytes = Vec::new();
                encode(&rows, &mut bytes).unwrap();
                let Stream::Plain(plain) = decode(stream(&bytes)) else { panic!("not plain") };
                prop_assert_eq!(shown(&plain), shown(&rows));
            }
        }

        #[test]
        fn whatever_is_taken_for_plain_the_library_reads_alike(
            rows in batch(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            shift in 0_usize..9,
        ) {
            let mut bytes = vec![0; shift];
            encode(&rows, &mut bytes).unwrap();
            for (place, value) in damage {
                let place = shift + place.index(bytes.len() - shift);
                bytes[place] = value;
            }
            let stream = stream(&bytes).slice(shift);
            if let Stream::Plain(plain) = decode(stream.clone()) {
                let library = decode_any(Bytes::copy_from_slice(&stream)).expect("the library reads it too");
                prop_assert_eq!(shown(&plain), shown(&library));
            }
        }
    }
}
