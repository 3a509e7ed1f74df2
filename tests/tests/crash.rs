//! A fixed share of what the crash driver does; `cargo xtask crash` does more.
#![allow(clippy::print_stderr, reason = "tests tell their figures")]

use segport_tests::Last;
use segport_tests::crash::{Action, Fill, Of, Plan, drive, fill, sweep};

/// The seed of the fixed share.
const SEED: u32 = 20_261_125;

fn share(from: u64) {
    drive(Plan { seed: u64::from(SEED), from, kills: 100, at_once: 1 }, |line| eprintln!("{line}"));
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

/// Every so many changes of the state, the disk is full: `cargo xtask crash --full 1` does all.
const STEP: u32 = 40;

fn share_of_full_disks(of: Of) {
    for (last, from) in [(Last::Undone, SEED % STEP + 1), (Last::Half, SEED / STEP % STEP + 1)] {
        eprintln!("{}", fill(Fill { of, last, from, step: STEP }, |line| eprintln!("{line}")));
    }
}

#[test]
fn a_disk_that_fills_up_in_the_first_run_costs_nothing() {
    share_of_full_disks(Of::New);
}

#[test]
fn a_disk_that_fills_up_in_a_later_run_costs_nothing() {
    share_of_full_disks(Of::Later);
}
