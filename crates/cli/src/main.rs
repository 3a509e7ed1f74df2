//! The host binary: argument parsing and output, nothing else.
//!
//! `arguments` says what may be typed, `commands` has one file for each command, `project` opens what a command needs,
//! `output` and `progress` say where text goes, `exit` how the process ends.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod exit;
#[cfg(any(debug_assertions, feature = "failpoints"))]
mod failpoint;
mod interrupt;
mod logging;
mod output;
mod progress;
mod project;
#[cfg(test)]
mod reference;
mod report;
mod sample;
mod scaffold;
mod starter;
mod text;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use commands::Invocation;
use output::Output;

/// Memory of the whole process, plugins and SQLite included, since this one takes the place of `malloc`. Rows are made by one thread
/// and dropped by another, for which threads wait for each other in the C library's.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let Arguments { global, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            heed_colour();
            // Help goes to standard output, mistakes to standard error; if nobody reads it there is nothing to do.
            error.print().unwrap_or(());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::new(&global);
    logging::start(&global, output.messages());
    let invocation = Invocation { output, global };
    match commands::perform(&invocation, command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            invocation.output.failure(&failure);
            failure.exit().into()
        }
    }
}

/// `--color` also counts where the rest of the command line is wrong, and so for help.
fn heed_colour() {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.flat_map(|word| word.split('=').map(str::to_owned).collect::<Vec<_>>()).collect();
    match words.iter().skip_while(|word| *word != "--color").nth(1).map(String::as_str) {
        Some("never") => anstream::ColorChoice::Never.write_global(),
        Some("always") => anstream::ColorChoice::Always.write_global(),
        _ => {}
    }
}
