//! How many retries a connection may make, so that a destination in trouble is not given more.
//!
//! A retry is worth most where the destination still works, and least where it does not, so the two are told apart by one
//! sign: whether it has answered *any* request of the connection since this request met its fault.
//!
//! * **It has.** Then each request may go up its whole ladder, as long as retries stay near a fifth of the requests.
//! * **It has not.** Then the requests that wait send one of theirs to try, further and further apart, and the others wait for
//!   what becomes of it. At most [`PROBES`] of these are sent within [`PROBING`], whatever the number of requests that wait.
//!
//! A destination that asks for a pause answers nobody meanwhile, so the retries are counted from its end on.
//!
//! So when everything fails the destination sees the ordinary load and 4 requests a minute more: at most 1.2 times the ordinary
//! load from 20 requests a minute on. What that costs: an outage is ridden out for as long as four retries last, 4 to 8 seconds,
//! by any number of requests at once; one that lasts longer fails the requests that met it, and for a minute after that the
//! only requests that find out whether it is over are new ones.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::doubled;
use crate::retry::{ATTEMPTS, FIRST_BACKOFF, LONGEST_BACKOFF};

/// Retries that may be sent to a destination that answers nothing: one ladder.
const PROBES: u32 = ATTEMPTS - 1;

/// How long after the last of them the next ladder may begin.
const PROBING: Duration = Duration::from_secs(60);

/// What a request that met a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is sent again now.
    Send,
    /// It asks again then.
    Wait(Instant),
    /// It ends with the fault.
    GiveUp,
}

/// The retries that a connection may still make.
#[derive(Debug)]
pub(crate) struct Budget {
    reserve: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    refilled: Option<Instant>,
    /// Answers so far; a later number is a sign of life.
    answers: u64,
    /// Retries sent since the last answer, and when the latest was.
    probes: u32,
    probed: Option<Instant>,
}

impl Budget {
    const PER_REQUEST: f64 = 0.2;
    const PER_SECOND: f64 = 10.0 / 60.0;

    /// A full budget for a connection of `max_in_flight`: all of them may climb their whole ladder once.
    pub(crate) fn new(max_in_flight: u32) -> Self {
        let reserve = f64::from(max_in_flight.min(25)) * f64::from(ATTEMPTS - 1) + 4.0;
        let state = State { tokens: reserve, refilled: None, answers: 0, probes: 0, probed: None };
        Self { reserve, state: Mutex::new(state) }
    }

    /// Counts a new request.
    pub(crate) fn deposit(&self) {
        let mut state = self.state();
        state.tokens = (state.tokens + Self::PER_REQUEST).min(self.reserve);
    }

