//! What can keep a stand-in from running.

use crate::fault::FaultError;

/// Why a stand-in could not be started or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address could not be bound, or the socket could not be used.
    #[error("cannot listen on the address")]
    Listen(#[source] std::io::Error),
    /// The thread or the runtime of the stand-in could not be started.
    #[error("cannot start the sandbox's own runtime")]
    Runtime(#[source] std::io::Error),
    /// A text that describes a fault is wrong.
    #[error(transparent)]
    Fault(#[from] FaultError),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
