//! CSV files: header, types from a sample, and pages.

mod records;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_schema::SchemaRef;
use segport_sdk::{Error, ErrorKind, Result};

use self::records::{Fault, Record, Records, Sink};
use crate::infer::{Guess, Layout, SAMPLE_ROWS};
use crate::input::Input;
use crate::page::{PageBuilder, PageLimit, RowAt, Stretch, TextColumn, decode, flaw};
use crate::place::SourceFile;
use crate::rows::{Files, Position, Rows};
use crate::settings::{CsvOptions, TextOptions, invalid};

/// Most columns of a file: what has more is hardly a table.
const MOST_COLUMNS: usize = 10_000;

/// The CSV files of one segment.
#[derive(Debug)]
pub(crate) struct CsvFiles {
    options: Arc<CsvOptions>,
    layout: Arc<Layout>,
    /// The file whose header the others must agree with.
    first: String,
    /// Its header.
    header: Vec<String>,
}

impl CsvFiles {
    /// Reads the header of the first file and a sample of rows.
    ///
    /// # Errors
    /// What is wrong with the header or the options.
    pub(crate) fn plan(sources: &[SourceFile], options: CsvOptions) -> Result<Self> {
        let Some(first) = sources.first() else { return Err(invalid("no file was found")) };
        let options = Arc::new(options);
        let header = if options.header { header(first, &options)?.1 } else { Vec::new() };
        let names: Vec<String> = match &options.text.columns {
            Some(columns) => match columns.iter().find(|column| options.header && !header.contains(column)) {
                None => columns.clone(),
                Some(missing) => return Err(lacks(first, missing, &header, &options.text)),
            },
            // A column without a name cannot be mapped, so it is left out.
            None => header.iter().filter(|name| !name.is_empty()).cloned().collect(),
        };
        let layout = Arc::new(Layout::text(&names));
        let text = Self { layout, options: options.clone(), first: first.name.clone(), header };
        let guesses = if options.text.infer { text.sample(sources)? } else { Vec::new() };
        let layout = Layout::typed(&names, &guesses, &options.text, &first.name)?;
        Ok(Self { layout: Arc::new(layout), ..text })
    }

    fn sample(&self, sources: &[SourceFile]) -> Result<Vec<Guess>> {
        let mut guesses = vec![Guess::default(); self.layout.columns.len()];
        let mut limit = PageLimit { rows: SAMPLE_ROWS, ..PageLimit::default() };
        for source in sources {
            let mut rows = self.rows(source, None)?;
            let begin = rows.records.offset();
            let stretch = rows.stretch(limit)?;
            for (guess, column) in guesses.iter_mut().zip(stretch.rows.columns()) {
                let column = column.as_string::<i32>();
                column.iter().flatten().for_each(|value| guess.observe(value.as_bytes()));
            }
            limit.rows = limit.rows.saturating_sub(stretch.rows.num_rows() + stretch.unreadable.len());
            limit.bytes = limit.bytes.saturating_sub(rows.records.offset().saturating_sub(begin));
            if limit.rows == 0 || limit.bytes == 0 {
                break;
            }
        }
        Ok(guesses)
    }

    fn rows(&self, source: &SourceFile, from: Option<Position>) -> Result<CsvRows> {
        let (mut records, fields) = if self.options.header {
            let (records, names) = header(source, &self.options)?;
            (records, self.match_header(source, &names)?)
        } else {
            let mut records = records(source, &self.options, BEGINNING)?;
            records.skip_byte_order_mark()?;
            (records, (0..self.layout.columns.len()).map(Some).collect())
        };
        if let Some(from) = from {
            records = self::records(source, &self.options, from)?;
        }
        let builder = PageBuilder::new(self.called(&fields), &source.name);
        let place = source.name.clone();
        Ok(CsvRows { place, records, fields, builder, layout: self.layout.clone(), options: self.options.clone() })
    }

    /// Which column each field of `source` goes to.
    fn match_header(&self, source: &SourceFile, names: &[String]) -> Result<Vec<Option<usize>>> {
        let wanted: Vec<&str> = self.layout.columns.iter().map(|column| column.name.as_str()).collect();
        if let Some(missing) = wanted.iter().find(|wanted| !names.iter().any(|name| name == *wanted)) {
            return Err(if self.options.text.columns.is_some() {
                lacks(source, missing, names, &self.options.text)
            } else {
                self.disagree(source, &self.first, &self.header, missing)
            });
        }
        let fields: Vec<Option<usize>> =
            names.iter().map(|name| wanted.iter().position(|wanted| wanted == name)).collect();
        let extra = names.iter().zip(&fields).find(|(name, column)| column.is_none() && !name.is_empty());
        match extra {
            Some((name, _)) if self.options.text.columns.is_none() => {
                Err(self.disagree(source, &source.name, names, name))
            }
            _ => Ok(fields),
        }
    }

