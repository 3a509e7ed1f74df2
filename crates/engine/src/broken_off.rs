//! Runs that break off with rows that have no outcome on record.

use segport_core::{Error, ErrorKind};
use segport_manifest::Code;

use crate::report::{Problem, Severity};

/// Why a run breaks off before what became of each of its rows is on record. It does not count as ended then: a retry takes
/// whatever was not acknowledged, as after a run that died.
#[derive(Debug, Clone)]
pub(crate) enum BrokenOff {
    /// Nothing can be written down any more.
    Unwritten(segport_ledger::Error),
    /// What waits, or what is known of it, cannot be read any more.
    Unread(Error),
}

impl BrokenOff {
    /// What the report says of it.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Unwritten(error) => Problem {
                severity: Severity::Error,
                code: Code::LedgerUnavailable.into(),
                message: format!(
                    "the run broke off before all that became of it was written down: {}",
                    Error::from(error.clone())
                ),
                help: Some(
                    "if the disk of the state is full, free some space; the next run settles whatever has no outcome in the ledger"
                        .to_owned(),
                ),
            },
            Self::Unread(error) => Problem {
                severity: Severity::Error,
                code: code_of_waiting(error).into(),
                message: format!("the run broke off before all was sent and written down: {error}"),
                help: Some(
                    "no row is lost: the next run, or `segport retry`, takes whatever has no outcome in the ledger".to_owned(),
                ),
            },
        }
    }
}

/// Whatever is no error of the journal.
impl From<Error> for BrokenOff {
    fn from(error: Error) -> Self {
        Self::Unread(error)
    }
}

/// The code of an error of what waits to be sent. What is unavailable then is the state's directory, and no destination.
pub(crate) fn code_of_waiting(error: &Error) -> Code {
    match error.kind() {
        ErrorKind::Unavailable => Code::LedgerUnavailable,
        kind => Code::of(kind),
    }
}
