//! What the host offers to one library: log and HTTP.
//!
//! Everything here is called by the plugin's threads and returns at once; requests run on the host's runtime.

use std::collections::HashMap;
use std::ffi::c_void;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use segport_abi::{Buffer, Completion, HOST_MAGIC, HostTable, MAJOR, MINOR, Slice};
use segport_boundary::{Answer, Calls, Refused};
use segport_core::http::{HttpClient, Request};
use segport_core::{Error, ErrorKind, Frame, Result};
use tokio::runtime::Handle;

use crate::log;

/// The services of one library, and the table that leads it to them. Lives as long as the process.
#[derive(Debug)]
pub(crate) struct Services {
    plugin: String,
    next_scope: AtomicU64,
    scopes: Mutex<HashMap<u64, Arc<Scope>>>,
}

/// The HTTP requests of one instance.
#[derive(Debug)]
pub(crate) struct Scope {
    http: Arc<dyn HttpClient>,
    runtime: Handle,
    requests: Arc<Calls>,
}

impl Services {
    /// Makes the services of `plugin` and their table, for ever.
    pub(crate) fn leak(plugin: &str) -> (&'static Self, &'static HostTable) {
        let services: &'static Self = Box::leak(Box::new(Self {
            plugin: plugin.to_owned(),
            next_scope: AtomicU64::new(1),
            scopes: Mutex::default(),
        }));
        let table = Box::leak(Box::new(HostTable {
            magic: HOST_MAGIC,
            struct_size: size_of::<HostTable>() as u32,
            major: MAJOR,
            minor: MINOR,
            ctx: (&raw const *services).cast_mut().cast(),
            log: Some(log),
            http_submit: Some(http_submit),
            http_cancel: Some(http_cancel),
        }));
        (services, table)
    }

    /// Opens a scope whose requests run on `runtime`; given up by [`Services::end_scope`].
    pub(crate) fn begin_scope(&self, http: Arc<dyn HttpClient>, runtime: Handle) -> u64 {
        let number = self.next_scope.fetch_add(1, Ordering::Relaxed);
        let scope = Arc::new(Scope { http, runtime, requests: Arc::default() });
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).insert(number, scope);
        number
    }

    /// Ends a scope: requests under way are cancelled, later ones refused.
    pub(crate) fn end_scope(&self, number: u64) {
        let scope = self.scopes.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(scope) = scope {
            scope.requests.end();
        }
    }

    fn scope(&self, number: u64) -> Option<Arc<Scope>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    fn submit(&self, scope: u64, request_id: u64, head: &[u8], body: Bytes, answer: Answer) {
        let Some(scope) = self.scope(scope) else {
            return answer.give(Err(closed()));
        };
        let head = match serde_json::from_slice(head) {
            Ok(head) => head,
            // The cause is left out: it may repeat a header's value.
            Err(_) => return answer.give(Err(self.broken("sent an HTTP request that cannot be read"))),
        };
        scope.submit(request_id, Request { head, body }, answer);
    }

    fn cancel(&self, scope: u64, request_id: u64) {
        if let Some(scope) = self.scope(scope) {
            scope.requests.cancel(request_id);
        }
    }

    fn broken(&self, what: &str) -> Error {
        Error::new(ErrorKind::Contract, format!("plugin `{}` {what}", self.plugin))
    }
}

impl Scope {
    fn submit(&self, request_id: u64, request: Request, answer: Answer) {
        let under_way = match self.requests.begin(request_id) {
            Ok(under_way) => under_way,
            Err(refused) => return answer.give(Err(refusal(refused))),
        };
        let http = Arc::clone(&self.http);
        drop(self.runtime.spawn(async move {
            let result = under_way.run(send(&*http, request)).await;
            answer.give(result.unwrap_or_else(|| Err(given_up())));
        }));
    }
}

fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::InUse => Error::new(ErrorKind::Contract, "an HTTP request's number is in use by another one"),
        Refused::Ended => closed(),
    }
}

/// The answer to a request that comes too late.
fn closed() -> Error {
    Error::new(ErrorKind::Cancelled, "the connection of this request was closed")
}

/// The answer to a request that was given up, or whose answer a panic dropped.
fn given_up() -> Error {
    if std::thread::panicking() {
        Error::new(ErrorKind::Internal, "the host panicked while it sent a request")
    } else {
        Error::new(ErrorKind::Cancelled, "the request was cancelled")
    }
}

async fn send(http: &dyn HttpClient, request: Request) -> Result<Bytes> {
    let response = http.send(request).await?;
    Frame::encode(&response.head, |out| {
        out.extend_from_slice(&response.body);
        Ok(())
    })
}

/// The services behind a table's `ctx`. A panic in `work` ends here, because it must not reach the plugin.
///
/// # Safety
/// `ctx` is the one of a table made by [`Services::leak`].
unsafe fn serve(ctx: *mut c_void, work: impl FnOnce(&'static Services)) {
    // SAFETY: the caller vouches for `ctx`; `leak` made it of a `Services` that is never freed.
    let services = unsafe { &*ctx.cast_const().cast::<Services>() };
    // The panic hook has reported it; an answer under way says `internal` as the panic drops it.
    panic::catch_unwind(AssertUnwindSafe(|| work(services))).unwrap_or(());
}

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, event: Slice) {
    // SAFETY: the plugin passes the table's `ctx`, and bytes that it keeps until this returns (ABI.md, `log`).
    unsafe { serve(ctx, |services| log::emit(&services.plugin, level, event.as_bytes())) };
}

unsafe extern "C" fn http_submit(
    ctx: *mut c_void,
    scope: u64,
    request_id: u64,
    head: Buffer,
    body: Buffer,
    completion: Completion,
) {
    let answer = Answer::new(completion, given_up);
    let body = Bytes::from_owner(body);
    // SAFETY: the plugin passes the table's `ctx` (ABI.md, `http_submit`).
    unsafe { serve(ctx, |services| services.submit(scope, request_id, head.as_ref(), body, answer)) };
}

unsafe extern "C" fn http_cancel(ctx: *mut c_void, scope: u64, request_id: u64) {
    // SAFETY: the plugin passes the table's `ctx` (ABI.md, `http_cancel`).
    unsafe { serve(ctx, |services| services.cancel(scope, request_id)) };
}
