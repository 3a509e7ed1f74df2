//! One opened connection or source, and the calls under way on it.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use segport_abi::NO_TIMEOUT;
use segport_boundary::{Answer, Calls, Refused, UnderWay};
use segport_core::op::Opened;
use segport_core::{Error, ErrorKind, Result};

use crate::panics::guard;
use crate::serve::Served;
use crate::threads::Threads;

#[derive(Debug)]
pub(crate) struct Instance {
    threads: &'static Threads,
    served: Arc<dyn Served>,
    poisoned: AtomicBool,
    calls: Arc<Calls>,
}

/// The answer to a call that was given up.
pub(crate) fn given_up() -> Error {
    Error::new(ErrorKind::Cancelled, "the call was cancelled")
}

/// A call as the host submits it.
pub(crate) struct Submitted {
    pub(crate) call_id: u64,
    pub(crate) op: u32,
    pub(crate) timeout_ms: u64,
    pub(crate) request: Bytes,
}

impl Instance {
    pub(crate) fn new(threads: &'static Threads, served: Arc<dyn Served>) -> Self {
        Self { threads, served, poisoned: AtomicBool::new(false), calls: Arc::default() }
    }

    /// What a successful `open` answers. Guarded by itself: the instance outlives a panic, so that its own end, which may
    /// panic as well, does not come while that one unwinds, which would end the process.
    pub(crate) fn opened(&self) -> Result<Opened> {
        self.guard(|| self.served.opened())
    }

    /// Starts `call`; whatever happens, `answer` is given once.
    pub(crate) fn submit(self: &Arc<Self>, call: Submitted, answer: Answer) {
        let runtime = match self.usable().and_then(|()| self.threads.runtime()) {
            Ok(runtime) => runtime,
            Err(error) => return answer.give(Err(error)),
        };
        let under_way = match self.calls.begin(call.call_id) {
            Ok(under_way) => under_way,
            Err(Refused::InUse) => {
                let error = Error::new(ErrorKind::Contract, "a call's number is in use by another call");
                return answer.give(Err(error.with("call", call.call_id.to_string())));
            }
            Err(Refused::Ended) => return answer.give(Err(given_up())),
        };
        drop(runtime.spawn(Arc::clone(self).run(call, under_way, answer)));
    }

    /// Answers before the instance is let go: its end may be slow, or panic.
    async fn run(self: Arc<Self>, call: Submitted, under_way: UnderWay, answer: Answer) {
        let result = under_way.run(self.call(call)).await;
        answer.give(result.unwrap_or_else(|| Err(given_up())));
    }

    async fn call(&self, Submitted { op, timeout_ms, request, .. }: Submitted) -> Result<Bytes> {
        let work = Work { instance: self, future: self.served.call(op, request) };
        if timeout_ms == NO_TIMEOUT {
            return work.await;
        }
        tokio::time::timeout(Duration::from_millis(timeout_ms), work).await.unwrap_or_else(|_| {
            let plugin = self.threads.plugin();
            Err(Error::new(ErrorKind::Timeout, format!("plugin `{plugin}` did not finish in time"))
                .with("timeout_ms", timeout_ms.to_string()))
        })
    }

    /// Runs the author's code; a panic in it is an error, and the end of this instance.
    fn guard<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        guard(self.threads.plugin(), work).inspect_err(|_| self.poisoned.store(true, Ordering::Relaxed))
    }

    /// Gives up the call of that number, if it is under way.
    pub(crate) fn cancel(&self, call_id: u64) {
        self.calls.cancel(call_id);
    }

    /// Gives up every call under way, and takes no more.
    pub(crate) fn end(&self) {
        self.calls.end();
    }

    fn usable(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Relaxed) {
            let plugin = self.threads.plugin();
            return Err(Error::new(
                ErrorKind::Internal,
                format!("plugin `{plugin}` panicked in an earlier call and takes no more; start again to use it"),
            ));
        }
        Ok(())
    }
}

/// The author's future, whose polls and whose end are guarded.
struct Work<'a> {
    instance: &'a Instance,
    future: Pin<Box<dyn Future<Output = Result<Bytes>> + Send + 'a>>,
}

impl Future for Work<'_> {
    type Output = Result<Bytes>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let instance = self.instance;
        instance.guard(|| self.future.as_mut().poll(cx)).unwrap_or_else(|panicked| Poll::Ready(Err(panicked)))
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let future = std::mem::replace(&mut self.future, Box::pin(pending()));
        // The panic has poisoned the instance; the call has its answer already.
        self.instance.guard(|| drop(future)).unwrap_or(());
    }
}
