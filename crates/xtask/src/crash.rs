//! `cargo xtask crash`: kills runs at random moments and at failpoints, or fills their disk, and compares with an undisturbed
//! twin.

use crate::proc::{self, Done, cargo, target_dir};

/// Runs the driver of the end-to-end tests with these arguments, on a release that has failpoints: it starts and ends in a
/// fraction of the time of a debug build, so that many more kills fit into an hour.
pub(crate) fn run(arguments: &[&str]) -> Done {
    // Not where releases are: nobody must take this binary for one.
    let target = target_dir().join("failpoints");
    let packages = ["-p", "segport", "-p", "segport-autopilot", "-p", "segport-files"];
    let mut build = cargo(&["build", "--release", "--locked", "--features", "segport/failpoints"]);
    build.args(packages).arg("--target-dir").arg(&target);
    proc::run(build)?;
    let mut driver = cargo(&["run", "--quiet", "--locked", "-p", "segport-tests", "--example", "crash", "--"]);
    driver.args(arguments).env("SEGPORT_TEST_BIN_DIR", target.join("release"));
    proc::run(driver)
}
