//! A fixed share of what the crash driver does; `cargo xtask crash` does more.
#![allow(clippy::print_stderr, reason = "tests tell their figures")]

use segport_tests::crash::{Action, Plan, drive, sweep};

/// The seed of the fixed share.
const SEED: u64 = 20_261_125;

fn share(from: u64) {
    drive(Plan { seed: SEED, from, kills: 100, at_once: 1 }, |line| eprintln!("{line}"));
}

#[test]
fn crash_a_hundred_runs() {
    share(0);
}

#[test]
fn crash_another_hundred_runs() {
    share(1000);
}

#[test]
fn crash_a_third_hundred_runs() {
    share(2000);
}

#[test]
fn crash_at_every_durable_operation() {
    eprintln!("{}", sweep(Action::Kill));
}

#[test]
fn crash_nothing_when_any_durable_operation_fails() {
    eprintln!("{}", sweep(Action::Fail));
}
