//! JSON lines: one object a line, keys as columns.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use segport_sdk::{Error, ErrorKind, Result};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::infer::{Guess, Layout, SAMPLE_ROWS};
use crate::input::Input;
use crate::page::{PageBuilder, PageLimit, RowAt, Stretch, TextColumn};
use crate::place::SourceFile;
use crate::rows::{Files, Position, Rows};
use crate::settings::{Encoding, TextOptions, invalid};

/// The longest line that is read.
const LONGEST_LINE: usize = 64 << 20;
/// Most bytes of a sample.
const SAMPLE_BYTES: u64 = 16 << 20;
/// Most columns that a sample may reveal.
const MOST_COLUMNS: usize = 10_000;

/// The JSON lines files of one segment.
#[derive(Debug)]
pub(crate) struct JsonFiles {
    layout: Arc<Layout>,
    index: Arc<HashMap<String, usize>>,
    options: TextOptions,
}

impl JsonFiles {
    /// Looks at a sample of rows for keys and types.
    ///
    /// # Errors
    /// `rejected` if the sample shows no column and none is declared.
    pub(crate) fn plan(sources: &[SourceFile], options: TextOptions) -> Result<Self> {
        let mut sample = Sample::new(options.columns.as_deref());
        let mut left = SAMPLE_ROWS;
        let mut bytes = SAMPLE_BYTES;
        for source in sources {
            let mut lines = Lines::open(source, None)?;
            while left > 0
                && lines.offset() < bytes
                && let Some((_, line)) = lines.next()?
            {
                if let Line::Text(text) = line {
                    // A line that cannot be read is reported when it is read for real.
                    entries(text, |key, value| sample.take(key, value)).ok();
                }
                left -= 1;
            }
            bytes = bytes.saturating_sub(lines.offset());
        }
        let first = sources.first().map_or("", |source| source.name.as_str());
        if sample.names.is_empty() {
            return Err(Error::new(
                ErrorKind::Rejected,
                format!(
                    "`{first}` shows no columns: there is no JSON object with a key in its first lines; name them with `columns` if it may be empty"
                ),
            ));
        }
        if sample.names.len() > MOST_COLUMNS {
            return Err(invalid(format!(
                "`{first}` has more than {MOST_COLUMNS} keys: name those to read with `columns`"
            )));
        }
        let layout = Layout::typed(&sample.names, &sample.guesses, &options, first)?;
        Ok(Self { layout: Arc::new(layout), index: Arc::new(sample.index), options })
    }
}

impl Files for JsonFiles {
    fn schema(&self) -> SchemaRef {
        self.layout.schema.clone()
    }

    fn open(&self, source: &SourceFile, from: Option<Position>) -> Result<Box<dyn Rows>> {
        let called =
            self.layout.columns.iter().map(|column| self.options.called(&column.name, || "a column".to_owned()));
        Ok(Box::new(JsonRows {
            lines: Lines::open(source, from)?,
            builder: PageBuilder::new(called.collect(), &source.name),
            layout: self.layout.clone(),
            index: self.index.clone(),
            max_field_bytes: self.options.max_field_bytes,
        }))
    }
}

/// The keys seen so far, in the order of their first appearance.
struct Sample {
    names: Vec<String>,
    index: HashMap<String, usize>,
    guesses: Vec<Guess>,
    /// Whether `columns` states the names.
    fixed: bool,
}

impl Sample {
    fn new(columns: Option<&[String]>) -> Self {
        let names = columns.unwrap_or_default().to_vec();
        let index = names.iter().cloned().zip(0..).collect();
        Self { guesses: vec![Guess::default(); names.len()], names, index, fixed: columns.is_some() }
    }

    fn take(&mut self, key: &str, value: &RawValue) -> Result<(), String> {
        let at = match self.index.get(key) {
            Some(&at) => at,
            None if self.fixed || self.names.len() > MOST_COLUMNS => return Ok(()),
            None => {
                self.index.insert(key.to_owned(), self.names.len());
                self.names.push(key.to_owned());
                self.guesses.push(Guess::default());
                self.names.len() - 1
            }
        };
        if let Some(guess) = self.guesses.get_mut(at) {
            match value.get().as_bytes() {
                [b'n', ..] => {}
                [b'"' | b'{' | b'[', ..] => guess.observe_text(),
                plain => guess.observe(plain),
            }
        }
        Ok(())
    }
}

