//! The host's HTTP client as the plugin sees it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use segport_abi::{Buffer, HostTable};
use segport_boundary::{Answered, completion};
use segport_core::http::{HttpClient, Request, Response};
use segport_core::{Error, ErrorKind, Frame, Result};
use tokio::sync::oneshot;

/// Sends requests through the host, under the scope that `open` was given.
pub(crate) struct HostHttp {
    host: HostTable,
    scope: u64,
    next_call: AtomicU64,
}

impl HostHttp {
    pub(crate) fn new(host: HostTable, scope: u64) -> Self {
        Self { host, scope, next_call: AtomicU64::new(1) }
    }

    /// Where the answer arrives, unless the host does not take requests.
    fn submit(&self, call_id: u64, head: Vec<u8>, body: Bytes) -> Option<oneshot::Receiver<Answered>> {
        let http_submit = self.host.http_submit?;
        let (completion, receiver) = completion();
        let (head, body) = (Buffer::from_vec(head), Buffer::from_owner(body));
        // SAFETY: the function and its `ctx` come from the host's table, which outlives the plugin.
        unsafe { http_submit(self.host.ctx, self.scope, call_id, head, body, completion) };
        Some(receiver)
    }
}

#[async_trait]
impl HttpClient for HostHttp {
    async fn send(&self, request: Request) -> Result<Response> {
        let head = serde_json::to_vec(&request.head).map_err(|error| {
            Error::new(ErrorKind::Contract, "an HTTP request could not be written as JSON").because(&error)
        })?;
        let call_id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let unanswered = || {
            Error::new(ErrorKind::Contract, "the host did not answer an HTTP request")
                .with("operation", request.head.operation.clone())
        };
        let receiver = self.submit(call_id, head, request.body).ok_or_else(unanswered)?;
        let under_way = UnderWay { http: self, call_id };
        let answered = receiver.await.map_err(|_| unanswered())?;
        std::mem::forget(under_way);
        let bytes =
            answered.result(|_| Error::new(ErrorKind::Contract, "the host answered an error that cannot be read"))?;
        let frame = Frame::decode(bytes)?;
        Ok(Response { head: frame.header()?, body: frame.payload() })
    }
}

/// Cancels the request when the future that waits for it is dropped.
struct UnderWay<'a> {
    http: &'a HostHttp,
    call_id: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(http_cancel) = self.http.host.http_cancel {
            // SAFETY: the function and its `ctx` come from the host's table, which outlives the plugin.
            unsafe { http_cancel(self.http.host.ctx, self.http.scope, self.call_id) };
        }
    }
}

impl fmt::Debug for HostHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHttp").field("scope", &self.scope).finish_non_exhaustive()
    }
}
