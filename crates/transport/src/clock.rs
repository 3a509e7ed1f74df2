//! Time and randomness, injected so that tests need neither.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

/// Where every wait of the transport comes from: pace, pauses and backoff. Deadlines of attempts run on the runtime's timer.
#[async_trait]
pub trait Clock: Debug + Send + Sync {
    /// The time for measuring and waiting; never goes back.
    fn now(&self) -> Instant;

    /// The date, to read a `Retry-After` that is one.
    fn date(&self) -> SystemTime;

    /// Returns at `when` or a little later; dropping it ends the wait.
    async fn sleep_until(&self, when: Instant);
}

/// Where jitter comes from.
pub trait Random: Debug + Send + Sync {
    /// A number from 0 up to, but not including, 1, evenly distributed.
    fn fraction(&self) -> f64;
}

/// The runtime's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn date(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep_until(&self, when: Instant) {
        tokio::time::sleep_until(when.into()).await;
    }
}

/// The thread's random number generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fraction(&self) -> f64 {
        rand::random()
    }
}

/// A random share of `most`: "full jitter", which spreads callers that failed together best.
pub(crate) fn jitter(random: &dyn Random, most: Duration) -> Duration {
    most.mul_f64(random.fraction().clamp(0.0, 1.0))
}
