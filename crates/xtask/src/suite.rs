//! `cargo xtask test`: everything that must pass, in the order in which it fails fastest.

use std::process::{Command, Stdio};

use crate::proc::{self, Done, cargo, say};
use crate::tidy;

/// Debian packages that the build and the tests use, with a program that shows that each is there.
const PACKAGES: [(&str, &str); 2] = [("gcc", "cc"), ("make", "make")];

/// Runs it all.
pub(crate) fn run() -> Done {
    packages()?;
    nextest()?;
    proc::run(cargo(&["fmt", "--all", "--check"]))?;
    proc::run(cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    tidy::run()?;
    proc::run(cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--lib"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    proc::run(docs)?;
    // The end-to-end tests load the plugins as the files that this makes.
    proc::run(cargo(&["build", "--workspace", "--locked"]))?;
    proc::run(cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]))?;
    proc::run(cargo(&["test", "--workspace", "--doc", "--locked"]))
}

fn packages() -> Done {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, program)| !is_there(program)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install --yes {}", missing.join(" "));
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root {
        return Err(format!("some programs are missing; install them with `sudo {install}`"));
    }
    say(&format!("installing {}", missing.join(", ")));
    let mut update = Command::new("apt-get");
    update.arg("update");
    proc::run(update)?;
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--yes"]).args(missing);
    proc::run(apt)
}

fn nextest() -> Done {
    if cargo(&["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        return Ok(());
    }
    proc::run(cargo(&["install", "cargo-nextest", "--locked"]))
}

fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
