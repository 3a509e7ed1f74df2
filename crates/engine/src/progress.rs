//! What a run tells while it is under way.

use crate::report::Problem;

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the segments and comparing them with the ledger; the number of rows is not known before.
    Reading,
    /// Sending rows; the total is known.
    Delivering {
        /// Rows to send, leavers included.
        total: u64,
    },
}

/// The calls of a run so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Requests made.
    pub made: u64,
    /// Whether the destination's rate limit holds the run back just now.
    pub throttled: bool,
}

/// Somebody who watches runs: a progress bar, a log, or nobody.
pub trait Progress: Send + Sync + std::fmt::Debug {
    /// A stage of this export begins.
    fn stage(&self, export: &str, stage: Stage);
    /// This many more rows of the current stage are done.
    fn advance(&self, export: &str, rows: u64);
    /// Something to know before anything is sent; the report has it too.
    fn noted(&self, export: &str, problem: &Problem);
    /// How the calls go, every now and then while rows are sent: they tell of progress where a batch takes long.
    fn calls(&self, export: &str, calls: Calls);
    /// The run is over.
    fn finished(&self, export: &str);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: Stage) {}
    fn advance(&self, _: &str, _: u64) {}
    fn noted(&self, _: &str, _: &Problem) {}
    fn calls(&self, _: &str, _: Calls) {}
    fn finished(&self, _: &str) {}
}
