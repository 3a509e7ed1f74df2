//! What must hold of any input: checks that tests and fuzz targets share.
//!
//! A check takes bytes that could come from anywhere, hands them to the public interface of the crate that has to deal with
//! them, and panics if what comes back breaks a promise. The tests run each check on the committed corpus and on damaged
//! copies of it; the targets in `fuzz/` run it on what libFuzzer finds.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check fails by panicking")]

pub mod answer;
mod frame;
pub mod ledger;
mod manifest;
mod rows;

use std::cell::OnceCell;

pub use answer::answer;
pub use frame::frame;
pub use ledger::ledger;
pub use manifest::manifest;
pub use rows::{csv, json_lines, parquet, same_from_every_cursor};

/// A check of any bytes.
pub type Check = fn(&[u8]);

/// Every check with its name, which is that of its fuzz target and its corpus.
pub const CHECKS: [(&str, Check); 7] = [
    ("answer", answer),
    ("csv", csv),
    ("frame", frame),
    ("json_lines", json_lines),
    ("ledger", ledger),
    ("manifest", manifest),
    ("parquet", parquet),
];

/// Runs `future` on the runtime of this thread: making one for each input would take longer than most checks.
fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: OnceCell<tokio::runtime::Runtime> = const { OnceCell::new() };
    }
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    RUNTIME.with(|runtime| runtime.get_or_init(build).block_on(future))
}
