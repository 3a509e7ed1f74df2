//! Building a page: fields are appended as bytes to one buffer a column, and become Arrow arrays all at once.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder};
use arrow_array::types::{ArrowPrimitiveType, Date32Type, Float64Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, Field, Schema};
use arrow_select::filter::filter_record_batch;
use segport_sdk::{Error, ErrorKind, Result, UnreadableRow};

use crate::infer::{Layout, Typing};
use crate::settings::{ColumnType, Encoding};
use crate::values;

/// How much one page holds: it ends with the row that reaches either.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageLimit {
    pub(crate) rows: usize,
    pub(crate) bytes: u64,
}

/// Most cells of a page, also where most have no value, as in JSON lines with a thousand keys of which each row has a few.
const MOST_CELLS: usize = 1 << 20;

impl PageLimit {
    /// The limit for rows of so many columns.
    pub(crate) fn of_columns(self, columns: usize) -> Self {
        Self { rows: self.rows.min(MOST_CELLS / columns.max(1)).max(1), ..self }
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self { rows: 8_192, bytes: 4 << 20 }
    }
}

/// A page of one file.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) rows: RecordBatch,
    pub(crate) unreadable: Vec<UnreadableRow>,
    /// Whether the file ends here.
    pub(crate) last: bool,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowAt {
    /// The file's first data row is 1.
    pub(crate) row: u64,
    /// The file's first line is 1; a row may span several.
    pub(crate) line: u64,
}

/// A field up to this length is copied as if it were this long: a copy of known length takes a few instructions, any other a
/// call, and a row has a dozen.
const STRIDE: usize = 32;

/// The fields of one column of a page, as bytes.
#[derive(Debug)]
pub(crate) struct TextColumn {
    values: Vec<u8>,
    /// Where each finished field begins, and where the last one ends.
    offsets: Vec<i32>,
    /// Rows that have no value, ascending.
    absent: Vec<usize>,
}

impl TextColumn {
    pub(crate) fn new() -> Self {
        Self::with_capacity(0, 0)
    }

    fn with_capacity(bytes: usize, rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { values: Vec::with_capacity(bytes), offsets, absent: Vec::new() }
    }

    /// Appends bytes to the field under way.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.values.extend_from_slice(bytes);
    }

    /// Appends the first `length` of these bytes.
    #[inline]
    pub(crate) fn push_first(&mut self, bytes: &[u8], length: usize) {
        match bytes.first_chunk::<STRIDE>() {
            Some(stride) if length <= STRIDE => {
                let end = self.values.len() + length;
                self.values.extend_from_slice(stride);
                self.values.truncate(end);
            }
            _ => self.push(bytes.get(..length).unwrap_or(bytes)),
        }
    }

    /// Length of the field under way.
    #[inline]
    pub(crate) fn open_bytes(&self) -> usize {
        self.values.len() - self.start()
    }

    /// Drops the bytes of the field under way.
    pub(crate) fn discard(&mut self) {
        let start = self.start();
        self.values.truncate(start);
    }

    /// Ends the field under way.
    #[inline]
    pub(crate) fn end(&mut self) {
        // A page's text stays below the limits of page and field, far from 2 GiB.
        self.offsets.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
    }

    /// Adds a row without a value.
    pub(crate) fn end_absent(&mut self) {
        self.absent.push(self.rows());
        self.end();
    }

    /// Finished fields.
    #[inline]
    pub(crate) fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Drops everything after the first `rows` fields.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        while self.absent.last().is_some_and(|&row| row >= rows) {
            self.absent.pop();
        }
        self.discard();
    }

    /// The finished fields, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.offsets.iter().zip(self.offsets.iter().skip(1)).map(|(&from, &to)| self.between(from, to))
    }

    #[inline]
    fn start(&self) -> usize {
        self.offsets.last().map_or(0, |&start| start as usize)
    }

    #[inline]
    fn between(&self, from: i32, to: i32) -> &[u8] {
        self.values.get(from as usize..to as usize).unwrap_or_default()
    }

    fn take(&mut self, rows: usize) -> Self {
        let room = self.values.len() + self.values.len() / 8;
        std::mem::replace(self, Self::with_capacity(room, rows))
    }

    fn presence(&self, null_values: &[String]) -> Option<NullBuffer> {
        let rows = self.rows();
        let mut present = match null_values {
            [] => BooleanBuffer::new_set(rows),
            [only] if only.is_empty() => {
                BooleanBuffer::collect_bool(rows, |row| self.offsets.get(row) != self.offsets.get(row + 1))
            }
            texts => self.fields().map(|field| !texts.iter().any(|text| text.as_bytes() == field)).collect(),
        };
        if !self.absent.is_empty() {
            let mut absent = self.absent.iter().copied().peekable();
            present = (0..rows).map(|row| absent.next_if_eq(&row).is_none() && present.value(row)).collect();
        }
        let nulls = NullBuffer::new(present);
        (nulls.null_count() > 0).then_some(nulls)
    }

    /// Replaces the bytes of every field for which `replace` gives others.
    fn rewrite<'a>(&'a self, replace: impl Fn(&'a [u8]) -> Cow<'a, [u8]>) -> Self {
        let mut fresh = Self::with_capacity(self.values.len(), self.rows());
        for field in self.fields() {
            fresh.push(&replace(field));
            fresh.end();
        }
        fresh.absent.clone_from(&self.absent);
        fresh
    }
}

