//! `cargo xtask demo` and `cargo xtask new-connector`.

use std::process::Command;

use crate::proc::{self, Done, cargo, target_dir};

/// Profiles of the demo.
pub(crate) const PROFILES: &str = "100000";

/// Builds what the demo needs, then runs it.
pub(crate) fn run_demo(profiles: &str) -> Done {
    release()?;
    let mut demo = Command::new(target_dir().join("release/segport"));
    demo.args(["demo", "--profiles", profiles]);
    proc::run(demo)
}

/// `cargo xtask demo [--profiles N]`.
pub(crate) fn run(arguments: &[&str]) -> Done {
    match arguments {
        [] => run_demo(PROFILES),
        ["--profiles", profiles] => run_demo(profiles),
        _ => Err("usage: cargo xtask demo [--profiles N]".to_owned()),
    }
}

/// Builds the binary and the plugins as they are released.
pub(crate) fn release() -> Done {
    proc::run(cargo(&[
        "build",
        "--release",
        "--locked",
        "-p",
        "segport",
        "-p",
        "segport-autopilot",
        "-p",
        "segport-files",
    ]))
}

/// Writes a connector crate with the scaffold of the binary.
pub(crate) fn new_connector(name: &str) -> Done {
    proc::run(cargo(&["run", "--quiet", "-p", "segport", "--", "connectors", "new", name]))
}
