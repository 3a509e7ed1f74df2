//! The crash driver on its own, for `cargo xtask crash [--kills N] [--seed S] [--from CASE]`.
#![allow(clippy::print_stderr, clippy::panic, clippy::unwrap_used, reason = "a tool of the developers")]

use segport_tests::crash::{Plan, drive};

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
            "--at-once" => plan.at_once = usize::try_from(number).unwrap(),
            _ => panic!("there is no option {word}"),
        }
    }
    drive(plan, |line| eprintln!("{line}"));
}
