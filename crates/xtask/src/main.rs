//! Tasks of the workspace: `cargo xtask demo | test | schemas | reference | bench | crash | simulate | stories | mutate | fuzz |
//! tidy | picture | new-connector`.

#![forbid(unsafe_code)]

mod bench;
mod compare;
mod crash;
mod demo;
mod fuzz;
mod mutate;
mod picture;
mod proc;
mod reference;
mod schemas;
mod simulate;
mod stories;
mod suite;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
Tasks of the Segport workspace

Usage: cargo xtask <TASK>

  demo [--profiles N]   build a release, then show an export of 100,000 generated profiles
  test                  everything that must pass: format, lints, schemas, docs, all tests
  schemas [--check]     write the JSON schemas from the types, or compare them
  reference [--check]   write the generated parts of the reference from the types, or compare them
  tidy                  check the rules of the tree that no compiler checks
  bench [NAME...]       measure; names: engine, paced, unchanged, call, check; by name only: paced-single, size,
                        wide, compare, memory
  crash [OPTION N...]   kill runs and compare with a twin; options: --kills, --seed, --from (a case), --at-once;
                        or fill the disk at every Nth change of the state: --full
  simulate [OPTION N]   play seeds of the simulation; options: --seeds, --seed (alone: tell what happens in it)
  stories [OPTION N]    compare the ledger with a model of it; options: --cases, --seed
  mutate [--cases N]    damage N answers of the API (a million) and look for a false acknowledgement
  fuzz [TARGET...]      look for inputs that break a promise; options: --seconds, --runs (of each target)
  picture               draw the terminal of the README from a run of the demo
  new-connector NAME    write a complete connector crate";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["demo", rest @ ..] => demo::run(rest),
        ["test"] => suite::run(),
        ["schemas"] => schemas::write(),
        ["schemas", "--check"] => schemas::check(),
        ["reference"] => reference::write(),
        ["reference", "--check"] => reference::check(),
        ["tidy"] => tidy::run(),
        ["bench", names @ ..] => bench::run(names),
        ["crash", rest @ ..] => crash::run(rest),
        ["simulate", rest @ ..] => simulate::run(rest),
        ["stories", rest @ ..] => stories::run(rest),
        ["mutate", rest @ ..] => mutate::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["picture"] => picture::draw(),
        ["new-connector", name] => demo::new_connector(name),
        [] | ["help" | "-h" | "--help"] => {
            proc::say(HELP);
            Ok(())
        }
        _ => Err(format!("there is no task `{}`\n\n{HELP}", words.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            proc::say(&format!("error: {problem}"));
            ExitCode::FAILURE
        }
    }
}