    /// The error for a column that `owner` alone has, in its header `names`.
    fn disagree(&self, source: &SourceFile, owner: &str, names: &[String], column: &str) -> Error {
        let place = names.iter().position(|name| name == column).unwrap_or_default();
        let column = self.options.text.called(column, || by_place(place));
        invalid(format!(
            "`{}` and `{}` belong to one segment, but the header of only one of them has {column} of `{owner}`: give them the same \
             columns, or name those to read with `columns` (files without a header need `header = false`)",
            self.first, source.name
        ))
    }

    /// How messages call each column of a file whose fields go there.
    fn called(&self, fields: &[Option<usize>]) -> Vec<String> {
        let mut called = vec![String::new(); self.layout.columns.len()];
        for (place, column) in fields.iter().enumerate() {
            let Some(at) = *column else { continue };
            if let (Some(called), Some(column)) = (called.get_mut(at), self.layout.columns.get(at)) {
                *called = self.options.text.called(&column.name, || by_place(place));
            }
        }
        called
    }
}

impl Files for CsvFiles {
    fn schema(&self) -> SchemaRef {
        self.layout.schema.clone()
    }

    fn open(&self, source: &SourceFile, from: Option<Position>) -> Result<Box<dyn Rows>> {
        Ok(Box::new(self.rows(source, from)?))
    }
}

const BEGINNING: Position = Position { offset: 0, row: 1, line: 1 };

fn records(source: &SourceFile, options: &CsvOptions, from: Position) -> Result<Records> {
    let delimiter = options.delimiter_of(&source.name);
    let input = Input::open(source, from.offset)?;
    let next = RowAt { row: from.row, line: from.line };
    Ok(Records::new(input, delimiter, options.quote, options.text.max_field_bytes, next))
}

/// The names in the first row, and the records after it.
fn header(source: &SourceFile, options: &CsvOptions) -> Result<(Records, Vec<String>)> {
    let mut records = records(source, options, BEGINNING)?;
    records.skip_byte_order_mark()?;
    let mut fields = HeaderFields(Vec::new());
    let wrong = |what: String| Error::new(ErrorKind::Rejected, format!("the header of `{}` {what}", source.name));
    match records.read(&mut fields)? {
        Record::End => {
            return Err(Error::new(
                ErrorKind::Rejected,
                format!("`{}` is empty: there is not even a header that names the columns", source.name),
            ));
        }
        Record::Row { fields, .. } if fields > MOST_COLUMNS => {
            return Err(wrong(format!(
                "has {fields} columns, more than {MOST_COLUMNS}: check `delimiter` and `quote`"
            )));
        }
        Record::Row { fault: Some(fault), .. } => {
            return Err(wrong(format!("cannot be read: {}", reason(fault, options, by_place))));
        }
        Record::Row { .. } => {}
    }
    let mut names: Vec<String> = Vec::with_capacity(fields.0.len());
    for (index, column) in fields.0.iter().enumerate() {
        let name = column.fields().next().unwrap_or_default();
        let name = decode(name, options.encoding);
        if let Some(flaw) = flaw(&name) {
            return Err(wrong(format!(
                "cannot be read: the name of column {} {flaw}; set `encoding` if it is not UTF-8",
                index + 1
            )));
        }
        names.push(String::from_utf8_lossy(&name).into_owned());
    }
    if let Some((first, second)) = twice(&names) {
        return Err(wrong(format!(
            "gives columns {} and {} the same name: rename one (a file without a header needs `header = false`)",
            first + 1,
            second + 1
        )));
    }
    records.first_row_is_next();
    Ok((records, names))
}

/// How messages call a column that only the file names.
fn by_place(index: usize) -> String {
    format!("column {}", index + 1)
}

/// The first two columns of one name.
fn twice(names: &[String]) -> Option<(usize, usize)> {
    let mut sorted: Vec<(&String, usize)> = names.iter().zip(0..).filter(|(name, _)| !name.is_empty()).collect();
    sorted.sort();
    sorted.array_windows().find_map(|&[(one, first), (other, second)]| (one == other).then_some((first, second)))
}

