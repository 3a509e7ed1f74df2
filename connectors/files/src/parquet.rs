//! Parquet files, a stretch of a row group at a time.

use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use ::parquet::basic::Compression;
use ::parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use arrow_array::{Array, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use segport_sdk::{Error, ErrorKind, Result, UnreadableRow, contained};

use crate::page::{PageLimit, Stretch, without};
use crate::place::{SourceFile, did_you_mean};
use crate::plain::{numbered_type, plain, plain_column, strange, type_name};
use crate::rows::{Files, Position, Rows};
use crate::settings::{ParquetOptions, invalid};

/// Bytes of a column's texts in a row group, as they are in the file, up to which they may stay numbered.
const LONGEST_DICTIONARY: i64 = 64 << 10;

/// The Parquet files of one segment.
pub(crate) struct ParquetFiles {
    options: ParquetOptions,
    schema: SchemaRef,
    /// Which of these columns are read.
    wanted: Vec<usize>,
    /// The file whose columns the others must agree with.
    first: String,
}

impl ParquetFiles {
    /// Reads the footers.
    ///
    /// # Errors
    /// What is wrong with a file or the options, or that files do not agree.
    pub(crate) fn plan(sources: &[SourceFile], options: ParquetOptions) -> Result<Self> {
        let Some(first) = sources.first() else { return Err(invalid("no file was found")) };
        let found = metadata(first)?;
        let names: Vec<&String> = match &options.columns {
            Some(columns) => columns.iter().collect(),
            None => readable(found.schema()),
        };
        let mut fields = Vec::with_capacity(names.len());
        let mut places = Vec::with_capacity(names.len());
        for name in names {
            let (place, field) = column(first, found.schema(), name)?;
            if fields.iter().any(|earlier: &Field| earlier.name() == field.name()) {
                return Err(invalid(format!("`{}` has two columns named `{name}`: rename one", first.name)));
            }
            fields.push(field);
            places.push(place);
        }
        decompressible(first, &found, &places)?;
        let wanted = (0..fields.len()).collect();
        let files = Self { options, schema: Arc::new(Schema::new(fields)), wanted, first: first.name.clone() };
        for other in sources.iter().skip(1) {
            let found = metadata(other)?;
            let places = files.match_columns(other, found.schema())?;
            decompressible(other, &found, &places)?;
        }
        Ok(files)
    }

    /// The place of each column in `source`, in the order of the segment's columns.
    fn match_columns(&self, source: &SourceFile, found: &Schema) -> Result<Vec<usize>> {
        let disagree = |column: &str, how: String| {
            invalid(format!(
                "`{}` and `{}` belong to one segment, but {how} `{column}`: give them the same columns, or name those to read \
                 with `columns`",
                self.first, source.name
            ))
        };
        let mut places = Vec::with_capacity(self.schema.fields().len());
        for wanted in self.schema.fields() {
            let (place, field) = column(source, found, wanted.name())
                .map_err(|_| disagree(wanted.name(), "only the first has a usable column".to_owned()))?;
            if field.data_type() != wanted.data_type() {
                let (first, second) = (type_name(wanted.data_type()), type_name(field.data_type()));
                let how = format!("they have different types ({first} and {second}) for");
                return Err(disagree(wanted.name(), how));
            }
            places.push(place);
        }
        let extra = readable(found).into_iter().find(|name| self.schema.column_with_name(name).is_none());
        match extra {
            Some(name) if self.options.columns.is_none() => {
                Err(disagree(name, "only the second has the column".to_owned()))
            }
            _ => Ok(places),
        }
    }
}

impl Files for ParquetFiles {
    fn schema(&self) -> SchemaRef {
        let fields = self.wanted.iter().filter_map(|&place| self.schema.fields().get(place)).cloned();
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }

    fn keep_only(&mut self, columns: &[String]) {
        let is_wanted =
            |place: &usize| self.schema.fields().get(*place).is_some_and(|field| columns.contains(field.name()));
        self.wanted = (0..self.schema.fields().len()).filter(is_wanted).collect();
    }

    fn open(&self, source: &SourceFile, from: Option<Position>) -> Result<Box<dyn Rows>> {
        let metadata = metadata(source)?;
        let places = self.match_columns(source, metadata.schema())?;
        let places: Vec<usize> = self.wanted.iter().filter_map(|&place| places.get(place).copied()).collect();
        decompressible(source, &metadata, &places)?;
        let metadata = guarded(source, || Ok(with_numbered_texts(&metadata).unwrap_or(metadata)))?;
        let from = from.unwrap_or(Position { offset: 0, row: 0, line: 0 });
        let mut groups = Vec::new();
        for group in metadata.metadata().row_groups() {
            let rows =
                u64::try_from(group.num_rows()).map_err(|_| damaged(source, "a row group has a negative length"))?;
            // What is stated is a hint only; at least a byte a row keeps the division below meaningful.
            let bytes = chunks(&metadata, group, &places).map(decoded_bytes).fold(rows, u64::saturating_add);
            groups.push(Group { rows, bytes });
        }
        Ok(Box::new(ParquetRows {
            source: source.clone(),
            metadata,
            schema: self.schema(),
            places,
            groups,
            max_field_bytes: self.options.max_field_bytes,
            at: from,
            reader: None,
        }))
    }
}

/// The columns that have a plain form, or all if none has: a file may have others that nobody wants to export.
fn readable(found: &Schema) -> Vec<&String> {
    let names = |is_wanted: fn(&Field) -> bool| -> Vec<&String> {
        found.fields().iter().filter(|field| is_wanted(field)).map(|field| field.name()).collect()
    };
    Some(names(|field| plain_column(field).is_some()))
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| names(|_| true))
}

