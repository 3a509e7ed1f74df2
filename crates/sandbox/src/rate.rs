//! The rate limit.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(1);

/// Lets at most `rate` requests a key through in any window of one second.
///
/// A sliding log rather than a token bucket: a bucket with a burst of `rate` lets up to twice the rate through in one
/// second, which a strict stand-in must not.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: usize,
    passed: HashMap<String, VecDeque<Duration>>,
}

impl Limiter {
    /// A limiter; 0 lets everything through.
    pub(crate) fn new(rate: u32) -> Self {
        let mut limiter = Self { rate: 0, passed: HashMap::new() };
        limiter.set_rate(rate);
        limiter
    }

    /// Whether a request with this key may pass now.
    pub(crate) fn admit(&mut self, key: &str, now: Duration) -> bool {
        if self.rate == 0 {
            return true;
        }
        if !self.passed.contains_key(key) {
            self.passed.retain(|_, times| times.back().is_some_and(|last| *last + WINDOW > now));
            self.passed.insert(key.to_owned(), VecDeque::new());
        }
        let Some(times) = self.passed.get_mut(key) else { return true };
        while times.front().is_some_and(|first| *first + WINDOW <= now) {
            times.pop_front();
        }
        if times.len() >= self.rate {
            return false;
        }
        times.push_back(now);
        true
    }

    /// Changes the rate from now on.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.rate = usize::try_from(rate).unwrap_or(usize::MAX);
    }

    /// Forgets what has passed.
    pub(crate) fn reset(&mut self) {
        self.passed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Limiter;
    use std::time::Duration;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn no_window_of_a_second_holds_more_than_the_rate() {
        let mut limiter = Limiter::new(2);
        let passed: Vec<bool> =
            [0, 400, 600, 999, 1000, 1399, 1400].into_iter().map(|t| limiter.admit("k", at(t))).collect();
        assert_eq!(passed, [true, true, false, false, true, false, true]);
    }

    #[test]
    fn each_key_has_its_own_window() {
        let mut limiter = Limiter::new(1);
        assert!(limiter.admit("a", at(0)));
        assert!(limiter.admit("b", at(0)));
        assert!(!limiter.admit("a", at(1)));
    }

    #[test]
    fn zero_is_no_limit() {
        let mut limiter = Limiter::new(0);
        assert!((0..1000).all(|_| limiter.admit("a", at(0))));
    }
}
