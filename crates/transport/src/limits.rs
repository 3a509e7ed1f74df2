//! The pace of one connection: evenly spaced calls, and the pause that a throttling destination asks for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::{Clock, Random, jitter};
use crate::slot::SharedSlot;

/// Calls are spaced this much wider than the rate says, so that a destination which counts within a strict window never
/// finds one too many in it: 10 ms in a second, of which [`SLACK`] takes most. The rest is for a network that delivers some calls
/// faster than others.
const MARGIN: f64 = 1.01;

/// How far behind its slot a call may start without pushing all later slots back. Timers fire up to two ticks of a millisecond
/// late, and a thread is not woken at once where others are busy; what is lost beyond this allowance is lost for good. After a late
/// call the next ones come so much closer together, so it must stay below what [`MARGIN`] adds to a second.
pub(crate) const SLACK: Duration = Duration::from_millis(7);

/// The wait after the first 429 that names none; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait that we choose ourselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Lets the calls of one connection through one at a time, in order of arrival, at its rate.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Held by the one caller whose turn is next, while it waits for its slot: waiting in line costs no timer, and a caller
    /// that goes away takes no slot with it.
    turn: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
    /// What other processes must know of this connection's pace.
    shared: Option<SharedSlot>,
}

#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Option<Instant>,
    paused_until: Option<Instant>,
    /// When the latest 429 came; answers to calls sent before then say nothing new.
    throttled_at: Option<Instant>,
    /// 429s in a row.
    streak: u32,
}

impl Gate {
    /// A gate for `requests_per_second`; 0 (or what is not a positive number) = no limit.
    pub(crate) fn new(requests_per_second: f64, shared: Option<SharedSlot>) -> Self {
        let pace = Pace {
            interval: interval(requests_per_second),
            next: None,
            paused_until: None,
            throttled_at: None,
            streak: 0,
        };
        Self { turn: tokio::sync::Mutex::new(()), pace: Mutex::new(pace), shared }
    }

    /// Changes the rate from the next call on.
    pub(crate) fn adjust(&self, requests_per_second: f64) {
        self.pace().interval = interval(requests_per_second);
    }

    /// Returns when the next call may be sent.
    pub(crate) async fn admit(&self, clock: &dyn Clock) {
        let _turn = self.turn.lock().await;
        loop {
            let admitted = self.pace().admit(clock.now());
            match admitted {
                Ok(()) => break,
                Err(when) => clock.sleep_until(when).await,
            }
        }
        let interval = self.pace().interval;
        if let Some(shared) = self.shared.as_ref().filter(|_| !interval.is_zero()) {
            while let Some(wait) = shared.take(clock.date(), interval, SLACK) {
                clock.sleep_until(clock.now() + wait).await;
            }
        }
    }

    /// Pauses the connection because the destination throttled a call that was sent at `sent_at`; returns for how long, if that
    /// is news.
    pub(crate) fn throttled(
        &self,
        sent_at: Instant,
        now: Instant,
        asked: Option<Duration>,
        random: &dyn Random,
    ) -> Option<Duration> {
        let mut pace = self.pace();
        // Calls in flight together are throttled together; that is one event, not a streak.
        let news = pace.throttled_at.is_none_or(|at| sent_at >= at);
        if news {
            pace.streak = pace.streak.saturating_add(1);
            pace.throttled_at = Some(now);
        }
        let wait = match asked {
            Some(wait) => wait,
            None if news => jitter(random, doubled(FIRST_PAUSE, pace.streak - 1, LONGEST_PAUSE)),
            None => return None,
        };
        pace.pause(now + wait);
        Some(wait)
    }

    /// Pauses the connection until `when`, because the destination says that it is away.
    pub(crate) fn pause(&self, when: Instant) {
        self.pace().pause(when);
    }

    /// Tells other processes of a pause.
    pub(crate) fn share_pause(&self, until: SystemTime) {
        if let Some(shared) = self.shared.as_ref().filter(|_| !self.pace().interval.is_zero()) {
            shared.pause(until);
        }
    }

    /// Notes that a call sent at `sent_at` was not throttled.
    pub(crate) fn let_through(&self, sent_at: Instant) {
        let mut pace = self.pace();
        if pace.streak > 0 && pace.throttled_at.is_none_or(|at| sent_at >= at) {
            pace.streak = 0;
        }
    }

    /// What is left of a pause.
    pub(crate) fn paused_for(&self, now: Instant) -> Option<Duration> {
        self.pace().paused_until.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero())
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Nothing that runs under the lock can leave it half changed.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    /// Takes the next slot, or says when to ask again.
    fn admit(&mut self, now: Instant) -> Result<(), Instant> {
        if let Some(until) = self.paused_until.filter(|&until| until > now) {
            return Err(until);
        }
        self.paused_until = None;
        if self.interval.is_zero() {
            return Ok(());
        }
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let slot = self.next.unwrap_or(now).max(earliest);
        if slot > now {
            return Err(slot);
        }
        self.next = Some(slot + self.interval);
        Ok(())
    }

    fn pause(&mut self, when: Instant) {
        self.paused_until = Some(self.paused_until.map_or(when, |until| until.max(when)));
    }
}

/// `first`, doubled `times` times, at most `longest`.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}

