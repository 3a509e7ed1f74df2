//! What all connections of one stand-in share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hyper::http::request::Parts;

use crate::destination::{Destination, Reply};
use crate::fault::{Decision, Fault, Script};
use crate::journal::{Journal, LoggedRequest, Traffic};
use crate::options::Options;
use crate::rate::Limiter;

/// A destination with what stands before it: journal, rate limit and faults.
#[derive(Debug)]
pub(crate) struct Shared<D> {
    /// The destination itself.
    pub(crate) destination: D,
    options: Options,
    front: Mutex<Front>,
    script: RwLock<Arc<Script>>,
}

#[derive(Debug)]
struct Front {
    limiter: Limiter,
    journal: Journal,
}

impl<D: Destination> Shared<D> {
    /// A fresh stand-in.
    pub(crate) fn new(destination: D, options: Options) -> Self {
        Self {
            destination,
            front: Mutex::new(Front {
                limiter: Limiter::new(options.rate),
                journal: Journal::new(options.log_capacity),
            }),
            script: RwLock::new(Arc::new(Script::new(options.faults.clone()))),
            options,
        }
    }

    /// Counts a request, then lets it through with what the fault script wants done, or answers it at once.
    pub(crate) fn admit(&self, head: &Parts) -> Result<Decision, Reply> {
        let endpoint = self.destination.endpoint(&head.method, head.uri.path());
        let caller = self.destination.authenticate(&head.headers, head.uri.query());
        let now = self.options.clock.elapsed();
        {
            let mut front = self.front();
            front.journal.arrived(endpoint, now);
            let caller = caller?;
            if !front.limiter.admit(&caller, now) {
                front.journal.throttled();
                return Err(self.destination.throttled(self.options.rate));
            }
        }
        Ok(self.script().decide(&head.method, head.uri.path(), self.destination.base_path()))
    }

    /// Notes what became of a request.
    pub(crate) fn settle(&self, head: &Parts, status: Option<u16>, body: &[u8]) {
        let recorded = self.options.record_bodies && !body.is_empty();
        let entry = LoggedRequest {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            status,
            body: recorded.then(|| String::from_utf8_lossy(body).into_owned()),
        };
        self.front().journal.settled(entry);
    }

    /// The numbers so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.front().journal.traffic()
    }

    /// The log, oldest first.
    pub(crate) fn log(&self) -> Vec<LoggedRequest> {
        self.front().journal.log()
    }

    /// The fault script in force.
    pub(crate) fn script(&self) -> Arc<Script> {
        Arc::clone(&self.script.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the rate until the next reset.
    pub(crate) fn set_rate(&self, rate: u32) {
        self.front().limiter.set_rate(rate);
    }

    /// Replaces the fault script; counts start again.
    pub(crate) fn set_faults(&self, faults: Vec<Fault>) {
        *self.script.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Script::new(faults));
    }

    /// Makes everything as it was at the start.
    pub(crate) fn reset(&self) {
        self.destination.reset();
        self.set_faults(self.options.faults.clone());
        let mut front = self.front();
        front.limiter.reset();
        front.limiter.set_rate(self.options.rate);
        front.journal.reset();
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
