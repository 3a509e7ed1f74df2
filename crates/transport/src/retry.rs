//! What is tried again, when, and how often.
//!
//! | what came back | again? | when |
//! | --- | --- | --- |
//! | 429 | always: it says that nothing was done | the whole connection pauses: `Retry-After` up to 5 minutes, else doubling from 1 s to 60 s with full jitter; until this request has met 429s and faults for 10 minutes |
//! | 408, 5xx but 501 and 505 | repeatable requests | doubling from 0.5 s with full jitter; a `Retry-After` pauses the whole connection |
//! | no connection (DNS, refused, unreachable, TLS cut off) | always: nothing was sent | doubling from 0.5 s with full jitter |
//! | connection broken, answer unreadable or cut off, deadline passed | repeatable requests | doubling from 0.5 s with full jitter |
//! | certificate not trusted, address refused, answer too large | never: it would be the same again | |
//! | any other status | never: it is an answer | |
//!
//! An attempt that ends with 3xx, 401, 403, 405 or 429, or at an address that is refused, had no effect. If an earlier attempt of the request may have had one, that one's
//! fault or answer is handed on instead.
//!
//! All but 429 get at most [`ATTEMPTS`] attempts within those 10 minutes and draw on the connection's [`Budget`](crate::budget::Budget). Underneath, the HTTP library sends a
//! request again by itself only where the protocol proves that the destination has not looked at it: a kept-alive connection
//! found closed before anything was written, or an HTTP/2 stream refused unprocessed.

use std::time::{Duration, Instant, SystemTime};

use segport_core::http::Response;

use crate::clock::{Random, jitter};
use crate::limits::doubled;

/// Most attempts of one request, 429s not counted.
pub(crate) const ATTEMPTS: u32 = 5;

/// How long after its first 429 or fault a request is still sent again.
const PATIENCE: Duration = Duration::from_secs(600);

/// The longest wait that a destination can impose.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

pub(crate) const FIRST_BACKOFF: Duration = Duration::from_millis(500);
pub(crate) const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// What a status means for the request that got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The connector's to judge.
    Answered,
    /// May be better in a moment, but the request may have had its effect.
    Transient,
    /// Not done, because of too many calls.
    Throttled,
}

impl Standing {
    pub(crate) fn of(status: u16) -> Self {
        match status {
            429 => Self::Throttled,
            // 501 and 505 say that it can never be done. What stands in front of a destination has numbers of its own, such as 522.
            501 | 505 => Self::Answered,
            408 | 500..=599 => Self::Transient,
            _ => Self::Answered,
        }
    }
}

/// How often one request has been tried, and since when.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    faults: u32,
    /// When its first fault or 429 came.
    since: Option<Instant>,
}

impl Ladder {
    /// The wait before the next attempt after a fault, or `None` after the last.
    pub(crate) fn after_fault(&mut self, now: Instant, random: &dyn Random) -> Option<Duration> {
        self.since.get_or_insert(now);
        self.faults += 1;
        if self.faults >= ATTEMPTS || self.is_over(now) {
            return None;
        }
        Some(jitter(random, doubled(FIRST_BACKOFF, self.faults - 1, LONGEST_BACKOFF)))
    }

    /// Whether there is another attempt after a 429.
    pub(crate) fn after_throttle(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        !self.is_over(now)
    }

    /// Whether it has been tried for so long that no further attempt is worth it.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }
}

/// The wait that an answer asks for, at most [`LONGEST_RETRY_AFTER`]; `None` if it asks for none, or for none at all: a
/// destination that throttles and says "now" is not taken at its word.
///
/// A date is read relative to the answer's own `Date`, so that a wrong clock on either side does not matter.
pub(crate) fn retry_after(response: &Response, today: SystemTime) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is longer than any limit.
        value.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        let sent = response.header("date").and_then(date).or_else(|| today.try_into().ok())?;
        Duration::try_from(date(value)?.duration_since(sent)).ok()?
    };
    Some(wait.min(LONGEST_RETRY_AFTER)).filter(|wait| !wait.is_zero())
}

