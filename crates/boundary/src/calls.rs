//! The calls under way, by number, so that each can be given up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The calls under way, until they are ended.
#[derive(Debug, Default)]
pub struct Calls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A call is given up by dropping its sender.
    under_way: HashMap<u64, oneshot::Sender<Infallible>>,
    ended: bool,
}

/// Why a call cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its number is in use by another call.
    InUse,
    /// Calls have ended.
    Ended,
}

impl Calls {
    /// Lists a call of that number.
    ///
    /// # Errors
    /// [`Refused`], if no such call can begin.
    pub fn begin(self: &Arc<Self>, number: u64) -> Result<UnderWay, Refused> {
        let mut state = self.lock();
        if state.ended {
            return Err(Refused::Ended);
        }
        match state.under_way.entry(number) {
            Entry::Occupied(_) => Err(Refused::InUse),
            Entry::Vacant(slot) => {
                let (sender, given_up) = oneshot::channel();
                slot.insert(sender);
                Ok(UnderWay { calls: Arc::clone(self), number, given_up })
            }
        }
    }

    /// Gives the call of that number up, if it is under way.
    pub fn cancel(&self, number: u64) {
        self.lock().under_way.remove(&number);
    }

    /// Gives every call up and takes no more: one may come at the very moment at which they end.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.under_way.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call under way; leaves the list when dropped.
#[derive(Debug)]
pub struct UnderWay {
    calls: Arc<Calls>,
    number: u64,
    given_up: oneshot::Receiver<Infallible>,
}

impl UnderWay {
    /// Runs `work` and leaves the list; drops it and gives `None` when the call is given up.
    pub async fn run<T>(mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = &mut self.given_up => None,
            done = work => Some(done),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.calls.cancel(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_call_runs_until_it_is_given_up_and_frees_its_number() {
        let calls = Arc::new(Calls::default());
        let call = calls.begin(7).unwrap();
        assert_eq!(calls.begin(7).unwrap_err(), Refused::InUse);
        assert_eq!(call.run(ready(1)).await, Some(1));

        let call = calls.begin(7).unwrap();
        calls.cancel(7);
        assert_eq!(call.run(pending::<()>()).await, None);

        let (last, other) = (calls.begin(7).unwrap(), calls.begin(8).unwrap());
        calls.end();
        assert_eq!(last.run(pending::<()>()).await, None);
        assert_eq!(other.run(ready(1)).await, None, "what is given up does not begin");
        assert_eq!(calls.begin(9).unwrap_err(), Refused::Ended);
    }
}
