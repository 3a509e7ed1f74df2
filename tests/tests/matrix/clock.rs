//! A clock on which waiting takes no time.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use segport_transport::{Clock, Random};

/// Moves by what is waited, and by nothing else.
#[derive(Debug)]
pub(crate) struct Skipping {
    start: Instant,
    skipped: Mutex<Duration>,
    /// The stand-in's clock, which goes along.
    other: segport_sandbox::Clock,
}

impl Skipping {
    /// Takes the manual clock `other` along.
    pub(crate) fn with(other: segport_sandbox::Clock) -> Self {
        Self { start: Instant::now(), skipped: Mutex::default(), other }
    }

    /// What was waited so far.
    pub(crate) fn elapsed(&self) -> Duration {
        *self.skipped.lock().unwrap()
    }
}

#[async_trait]
impl Clock for Skipping {
    fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    fn date(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_428_000)
    }

    async fn sleep_until(&self, when: Instant) {
        {
            let mut skipped = self.skipped.lock().unwrap();
            let target = (when - self.start).max(*skipped);
            // Its clock knows whole milliseconds.
            let by = target.as_millis() - skipped.as_millis();
            self.other.advance(Duration::from_millis(u64::try_from(by).unwrap()));
            *skipped = target;
        }
        tokio::task::yield_now().await;
    }
}

/// Jitter that always takes half of the longest wait.
#[derive(Debug)]
pub(crate) struct Half;

impl Random for Half {
    fn fraction(&self) -> f64 {
        0.5
    }
}
