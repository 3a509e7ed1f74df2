//! `cargo xtask reference`: the generated parts of the reference, from the types.
//!
//! The tests that compare them also write them; see `crates/reference`.

use std::process::Command;

use crate::proc::{Done, cargo, run};

/// Writes them.
pub(crate) fn write() -> Done {
    let mut tests = tests();
    tests.env("SEGPORT_UPDATE", "1");
    run(tests)
}

/// Compares them with what is committed.
pub(crate) fn check() -> Done {
    run(tests())
}

/// The tests `reference_...` of the program, and of every crate that has a `tests/reference.rs`.
fn tests() -> Command {
    cargo(&[
        "test",
        "--quiet",
        "--locked",
        "--no-fail-fast",
        "--workspace",
        "--bin",
        "segport",
        "--test",
        "reference",
        "reference_",
    ])
}
