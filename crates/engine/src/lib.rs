//! Runs exports: [`Engine`] opens what an export needs, [`run`] tells the story, and each step has a file of its own.
//!
//! ```text
//! read -> map -> check -> diff -> plan -> deliver -> settle -> report
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod address;
mod batch_size;
mod broken_off;
mod calendar;
mod cancel;
mod check;
mod conclusion;
mod deliver;
mod diff;
mod engine;
mod guard;
mod in_flight;
mod line;
mod lists;
mod map;
mod movers;
mod name;
mod numbered;
mod open_export;
mod outbox;
mod pack;
mod parcel;
mod payload;
mod plan;
mod plan_report;
mod progress;
mod read;
mod read_segments;
pub mod report;
mod reveal;
mod room;
pub mod run;
mod scope;
mod send;
mod settle;
#[cfg(test)]
mod simulation;
mod start_error;
mod tally;
pub mod undone;
mod watch;
mod word;

pub use address::Address;
pub use cancel::Cancel;
pub use deliver::{is_final, outcome_of};
pub use engine::{Engine, Parts};
pub use guard::{Guard, Override};
pub use open_export::segment_id;
pub use plan_report::{PlanReport, PlannedCalls, PlannedLeavers, PlannedRows, PlannedSegment, Skipped};
pub use progress::{Calls, Progress, Silent, Stage};
pub use reveal::{Named, Revealed};
pub use run::Request;
pub use scope::Scope;
pub use start_error::{StartError, ledger_code, load_code};
pub use word::{Term, Word};