fn date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok().or_else(|| {
        // The last day that can be written, which stands for "never", ends after the last timestamp.
        let (_, day) = text.split_once(", ")?;
        let never = jiff::civil::DateTime::strptime("%d %b %Y %H:%M:%S GMT", day).ok()?;
        (never.year() == 9999).then_some(jiff::Timestamp::MAX)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use segport_core::http::ResponseHead;

    use super::*;

    #[derive(Debug)]
    struct Most;

    impl Random for Most {
        fn fraction(&self) -> f64 {
            1.0
        }
    }

    #[test]
    fn statuses() {
        let expected = [(429, Standing::Throttled)].into_iter();
        let passing = [408, 500, 502, 503, 504, 506, 507, 520, 522, 527, 529, 530, 599];
        let expected = expected.chain(passing.map(|status| (status, Standing::Transient)));
        let answers = [200, 201, 204, 301, 302, 400, 401, 403, 404, 409, 410, 413, 422, 499, 501, 505, 600, 999];
        for (status, standing) in expected.chain(answers.map(|status| (status, Standing::Answered))) {
            assert_eq!(Standing::of(status), standing, "{status}");
        }
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        const TODAY: &str = "Mon, 23 Nov 2026 10:00:00 GMT";
        let today = SystemTime::UNIX_EPOCH + Duration::from_secs(date(TODAY).unwrap().as_second().unsigned_abs());
        let check = |value: &str, own_date: Option<&str>, expected: Option<u64>| {
            let mut headers = vec![("retry-after".to_owned(), value.to_owned())];
            headers.extend(own_date.map(|date| ("date".to_owned(), date.to_owned())));
            let response = Response { head: ResponseHead { status: 429, headers }, body: Bytes::new() };
            assert_eq!(retry_after(&response, today), expected.map(Duration::from_secs), "{value:?} {own_date:?}");
        };
        check("7", None, Some(7));
        check(" 7 ", None, Some(7));
        check("300", None, Some(300));
        check("301", None, Some(300));
        check("86400", None, Some(300));
        check("99999999999999999999999999", None, Some(300));
        check("0", None, None);
        check("-5", None, None);
        check("1.5", None, None);
        check("soon", None, None);
        check("", None, None);
        check("Mon, 23 Nov 2026 10:00:30 GMT", None, Some(30));
        check("Mon, 23 Nov 2026 10:00:30 GMT", Some("Mon, 23 Nov 2026 10:00:20 GMT"), Some(10));
        check("Mon, 23 Nov 2026 10:00:30 GMT", Some("nonsense"), Some(30));
        check("Mon, 23 Nov 2026 09:59:30 GMT", None, None);
        check("Thu, 01 Jan 1970 00:00:00 GMT", None, None);
        check("Fri, 31 Dec 9998 23:59:59 GMT", None, Some(300));
        check("Fri, 31 Dec 9999 23:59:59 GMT", None, Some(300));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some("Fri, 31 Dec 9999 23:59:59 GMT"), None);
        check("Fri, 32 Dec 9999 23:59:59 GMT", None, None);
        check("Fri, 31 Dec 9999", None, None);
        check("Mon, 23 Foo 2026 10:00:30 GMT", None, None);
        let none = Response { head: ResponseHead { status: 429, headers: Vec::new() }, body: Bytes::new() };
        assert_eq!(retry_after(&none, today), None);
    }

    #[test]
    fn a_ladder_has_five_attempts_that_lie_further_and_further_apart() {
        let (mut ladder, now) = (Ladder::default(), Instant::now());
        let waits: Vec<_> = std::iter::from_fn(|| ladder.after_fault(now, &Most)).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000].map(Duration::from_millis));
    }

    #[test]
    fn trouble_is_endured_for_ten_minutes() {
        let mut ladder = Ladder::default();
        let start = Instant::now();
        assert!(ladder.after_throttle(start));
        assert!(ladder.after_throttle(start + Duration::from_secs(599)));
        assert!(!ladder.after_throttle(start + Duration::from_secs(600)));
        assert_eq!(ladder.after_fault(start + Duration::from_secs(600), &Most), None);
    }
}
