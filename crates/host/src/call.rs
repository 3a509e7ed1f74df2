//! One call of a loaded plugin as a future.

use std::ffi::c_void;
use std::time::Duration;

use bytes::Bytes;
use segport_abi::{Buffer, Completion, NO_TIMEOUT};
use tokio::sync::oneshot;

/// A status and its bytes.
pub(crate) type Answered = (i32, Bytes);

/// A completion and where its answer arrives. The receiver fails only if the plugin drops the completion's memory, which
/// the boundary forbids.
pub(crate) fn completion() -> (Completion, oneshot::Receiver<Answered>) {
    unsafe extern "C" fn complete(ctx: *mut c_void, status: i32, answer: Buffer) {
        // SAFETY: `completion` made `ctx` by `Box::into_raw`, and the plugin completes exactly once (ABI.md,
        // "Completions").
        let sender = unsafe { Box::from_raw(ctx.cast::<oneshot::Sender<Answered>>()) };
        // Nobody waits any more when the call was dropped.
        drop(sender.send((status, Bytes::from_owner(answer))));
    }
    let (sender, receiver) = oneshot::channel::<Answered>();
    let ctx = Box::into_raw(Box::new(sender)).cast();
    // SAFETY: `complete` takes back what stands here, once and from any thread.
    (unsafe { Completion::new(ctx, complete) }, receiver)
}

/// A timeout as the boundary carries it.
pub(crate) fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(NO_TIMEOUT)
}
