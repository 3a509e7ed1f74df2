//! The requests under way, by number, so that each can be given up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use segport_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

/// The requests under way, until they are ended; a request is given up by dropping its sender.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    under_way: HashMap<u64, oneshot::Sender<Infallible>>,
    ended: bool,
}

impl Requests {
    /// Lists a request, unless its number is in use or requests have ended.
    pub(crate) fn begin(self: &Arc<Self>, request_id: u64) -> Result<UnderWay> {
        let mut state = self.lock();
        if state.ended {
            return Err(closed());
        }
        match state.under_way.entry(request_id) {
            Entry::Occupied(_) => {
                Err(Error::new(ErrorKind::Contract, "an HTTP request's number is in use by another one"))
            }
            Entry::Vacant(slot) => {
                let (sender, given_up) = oneshot::channel();
                slot.insert(sender);
                Ok(UnderWay { requests: Arc::clone(self), request_id, given_up })
            }
        }
    }

    /// Gives the request of that number up, if it is under way.
    pub(crate) fn cancel(&self, request_id: u64) {
        self.lock().under_way.remove(&request_id);
    }

    /// Gives every request up and takes no more: a plugin may send one at the very moment at which it is closed.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.under_way.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a request that comes too late.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Cancelled, "the connection of this request was closed")
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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_request_runs_until_it_is_given_up_and_frees_its_number() {
        let requests = Arc::new(Requests::default());
        let mut first = requests.begin(7).unwrap();
        assert_eq!(requests.begin(7).unwrap_err().kind(), ErrorKind::Contract);
        assert_eq!(first.run(ready(Ok(1))).await, Ok(1));
        requests.cancel(7);
        assert_eq!(first.run(pending::<Result<()>>()).await.unwrap_err().kind(), ErrorKind::Cancelled);
        drop(first);

        let mut next = requests.begin(7).unwrap();
        requests.end();
        assert_eq!(next.run(pending::<Result<()>>()).await.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(requests.begin(8).unwrap_err(), closed());
    }
}
