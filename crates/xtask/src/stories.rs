//! `cargo xtask stories`: many more stories of the ledger than the tests have time for.

use crate::proc::{Done, cargo, run as carry_out, say};

/// Stories unless `--cases` says otherwise.
const CASES: &str = "10000";
/// Where they begin unless `--seed` says otherwise. The tests begin at 0.
const SEED: &str = "1";

/// Runs the test `the_next_whole_runs_put_everything_right` with these stories.
pub(crate) fn run(words: &[&str]) -> Done {
    let (mut cases, mut seed) = (CASES, SEED);
    for pair in words.chunks(2) {
        match *pair {
            ["--cases", number] if number.parse::<u32>().is_ok_and(|cases| cases > 0) => cases = number,
            ["--seed", number] if number.parse::<u64>().is_ok() => seed = number,
            _ => return Err("usage: cargo xtask stories [--cases N] [--seed S]".to_owned()),
        }
    }
    let mut test = cargo(&["test", "--quiet", "--locked", "--package", "segport-properties", "--test", "ledger"]);
    test.env("SEGPORT_CASES", cases).env("PROPTEST_RNG_SEED", seed);
    carry_out(test)?;
    say(&format!("{cases} stories from seed {seed}, and the ledger is as its model in each"));
    Ok(())
}