fn interval(requests_per_second: f64) -> Duration {
    if requests_per_second > 0.0 {
        // A rate so low that the interval does not fit is once a day.
        let day = 86_400.0;
        Duration::from_secs_f64((MARGIN / requests_per_second).min(day))
    } else {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use async_trait::async_trait;

    use super::*;

    /// Sleeping takes no time; each sleep ends as late as a timer does.
    #[derive(Debug)]
    struct Skipping {
        start: Instant,
        now: Mutex<Instant>,
        late: fn(u64) -> Duration,
        sleeps: std::sync::atomic::AtomicU64,
    }

    impl Skipping {
        fn new(late: fn(u64) -> Duration) -> Self {
            let start = Instant::now();
            Self { start, now: Mutex::new(start), late, sleeps: 0.into() }
        }

        fn elapsed(&self) -> Duration {
            self.now() - self.start
        }
    }

    #[async_trait]
    impl Clock for Skipping {
        fn now(&self) -> Instant {
            *self.now.lock().unwrap()
        }

        fn date(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        async fn sleep_until(&self, when: Instant) {
            let sleep = self.sleeps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut now = self.now.lock().unwrap();
            *now = (*now).max(when) + (self.late)(sleep);
        }
    }

    #[derive(Debug)]
    struct Half;

    impl Random for Half {
        fn fraction(&self) -> f64 {
            0.5
        }
    }

    async fn calls(rate: f64, count: usize, late: fn(u64) -> Duration) -> Vec<Duration> {
        let (gate, clock) = (Gate::new(rate, None), Skipping::new(late));
        let mut sent = Vec::with_capacity(count);
        for _ in 0..count {
            gate.admit(&clock).await;
            sent.push(clock.elapsed());
        }
        sent
    }

    #[tokio::test]
    async fn the_rate_is_held_within_2_percent_and_never_exceeded() {
        let punctual: fn(u64) -> Duration = |_| Duration::ZERO;
        let ticking: fn(u64) -> Duration = |sleep| Duration::from_micros(sleep * 7919 % 1900);
        let crowded: fn(u64) -> Duration = |sleep| Duration::from_micros(sleep * 7919 % 6900);
        for (rate, late) in [20.0, 5.0, 0.5, 200.0, 2000.0]
            .into_iter()
            .flat_map(|rate| [(rate, punctual), (rate, ticking), (rate, crowded)])
        {
            let sent = calls(rate, 1001, late).await;
            let ideal = 1000.0 / rate;
            let took = sent[1000].as_secs_f64();
            assert!((ideal..ideal * 1.02).contains(&took), "{rate}/s: 1,000 calls took {took} s, not {ideal} s");
            let window = rate.max(1.0) as usize;
            for pair in sent.windows(window + 1) {
                let span = pair[window] - pair[0];
                assert!(span.as_secs_f64() > window as f64 / rate, "{rate}/s: {} calls within {span:?}", window + 1);
            }
        }
    }

    #[tokio::test]
    async fn a_pause_does_not_earn_a_burst() {
        let (gate, clock) = (Gate::new(10.0, None), Skipping::new(|_| Duration::ZERO));
        gate.admit(&clock).await;
        clock.sleep_until(clock.now() + Duration::from_secs(60)).await;
        gate.admit(&clock).await;
        let resumed = clock.elapsed();
        gate.admit(&clock).await;
        gate.admit(&clock).await;
        assert!(clock.elapsed() - resumed >= Duration::from_millis(201) - SLACK);
    }

    #[tokio::test]
    async fn no_limit_means_no_wait() {
        for rate in [0.0, -1.0, f64::NAN] {
            assert_eq!(calls(rate, 100, |_| Duration::ZERO).await[99], Duration::ZERO, "{rate}");
        }
        assert!(interval(f64::MIN_POSITIVE) <= Duration::from_secs(86_400));
        assert_eq!(interval(f64::INFINITY), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_throttled_call_pauses_every_call() {
        let (gate, clock) = (Gate::new(0.0, None), Skipping::new(|_| Duration::ZERO));
        let start = clock.now();
        gate.throttled(start, start, Some(Duration::from_secs(7)), &Half);
        gate.throttled(start, start, Some(Duration::from_secs(3)), &Half);
        assert_eq!(gate.paused_for(start), Some(Duration::from_secs(7)), "the longer wish counts");
        gate.admit(&clock).await;
        assert_eq!(clock.elapsed(), Duration::from_secs(7));
        assert_eq!(gate.paused_for(clock.now()), None);
    }

    #[test]
    fn pauses_double_with_each_round_and_start_over_after_a_success() {
        let gate = Gate::new(0.0, None);
        let mut now = Instant::now();
        let mut round = |gate: &Gate| {
            let sent = now;
            // Four calls in flight, one event.
            for _ in 0..4 {
                gate.throttled(sent, now + Duration::from_millis(1), None, &Half);
            }
            let pause = gate.paused_for(now + Duration::from_millis(1)).unwrap();
            now += Duration::from_millis(1) + pause;
            pause.as_millis()
        };
        let pauses: Vec<u128> = (0..9).map(|_| round(&gate)).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        gate.let_through(now);
        now += Duration::from_secs(1);
        gate.throttled(now, now, None, &Half);
        assert_eq!(gate.paused_for(now), Some(Duration::from_millis(500)));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_takes_no_slot() {
        /// Never wakes anybody.
        #[derive(Debug)]
        struct Stopped(Instant);
        #[async_trait]
        impl Clock for Stopped {
            fn now(&self) -> Instant {
                self.0
            }
            fn date(&self) -> SystemTime {
                SystemTime::UNIX_EPOCH
            }
            async fn sleep_until(&self, _: Instant) {
                std::future::pending().await
            }
        }
        let gate = Arc::new(Gate::new(1.0, None));
        let stopped = Stopped(Instant::now());
        gate.admit(&stopped).await;
        for _ in 0..3 {
            let mut waiting = Box::pin(gate.admit(&stopped));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let later = Stopped(stopped.0 + Duration::from_millis(1010));
        let mut next = Box::pin(gate.admit(&later));
        assert_eq!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
    }
}
