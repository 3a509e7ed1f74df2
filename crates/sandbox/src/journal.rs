//! What was received.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

const WINDOW: Duration = Duration::from_secs(1);

/// One request, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedRequest {
    /// The request method.
    pub method: String,
    /// The path as sent, without the query (which may hold a key).
    pub path: String,
    /// The status of the answer; none if a fault left the request without one.
    pub status: Option<u16>,
    /// The request body, if recording was turned on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What was received, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// All requests, throttled and refused ones included.
    pub requests: u64,
    /// Requests by endpoint, such as `POST /contacts`.
    pub by_endpoint: BTreeMap<&'static str, u64>,
    /// Answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests that a fault left without an answer.
    pub unanswered: u64,
    /// Requests answered with 429 by the rate limit.
    pub throttled: u64,
    /// The most requests that arrived within any one second.
    pub peak_requests_per_second: usize,
}

/// The log and the numbers.
#[derive(Debug)]
pub(crate) struct Journal {
    traffic: Traffic,
    arrivals: VecDeque<Duration>,
    log: VecDeque<LoggedRequest>,
    capacity: usize,
}

impl Journal {
    /// An empty journal that keeps the last `capacity` requests.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { traffic: Traffic::default(), arrivals: VecDeque::new(), log: VecDeque::new(), capacity }
    }

    /// Notes that a request has arrived.
    pub(crate) fn arrived(&mut self, endpoint: &'static str, now: Duration) {
        self.traffic.requests += 1;
        *self.traffic.by_endpoint.entry(endpoint).or_default() += 1;
        while self.arrivals.front().is_some_and(|first| *first + WINDOW <= now) {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(now);
        self.traffic.peak_requests_per_second = self.traffic.peak_requests_per_second.max(self.arrivals.len());
    }

    /// Notes that a request was refused by the rate limit.
    pub(crate) fn throttled(&mut self) {
        self.traffic.throttled += 1;
    }

    /// Notes what became of a request.
    pub(crate) fn settled(&mut self, entry: LoggedRequest) {
        match entry.status {
            Some(status) => *self.traffic.by_status.entry(status).or_default() += 1,
            None => self.traffic.unanswered += 1,
        }
        if self.capacity == 0 {
            return;
        }
        if self.log.len() >= self.capacity {
            self.log.pop_front();
        }
        self.log.push_back(entry);
    }

    /// The numbers so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// The log, oldest first.
    pub(crate) fn log(&self) -> Vec<LoggedRequest> {
        self.log.iter().cloned().collect()
    }

    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::{Journal, LoggedRequest};
    use std::time::Duration;

    fn entry(path: &str, status: Option<u16>) -> LoggedRequest {
        LoggedRequest { method: "GET".to_owned(), path: path.to_owned(), status, body: None }
    }

    #[test]
    fn the_peak_is_the_fullest_window_of_a_second() {
        let mut journal = Journal::new(10);
        for millis in [0, 100, 950, 1050, 1060, 5000] {
            journal.arrived("GET /lists", Duration::from_millis(millis));
        }
        assert_eq!(journal.traffic().peak_requests_per_second, 4);
        assert_eq!(journal.traffic().by_endpoint["GET /lists"], 6);
    }

    #[test]
    fn the_log_keeps_only_the_newest() {
        let mut journal = Journal::new(2);
        for path in ["/a", "/b", "/c"] {
            journal.settled(entry(path, Some(200)));
        }
        journal.settled(entry("/d", None));
        let paths: Vec<String> = journal.log().into_iter().map(|logged| logged.path).collect();
        assert_eq!(paths, ["/c", "/d"]);
        assert_eq!((journal.traffic().by_status[&200], journal.traffic().unanswered), (3, 1));
    }
}
