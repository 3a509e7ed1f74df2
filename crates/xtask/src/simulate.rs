//! `cargo xtask simulate`: many more seeds of the simulation than the tests have time for, or the story of one.

use crate::proc::{Done, cargo, run as carry_out, say};

/// Seeds unless `--seeds` says otherwise.
const SEEDS: &str = "100000";

/// Runs the tests `whatever_happens_...` of the engine with these seeds.
pub(crate) fn run(words: &[&str]) -> Done {
    let (mut seeds, mut seed) = (None, None);
    for pair in words.chunks(2) {
        match *pair {
            ["--seeds", number] if number.parse::<u64>().is_ok_and(|seeds| seeds > 0) => seeds = Some(number),
            ["--seed", number] if number.parse::<u64>().is_ok() => seed = Some(number),
            _ => return Err("usage: cargo xtask simulate [--seeds N] [--seed S]".to_owned()),
        }
    }
    let mut test = cargo(&["test", "--quiet", "--locked", "--package", "segport-engine", "--lib", "whatever_happens_"]);
    if seeds.is_none() && seed.is_some() {
        // What a test says is only shown if it fails, and this one is to be seen anyway.
        test.args(["--", "--nocapture"]);
    }
    let first = seed.unwrap_or("0");
    let seeds = seeds.unwrap_or(if seed.is_some() { "1" } else { SEEDS });
    test.env("SEGPORT_SEED", first).env("SEGPORT_SEEDS", seeds);
    carry_out(test)?;
    say(&format!("{seeds} seed(s) from {first} on, and every run ended well"));
    Ok(())
}