fn lacks(source: &SourceFile, column: &str, names: &[String], options: &TextOptions) -> Error {
    let hint = options.nearest(column, names);
    invalid(format!(
        "`{}` has no column `{column}`, which `columns` names{hint} (a file without a header needs `header = false`)",
        source.name
    ))
}

/// Takes the names of columns, each as a column of one field.
struct HeaderFields(Vec<TextColumn>);

impl Sink for HeaderFields {
    fn field(&mut self, index: usize) -> Option<&mut TextColumn> {
        if index < MOST_COLUMNS && index == self.0.len() {
            self.0.push(TextColumn::new());
        }
        self.0.get_mut(index)
    }
}

/// Takes the fields of a row to their columns.
struct RowFields<'a> {
    columns: &'a mut [TextColumn],
    fields: &'a [Option<usize>],
}

impl Sink for RowFields<'_> {
    #[inline]
    fn field(&mut self, index: usize) -> Option<&mut TextColumn> {
        let column = self.fields.get(index).copied().flatten()?;
        self.columns.get_mut(column)
    }
}

/// The rows of one CSV file.
struct CsvRows {
    /// The file's name.
    place: String,
    records: Records,
    /// Where each field of the file goes; `None` for those not asked for.
    fields: Vec<Option<usize>>,
    builder: PageBuilder,
    layout: Arc<Layout>,
    options: Arc<CsvOptions>,
}

impl CsvRows {
    /// How the file's fields are called in a message about one of them.
    fn column(&self, index: usize) -> String {
        let column = self.fields.get(index).copied().flatten().and_then(|column| self.builder.called.get(column));
        column.cloned().unwrap_or_else(|| by_place(index))
    }
}

impl Rows for CsvRows {
    fn stretch(&mut self, limit: PageLimit) -> Result<Stretch> {
        let begin = self.records.offset();
        let expected = self.fields.len();
        let mut last = false;
        while self.builder.seen() < limit.rows && self.records.offset() - begin < limit.bytes {
            let mut sink = RowFields { columns: &mut self.builder.columns, fields: &self.fields };
            match self.records.read(&mut sink)? {
                Record::Row { at, fields, fault: None } if fields == expected => self.builder.keep(at),
                // What the quote has swallowed may be one row or all the others.
                Record::Row { fault: Some(Fault::Unclosed(index, line)), .. } => {
                    return Err(Error::new(
                        ErrorKind::Rejected,
                        format!(
                            "the quoted field of {} that begins in line {line} of `{}` is never closed, so no row can be told from there \
                             on: close it, or write the file again and wait until it is complete",
                            self.column(index),
                            self.place
                        ),
                    ));
                }
                Record::Row { at, fault: Some(fault), .. } => {
                    let reason = reason(fault, &self.options, |index| self.column(index));
                    self.builder.refuse(at, reason);
                }
                Record::Row { at, fields, fault: None } => {
                    let reason = format!("the row has {}, but there are {expected} columns", counted(fields));
                    self.builder.refuse(at, reason);
                }
                Record::End => {
                    last = true;
                    break;
                }
            }
        }
        let last = last || self.records.at_end()?;
        self.builder.finish(&self.layout, &self.options.null_values, self.options.encoding, last)
    }

    fn position(&self) -> Position {
        let next = self.records.next_at();
        Position { offset: self.records.offset(), row: next.row, line: next.line }
    }
}

fn counted(fields: usize) -> String {
    if fields == 1 { "1 field".to_owned() } else { format!("{fields} fields") }
}

fn reason(fault: Fault, options: &CsvOptions, column: impl Fn(usize) -> String) -> String {
    match fault {
        Fault::FieldTooLong(index) => {
            format!(
                "the field of {} is longer than {} bytes (`max_field_bytes`)",
                column(index),
                options.text.max_field_bytes
            )
        }
        Fault::RowTooLong => "the row is longer than 64 MiB".to_owned(),
        Fault::AfterQuote(index) => format!(
            "the field of {} goes on after its closing quote; a quote inside a quoted field must be doubled",
            column(index)
        ),
        Fault::Unclosed(index, line) => {
            format!("the quoted field of {} that begins in line {line} is never closed", column(index))
        }
    }
}
