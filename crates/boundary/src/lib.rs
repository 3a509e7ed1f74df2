//! What both sides of the plugin boundary do alike: the host's calls of a plugin and a plugin's requests to the host are answered,
//! awaited and given up in the same way, and both number the levels of the log.
//!
//! `segport-abi` holds the layout of what crosses; the texts of errors and the order of the work are each side's own.

#![deny(missing_docs)]

mod answer;
mod calls;
pub mod level;

pub use answer::{Answer, Answered, completion, encode};
pub use calls::{Calls, Refused, UnderWay};
