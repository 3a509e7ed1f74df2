//! One file a command; each returns how the process ends.

mod check;
mod completions;
mod connect;
mod connectors;
mod demo;
mod explain;
mod init;
mod plan;
mod retry;
mod rows;
mod run;
mod runs;
mod sandbox;
mod schema;
mod status;
mod suppress;

use std::path::Path;

use crate::arguments::{Command, Global};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::project;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) global: Global,
    pub(crate) output: Output,
}

impl Invocation {
    /// The project's directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.global.dir
    }
}

/// Does what the user asked for.
///
/// # Errors
/// What is to be told on standard error, and how the process ends then.
pub(crate) fn perform(invocation: &Invocation, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Explain(asked) => explain::explain(invocation, &asked),
        Command::Completions(asked) => completions::print(invocation, &asked),
        command => {
            let runtime = project::runtime()?;
            let result = runtime.block_on(perform_async(invocation, command));
            // What still runs is of no interest any more.
            runtime.shutdown_background();
            result
        }
    }
}

async fn perform_async(invocation: &Invocation, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(asked) => init::init(invocation, &asked),
        Command::Check => check::check(invocation).await,
        Command::Connect(asked) => connect::connect(invocation, &asked).await,
        Command::Plan(asked) => Box::pin(plan::plan(invocation, &asked)).await,
        Command::Run(asked) => Box::pin(run::run(invocation, &asked)).await,
        Command::Retry(asked) => Box::pin(retry::retry(invocation, &asked)).await,
        Command::Runs(asked) => runs::runs(invocation, &asked).await,
        Command::Rows(asked) => rows::rows(invocation, &asked).await,
        Command::Status => status::status(invocation).await,
        Command::Suppress(asked) => suppress::suppress(invocation, asked).await,
        Command::Connectors(asked) => connectors::connectors(invocation, &asked),
        Command::Schema(asked) => schema::schema(invocation, &asked),
        Command::Sandbox(asked) => sandbox::sandbox(invocation, asked).await,
        Command::Demo(asked) => Box::pin(demo::demo(invocation, &asked)).await,
        // Done without threads.
        Command::Explain(asked) => explain::explain(invocation, &asked),
        Command::Completions(asked) => completions::print(invocation, &asked),
    }
}
