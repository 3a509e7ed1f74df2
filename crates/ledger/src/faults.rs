//! Where tests make durable operations fail.

use std::fmt;
use std::io;

/// Called before each durable operation of a [`crate::Store`], so that a test can fail it, or end the process there.
///
/// Operations, in the order a run meets them: `create_state`, `migrate`, `take_lease`, `begin_run`, `append_page` (once a page),
/// `commit`, `acknowledge` (after a commit, before anybody is told of it), `end_run`, `fold_state`; and
/// `mark_suppression`.
pub trait Faults: Send + Sync + fmt::Debug {
    /// Lets the operation go on, or fails it.
    ///
    /// # Errors
    /// The error that the operation is to fail with.
    fn before(&self, operation: &'static str) -> io::Result<()>;
}

/// Lets everything go on.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn before(&self, _operation: &'static str) -> io::Result<()> {
        Ok(())
    }
}
