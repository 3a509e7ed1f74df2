//! The duty to answer a call exactly once.

use bytes::Bytes;
use segport_abi::{Buffer, Completion, STATUS_ERROR, STATUS_OK};
use segport_core::{Error, ErrorKind, Result};

/// A call's completion; dropped without an answer, it answers `cancelled`.
#[derive(Debug)]
pub(crate) struct Answer(Option<Completion>);

impl Answer {
    pub(crate) fn new(completion: Completion) -> Self {
        Self(Some(completion))
    }

    pub(crate) fn give(mut self, result: Result<Bytes>) {
        if let Some(completion) = self.0.take() {
            let (status, buffer) = buffer(result);
            completion.complete(status, buffer);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(completion) = self.0.take() {
            let (status, buffer) = buffer(Err(Error::new(ErrorKind::Cancelled, "the call was cancelled")));
            completion.complete(status, buffer);
        }
    }
}

/// A result as the boundary carries it.
pub(crate) fn buffer(result: Result<Bytes>) -> (i32, Buffer) {
    match result {
        Ok(bytes) => (STATUS_OK, Buffer::from_owner(bytes)),
        // An error is plain data, so writing it cannot fail; if it did, the host reads no bytes as `contract`.
        Err(error) => (STATUS_ERROR, Buffer::from_vec(serde_json::to_vec(&error).unwrap_or_default())),
    }
}

/// The result that a status and its bytes stand for.
pub(crate) fn result(status: i32, bytes: Bytes) -> Result<Bytes> {
    if status == STATUS_OK {
        return Ok(bytes);
    }
    Err(serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Error::new(ErrorKind::Contract, "the host answered an error that cannot be read")))
}
