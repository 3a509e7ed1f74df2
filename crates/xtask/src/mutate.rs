//! `cargo xtask mutate`: many more damaged answers than the tests have time for.

use crate::proc::{Done, cargo, run as carry_out, say};

/// Cases unless `--cases` says otherwise.
const CASES: &str = "1000000";

/// Runs the test `mutated_answers_...` with this many cases.
pub(crate) fn run(words: &[&str]) -> Done {
    let cases = match words {
        [] => CASES,
        ["--cases", cases] if cases.parse::<u64>().is_ok_and(|cases| cases > 0) => cases,
        _ => return Err("usage: cargo xtask mutate [--cases N]".to_owned()),
    };
    let mut test = cargo(&["test", "--quiet", "--locked", "--package", "segport-properties", "--test", "answers"]);
    test.env("SEGPORT_CASES", cases);
    carry_out(test)?;
    say(&format!("{cases} damaged answers, and nobody was acknowledged whom they do not name"));
    Ok(())
}
