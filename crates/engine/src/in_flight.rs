//! Who is in a call under way: so that nobody is in a request that is sent after they were suppressed, however long it waited.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use segport_core::{Error, Result};
use segport_ledger::{Identity, Suppressions};
use segport_transport::Permit;
use tokio::sync::Notify;

/// The calls of a run that are under way, beside the suppression list.
///
/// A call checks its rows before it begins, but its requests may wait long after that: for the connection's rate, after a 429,
/// between single adds. Which request belongs to which call only the connector knows. So where somebody in a call under way is
/// on the list by now, no request is sent at all until that call has ended, which it does at once if it waits itself: all that wait
/// are recalled, and begin anew without whoever is suppressed.
#[derive(Debug)]
pub(crate) struct InFlight {
    suppressions: Suppressions,
    calls: Mutex<Calls>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Calls {
    people: BTreeMap<u64, Vec<Identity>>,
    begun: u64,
    /// A list that nobody in these calls is on.
    clear_of: Option<Arc<HashSet<Identity>>>,
    recalls: u64,
}

impl InFlight {
    pub(crate) fn new(suppressions: Suppressions) -> Self {
        Self { suppressions, calls: Mutex::default(), ended: Notify::new() }
    }

    /// Everybody who is suppressed now.
    pub(crate) async fn suppressed(&self) -> Result<Arc<HashSet<Identity>>> {
        self.suppressions.now().await.map_err(|error| Error::from(error).not_sent())
    }

    /// Notes that these people, none of whom is on `list`, are in a call until the result is dropped.
    pub(crate) fn begin(&self, people: Vec<Identity>, list: &Arc<HashSet<Identity>>) -> UnderWay<'_> {
        let mut calls = self.calls();
        calls.begun += 1;
        let number = calls.begun;
        calls.people.insert(number, people);
        if calls.clear_of.as_ref().is_some_and(|known| !Arc::ptr_eq(known, list)) {
            calls.clear_of = None;
        }
        UnderWay { in_flight: self, number }
    }

    /// How often requests were recalled.
    pub(crate) fn recalls(&self) -> u64 {
        self.calls().recalls
    }

    /// Resolves once nobody in a call under way is suppressed, or nobody can tell.
    pub(crate) async fn cleared(&self) {
        loop {
            // Whoever ends from here on is noticed.
            let ended = self.ended.notified();
            match self.suppressed().await {
                Ok(list) if !self.calls().are_clear_of(&list) => ended.await,
                _ => return,
            }
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn are_clear_of(&mut self, list: &Arc<HashSet<Identity>>) -> bool {
        if self.clear_of.as_ref().is_some_and(|known| Arc::ptr_eq(known, list)) {
            return true;
        }
        let is_clear = list.is_empty() || !self.people.values().flatten().any(|who| list.contains(who));
        if is_clear {
            self.clear_of = Some(Arc::clone(list));
        }
        is_clear
    }
}

#[async_trait]
impl Permit for InFlight {
    async fn holds(&self) -> bool {
        let list = self.suppressed().await;
        let mut calls = self.calls();
        let holds = list.is_ok_and(|list| calls.are_clear_of(&list));
        calls.recalls += u64::from(!holds);
        holds
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct UnderWay<'a> {
    in_flight: &'a InFlight,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.in_flight.calls().people.remove(&self.number);
        self.in_flight.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use jiff::Timestamp;
    use segport_ledger::{Memory, NoFaults, StateKey, Store};

    use super::*;

    #[tokio::test]
    async fn requests_wait_while_somebody_in_a_call_is_suppressed() {
        let key = StateKey::from_secret(&segport_core::Secret::new("of those in flight, and no other")).unwrap();
        let store = Store::in_memory(&Memory::new(|| Duration::ZERO), &key, Arc::new(NoFaults));
        let in_flight = InFlight::new(store.suppressions().await.unwrap());
        let [ann, ben, cyd] = [1, 2, 3].map(Identity::from_bits);
        let list = in_flight.suppressed().await.unwrap();
        let [with_ann, with_ben] = [ann, ben].map(|who| in_flight.begin(vec![who], &list));
        assert!(in_flight.holds().await);
        store.suppress(&[cyd], Timestamp::UNIX_EPOCH).await.unwrap();
        assert!(in_flight.holds().await, "nobody here");

        store.suppress(&[ann], Timestamp::UNIX_EPOCH).await.unwrap();
        assert!(!in_flight.holds().await);
        assert_eq!(in_flight.recalls(), 1);
        // Who has been recalled waits for the call that has her, and for no other.
        let mut cleared = Box::pin(in_flight.cleared());
        assert_eq!((&mut cleared).now_or_never(), None);
        drop(with_ben);
        assert_eq!((&mut cleared).now_or_never(), None);
        drop(with_ann);
        cleared.await;
        let list = in_flight.suppressed().await.unwrap();
        let _with_ben = in_flight.begin(vec![ben], &list);
        assert!(in_flight.holds().await);
        assert_eq!(in_flight.recalls(), 1);
    }
}
