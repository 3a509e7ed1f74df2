//! `segport completions`: a script for the user's shell.

use clap::CommandFactory;

use crate::arguments::{Arguments, Completions};
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};

/// Prints the script.
pub(crate) fn print(invocation: &Invocation, asked: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut Arguments::command(), "segport", &mut script);
    invocation.output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
