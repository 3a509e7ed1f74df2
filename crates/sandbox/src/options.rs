//! How a stand-in behaves.

use crate::clock::Clock;
use crate::fault::Fault;

/// How a stand-in behaves; [`Options::default`] is fast, unlimited and without faults.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests per second and key, in any window of one second; 0 is no limit.
    ///
    /// A request above it is answered with 429 and does not count against the window.
    pub rate: u32,
    /// The only key that is good; without one, any key of 32 hexadecimal digits is.
    pub key: Option<String>,
    /// The account's `instanceId`; the same for all stand-ins by default, so that one that starts anew is the account it was.
    pub account: String,
    /// The fault script, in order.
    pub faults: Vec<Fault>,
    /// Whether a bulk write honours the list named inside a contact.
    ///
    /// Unknown for the real Autopilot: one team states that it does not. On by default; `false`, or the fault
    /// `bulk-lists=off`, gives the other behaviour.
    pub bulk_lists: bool,
    /// Whether request bodies are kept in the log, for `GET /_sandbox/requests?bodies=1`.
    pub record_bodies: bool,
    /// How many requests the log keeps; the oldest go first.
    pub log_capacity: usize,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: 0,
            key: None,
            account: "segport-sandbox".to_owned(),
            faults: Vec::new(),
            bulk_lists: true,
            record_bodies: false,
            log_capacity: 10_000,
            clock: Clock::system(),
        }
    }
}
