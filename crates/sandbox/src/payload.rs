//! Response bodies, whole or cut short.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How long a cut answer stays open after its first half, so that the half reaches the client.
const LINGER: Duration = Duration::from_millis(20);

/// The exchange was cut on purpose.
#[derive(Debug)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("connection cut by the fault script")
    }
}

impl std::error::Error for Dropped {}

impl From<Infallible> for Dropped {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A response body: either everything, or a half that claims to be everything.
#[derive(Debug)]
pub(crate) struct Payload {
    data: Option<Bytes>,
    declared: u64,
    cut: Option<Pin<Box<Sleep>>>,
}

impl Payload {
    /// A body that arrives whole.
    pub(crate) fn whole(data: Bytes) -> Self {
        let declared = data.len() as u64;
        Self { data: (!data.is_empty()).then_some(data), declared, cut: None }
    }

    /// A body of which half arrives before the connection ends.
    pub(crate) fn half(data: &Bytes) -> Self {
        Self {
            data: Some(data.slice(..data.len() / 2)),
            declared: data.len() as u64,
            cut: Some(Box::pin(tokio::time::sleep(LINGER))),
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        if let Some(data) = self.data.take()
            && !data.is_empty()
        {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match &mut self.cut {
            None => Poll::Ready(None),
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| Some(Err(Dropped))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.declared)
    }
}
