//! Splitting CSV into records without looking at a byte twice.
//!
//! Rules: a row ends with LF, CRLF or CR; blank lines are no rows; a field is quoted if its first byte is the quote, and then
//! a doubled quote stands for one; a quote anywhere else is an ordinary character. What follows a closing quote must be the
//! end of the field: guessing there would alter values.

use segport_sdk::Result;

use crate::input::Input;
use crate::page::{RowAt, TextColumn};

/// Bytes of a row after which nothing more of it is kept.
const LONGEST_ROW: u64 = 64 << 20;

/// Takes the fields of one record.
pub(crate) trait Sink {
    /// Where the field of that index goes; `None` to drop it.
    fn field(&mut self, index: usize) -> Option<&mut TextColumn>;
}

/// One record, or the lack of one.
#[derive(Debug)]
pub(crate) enum Record {
    /// A record with this many fields, whole if there is no fault.
    Row { at: RowAt, fields: usize, fault: Option<Fault> },
    /// The end of the file.
    End,
}

/// Why a record cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The field of this index is longer than allowed.
    FieldTooLong(usize),
    /// All fields together are too long.
    RowTooLong,
    /// Something follows the closing quote of the field of this index.
    AfterQuote(usize),
    /// The quoted field of this index, begun in this line, is never closed.
    Unclosed(usize, u64),
}

/// How a field ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Delimiter,
    Row,
    File,
}

/// Reads records one after the other.
#[derive(Debug)]
pub(crate) struct Records {
    input: Input,
    stops: Stops,
    quote: Option<u8>,
    max_field_bytes: usize,
    /// The row that comes next, and its line.
    next: RowAt,
}

impl Records {
    pub(crate) fn new(input: Input, delimiter: u8, quote: Option<u8>, max_field_bytes: usize, next: RowAt) -> Self {
        Self { input, stops: Stops::new(delimiter), quote, max_field_bytes, next }
    }

    /// Where the next record begins in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// The row and line that come next.
    pub(crate) fn next_at(&self) -> RowAt {
        self.next
    }

    /// Skips a byte order mark at the beginning of the file.
    ///
    /// # Errors
    /// `config_invalid` if it is one of UTF-16.
    pub(crate) fn skip_byte_order_mark(&mut self) -> Result<()> {
        self.input.skip_byte_order_mark()
    }

    /// Begins to count rows anew, after a header.
    pub(crate) fn first_row_is_next(&mut self) {
        self.next.row = 1;
    }