/// A row that turned out unreadable when its page was finished: its index in the page, and why.
pub(crate) type Bad = (usize, String);

/// Rows under way to becoming a page.
#[derive(Debug)]
pub(crate) struct PageBuilder {
    /// One per column of the layout.
    pub(crate) columns: Vec<TextColumn>,
    /// How messages call each of them, such as "column 2".
    pub(crate) called: Vec<String>,
    rows: Vec<RowAt>,
    unreadable: Vec<UnreadableRow>,
    place: String,
}

impl PageBuilder {
    /// For columns that messages call so.
    pub(crate) fn new(called: Vec<String>, place: &str) -> Self {
        Self {
            columns: called.iter().map(|_| TextColumn::new()).collect(),
            called,
            rows: Vec::new(),
            unreadable: Vec::new(),
            place: place.to_owned(),
        }
    }

    /// Rows so far, readable or not.
    #[inline]
    pub(crate) fn seen(&self) -> usize {
        self.rows.len() + self.unreadable.len()
    }

    /// Keeps the row whose fields have all been ended.
    #[inline]
    pub(crate) fn keep(&mut self, at: RowAt) {
        self.rows.push(at);
    }

    /// Drops the fields of the row under way and reports it.
    pub(crate) fn refuse(&mut self, at: RowAt, reason: String) {
        let rows = self.rows.len();
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.report(at, reason);
    }

    fn report(&mut self, at: RowAt, reason: String) {
        self.unreadable.push(UnreadableRow { place: self.place.clone(), row: at.row, line: Some(at.line), reason });
    }

    /// Turns the rows into arrays of the layout's types and begins the next page.
    ///
    /// # Errors
    /// `internal` if the arrays do not form a batch.
    pub(crate) fn finish(
        &mut self,
        layout: &Layout,
        null_values: &[String],
        encoding: Encoding,
        last: bool,
    ) -> Result<Stretch> {
        let count = self.rows.len();
        let mut arrays = Vec::with_capacity(layout.columns.len());
        let mut bad: Vec<Bad> = Vec::new();
        for ((column, text), called) in layout.columns.iter().zip(&mut self.columns).zip(&self.called) {
            let text = decoded(text.take(count), encoding);
            let nulls = text.presence(null_values);
            arrays.push(array(called, column.typing, text, nulls, &mut bad).map_err(broken)?);
        }
        let batch = batch(layout, arrays, count)?;
        let rows = self.drop_bad(batch, bad)?;
        self.rows.clear();
        Ok(Stretch { rows, unreadable: std::mem::take(&mut self.unreadable), last })
    }