/// The column of that name and its plain form.
fn column(source: &SourceFile, found: &Schema, name: &str) -> Result<(usize, Field)> {
    let Some((place, field)) = found.column_with_name(name) else {
        let hint = did_you_mean(name, found.fields().iter().map(|field| field.name().as_str()));
        return Err(invalid(format!("`{}` has no column `{name}`, which `columns` names{hint}", source.name)));
    };
    let Some(plain) = plain_column(field) else {
        return Err(invalid(format!(
            "column `{name}` of `{}` has {}, which cannot be exported: name the columns to read with `columns`",
            source.name,
            strange(field.data_type())
        )));
    };
    Ok((place, Field::new(name, plain, true)))
}

/// The chunks of `group` that make up the columns at `places`.
fn chunks<'a>(
    metadata: &'a ArrowReaderMetadata,
    group: &'a RowGroupMetaData,
    places: &'a [usize],
) -> impl Iterator<Item = &'a ColumnChunkMetaData> {
    let layout = metadata.parquet_schema();
    let is_read = move |leaf| leaf < layout.num_columns() && places.contains(&layout.get_column_root_idx(leaf));
    group.columns().iter().enumerate().filter(move |&(leaf, _)| is_read(leaf)).map(|(_, chunk)| chunk)
}

/// Makes sure that the columns at `places` are compressed in a way that is read.
fn decompressible(source: &SourceFile, metadata: &ArrowReaderMetadata, places: &[usize]) -> Result<()> {
    let groups = metadata.metadata().row_groups().iter();
    let codec = groups.flat_map(|group| chunks(metadata, group, places)).find_map(|chunk| match chunk.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_) => None,
        Compression::BROTLI(_) => Some("Brotli"),
        Compression::LZ4 | Compression::LZ4_RAW => Some("LZ4"),
        Compression::LZO => Some("LZO"),
    });
    match codec {
        None => Ok(()),
        Some(codec) => Err(Error::new(
            ErrorKind::Rejected,
            format!(
                "`{}` is compressed with {codec}, which is not read: write the file with Snappy, gzip or zstd",
                source.name
            ),
        )),
    }
}

/// The same, where columns whose texts are numbered in the file are read as they are there; `None` if the reader cannot do that.
fn with_numbered_texts(metadata: &ArrowReaderMetadata) -> Option<ArrowReaderMetadata> {
    let layout = metadata.parquet_schema();
    let are_numbered = |root: usize| {
        let leaves = (0..layout.num_columns()).filter(|leaf| layout.get_column_root_idx(*leaf) == root);
        let mut chunks =
            leaves.flat_map(|leaf| metadata.metadata().row_groups().iter().map(move |group| group.column(leaf)));
        chunks.all(has_short_dictionary)
    };
    let fields = metadata.schema().fields().iter().enumerate().map(|(root, field)| match field.data_type() {
        DataType::Utf8 if are_numbered(root) => Arc::new(field.as_ref().clone().with_data_type(numbered_type())),
        _ => Arc::clone(field),
    });
    with_columns(metadata, fields.collect())
}

