//! A file as a window of bytes that moves forward.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use segport_sdk::Result;

use crate::place::SourceFile;

/// Bytes read at once.
const WINDOW: usize = 256 * 1024;

/// The bytes of one file from some offset on.
#[derive(Debug)]
pub(crate) struct Input {
    source: SourceFile,
    file: File,
    /// What was read and not passed is `buffer[at..end]`, with `at <= end <= buffer.len()`.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Size of the buffer unless a line needs more: no larger than the file.
    first_window: usize,
    /// Offset in the file of `end`.
    end_offset: u64,
}

impl Input {
    /// Opens `source` at `offset`.
    ///
    /// # Errors
    /// What the system says, with the file's name.
    pub(crate) fn open(source: &SourceFile, offset: u64) -> Result<Self> {
        let mut file = source.open()?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| source.failed("read", &error))?;
        // One byte more than there is lets the end show itself without growing the buffer.
        let left = source.size.saturating_sub(offset).saturating_add(1);
        let first_window = usize::try_from(left).unwrap_or(WINDOW).min(WINDOW);
        Ok(Self { source: source.clone(), file, buffer: Vec::new(), at: 0, end: 0, first_window, end_offset: offset })
    }

    /// The bytes at hand; may be empty before [`Input::more`].
    #[inline]
    pub(crate) fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..self.end).unwrap_or_default()
    }

    /// Moves past `count` bytes of [`Input::rest`].
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.at = self.end.min(self.at + count);
    }

    /// Where [`Input::rest`] begins in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.end_offset.saturating_sub((self.end - self.at) as u64)
    }

    /// Adds bytes to [`Input::rest`]; false at the end of the file.
    ///
    /// # Errors
    /// What the system says, with the file's name.
    pub(crate) fn more(&mut self) -> Result<bool> {
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.at = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize((self.end * 2).max(self.first_window), 0);
        }
        loop {
            match self.file.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.end += count;
                    self.end_offset = self.end_offset.saturating_add(count as u64);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.source.failed("read", &error)),
            }
        }
    }

    /// The next byte without moving; `None` at the end of the file.
    ///
    /// # Errors
    /// What the system says, with the file's name.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Option<u8>> {
        if self.at == self.end && !self.more()? {
            return Ok(None);
        }
        Ok(self.rest().first().copied())
    }

    /// Skips a byte order mark at the beginning of the file.
    ///
    /// # Errors
    /// `config_invalid` if it is one of UTF-16.
    pub(crate) fn skip_byte_order_mark(&mut self) -> Result<()> {
        while self.rest().len() < 3 && self.more()? {}
        match self.rest() {
            [0xEF, 0xBB, 0xBF, ..] => self.advance(3),
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
                return Err(crate::settings::invalid(format!(
                    "`{}` is UTF-16, which is not read: save it as UTF-8",
                    self.source.name
                )));
            }
            _ => {}
        }
        Ok(())
    }
}
