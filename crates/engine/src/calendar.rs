//! Where a run has its dates and its id from: injected, so that a simulation repeats itself to the byte.

use std::fmt::Debug;

use jiff::Timestamp;

/// Tells what is true of one run at one time only.
pub(crate) trait Calendar: Debug + Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// The id of a new run, greater than those of earlier ones.
    fn new_run(&self) -> String;
}

/// The system's clock and randomness.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemCalendar;

impl Calendar for SystemCalendar {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn new_run(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }
}