/// Whether a column's texts are numbered and few. Where a writer gave numbering up, its dictionary is long.
fn has_short_dictionary(column: &ColumnChunkMetaData) -> bool {
    let length = column.dictionary_page_offset().map(|start| column.data_page_offset().saturating_sub(start));
    length.is_some_and(|length| (0..=LONGEST_DICTIONARY).contains(&length))
}

/// How many bytes a column takes once it is read: a text that many rows share is stored once, and read with a copy for each. How
/// much that is only newer writers tell.
fn decoded_bytes(column: &ColumnChunkMetaData) -> u64 {
    let texts = column.unencoded_byte_array_data_bytes().unwrap_or(0);
    u64::try_from(column.uncompressed_size().max(texts)).unwrap_or(0)
}

fn metadata(source: &SourceFile) -> Result<ArrowReaderMetadata> {
    let file = source.open()?;
    guarded(source, || {
        let told = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| damaged(source, "its footer cannot be read").because(&error))?;
        let columns = told.schema().fields().iter().map(written_out).collect::<Fields>();
        if columns == *told.schema().fields() {
            return Ok(told);
        }
        with_columns(&told, columns).ok_or_else(|| damaged(source, "its footer contradicts itself"))
    })
}

/// The column without the numbering of its values that whoever wrote the file had in memory. In the file they are numbered in
/// another way, and the reader cannot give all types in that one, nor numbers that do not fit.
fn written_out(column: &FieldRef) -> FieldRef {
    let data_type = match column.data_type() {
        DataType::Dictionary(_, values) => (**values).clone(),
        DataType::List(values) => DataType::List(written_out(values)),
        DataType::LargeList(values) => DataType::LargeList(written_out(values)),
        DataType::FixedSizeList(values, length) => DataType::FixedSizeList(written_out(values), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(written_out).collect()),
        DataType::Map(entries, is_sorted) => DataType::Map(written_out(entries), *is_sorted),
        _ => return Arc::clone(column),
    };
    Arc::new(column.as_ref().clone().with_data_type(data_type))
}

/// The same, with its columns read as these types; `None` if the reader cannot do that.
fn with_columns(metadata: &ArrowReaderMetadata, columns: Fields) -> Option<ArrowReaderMetadata> {
    let schema = Schema::new_with_metadata(columns, metadata.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).ok()
}

fn damaged(source: &SourceFile, how: &str) -> Error {
    Error::new(
        ErrorKind::Rejected,
        format!(
            "`{}` is not a whole Parquet file: {how}; write the file again and wait until it is complete",
            source.name
        ),
    )
}

fn unconvertible(source: &SourceFile, column: &str) -> Error {
    Error::new(
        ErrorKind::Rejected,
        format!(
            "the values of column `{column}` of `{}` cannot be read: name the columns to read with `columns`",
            source.name
        ),
    )
}

/// Calls into the Parquet reader, which may panic on bytes that no writer would write.
fn guarded<T>(source: &SourceFile, call: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the closure borrows is dropped or not used again after a panic.
    contained(call).unwrap_or_else(|| Err(damaged(source, "its contents contradict each other")))
}

struct Group {
    rows: u64,
    bytes: u64,
}

/// The rows of one Parquet file.
struct ParquetRows {
    source: SourceFile,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    /// Where each column of the schema is in the file.
    places: Vec<usize>,
    groups: Vec<Group>,
    max_field_bytes: usize,
    /// The row group, and the rows of it that are done.
    at: Position,
    /// The open row group, standing at `at`.
    reader: Option<ParquetRecordBatchReader>,
}