    /// Counts an answer that is no fault.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        state.answers += 1;
        (state.probes, state.probed) = (0, None);
    }

    /// How many answers there were so far, for [`Budget::turn`].
    pub(crate) fn answers(&self) -> u64 {
        self.state().answers
    }

    /// What a request does now that met a fault when there had been `answers` answers.
    pub(crate) fn turn(&self, answers: u64, now: Instant) -> Turn {
        let mut state = self.state();
        if state.answers == answers
            && let Some(refusal) = state.probe(now)
        {
            return refusal;
        }
        let idle = state.refilled.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        state.refilled = Some(now);
        state.tokens = (state.tokens + idle.as_secs_f64() * Self::PER_SECOND).min(self.reserve);
        if state.tokens < 1.0 {
            return Turn::GiveUp;
        }
        state.tokens -= 1.0;
        Turn::Send
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes one of the few retries that a silent destination gets, or says why there is none.
    fn probe(&mut self, now: Instant) -> Option<Turn> {
        if let Some(probed) = self.probed {
            // Half of the longest backoff, which is what a request waits by itself on average.
            let next = probed + doubled(FIRST_BACKOFF, self.probes, LONGEST_BACKOFF) / 2;
            if now >= probed + PROBING {
                self.probes = 0;
            } else if now < next {
                return Some(Turn::Wait(next));
            }
        }
        if self.probes >= PROBES {
            return Some(Turn::GiveUp);
        }
        self.probes += 1;
        self.probed = Some(now);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Random;
    use crate::retry::Ladder;

    /// A load: `in_flight` callers that each send `each` requests, `pause` apart, and learn of a fault after `latency`.
    #[derive(Debug, Clone)]
    struct Load {
        in_flight: u32,
        each: u32,
        pause: Duration,
        latency: Duration,
        /// When the destination works: before the first and from the second on.
        outage: (Duration, Duration),
    }

    /// What became of a load: when requests were first sent, when they were sent again, and how many failed.
    #[derive(Debug, Default)]
    struct Course {
        firsts: Vec<Duration>,
        retries: Vec<Duration>,
        failed: u32,
    }

    #[derive(Debug)]
    struct Jitter(Mutex<u64>);

    impl Random for Jitter {
        fn fraction(&self) -> f64 {
            let mut state = self.0.lock().unwrap();
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Event {
        First,
        Answer,
        Turn { answers: u64 },
    }

    /// Plays a load without a clock: the next event is always the earliest one.
    fn play(load: &Load, seed: u64) -> Course {
        let (start, budget, random) = (Instant::now(), Budget::new(load.in_flight), Jitter(Mutex::new(seed)));
        let mut course = Course::default();
        let mut callers: Vec<(u32, Ladder)> = (0..load.in_flight).map(|_| (load.each, Ladder::default())).collect();
        let mut events: BinaryHeap<Reverse<(Duration, u32, Event)>> = (0..load.in_flight)
            .map(|caller| Reverse((load.pause * caller / load.in_flight, caller, Event::First)))
            .collect();
        while let Some(Reverse((now, caller, event))) = events.pop() {
            let (left, ladder) = &mut callers[caller as usize];
            let mut over = false;
            match event {
                Event::First => {
                    budget.deposit();
                    *ladder = Ladder::default();
                    course.firsts.push(now);
                    events.push(Reverse((now + load.latency, caller, Event::Answer)));
                }
                Event::Answer if now < load.outage.0 || now >= load.outage.1 => {
                    budget.answered();
                    over = true;
                }
                Event::Answer => match ladder.after_fault(start + now, &random) {
                    Some(wait) => {
                        events.push(Reverse((now + wait, caller, Event::Turn { answers: budget.answers() })));
                    }
                    None => {
                        course.failed += 1;
                        over = true;
                    }
                },
                Event::Turn { answers } => match budget.turn(answers, start + now) {
                    Turn::Send => {
                        course.retries.push(now);
                        events.push(Reverse((now + load.latency, caller, Event::Answer)));
                    }
                    Turn::Wait(when) => events.push(Reverse((when - start, caller, Event::Turn { answers }))),
                    Turn::GiveUp => {
                        course.failed += 1;
                        over = true;
                    }
                },
            }
            if over {
                *left -= 1;
                if *left > 0 {
                    events.push(Reverse((now + load.pause, caller, Event::First)));
                }
            }
        }
        course
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const NEVER: Duration = Duration::MAX;

    /// How many of these, which are in order, lie in the minute that begins at `from`.
    fn within(times: &[Duration], from: Duration) -> usize {
        times.partition_point(|&time| time < from + MINUTE) - times.partition_point(|&time| time < from)
    }

    fn loads() -> impl Strategy<Value = Load> {
        (1_u32..=100, 1_u32..=60, 0_u64..20_000, 0_u64..70_000).prop_map(|(in_flight, each, pause, latency)| Load {
            in_flight,
            each,
            pause: Duration::from_millis(pause),
            latency: Duration::from_millis(latency),
            outage: (Duration::ZERO, NEVER),
        })
    }

    proptest! {
        /// In any minute: what would have been sent anyhow, and four. From 20 requests a minute on that is 1.2 times as much.
        #[test]
        fn when_everything_fails_no_minute_has_more_than_four_retries(load in loads(), seed: u64) {
            let Course { firsts, retries, failed } = play(&load, seed);
            prop_assert_eq!(failed, load.in_flight * load.each);
            for &from in firsts.iter().chain(&retries) {
                let (ordinary, again) = (within(&firsts, from), within(&retries, from));
                prop_assert!(again <= 4, "{} retries beside {} requests", again, ordinary);
                if ordinary >= 20 {
                    prop_assert!(5 * (ordinary + again) <= 6 * ordinary);
                }
            }
        }

        /// The same from the moment at which a destination that worked before stops.
        #[test]
        fn a_healthy_past_earns_no_flood(mut load in loads(), seed: u64, since in 1_u64..600_000) {
            load.outage.0 = Duration::from_millis(since);
            let Course { retries, .. } = play(&load, seed);
            for &from in &retries {
                prop_assert!(within(&retries, from) <= 4);
            }
        }

        /// However many requests meet it.
        #[test]
        fn a_short_outage_fails_nobody(in_flight in 1_u32..=25, each in 1_u32..=4, seed: u64, lasts in 0_u64..=1500) {
            let load = Load {
                in_flight,
                each,
                pause: Duration::ZERO,
                latency: Duration::from_millis(5),
                outage: (Duration::ZERO, Duration::from_millis(lasts)),
            };
            let Course { failed, retries, .. } = play(&load, seed);
            prop_assert_eq!(failed, 0);
            prop_assert!(retries.len() <= in_flight as usize + 4, "one each, and four to find out");
        }
    }

    #[test]
    fn where_others_are_answered_retries_stay_near_a_fifth() {
        let start = Instant::now();
        for (requests, max_in_flight) in [(600_u32, 4), (6_000, 4), (60_000, 16), (600_000, 64)] {
            let budget = Budget::new(max_in_flight);
            let mut retries = 0;
            for request in 0..requests {
                let now = start + MINUTE * request / requests;
                budget.deposit();
                let answers = budget.answers();
                budget.answered();
                while budget.turn(answers, now) == Turn::Send {
                    retries += 1;
                }
            }
            let most = requests / 5 + 4 * max_in_flight.min(25) + 4 + 10;
            assert!(retries <= most, "{retries} retries of {requests} requests");
            assert!(retries >= requests / 5 - 1, "{retries} retries of {requests} requests");
        }
    }

    #[test]
    fn an_idle_connection_earns_its_reserve_back() {
        let (budget, start) = (Budget::new(1), Instant::now());
        budget.answered();
        let spend = |now| std::iter::from_fn(|| (budget.turn(0, now) == Turn::Send).then_some(())).count();
        assert_eq!(spend(start), 8);
        assert_eq!(spend(start + Duration::from_secs(31)), 5);
        assert_eq!(spend(start + Duration::from_secs(3600)), 8);
    }
}
