//! The requests under way, by number, so that each can be given up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use segport_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

/// The requests under way; a request is given up by dropping its sender.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<HashMap<u64, oneshot::Sender<Infallible>>>);

impl Requests {
    /// Lists a request, or gives `None` if its number is in use.
    pub(crate) fn begin(self: &Arc<Self>, request_id: u64) -> Option<UnderWay> {
        match self.lock().entry(request_id) {
            Entry::Occupied(_) => None,
            Entry::Vacant(slot) => {
                let (sender, given_up) = oneshot::channel();
                slot.insert(sender);
                Some(UnderWay { requests: Arc::clone(self), request_id, given_up })
            }
        }
    }

    /// Gives the request of that number up, if it is under way.
    pub(crate) fn cancel(&self, request_id: u64) {
        self.lock().remove(&request_id);
    }

    /// Gives every request up.
    pub(crate) fn cancel_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Infallible>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request under way; leaves the list when dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    requests: Arc<Requests>,
    request_id: u64,
    given_up: oneshot::Receiver<Infallible>,
}

impl UnderWay {
    /// Runs `work`, and drops it when the request is given up.
    pub(crate) async fn run<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            _ = &mut self.given_up => Err(Error::new(ErrorKind::Cancelled, "the request was cancelled")),
            result = work => result,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.requests.cancel(self.request_id);
    }
}
