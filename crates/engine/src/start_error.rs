//! Why a run could not start, and the stable codes of it.

use segport_core::Error;
use segport_host::{LoadError, LoadErrorKind};
use segport_manifest::{Code, Diagnostics};

use crate::broken_off::{BrokenOff, code_of_waiting};

/// Why a run could not start. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The project has no such export.
    #[error("there is no export `{0}`")]
    UnknownExport(String),
    /// The project has no such connection.
    #[error("there is no connection `{0}`")]
    UnknownConnection(String),
    /// The connection's data-privacy text has not been accepted.
    #[error("nobody has accepted the data-privacy text of connection `{connection}`")]
    NoConsent {
        /// Id of the connection.
        connection: String,
    },
    /// A secret cannot be read, or a segment lacks a column that the export names.
    #[error("the configuration cannot work")]
    Config(Diagnostics),
    /// A plugin cannot be loaded.
    #[error(transparent)]
    Plugin(#[from] LoadError),
    /// The state store cannot be used, or another run holds the export.
    #[error(transparent)]
    Ledger(#[from] segport_ledger::Error),
    /// A source cannot be opened or read.
    #[error(transparent)]
    Source(Error),
    /// Rows have no place to wait in until they are sent.
    #[error(transparent)]
    Outbox(Error),
    /// A plugin or destination answered with an error.
    #[error(transparent)]
    Core(#[from] Error),
}

impl StartError {
    /// The stable code, explained by `segport explain`.
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownExport(_) => Code::UnknownExport,
            Self::UnknownConnection(_) => Code::UnknownConnection,
            Self::NoConsent { .. } => Code::NoConsent,
            Self::Config(findings) => {
                findings.iter().next().map_or(Code::SecretNotInEnvironment, |finding| finding.code)
            }
            Self::Plugin(error) => load_code(error),
            Self::Ledger(error) => ledger_code(error),
            Self::Source(_) => Code::SourceUnreadable,
            Self::Outbox(error) => code_of_waiting(error),
            Self::Core(error) => Code::of(error.kind()),
        }
    }

    /// What to do, where the message does not say it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoConsent { connection } => Some(format!("read and accept it with `segport connect {connection}`")),
            Self::Ledger(error) => error.help().map(str::to_owned),
            Self::Outbox(_) => Some(
                "rows beyond 8 MiB wait in the project's `.segport` until they are sent: free some space on its disk, or let the user \
                 that runs segport write there, then run again"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// Whether another run holds the export.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Ledger(segport_ledger::Error::Held { .. }))
    }
}

/// A run that breaks off before it has sent anything has not started.
impl From<BrokenOff> for StartError {
    fn from(broken_off: BrokenOff) -> Self {
        match broken_off {
            BrokenOff::Unwritten(error) => Self::Ledger(error),
            BrokenOff::Unread(error) => Self::Outbox(error),
        }
    }
}

/// The code of a plugin that cannot be loaded.
pub fn load_code(error: &LoadError) -> Code {
    match error.kind() {
        LoadErrorKind::NotInstalled => Code::UnknownPlugin,
        LoadErrorKind::NotAccepted | LoadErrorKind::Changed => Code::PluginChanged,
        LoadErrorKind::Unsafe => Code::PluginDirectoryUnsafe,
        LoadErrorKind::LockFile => Code::LockFileUnusable,
        _ => Code::PluginUnloadable,
    }
}

/// The code of what the ledger says.
pub fn ledger_code(error: &segport_ledger::Error) -> Code {
    match error {
        segport_ledger::Error::Held { .. } => Code::ExportHeld,
        segport_ledger::Error::UnsupportedUrl => Code::StateUrl,
        segport_ledger::Error::TooManySegments { .. } => Code::SegmentLimit,
        _ => Code::LedgerUnavailable,
    }
}