/// The rows of one JSON lines file.
struct JsonRows {
    lines: Lines,
    builder: PageBuilder,
    layout: Arc<Layout>,
    index: Arc<HashMap<String, usize>>,
    max_field_bytes: usize,
}

impl Rows for JsonRows {
    fn stretch(&mut self, limit: PageLimit) -> Result<Stretch> {
        let begin = self.lines.offset();
        while self.builder.seen() < limit.rows && self.lines.offset() - begin < limit.bytes {
            let Some((at, line)) = self.lines.next()? else { break };
            let outcome = match line {
                Line::Text(text) => {
                    let mut row = RowFields {
                        columns: &mut self.builder.columns,
                        called: &self.builder.called,
                        layout: &self.layout,
                        index: &self.index,
                        max_field_bytes: self.max_field_bytes,
                        expected: 0,
                    };
                    let rows = row.columns.first().map_or(0, TextColumn::rows);
                    entries(text, |key, value| row.take(rows, key, value)).map(|()| row.fill(rows))
                }
                Line::TooLong => Err("the line is longer than 64 MiB".to_owned()),
            };
            match outcome {
                Ok(()) => self.builder.keep(at),
                Err(reason) => self.builder.refuse(at, reason),
            }
        }
        let last = self.lines.at_end()?;
        self.builder.finish(&self.layout, &[], Encoding::Utf8, last)
    }

    fn position(&self) -> Position {
        Position { offset: self.lines.offset(), row: self.lines.next.row, line: self.lines.next.line }
    }
}

/// Takes the values of one object to their columns.
struct RowFields<'a> {
    columns: &'a mut [TextColumn],
    called: &'a [String],
    layout: &'a Layout,
    index: &'a HashMap<String, usize>,
    max_field_bytes: usize,
    /// The column that follows the last one: keys mostly come in the same order.
    expected: usize,
}

impl RowFields<'_> {
    /// Appends a value; `rows` is the number of finished rows.
    fn take(&mut self, rows: usize, key: &str, value: &RawValue) -> Result<(), String> {
        let as_expected = self.layout.columns.get(self.expected).is_some_and(|column| column.name == key);
        let at = if as_expected { Some(self.expected) } else { self.index.get(key).copied() };
        let Some(at) = at else { return Ok(()) };
        self.expected = at + 1;
        let Some(column) = self.columns.get_mut(at) else { return Ok(()) };
        if column.rows() > rows {
            return Err("a key occurs twice".to_owned());
        }
        let called = || self.called.get(at).map_or("a column", String::as_str);
        let raw = value.get().as_bytes();
        match raw {
            [b'n', ..] => {
                column.end_absent();
                return Ok(());
            }
            [b'"', inner @ .., b'"'] if memchr::memchr(b'\\', inner).is_none() => column.push(inner),
            [b'"', ..] => match serde_json::from_str::<String>(value.get()) {
                Ok(text) => column.push(text.as_bytes()),
                Err(_) => return Err(format!("the value of {} is not a valid JSON string", called())),
            },
            [b'{' | b'[', ..] => compact(raw, column),
            plain => column.push(plain),
        }
        if column.open_bytes() > self.max_field_bytes {
            return Err(format!(
                "the field of {} is longer than {} bytes (`max_field_bytes`)",
                called(),
                self.max_field_bytes
            ));
        }
        column.end();
        Ok(())
    }

    /// Gives the columns whose key was missing no value.
    fn fill(&mut self, rows: usize) {
        for column in self.columns.iter_mut().filter(|column| column.rows() == rows) {
            column.end_absent();
        }
    }
}

