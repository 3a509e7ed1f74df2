//! Where text goes: results to standard output, everything else to standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};
use segport_manifest::Style;
use serde::Serialize;

use crate::arguments::{Colour, Format, Global};
use crate::exit::Failure;
use crate::progress;

/// The two streams, as the user wants them.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    results: Style,
    messages: Style,
    quiet: bool,
    /// Nobody reads the results any more, as after `| head`. That is no error, and no reason to stop a run.
    closed: AtomicBool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            Colour::Auto => ColorChoice::Auto,
            Colour::Always => ColorChoice::Always,
            Colour::Never => ColorChoice::Never,
        }
        .write_global();
        Self {
            format: global.output,
            results: style(AutoStream::choice(&io::stdout())),
            messages: style(AutoStream::choice(&io::stderr())),
            quiet: global.quiet,
            closed: AtomicBool::new(false),
        }
    }

    /// How messages may look.
    pub(crate) fn messages(&self) -> Style {
        self.messages
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// How results may look.
    pub(crate) fn style(&self) -> Style {
        self.results
    }

    /// Whether the reader of the results has gone away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether a person sits at both ends.
    pub(crate) fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Writes a result as it is.
    ///
    /// # Errors
    /// If it cannot be written, unless because nobody reads it.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        if self.is_closed() {
            return Ok(());
        }
        let written = progress::aside(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        });
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            written => written.map_err(|error| Failure::new(format!("cannot write to standard output: {error}"))),
        }
    }

    /// Writes a result as one line of JSON.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        self.text(&json_line(value)?)
    }

    /// Tells the user something that is no result; not with `-q`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            to_stderr(format!("{}\n", text.trim_end()).as_bytes());
        }
    }

    /// Says something that matters even with `-q`.
    pub(crate) fn remark(text: &str) {
        to_stderr(format!("{text}\n").as_bytes());
    }

    /// Asks for a line of input; `None` at the end of the input.
    pub(crate) fn ask(&self, question: &str) -> Option<String> {
        to_stderr(question.as_bytes());
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim().to_owned()),
        }
    }

    /// Tells why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        to_stderr(failure.render(self.messages).as_bytes());
    }
}

/// One line of JSON, with its line break.
///
/// # Errors
/// Never in practice: what is printed is plain data.
pub(crate) fn json_line<T: Serialize>(value: &T) -> Result<String, Failure> {
    let mut line = serde_json::to_string(value)
        .map_err(|error| Failure::new(format!("a result could not be written as JSON: {error}")))?;
    line.push('\n');
    Ok(line)
}

/// Writes to standard error. Nobody is left to be told when that fails, and whatever is under way goes on.
pub(crate) fn to_stderr(text: &[u8]) {
    progress::aside(|| io::stderr().lock().write_all(text).unwrap_or(()));
}

fn style(choice: ColorChoice) -> Style {
    match choice {
        ColorChoice::Never => Style::Plain,
        _ => Style::Coloured,
    }
}
