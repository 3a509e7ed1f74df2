//! `cargo xtask crash`: kills runs at random moments and at failpoints, or fills their disk, and compares with an undisturbed
//! twin.

use crate::proc::{self, Done, cargo};

/// Runs the driver of the end-to-end tests with these arguments; it builds what it kills.
pub(crate) fn run(arguments: &[&str]) -> Done {
    let mut driver = cargo(&["run", "--quiet", "--locked", "-p", "segport-tests", "--example", "crash", "--"]);
    driver.args(arguments);
    proc::run(driver)
}
