//! The answer to a call, on the side that gives it and on the one that waits for it.

use std::ffi::c_void;

use bytes::Bytes;
use segport_abi::{Buffer, Completion, STATUS_ERROR, STATUS_OK};
use segport_core::{Error, Result};
use tokio::sync::oneshot;

/// The duty to answer a call exactly once: dropped without an answer, it gives the error of a call that was given up.
#[derive(Debug)]
pub struct Answer {
    completion: Option<Completion>,
    given_up: fn() -> Error,
}

impl Answer {
    /// The duty that comes with `completion`; `given_up` makes the error for a call that nobody answers.
    pub fn new(completion: Completion, given_up: fn() -> Error) -> Self {
        Self { completion: Some(completion), given_up }
    }

    /// Answers the call.
    pub fn give(mut self, result: Result<Bytes>) {
        self.complete(|| result);
    }

    fn complete(&mut self, result: impl FnOnce() -> Result<Bytes>) {
        if let Some(completion) = self.completion.take() {
            let (status, buffer) = encode(result());
            completion.complete(status, buffer);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let given_up = self.given_up;
        self.complete(|| Err(given_up()));
    }
}

/// A result as the boundary carries it: its status and its bytes.
pub fn encode(result: Result<Bytes>) -> (i32, Buffer) {
    match result {
        Ok(bytes) => (STATUS_OK, Buffer::from_owner(bytes)),
        // An error is plain data, so writing it cannot fail; if it did, no bytes are an error that cannot be read.
        Err(error) => (STATUS_ERROR, Buffer::from_vec(serde_json::to_vec(&error).unwrap_or_default())),
    }
}

/// What the other side answered: a status and its bytes.
#[derive(Debug)]
pub struct Answered {
    status: i32,
    bytes: Bytes,
}

impl Answered {
    /// The answer of this status and these bytes.
    pub fn new(status: i32, bytes: Buffer) -> Self {
        Self { status, bytes: Bytes::from_owner(bytes) }
    }

    /// The result that it stands for; `unreadable` makes the error for a failure of this status whose bytes are none.
    ///
    /// # Errors
    /// The one that was answered.
    pub fn result(self, unreadable: impl FnOnce(i32) -> Error) -> Result<Bytes> {
        if self.status == STATUS_OK {
            return Ok(self.bytes);
        }
        Err(serde_json::from_slice(&self.bytes).unwrap_or_else(|_| unreadable(self.status)))
    }
}

/// A completion and where its answer arrives, which it never does if the completion is dropped: the boundary forbids that.
pub fn completion() -> (Completion, oneshot::Receiver<Answered>) {
    unsafe extern "C" fn complete(ctx: *mut c_void, status: i32, answer: Buffer) {
        // SAFETY: `completion` made `ctx` by `Box::into_raw`, and the other side completes exactly once (ABI.md, "Completions").
        let sender = unsafe { Box::from_raw(ctx.cast::<oneshot::Sender<Answered>>()) };
        // Nobody waits any more when the call was dropped.
        drop(sender.send(Answered::new(status, answer)));
    }
    let (sender, receiver) = oneshot::channel::<Answered>();
    let ctx = Box::into_raw(Box::new(sender)).cast();
    // SAFETY: `complete` takes back what stands here, once and from any thread.
    (unsafe { Completion::new(ctx, complete) }, receiver)
}

#[cfg(test)]
mod tests {
    use segport_core::ErrorKind;

    use super::*;

    fn given_up() -> Error {
        Error::new(ErrorKind::Cancelled, "given up")
    }

    fn unreadable(status: i32) -> Error {
        Error::new(ErrorKind::Contract, "unreadable").with("status", status.to_string())
    }

    #[tokio::test]
    async fn an_answer_arrives_as_it_was_given_or_says_that_the_call_was_given_up() {
        let refused = Error::new(ErrorKind::Unavailable, "down").retry_now().not_sent();
        for result in [Ok(Bytes::from_static(b"rows")), Ok(Bytes::new()), Err(refused)] {
            let (completion, receiver) = completion();
            Answer::new(completion, given_up).give(result.clone());
            assert_eq!(receiver.await.unwrap().result(unreadable), result);
        }
        let (completion, receiver) = completion();
        drop(Answer::new(completion, given_up));
        assert_eq!(receiver.await.unwrap().result(unreadable), Err(given_up()));
    }

    #[test]
    fn a_failure_without_a_readable_error_is_one_all_the_same() {
        let answered =
            |status, bytes: &[u8]| Answered::new(status, Buffer::from_vec(bytes.to_vec())).result(unreadable);
        assert_eq!(answered(STATUS_OK, b"{"), Ok(Bytes::from_static(b"{")));
        assert_eq!(answered(STATUS_ERROR, b"{"), Err(unreadable(STATUS_ERROR)));
        assert_eq!(answered(7, b""), Err(unreadable(7)));
        assert_eq!(answered(7, encode(Err(given_up())).1.as_ref()), Err(given_up()), "every status but 0");
    }
}