impl ParquetRows {
    fn open_group(&self, limit: PageLimit) -> Result<ParquetRecordBatchReader> {
        let index = usize::try_from(self.at.offset).unwrap_or(usize::MAX);
        let done = usize::try_from(self.at.row).unwrap_or(usize::MAX);
        let rows = self
            .groups
            .get(index)
            .map_or(limit.rows as u64, |group| group.rows.saturating_mul(limit.bytes) / group.bytes.max(1));
        let batch = usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, limit.rows.max(1));
        let file = self.source.open()?;
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), self.places.iter().copied());
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_projection(mask)
            .with_row_groups(vec![index])
            .with_offset(done)
            .with_batch_size(batch)
            .build()
            .map_err(|error| damaged(&self.source, "a row group cannot be read").because(&error))
    }

    fn next_batch(&mut self, limit: PageLimit) -> Result<Option<RecordBatch>> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.open_group(limit)?,
        };
        match reader.next() {
            Some(Ok(batch)) => {
                self.reader = Some(reader);
                Ok(Some(batch))
            }
            Some(Err(error)) => Err(damaged(&self.source, "a row group cannot be read").because(&error)),
            None => Ok(None),
        }
    }

    /// The batch in plain types, with rows left out that cannot be read.
    fn plain(&self, batch: &RecordBatch, first_row: u64) -> Result<(RecordBatch, Vec<UnreadableRow>)> {
        let wrong = |error: &ArrowError| damaged(&self.source, "its columns do not form rows").because(error);
        let mut bad = Vec::new();
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        let mut fields = Vec::with_capacity(self.schema.fields().len());
        for wanted in self.schema.fields() {
            let array =
                batch.column_by_name(wanted.name()).ok_or_else(|| damaged(&self.source, "a column is missing"))?;
            let schema = batch.schema_ref();
            let field = schema.field_with_name(wanted.name()).map_err(|error| wrong(&error))?;
            // What Arrow says of a value repeats it.
            let array = plain(field, array, &mut bad, self.max_field_bytes)
                .map_err(|_| unconvertible(&self.source, wanted.name()))?;
            fields.push(Field::new(wanted.name(), array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|error| wrong(&error))?;
        let rows = without(rows, &mut bad).map_err(|error| wrong(&error))?;
        let place = &self.source.name;
        let unreadable = bad.into_iter().map(|(row, reason)| UnreadableRow {
            place: place.clone(),
            row: first_row + row as u64,
            line: None,
            reason,
        });
        Ok((rows, unreadable.collect()))
    }

    fn rows_before(&self) -> u64 {
        let whole = self.groups.iter().take(usize::try_from(self.at.offset).unwrap_or(usize::MAX));
        whole.fold(self.at.row, |sum, group| sum.saturating_add(group.rows))
    }
}

impl Rows for ParquetRows {
    fn stretch(&mut self, limit: PageLimit) -> Result<Stretch> {
        let source = self.source.clone();
        guarded(&source, || {
            while let Some(group) = self.groups.get(usize::try_from(self.at.offset).unwrap_or(usize::MAX)) {
                let rows = group.rows;
                if self.at.row < rows {
                    let Some(batch) = self.next_batch(limit)? else {
                        return Err(damaged(&self.source, "a row group has fewer rows than it states"));
                    };
                    let (plain, unreadable) = self.plain(&batch, self.rows_before().saturating_add(1))?;
                    self.at.row = self.at.row.saturating_add(batch.num_rows() as u64);
                    if batch.num_rows() == 0 {
                        return Err(damaged(&self.source, "a row group has fewer rows than it states"));
                    }
                    self.leave_finished_groups();
                    let last = self.groups.len() as u64 <= self.at.offset;
                    return Ok(Stretch { rows: plain, unreadable, last });
                }
                self.leave_finished_groups();
            }
            Ok(Stretch { rows: RecordBatch::new_empty(self.schema.clone()), unreadable: Vec::new(), last: true })
        })
    }

    fn position(&self) -> Position {
        self.at
    }
}

impl ParquetRows {
    fn leave_finished_groups(&mut self) {
        while let Some(group) = self.groups.get(usize::try_from(self.at.offset).unwrap_or(usize::MAX)) {
            if self.at.row < group.rows {
                break;
            }
            self.reader = None;
            self.at = Position { offset: self.at.offset + 1, row: 0, line: 0 };
        }
    }
}
