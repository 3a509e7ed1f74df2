//! What the end-to-end tests stand on: the built binary, a project in a temporary directory and a stand-in destination.
//!
//! A test makes a [`Scene`], writes [`Person`]s into its segments, runs `segport` in it and looks at the [`Report`] and at what
//! arrived. Nothing here waits for time to pass: a test waits for a process to end, for a line it prints, or for a request to
//! arrive at a [`Gate`].
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what goes wrong here fails the test that asked for it"
)]

mod console;
pub mod crash;
pub mod failures;
mod full;
mod gate;
mod haste;
mod installation;
mod people;
mod power;
mod preload;
mod process;
mod report;
mod scene;

pub use console::{Play, Step, steps};
pub use full::{FullDisk, Last};
pub use gate::{Gate, Hold};
pub use haste::Haste;
pub use installation::installation;
pub use people::{Person, csv, people};
pub use power::Disk;
pub use process::{Ended, Running, Segport};
pub use report::Report;
pub use scene::{KEY, Scene};
