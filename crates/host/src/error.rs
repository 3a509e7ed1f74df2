//! Why a plugin could not be loaded.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use segport_core::{Error, ErrorKind, without_temporary_path};

const ADD_DIRECTORY: &str = "add its directory to `[plugins] path` in segport.toml, or install it there";
const SET_TMPDIR: &str =
    "set the environment variable `TMPDIR` to a directory that has space and that this user may write to";
const LOCK_ANEW: &str = "`segport connectors lock` writes the file anew";
const LET_WRITE: &str = "let the user that runs segport write the project's directory, or accept the plugins as somebody who may, \
                         with `segport connectors lock`";
const ACCEPT_CHANGE: &str = "run `segport connectors lock` to accept it, if you changed it on purpose";

/// Why a plugin could not be loaded: every place that was looked at, and what was wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.report_with_help())]
pub struct LoadError(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    kind: LoadErrorKind,
    summary: String,
    attempts: Vec<Attempt>,
    help: String,
}

/// What is wrong, in ascending order: where several places were looked at, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// There is no such plugin anywhere.
    NotInstalled,
    /// A file is there, but it cannot be read, is no plugin of that name, or does not fit this host.
    Unloadable,
    /// A file is there, but there is no place for the private copy that it is loaded from.
    NoPlaceForCopy,
    /// The project takes accepted plugins only, and the lock file does not name this one.
    NotAccepted,
    /// Everybody may write to the file or to the directory that it is in.
    Unsafe,
    /// The file is not the one that was accepted.
    Changed,
    /// The lock file cannot be read or written.
    LockFile,
}

/// One place that was looked at in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The file or directory.
    pub place: PathBuf,
    /// What kind of problem it has.
    pub kind: LoadErrorKind,
    /// What was wrong with it.
    pub problem: String,
}

/// Why one file cannot be used. A text alone is why it cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: LoadErrorKind,
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(kind: LoadErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Whether the file is one that must not be loaded, though it could be.
    pub(crate) fn is_distrust(&self) -> bool {
        use LoadErrorKind::{Changed, NotAccepted, Unsafe};
        matches!(self.kind, Changed | NotAccepted | Unsafe)
    }

    /// The problem of the file at `place`.
    pub(crate) fn at(self, place: PathBuf) -> Attempt {
        Attempt { place, kind: self.kind, problem: self.text }
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::new(LoadErrorKind::Unloadable, text)
    }
}

impl LoadError {
    /// Nothing that was looked at could be used for plugin `id`.
    pub(crate) fn plugin(id: &str, attempts: Vec<Attempt>) -> Self {
        let kind = attempts.iter().map(|attempt| attempt.kind).max().unwrap_or(LoadErrorKind::NotInstalled);
        let (summary, help) = match kind {
            LoadErrorKind::NotInstalled => ("is not installed", ADD_DIRECTORY),
            LoadErrorKind::NoPlaceForCopy => ("cannot be loaded", SET_TMPDIR),
            LoadErrorKind::NotAccepted => ("cannot be loaded", "run `segport connectors lock` to accept it"),
            LoadErrorKind::Changed => ("cannot be loaded", ACCEPT_CHANGE),
            _ => ("cannot be loaded", ""),
        };
        let summary = format!("plugin `{id}` {summary}");
        Self(Box::new(Details { kind, summary, attempts, help: help.to_owned() }))
    }

    /// No plugin can have this id.
    pub(crate) fn bad_id(id: &str) -> Self {
        let mut error = Self::plugin(id, Vec::new());
        "an id is lower-case letters, digits and underscores, a letter first".clone_into(&mut error.0.help);
        error
    }

    /// The lock file is not as it was written, or cannot be read.
    pub(crate) fn lock_file(place: PathBuf, problem: impl Into<String>) -> Self {
        Self::of_lock_file(place, problem.into(), LOCK_ANEW)
    }

    /// The lock file cannot be written.
    pub(crate) fn unwritable_lock_file(place: PathBuf, error: &io::Error) -> Self {
        Self::of_lock_file(place, format!("cannot be written: {}", without_temporary_path(error)), LET_WRITE)
    }

    fn of_lock_file(place: PathBuf, problem: String, help: &str) -> Self {
        let kind = LoadErrorKind::LockFile;
        Self(Box::new(Details {
            kind,
            summary: "the plugins' lock file cannot be used".to_owned(),
            attempts: vec![Problem::new(kind, problem).at(place)],
            help: help.to_owned(),
        }))
    }

    /// What is wrong.
    pub fn kind(&self) -> LoadErrorKind {
        self.0.kind
    }

    /// Every place that was looked at, in order.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// The message without the help.
    pub fn report(&self) -> String {
        self.0.report()
    }

    /// What to do about it; may be empty.
    pub fn help(&self) -> &str {
        &self.0.help
    }
}

impl Details {
    fn report(&self) -> String {
        let mut text = self.summary.clone();
        let places: Vec<String> = self.attempts.iter().map(|attempt| attempt.place.display().to_string()).collect();
        let width = places.iter().map(String::len).max().unwrap_or(0);
        for (place, attempt) in places.iter().zip(&self.attempts) {
            // Writing to a string does not fail.
            write!(text, "\n  looked at  {place:width$}  {}", attempt.problem).unwrap_or(());
        }
        text
    }

    fn report_with_help(&self) -> String {
        let help = if self.help.is_empty() { String::new() } else { format!("\nhelp: {}", self.help) };
        self.report() + &help
    }
}

impl From<LoadError> for Error {
    fn from(LoadError(details): LoadError) -> Self {
        let kind = match details.kind {
            LoadErrorKind::NotInstalled => ErrorKind::NotFound,
            _ => ErrorKind::ConfigInvalid,
        };
        let mut error = Self::new(kind, details.summary);
        for attempt in details.attempts {
            error = error.with(attempt.place.display().to_string(), attempt.problem);
        }
        if details.help.is_empty() { error } else { error.with("help", details.help) }
    }
}
