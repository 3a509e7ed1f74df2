//! Time, which tests may set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::header::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// Where a stand-in takes the time from.
///
/// Time stamps of contacts and the rate limit use it; the delays of faults do not.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System(Instant),
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The computer's own clock.
    pub fn system() -> Self {
        Self(Kind::System(Instant::now()))
    }

    /// A clock that stands still at `epoch_millis` until it is [advanced](Self::advance).
    ///
    /// Clones share the time, so a test keeps one and gives the other to the options.
    pub fn manual(epoch_millis: i64) -> Self {
        Self(Kind::Manual(Arc::new(AtomicI64::new(epoch_millis))))
    }

    /// Moves a manual clock forward; does nothing to the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(now) = &self.0 {
            now.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Milliseconds since 1970.
    pub fn epoch_millis(&self) -> i64 {
        match &self.0 {
            Kind::System(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|since| i64::try_from(since.as_millis()).ok())
                .unwrap_or_default(),
            Kind::Manual(now) => now.load(Ordering::SeqCst),
        }
    }

    /// Time that never goes backwards, from an arbitrary start.
    pub(crate) fn elapsed(&self) -> Duration {
        match &self.0 {
            Kind::System(start) => start.elapsed(),
            Kind::Manual(now) => Duration::from_millis(u64::try_from(now.load(Ordering::SeqCst)).unwrap_or_default()),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// A time in milliseconds since 1970 the way HTTP headers write it; none if it has no such form.
pub(crate) fn http_date(millis: i64) -> Option<HeaderValue> {
    let time = Timestamp::from_millisecond(millis).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()?;
    HeaderValue::try_from(text).ok()
}
