//! `cargo xtask fuzz`: lets libFuzzer look for inputs that break a promise.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::proc::{self, Done, cargo, root, target_dir};

const USAGE: &str = "usage: cargo xtask fuzz [TARGET...] [--seconds N | --runs N]";
const INSTALL: &str = "cargo-fuzz is missing; install it with `cargo install cargo-fuzz --locked`";
/// How long each target runs unless an option says otherwise.
const SECONDS: &str = "-max_total_time=60";
/// Files of the inputs are written and read for every execution; memory is the place for them where there is one.
const MEMORY: &str = "/dev/shm";

/// Runs these targets, or all of them, one after the other.
pub(crate) fn run(words: &[&str]) -> Done {
    let (targets, limit) = parse(words)?;
    let all = targets_in(&root().join("fuzz/fuzz_targets"))?;
    if let Some(unknown) = targets.iter().find(|target| !all.iter().any(|known| known == *target)) {
        return Err(format!("there is no fuzz target `{unknown}`; there are {}", all.join(", ")));
    }
    let mut version = cargo(&["fuzz", "--version"]);
    if !version.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Err(INSTALL.to_owned());
    }
    for target in if targets.is_empty() { all } else { targets } {
        fuzz(&target, &limit)?;
    }
    Ok(())
}

fn fuzz(target: &str, limit: &str) -> Done {
    // What is found goes to the first folder, so that the committed one stays as it is.
    let found = target_dir().join("fuzz").join(target);
    fs::create_dir_all(&found).map_err(|error| format!("{} cannot be made: {error}", found.display()))?;
    let committed = root().join("fuzz/corpus").join(target);
    let mut command = cargo(&["fuzz", "run", "--fuzz-dir", "fuzz", target]);
    // A thread of the database that is about to end looks like a leak.
    command.args([&found, &committed]).args(["--", limit, "-detect_leaks=0"]);
    // The address sanitizer is an unstable option of the compiler, which a stable one takes with this.
    command.env("RUSTC_BOOTSTRAP", "1");
    if Path::new(MEMORY).is_dir() {
        command.env("TMPDIR", MEMORY);
    }
    proc::run(command)
}

/// The targets that were named, and the option of libFuzzer that ends a run.
fn parse(words: &[&str]) -> Done<(Vec<String>, String)> {
    let mut targets = Vec::new();
    let mut limit = SECONDS.to_owned();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let option = match word {
            "--seconds" => "-max_total_time",
            "--runs" => "-runs",
            _ if word.starts_with('-') => return Err(USAGE.to_owned()),
            _ => {
                targets.push(word.to_owned());
                continue;
            }
        };
        let number = words.next().and_then(|number| number.parse::<u64>().ok()).filter(|number| *number > 0);
        limit = format!("{option}={}", number.ok_or(USAGE)?);
    }
    Ok((targets, limit))
}

fn targets_in(folder: &Path) -> Done<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{} cannot be listed: {error}", folder.display()))?;
    let stem = |entry: fs::DirEntry| Some(entry.path().file_stem()?.to_str()?.to_owned());
    let mut targets: Vec<String> = entries.flatten().filter_map(stem).collect();
    targets.sort();
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_a_limit_are_taken_in_any_order() {
        let check = |words: &[&str], expected: Option<(&[&str], &str)>| {
            let expected = expected.map(|(targets, limit)| {
                (targets.iter().map(|&target| target.to_owned()).collect::<Vec<_>>(), limit.to_owned())
            });
            assert_eq!(parse(words).ok(), expected, "{words:?}");
        };
        check(&[], Some((&[], "-max_total_time=60")));
        check(&["csv", "--seconds", "5", "frame"], Some((&["csv", "frame"], "-max_total_time=5")));
        check(&["--runs", "1000", "csv"], Some((&["csv"], "-runs=1000")));
        check(&["--runs"], None);
        check(&["--runs", "0"], None);
        check(&["--minutes", "5"], None);
    }
}
