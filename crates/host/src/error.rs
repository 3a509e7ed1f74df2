//! Why a plugin could not be loaded.

use std::fmt::Write;
use std::path::PathBuf;

use segport_core::{Error, ErrorKind};

/// Why a plugin could not be loaded: every place that was looked at, and what was wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.report())]
pub struct LoadError(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    summary: String,
    found: bool,
    attempts: Vec<Attempt>,
    help: String,
}

/// One place that was looked at in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The file or directory.
    pub place: PathBuf,
    /// What was wrong with it.
    pub problem: String,
}

impl LoadError {
    /// Nothing that was looked at could be used for plugin `id`; `found` says whether there was a file at all.
    pub(crate) fn plugin(id: &str, found: bool, attempts: Vec<Attempt>, help: impl Into<String>) -> Self {
        let summary =
            if found { format!("plugin `{id}` cannot be loaded") } else { format!("plugin `{id}` is not installed") };
        Self(Box::new(Details { summary, found, attempts, help: help.into() }))
    }

    /// The lock file cannot be read or written.
    pub(crate) fn lock_file(place: PathBuf, problem: impl Into<String>) -> Self {
        let attempts = vec![Attempt { place, problem: problem.into() }];
        let help = "`segport connectors lock` writes the file anew".to_owned();
        Self(Box::new(Details {
            summary: "the plugins' lock file cannot be used".to_owned(),
            found: true,
            attempts,
            help,
        }))
    }

    /// Every place that was looked at, in order.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
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
        if !self.help.is_empty() {
            write!(text, "\nhelp: {}", self.help).unwrap_or(());
        }
        text
    }
}

impl From<LoadError> for Error {
    fn from(LoadError(details): LoadError) -> Self {
        let kind = if details.found { ErrorKind::ConfigInvalid } else { ErrorKind::NotFound };
        let mut error = Self::new(kind, details.summary);
        for attempt in details.attempts {
            error = error.with(attempt.place.display().to_string(), attempt.problem);
        }
        if details.help.is_empty() { error } else { error.with("help", details.help) }
    }
}
