//! What can go wrong with the durable state.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segport_core::ErrorKind;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

const FULL: &str = "free some space on its disk, then run again; what was acknowledged is kept";
const READ_ONLY: &str = "let the user that runs segport write the file and its directory, then run again";
const LOCKED: &str =
    "another program has locked the file, such as a backup; wait for its end or stop it, then run again";
const UNWELL: &str = "see that its disk has space and that the user that runs segport may write the file and its directory, then run again";

/// What SQLite says first of why it refused: <https://sqlite.org/rescode.html>.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    Some(code.parse::<i32>().ok()? & 0xff)
}

/// An error of the ledger. Cloneable, because one failed commit fails every call that shared it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another run owns the export.
    #[error("export `{export}` is held by another run ({holder}); wait for it to end, or stop it")]
    Held {
        /// Id of the export.
        export: String,
        /// Who holds it, as far as the store knows.
        holder: String,
    },
    /// Somebody else took the export over, so nothing more may be written.
    #[error("the lease of export `{export}` was lost to a newer run; nothing more was written, run the export again")]
    LeaseLost {
        /// Id of the export.
        export: String,
    },
    /// The key is not the one this database was made with.
    #[error(
        "the state key does not fit {}; restore the state.key it was made with, or the secret named in `[state] key`",
        path.display()
    )]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// The key is not usable.
    #[error("the state key {place} cannot be used: {problem}")]
    BadKey {
        /// Where the key came from.
        place: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// The database was written by a newer version.
    #[error("{} has state version {found}, this program knows {known}; use the newer segport that wrote it", path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The database was written by an older version, and whoever only reads does not change it.
    #[error("{} has state version {found}, this program reads {known}; the next `segport run` brings it up to date", path.display())]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version this program reads.
        known: i64,
    },
    /// The database is not one of Segport's, or does not hold what was written to it.
    #[error("{} is damaged or not a Segport state: {problem}; restore it from a backup", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// The database is missing, and with it what it held.
    #[error(
        "{} is missing or empty, and there was {held} in it; restore it from a backup, or, to begin anew without that, delete {}",
        database.display(), marks.display()
    )]
    Lost {
        /// The database.
        database: PathBuf,
        /// The file beside it that tells of it.
        marks: PathBuf,
        /// What it held, as far as that file tells.
        held: &'static str,
    },
    /// There is no database yet.
    #[error("there is no state at {} yet; it is made by the first `segport run`", path.display())]
    NoState {
        /// Where it would be.
        path: PathBuf,
    },
    /// The address names a kind of database that is not supported.
    #[error("the address of `[state] url` cannot be used: write `sqlite:` and the path of a file")]
    UnsupportedUrl,
    /// An export has had more segments with members than fit.
    #[error(
        "export `{export}` would have more than {limit} segments with members at the destination; split it into several exports"
    )]
    TooManySegments {
        /// Id of the export.
        export: String,
        /// The most there can be.
        limit: usize,
    },
    /// No run has that id.
    #[error("there is no run `{run}`; `segport runs` lists them")]
    NoRun {
        /// What was asked for.
        run: String,
    },
    /// Several runs have ids that start so.
    #[error("several runs start with `{run}`; give more of the id")]
    AmbiguousRun {
        /// What was asked for.
        run: String,
    },
    /// A run of that id exists already.
    #[error("a run with the id `{run}` exists already; run ids are used once")]
    RunExists {
        /// Its id.
        run: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// The database refused an operation, for example because the disk is full.
    #[error("cannot {action} in {}", path.display())]
    Database {
        /// What was tried.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// Why not.
        source: Arc<sqlx::Error>,
    },
    /// The writer ended before it could answer, because the program is shutting down.
    #[error("the ledger was closed before the write was confirmed; the next run will find out what was written")]
    Closed,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    /// For a page whose content is not what was written to it.
    pub(crate) fn unreadable_page(path: &Path, export: &str, number: i64) -> Self {
        Self::damaged(path, format!("page {number} of export `{export}` does not hold what was written to it"))
    }

    /// What to do, where the message does not say it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(FULL),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(READ_ONLY),
                _ => Some(UNWELL),
            },
            Self::Database { source, .. } => match primary_code(source) {
                Some(5 | 6 | 15) => Some(LOCKED),
                Some(8) => Some(READ_ONLY),
                Some(13) => Some(FULL),
                // SQLite often keeps to itself why it cannot open, read or write a file.
                _ => Some(UNWELL),
            },
            _ => None,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongKey { .. }
            | Self::BadKey { .. }
            | Self::UnsupportedUrl
            | Self::NewerSchema { .. }
            | Self::OlderSchema { .. }
            | Self::TooManySegments { .. } => ErrorKind::ConfigInvalid,
            Self::NoRun { .. } | Self::AmbiguousRun { .. } | Self::NoState { .. } => ErrorKind::NotFound,
            Self::Held { .. } | Self::LeaseLost { .. } | Self::Io { .. } | Self::Database { .. } => {
                ErrorKind::Unavailable
            }
            Self::Closed => ErrorKind::Cancelled,
            Self::Damaged { .. } | Self::Lost { .. } | Self::RunExists { .. } => ErrorKind::Internal,
        }
    }
}

/// For callers that only report: the message and its causes. Who must tell a held export apart matches before converting.
impl From<Error> for segport_core::Error {
    fn from(error: Error) -> Self {
        let converted = Self::new(error.kind(), error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => converted.because(source),
            None => converted,
        }
    }
}