    /// Whether the file has no more bytes.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn at_end(&mut self) -> Result<bool> {
        Ok(self.input.peek()?.is_none())
    }

    /// Reads one record into `sink`, ending each field it takes.
    ///
    /// # Errors
    /// What the system says. Anything that is wrong with the bytes is a [`Fault`].
    pub(crate) fn read(&mut self, sink: &mut impl Sink) -> Result<Record> {
        loop {
            match self.input.peek()? {
                None => return Ok(Record::End),
                Some(b'\n') => self.input.advance(1),
                Some(b'\r') => self.carriage_return()?,
                Some(_) => break,
            }
            self.next.line += 1;
        }
        let at = self.next;
        let begin = self.input.offset();
        let mut fault = None;
        let mut index = 0;
        let stop = loop {
            if fault.is_none() && self.plain_run(sink, &mut index) {
                break Stop::Row;
            }
            let mut target = if fault.is_none() { sink.field(index) } else { None };
            let mut flaw = None;
            let quoted = self.quote.is_some() && self.input.peek()? == self.quote;
            let stop = if quoted {
                self.quoted(index, &mut target, &mut flaw)?
            } else {
                self.plain(index, &mut target, &mut flaw)?
            };
            if let Some(column) = target {
                if column.open_bytes() > self.max_field_bytes {
                    flaw = flaw.or(Some(Fault::FieldTooLong(index)));
                }
                column.end();
            }
            fault = match flaw {
                // What it has swallowed counts for more than whatever else is wrong with the row.
                Some(Fault::Unclosed(..)) => flaw,
                _ => fault.or(flaw),
            };
            index += 1;
            if stop != Stop::Delimiter {
                break stop;
            }
            if fault.is_none() && self.input.offset() - begin > LONGEST_ROW {
                fault = Some(Fault::RowTooLong);
            }
        };
        self.next.row += 1;
        if stop == Stop::Row {
            self.next.line += 1;
        }
        Ok(Record::Row { at, fields: index, fault })
    }

    /// Reads the fields that need no care: no quotes, an end inside the window, not too long. True at the end of the row.
    #[inline]
    fn plain_run(&mut self, sink: &mut impl Sink, index: &mut usize) -> bool {
        let mut rest = self.input.rest();
        let whole = rest.len();
        let mut ended = false;
        while !ended && rest.first().is_some_and(|first| Some(*first) != self.quote) {
            let Some(length) = self.stops.find(rest) else { break };
            let Some(&stop) = rest.get(length) else { break };
            if stop == b'\r' || length > self.max_field_bytes {
                break;
            }
            if let Some(column) = sink.field(*index) {
                column.push_first(rest, length);
                column.end();
            }
            rest = rest.get(length + 1..).unwrap_or_default();
            ended = stop == b'\n';
            *index += 1;
        }
        let passed = whole - rest.len();
        self.input.advance(passed);
        ended
    }

    /// Reads up to the end of a field without quotes, and past what ends it.
    #[inline]
    fn plain(&mut self, index: usize, target: &mut Option<&mut TextColumn>, flaw: &mut Option<Fault>) -> Result<Stop> {
        loop {
            let rest = self.input.rest();
            match self.stops.find(rest) {
                Some(length) => {
                    if let Some(column) = target {
                        column.push(rest.get(..length).unwrap_or_default());
                    }
                    let stop = rest.get(length).copied();
                    self.input.advance(length);
                    return self.past(stop);
                }
                None => {
                    take(rest, target);
                    let length = rest.len();
                    self.input.advance(length);
                    self.cut_off(index, target, flaw);
                    if !self.input.more()? {
                        return Ok(Stop::File);
                    }
                }
            }
        }
    }

    /// Reads a field in quotes, and past what ends it.
    fn quoted(&mut self, index: usize, target: &mut Option<&mut TextColumn>, flaw: &mut Option<Fault>) -> Result<Stop> {
        let Some(quote) = self.quote else { return Ok(Stop::Row) };
        let line = self.next.line;
        self.input.advance(1);
        loop {
            let rest = self.input.rest();
            let length = memchr::memchr(quote, rest);
            let inside = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
            take(inside, target);
            self.next.line += memchr::memchr_iter(b'\n', inside).count() as u64;
            let passed = inside.len();
            self.input.advance(passed);
            self.cut_off(index, target, flaw);
            if length.is_none() {
                if !self.input.more()? {
                    *flaw = Some(Fault::Unclosed(index, line));
                    return Ok(Stop::File);
                }
                continue;
            }
            self.input.advance(1);
            match self.input.peek()? {
                None => return Ok(Stop::File),
                Some(next) if next == quote => {
                    take(&[quote], target);
                    self.input.advance(1);
                }
                Some(next) if self.stops.is_stop(next) => return self.past(Some(next)),
                Some(_) => {
                    *flaw = flaw.or(Some(Fault::AfterQuote(index)));
                    if let Some(column) = target {
                        column.discard();
                    }
                    return self.plain(index, &mut None, flaw);
                }
            }
        }
    }

    /// Stops keeping a field that has grown too long.
    #[inline]
    fn cut_off(&self, index: usize, target: &mut Option<&mut TextColumn>, flaw: &mut Option<Fault>) {
        if let Some(column) = target
            && column.open_bytes() > self.max_field_bytes
        {
            column.discard();
            column.end();
            *target = None;
            *flaw = Some(Fault::FieldTooLong(index));
        }
    }

    #[inline]
    fn past(&mut self, stop: Option<u8>) -> Result<Stop> {
        match stop {
            Some(b'\n') => self.input.advance(1),
            Some(b'\r') => self.carriage_return()?,
            _ => {
                self.input.advance(1);
                return Ok(Stop::Delimiter);
            }
        }
        Ok(Stop::Row)
    }

    fn carriage_return(&mut self) -> Result<()> {
        self.input.advance(1);
        if self.input.peek()? == Some(b'\n') {
            self.input.advance(1);
        }
        Ok(())
    }
}

#[inline]
fn take(bytes: &[u8], target: &mut Option<&mut TextColumn>) {
    if let Some(column) = target {
        column.push(bytes);
    }
}

/// Finds the delimiter, LF or CR, eight bytes at a time: fields are too short for anything that needs a run-up.
#[derive(Debug, Clone, Copy)]
struct Stops {
    delimiter: u8,
    delimiters: u64,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const LFS: u64 = ONES * b'\n' as u64;
const CRS: u64 = ONES * b'\r' as u64;

impl Stops {
    fn new(delimiter: u8) -> Self {
        Self { delimiter, delimiters: ONES * u64::from(delimiter) }
    }

    #[inline]
    fn is_stop(self, byte: u8) -> bool {
        byte == self.delimiter || byte == b'\n' || byte == b'\r'
    }

    #[inline]
    fn find(self, bytes: &[u8]) -> Option<usize> {
        let (words, tail) = bytes.as_chunks::<8>();
        for (index, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let hits = zeros(word ^ self.delimiters) | zeros(word ^ LFS) | zeros(word ^ CRS);
            if hits != 0 {
                return Some(index * 8 + (hits.trailing_zeros() / 8) as usize);
            }
        }
        let before = words.len() * 8;
        tail.iter().position(|&byte| self.is_stop(byte)).map(|at| before + at)
    }
}

/// The high bit of each byte that is zero. Bytes above the lowest such byte may be wrong, which no caller looks at.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_stop_is_found(bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'\n'), Just(b'\r'), Just(b'-'), any::<u8>()], 0..40)) {
            let stops = Stops::new(b',');
            prop_assert_eq!(stops.find(&bytes), bytes.iter().position(|&byte| stops.is_stop(byte)));
        }
    }
}
