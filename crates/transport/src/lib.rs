//! The one HTTP client of Segport.
//!
//! A connector says what to send; this crate decides when and how often, and to whom at all:
//!
//! * `limits`: one pace per connection, shared by every run that uses it, and the pause that a 429 asks for;
//! * `retry`: the table of what is tried again, and when;
//! * `budget`: how many retries there are, so that they never become a flood;
//! * `queue`: what those that use one connection do one after the other;
//! * `egress`: which addresses may be destinations, judged after the name was resolved;
//! * `attempt`: one request and its answer, within a deadline and a body limit;
//! * `error`: what is told when no answer came: layer, whether anything was sent, and never an address's path or a header;
//! * `client`: [`Transport`] and [`Connection`], which put these together.
//!
//! Proxies of the environment are not used: behind one, the addresses that the egress policy judges would be the proxy's.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod attempt;
mod budget;
mod client;
mod clock;
mod egress;
mod error;
mod limits;
mod queue;
mod retry;
mod slot;
mod wire;

pub use client::{Connection, Counters, Options, Permit, Transport};
pub use clock::{Clock, Random, SystemClock, SystemRandom};
pub use egress::Egress;
pub use queue::Exclusive;
pub use wire::{Loss, Wire};
