//! Stand-in destinations for Segport's demos, tests and load measurements.
//!
//! A stand-in is a real HTTP/1.1 server on loopback that behaves like a marketing tool's API, keeps everything in
//! memory, and can be told to misbehave. [`autopilot`] is the first one; the server, the faults, the rate limit and
//! the journal know nothing about it, so that a second destination is one more module that implements
//! the `Destination` trait.
//!
//! ```
//! use segport_sandbox::{Fault, Options, Sandbox};
//!
//! let fault: Fault = "POST /contacts nth=3 status=500".parse()?;
//! let sandbox = Sandbox::start(Options { faults: vec![fault], ..Options::default() })?;
//! assert!(sandbox.base_url().ends_with("/v1"));
//! assert_eq!(sandbox.autopilot().contact_count(), 0);
//! sandbox.shutdown();
//! # Ok::<(), segport_sandbox::Error>(())
//! ```
//!
//! # What a test can see
//!
//! These paths need no key, are never limited, faulted or counted:
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /_sandbox/state` | contacts in the form they are read in, sorted by e-mail; lists with members; counts |
//! | `GET /_sandbox/requests` | the last requests: method, path, status; with `?bodies=1` their bodies, if recorded |
//! | `GET /_sandbox/counts` | requests by endpoint and status, peak rate, throttled calls, contacts, duplicate writes |
//! | `GET /_sandbox/faults` | the fault script and how often each line was seen and applied |
//! | `POST /_sandbox/faults` | replaces the script: a JSON array of texts, or plain text with one fault a line |
//! | `POST /_sandbox/reset` | everything as it was at the start, the fault script of the options included |
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod autopilot;
mod clock;
mod control;
mod destination;
mod error;
pub mod fault;
mod glob;
mod journal;
mod options;
mod payload;
mod rate;
mod rude;
mod sandbox;
mod server;
mod shared;
mod socket;

pub use autopilot::Autopilot;
pub use clock::Clock;
pub use error::{Error, Result};
pub use fault::{Fault, FaultError};
pub use journal::{LoggedRequest, Traffic};
pub use options::Options;
pub use rude::{RetryAfter, Rude, RudeServer};
pub use sandbox::Sandbox;
pub use server::serve;
