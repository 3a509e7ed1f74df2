//! The duty to answer a plugin's request exactly once.

use bytes::Bytes;
use segport_abi::{Buffer, Completion, STATUS_ERROR, STATUS_OK};
use segport_core::{Error, ErrorKind, Result};

/// A request's completion; dropped without an answer, it answers `cancelled`, or `internal` where a panic dropped it.
#[derive(Debug)]
pub(crate) struct Answer(Option<Completion>);

impl Answer {
    pub(crate) fn new(completion: Completion) -> Self {
        Self(Some(completion))
    }

    pub(crate) fn give(mut self, result: Result<Bytes>) {
        self.complete(result);
    }

    fn complete(&mut self, result: Result<Bytes>) {
        let Some(completion) = self.0.take() else { return };
        match result {
            Ok(bytes) => completion.complete(STATUS_OK, Buffer::from_owner(bytes)),
            Err(error) => {
                // An error is plain data, so writing it cannot fail.
                let json = serde_json::to_vec(&error).unwrap_or_default();
                completion.complete(STATUS_ERROR, Buffer::from_vec(json));
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.complete(Err(if std::thread::panicking() {
            Error::new(ErrorKind::Internal, "the host panicked while it sent a request")
        } else {
            Error::new(ErrorKind::Cancelled, "the request was cancelled")
        }));
    }
}

/// The result that a plugin's status and bytes stand for.
pub(crate) fn result(plugin: &str, status: i32, bytes: Bytes) -> Result<Bytes> {
    if status == STATUS_OK {
        return Ok(bytes);
    }
    Err(serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        Error::new(ErrorKind::Contract, format!("plugin `{plugin}` answered an error that cannot be read"))
            .with("status", status.to_string())
    }))
}
