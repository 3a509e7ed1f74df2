//! The crash driver on its own, for `cargo xtask crash [--kills N] [--seed S] [--from CASE]`, or `--full STEP` to fill the disk at
//! every so many changes of the state.
#![allow(clippy::print_stderr, clippy::panic, clippy::unwrap_used, reason = "a tool of the developers")]

use segport_tests::Last;
use segport_tests::crash::{Fill, Of, Plan, drive, fill};

fn main() {
    let mut plan =
        Plan { seed: 1, from: 0, kills: 300, at_once: std::thread::available_parallelism().map_or(1, usize::from) };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number: u64 =
            words.next().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{word} takes a number"));
        match word.as_str() {
            "--kills" => plan.kills = number,
            "--seed" => plan.seed = number,
            "--from" => plan.from = number,
            "--full" => return full_disks(u32::try_from(number).unwrap().max(1)),
            "--at-once" => plan.at_once = usize::try_from(number).unwrap(),
            _ => panic!("there is no option {word}"),
        }
    }
    drive(plan, |line| eprintln!("{line}"));
}

fn full_disks(step: u32) {
    for of in [Of::New, Of::Later] {
        for last in [Last::Undone, Last::Half] {
            let figures = fill(Fill { of, last, from: 1, step }, |line| eprintln!("{line}"));
            eprintln!("{figures}");
        }
    }
}