/// Appends JSON without the spaces between its parts; everything else stays as written.
fn compact(json: &[u8], column: &mut TextColumn) {
    let (mut quoted, mut escaped) = (false, false);
    for &byte in json {
        if !quoted && byte.is_ascii_whitespace() {
            continue;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        column.push(&[byte]);
    }
}

/// Calls `take` with each key and value of the object that `line` is.
///
/// # Errors
/// Why the line cannot be used, without anything of what stands in it.
fn entries(line: &[u8], take: impl FnMut(&str, &RawValue) -> Result<(), String>) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(line) else { return Err("the line is not valid UTF-8".to_owned()) };
    let mut refused = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = json.deserialize_map(Entries { take, refused: &mut refused }).and_then(|()| json.end());
    match (refused, parsed) {
        (Some(reason), _) => Err(reason),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.classify() == Category::Data => Err("the line is not a JSON object".to_owned()),
        (None, Err(error)) => Err(format!("the line is not valid JSON at byte {}", error.column())),
    }
}

struct Entries<'a, F> {
    take: F,
    refused: &'a mut Option<String>,
}

/// A key that borrows from the line unless it has escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, F: FnMut(&str, &RawValue) -> Result<(), String>> Visitor<'de> for Entries<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            if let Err(reason) = (self.take)(&key, value) {
                *self.refused = Some(reason);
                // The rest is parsed no further: the row is lost either way.
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// A line that is not blank.
enum Line<'a> {
    /// The line without its end.
    Text(&'a [u8]),
    /// The line was too long to be kept.
    TooLong,
}

/// What [`Lines::find`] came upon.
enum Found {
    /// A line of this many bytes, not yet passed.
    Line(usize),
    /// A line that is too long, passed.
    TooLong,
}

/// The lines of a file, blank ones left out.
struct Lines {
    input: Input,
    next: RowAt,
    /// Bytes of [`Input::rest`] that were given out.
    given: usize,
}

impl Lines {
    fn open(source: &SourceFile, from: Option<Position>) -> Result<Self> {
        let start = from.unwrap_or(Position { offset: 0, row: 1, line: 1 });
        let mut input = Input::open(source, start.offset)?;
        if from.is_none() {
            input.skip_byte_order_mark()?;
        }
        Ok(Self { input, next: RowAt { row: start.row, line: start.line }, given: 0 })
    }

    fn offset(&self) -> u64 {
        self.input.offset() + self.given as u64
    }

    fn at_end(&mut self) -> Result<bool> {
        self.release();
        Ok(self.input.peek()?.is_none())
    }

    fn release(&mut self) {
        self.input.advance(std::mem::take(&mut self.given));
    }

    fn next(&mut self) -> Result<Option<(RowAt, Line<'_>)>> {
        loop {
            self.release();
            let Some(found) = self.find()? else { return Ok(None) };
            let at = self.next;
            self.next.line += 1;
            if let Found::Line(length) = found {
                // The line's end belongs to it, unless the file ends without one.
                self.given = self.input.rest().len().min(length + 1);
                if self.line(length).trim_ascii().is_empty() {
                    continue;
                }
            }
            self.next.row += 1;
            let line = match found {
                Found::Line(length) => Line::Text(self.line(length)),
                Found::TooLong => Line::TooLong,
            };
            return Ok(Some((at, line)));
        }
    }

    fn line(&self, length: usize) -> &[u8] {
        self.input.rest().get(..length).unwrap_or_default()
    }

    /// Finds the end of the line at hand, or moves past a line that is too long; `None` at the end of the file.
    fn find(&mut self) -> Result<Option<Found>> {
        let mut scanned = 0;
        let mut dropped = false;
        loop {
            let fresh = self.input.rest().get(scanned..).unwrap_or_default();
            if let Some(found) = memchr::memchr(b'\n', fresh) {
                if dropped {
                    self.input.advance(scanned + found + 1);
                    return Ok(Some(Found::TooLong));
                }
                return Ok(Some(Found::Line(scanned + found)));
            }
            scanned += fresh.len();
            if dropped || scanned > LONGEST_LINE {
                dropped = true;
                self.input.advance(std::mem::take(&mut scanned));
            }
            if !self.input.more()? {
                return Ok(match (dropped, scanned) {
                    (true, _) => Some(Found::TooLong),
                    (false, 0) => None,
                    (false, length) => Some(Found::Line(length)),
                });
            }
        }
    }
}
