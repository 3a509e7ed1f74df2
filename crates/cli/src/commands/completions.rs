//! `segport completions`: a script for the user's shell.

use clap::CommandFactory;
use serde_json::json;

use crate::arguments::{Arguments, Completions};
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};

/// Prints the script.
pub(crate) fn print(invocation: &Invocation, asked: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut Arguments::command(), "segport", &mut script);
    let (output, script) = (&invocation.output, String::from_utf8_lossy(&script));
    if output.is_json() {
        output.json(&json!({ "shell": asked.shell.to_string(), "script": script }))?;
    } else {
        output.text(&script)?;
    }
    Ok(Exit::Done)
}
