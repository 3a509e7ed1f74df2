//! `segport demo`: everything once, offline, in a temporary directory.

use std::path::{Path, PathBuf};

use segport_engine::report::RunReport;
use segport_engine::{Cancel, Engine, Request};
use segport_ledger::{RunEnd, Store};
use segport_sandbox::{Options, Sandbox};
use tempfile::TempDir;

use crate::arguments::Demo;
use crate::commands::{Invocation, connect};
use crate::exit::{Exit, Failure, chain};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::sample::Quality;
use crate::starter::Starter;
use crate::text::{between, count, counted};
use crate::{progress, project, report};

const EXPORT: &str = "newsletter";
const CONNECTION: &str = "autopilot";

/// Tells what it does, step by step; exit code 1 unless all is delivered at first and nothing the second time.
pub(crate) async fn demo(invocation: &Invocation, asked: &Demo) -> Result<Exit, Failure> {
    let place = tempfile::Builder::new()
        .prefix("segport-demo-")
        .tempdir()
        .map_err(|error| Failure::new(format!("cannot make a temporary directory: {error}")))?;
    let cancel = Cancel::new();
    let interrupt = Interrupt::watch(cancel.clone())?;
    let told = Box::pin(play(invocation, asked, place.path(), &cancel)).await;
    if asked.keep {
        let kept = keep(place);
        // With `--quiet` too: nobody would find it.
        Output::remark(&format!(
            "the project is in {}; its sandbox is gone (`segport sandbox autopilot` starts one)",
            kept.display()
        ));
    }
    match interrupt.seen() {
        Some(exit) => Ok(exit),
        None => told,
    }
}

fn keep(place: TempDir) -> PathBuf {
    place.keep()
}

/// A heading of the story; not among the objects of `--output json`.
fn step(output: &Output, number: u8, title: &str) -> Result<(), Failure> {
    say(output, &format!("{}{number}. {title}\n\n", if number == 1 { "" } else { "\n" }))
}

fn say(output: &Output, text: &str) -> Result<(), Failure> {
    if output.is_json() { Ok(()) } else { output.text(text) }
}

async fn play(invocation: &Invocation, asked: &Demo, dir: &Path, cancel: &Cancel) -> Result<Exit, Failure> {
    let output = &invocation.output;
    let profiles = asked.profiles;

    step(output, 1, "A stand-in for Autopilot on this machine, and a project (`segport sandbox`, `segport init`)")?;
    let sandbox = Sandbox::start(Options { rate: asked.rate, log_capacity: 0, ..Options::default() })
        .map_err(|error| Failure::new(chain(&error)))?;
    let starter = Starter {
        name: "demo".to_owned(),
        base_url: sandbox.base_url(),
        requests_per_second: asked.rate,
        profiles,
        quality: Quality::Clean,
        vip: false,
    };
    starter.write(dir)?;
    say(output, &format!("   {} made-up profiles; nothing leaves this machine\n", count(profiles)))?;

    step(output, 2, "Accept the data-privacy text and test the connection (`segport connect autopilot --accept`)")?;
    connect::record(dir, CONNECTION, "demo@localhost".to_owned())?;
    let engine = project::open(dir)?.engine;
    let store = project::state(dir, &engine.project().settings.state).await?;
    let account = engine.account(CONNECTION).await?;
    say(output, &format!("   {}", connect::reached(CONNECTION, &account)))?;

    step(output, 3, "What would be sent? (`segport plan`)")?;
    let progress = progress::watcher(invocation.global.quiet);
    let plan = Box::pin(engine.plan(&store, &Request::new(EXPORT), &*progress, cancel)).await?;
    if output.is_json() {
        output.json(&plan)?;
    } else {
        output.text(&indented(&report::plan(&plan, output.style())))?;
    }

    step(output, 4, "Send it (`segport run`)")?;
    let first = Box::pin(run(invocation, &engine, &store, cancel)).await?;
    step(output, 5, "Once more: nothing changed, so nothing is sent (`segport run`)")?;
    let second = Box::pin(run(invocation, &engine, &store, cancel)).await?;

    let arrived = sandbox.autopilot().contact_count() as u64;
    sandbox.shutdown();
    conclude(output, &Ending { profiles, arrived, first, second })
}

async fn run(invocation: &Invocation, engine: &Engine, store: &Store, cancel: &Cancel) -> Result<RunReport, Failure> {
    let output = &invocation.output;
    let progress = progress::watcher(invocation.global.quiet);
    let report = Box::pin(engine.run(store, &Request::new(EXPORT), &*progress, cancel)).await?;
    if output.is_json() {
        output.json(&report)?;
    } else {
        output.text(&indented(&report::run(&report, output.style())))?;
    }
    Ok(report)
}

fn indented(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("   {line}\n") };
    text.lines().map(line).collect()
}

struct Ending {
    profiles: u64,
    arrived: u64,
    first: RunReport,
    second: RunReport,
}

impl Ending {
    fn is_as_promised(&self) -> bool {
        let Self { profiles, arrived, first, second } = self;
        let delivered = first.status == RunEnd::Succeeded && first.rows.added == *profiles && arrived == profiles;
        delivered && second.status == RunEnd::Succeeded && sent(second) == 0 && second.rows.unchanged == *profiles
    }
}

/// Rows that a run delivered or tried to.
fn sent(report: &RunReport) -> u64 {
    let rows = report.rows;
    rows.added + rows.changed + rows.refused + rows.unknown + report.leavers.removed
}

fn conclude(output: &Output, ending: &Ending) -> Result<Exit, Failure> {
    let Ending { first, second, arrived, .. } = ending;
    let line = |name: &str, report: &RunReport| {
        let time = between(report.started_at, report.finished_at);
        let calls = counted(report.calls.requests, "call");
        format!("  {name}  {} delivered, {} sent, {calls}, {time}\n", count(report.rows.added), count(sent(report)))
    };
    say(
        output,
        &format!(
            "\nSummary\n\n{}{}  {} contacts at the destination\n\n",
            line("first run ", first),
            line("second run", second),
            count(*arrived)
        ),
    )?;
    if !ending.is_as_promised() {
        return Err(Failure::new(
            "the demo did not go as it should: every profile is delivered by the first run, none by the second",
        )
        .exit_with(Exit::Unfinished));
    }
    say(output, "Make a project of your own with `segport init shop`.\n")?;
    Ok(Exit::Done)
}
