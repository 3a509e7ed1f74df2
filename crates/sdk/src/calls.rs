//! The calls under way, by number, so that each can be given up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use segport_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

/// The calls under way; a call is given up by dropping its sender.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<HashMap<u64, oneshot::Sender<Infallible>>>);

impl Calls {
    /// Lists a call, or gives `None` if its number is in use.
    pub(crate) fn begin(self: &Arc<Self>, call_id: u64) -> Option<UnderWay> {
        match self.lock().entry(call_id) {
            Entry::Occupied(_) => None,
            Entry::Vacant(slot) => {
                let (sender, given_up) = oneshot::channel();
                slot.insert(sender);
                Some(UnderWay { calls: Arc::clone(self), call_id, given_up })
            }
        }
    }

    /// Gives the call of that number up, if it is under way.
    pub(crate) fn cancel(&self, call_id: u64) {
        self.lock().remove(&call_id);
    }

    /// Gives every call up.
    pub(crate) fn cancel_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Infallible>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call under way; leaves the list when dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    calls: Arc<Calls>,
    call_id: u64,
    given_up: oneshot::Receiver<Infallible>,
}

impl UnderWay {
    /// Runs `work`, and drops it when the call is given up.
    pub(crate) async fn run<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            _ = &mut self.given_up => Err(Error::new(ErrorKind::Cancelled, "the call was cancelled")),
            result = work => result,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.calls.cancel(self.call_id);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_call_runs_until_it_is_given_up_and_frees_its_number() {
        let calls = Arc::new(Calls::default());
        let mut call = calls.begin(7).unwrap();
        assert!(calls.begin(7).is_none(), "the number is in use");
        assert_eq!(call.run(ready(Ok(1))).await, Ok(1));

        calls.cancel(7);
        let cancelled = call.run(pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(cancelled.kind(), ErrorKind::Cancelled);

        drop(call);
        let mut next = calls.begin(7).unwrap();
        calls.cancel_all();
        assert!(next.run(pending::<Result<()>>()).await.is_err());
    }
}