    fn drop_bad(&mut self, batch: RecordBatch, mut bad: Vec<Bad>) -> Result<RecordBatch> {
        let sound = without(batch, &mut bad).map_err(broken)?;
        for (row, reason) in bad {
            if let Some(&at) = self.rows.get(row) {
                self.report(at, reason);
            }
        }
        self.unreadable.sort_by_key(|row| row.row);
        Ok(sound)
    }
}

/// The rows that are not bad. Those that are come in ascending order then, each once.
pub(crate) fn without(batch: RecordBatch, bad: &mut Vec<Bad>) -> Result<RecordBatch, ArrowError> {
    if bad.is_empty() {
        return Ok(batch);
    }
    bad.sort_by_key(|(row, _)| *row);
    bad.dedup_by_key(|(row, _)| *row);
    let mut gone = bad.iter().map(|(row, _)| *row).peekable();
    let keep: BooleanBuffer = (0..batch.num_rows()).map(|row| gone.next_if_eq(&row).is_none()).collect();
    filter_record_batch(&batch, &BooleanArray::new(keep, None))
}

/// A batch whose fields have the types of `arrays`, which may be wider than the layout's.
fn batch(layout: &Layout, arrays: Vec<ArrayRef>, count: usize) -> Result<RecordBatch> {
    let planned = layout.schema.fields();
    let schema = if planned.iter().zip(&arrays).all(|(field, array)| field.data_type() == array.data_type()) {
        layout.schema.clone()
    } else {
        let fields =
            planned.iter().zip(&arrays).map(|(field, array)| Field::new(field.name(), array.data_type().clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(schema, arrays, &options).map_err(broken)
}

fn broken(error: ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "the rows of a page do not form a batch").because(&error)
}

fn array(
    called: &str,
    typing: Typing,
    text: TextColumn,
    nulls: Option<NullBuffer>,
    bad: &mut Vec<Bad>,
) -> Result<ArrayRef, ArrowError> {
    let nulls = nulls.as_ref();
    let converted: Option<ArrayRef> = match typing {
        Typing::Inferred(ColumnType::Integer) => fitting::<Int64Type>(&text, nulls, values::canonical_integer),
        Typing::Inferred(ColumnType::Float) => fitting::<Float64Type>(&text, nulls, values::canonical_float),
        Typing::Inferred(ColumnType::Boolean) => fitting_booleans(&text, nulls),
        Typing::Inferred(ColumnType::String | ColumnType::Date) | Typing::Declared(ColumnType::String) => None,
        Typing::Declared(declared) => {
            let mut refuse = |row, wanted| bad.push((row, format!("the value of {called} is not {wanted}")));
            Some(match declared {
                ColumnType::Integer => declared_numbers::<Int64Type>(&text, nulls, values::integer, |row| {
                    refuse(row, "a whole number of 64 bits")
                }),
                ColumnType::Float => {
                    declared_numbers::<Float64Type>(&text, nulls, values::float, |row| refuse(row, "a number"))
                }
                ColumnType::Date => declared_numbers::<Date32Type>(&text, nulls, values::date, |row| {
                    refuse(row, "a date written as 2026-11-23")
                }),
                ColumnType::Boolean | ColumnType::String => {
                    declared_booleans(&text, nulls, |row| refuse(row, "true or false"))
                }
            })
        }
    };
    match converted {
        Some(array) => Ok(array),
        None => text_array(called, text, nulls.cloned(), bad),
    }
}

fn present<'a>(text: &'a TextColumn, nulls: Option<&'a NullBuffer>) -> impl Iterator<Item = Option<&'a [u8]>> {
    text.fields().enumerate().map(move |(row, field)| nulls.is_none_or(|nulls| nulls.is_valid(row)).then_some(field))
}

/// The column as numbers, if every value is one.
fn fitting<T: ArrowPrimitiveType>(
    text: &TextColumn,
    nulls: Option<&NullBuffer>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Option<ArrayRef> {
    let mut values = PrimitiveBuilder::<T>::with_capacity(text.rows());
    for field in present(text, nulls) {
        match field {
            Some(field) => values.append_value(parse(field)?),
            None => values.append_null(),
        }
    }
    Some(Arc::new(values.finish()))
}

fn fitting_booleans(text: &TextColumn, nulls: Option<&NullBuffer>) -> Option<ArrayRef> {
    let mut values = BooleanBuilder::with_capacity(text.rows());
    for field in present(text, nulls) {
        match field {
            Some(field) => values.append_value(values::canonical_boolean(field)?),
            None => values.append_null(),
        }
    }
    Some(Arc::new(values.finish()))
}

fn declared_numbers<T: ArrowPrimitiveType>(
    text: &TextColumn,
    nulls: Option<&NullBuffer>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
    mut refuse: impl FnMut(usize),
) -> ArrayRef {
    let mut values = PrimitiveBuilder::<T>::with_capacity(text.rows());
    for (row, field) in present(text, nulls).enumerate() {
        let value = field.and_then(&parse);
        if field.is_some() && value.is_none() {
            refuse(row);
        }
        values.append_option(value);
    }
    Arc::new(values.finish())
}

fn declared_booleans(text: &TextColumn, nulls: Option<&NullBuffer>, mut refuse: impl FnMut(usize)) -> ArrayRef {
    let mut values = BooleanBuilder::with_capacity(text.rows());
    for (row, field) in present(text, nulls).enumerate() {
        let value = field.and_then(values::boolean);
        if field.is_some() && value.is_none() {
            refuse(row);
        }
        values.append_option(value);
    }
    Arc::new(values.finish())
}

fn text_array(
    called: &str,
    text: TextColumn,
    nulls: Option<NullBuffer>,
    bad: &mut Vec<Bad>,
) -> Result<ArrayRef, ArrowError> {
    // Whole columns are checked at once; single fields are looked at only when something is wrong.
    let suspicious = memchr::memchr(0, &text.values).is_some() || !is_utf8(&text);
    if !suspicious {
        return Ok(Arc::new(finished(text, nulls)?));
    }
    for (row, field) in text.fields().enumerate() {
        if let Some(flaw) = flaw(field) {
            bad.push((row, format!("the value of {called} {flaw}")));
        }
    }
    let clean = text.rewrite(|field| Cow::Borrowed(if flaw(field).is_some() { b"" } else { field }));
    Ok(Arc::new(finished(clean, nulls)?))
}

/// Why bytes cannot be a value, if they cannot.
pub(crate) fn flaw(field: &[u8]) -> Option<&'static str> {
    if memchr::memchr(0, field).is_some() {
        Some("contains a NUL character")
    } else if std::str::from_utf8(field).is_err() {
        Some("is not valid UTF-8")
    } else {
        None
    }
}

fn is_utf8(text: &TextColumn) -> bool {
    match std::str::from_utf8(&text.values) {
        // Two halves of a character in neighbouring fields are valid only together.
        Ok(all) => all.is_ascii() || text.offsets.iter().all(|&offset| all.is_char_boundary(offset as usize)),
        Err(_) => false,
    }
}

fn finished(text: TextColumn, nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(text.offsets));
    StringArray::try_new(offsets, Buffer::from_vec(text.values), nulls)
}

fn decoded(text: TextColumn, encoding: Encoding) -> TextColumn {
    match encoding {
        Encoding::Utf8 => text,
        _ if text.values.is_ascii() => text,
        _ => text.rewrite(|field| decode(field, encoding)),
    }
}

/// A field of a single-byte encoding as UTF-8.
pub(crate) fn decode(field: &[u8], encoding: Encoding) -> Cow<'_, [u8]> {
    if encoding == Encoding::Utf8 || field.is_ascii() {
        return Cow::Borrowed(field);
    }
    let text: String = field
        .iter()
        .map(|&byte| match (encoding, byte) {
            (Encoding::Windows1252, 0x80..=0x9F) => {
                WINDOWS_1252.get(usize::from(byte) - 0x80).copied().unwrap_or('\u{FFFD}')
            }
            _ => char::from(byte),
        })
        .collect();
    Cow::Owned(text.into_bytes())
}

/// The characters 0x80 to 0x9F; the five that are not assigned stand for the control characters of ISO 8859-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
];
