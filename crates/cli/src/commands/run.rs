//! `segport run`: delivers.

use std::path::Path;

use segport_engine::report::{RunReport, Trigger};
use segport_engine::{Cancel, Engine, Override, PlanReport, Request, Scope};
use segport_ledger::{RunEnd, Store};
use segport_manifest::Project;

use crate::arguments::{Overriding, Run};
use crate::commands::Invocation;
use crate::commands::connect::who;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::{progress, project, report};

/// Runs what was asked for.
pub(crate) async fn run(invocation: &Invocation, asked: &Run) -> Result<Exit, Failure> {
    let dir = invocation.dir();
    let engine = project::open(dir)?.engine;
    let requests = requests(engine.project(), asked, dir)?;
    let store = project::state(dir, &engine.project().settings.state).await?;
    Box::pin(deliver(invocation, &engine, &store, requests)).await
}

/// Runs one request after the other and prints each report; the worst end counts.
pub(crate) async fn deliver(
    invocation: &Invocation,
    engine: &Engine,
    store: &Store,
    requests: Vec<Request>,
) -> Result<Exit, Failure> {
    let output = &invocation.output;
    let progress = progress::watcher(invocation.global.quiet);
    let cancel = Cancel::new();
    let interrupt = Interrupt::watch(cancel.clone())?;
    let (mut worst, mut unwritten) = (Exit::Done, None);
    for (number, request) in requests.iter().enumerate() {
        if let Some(exit) = interrupt.seen() {
            return Ok(exit);
        }
        let exit = match Box::pin(engine.run(store, request, &*progress, &cancel)).await {
            Ok(report) => {
                // A report that cannot be written keeps no other export from its run.
                let gap = if number > 0 { "\n" } else { "" };
                if let Err(failure) = print(invocation, gap, &report) {
                    unwritten.get_or_insert(failure);
                }
                end_of(&report, &interrupt)
            }
            Err(error) => {
                let failure = Failure::from(error);
                output.failure(&failure);
                interrupt.seen().unwrap_or(failure.exit())
            }
        };
        worst = worst.max(exit);
    }
    match unwritten {
        Some(failure) => Err(failure.exit_with(worst.max(Exit::Unfinished))),
        None => Ok(worst),
    }
}

fn print(invocation: &Invocation, gap: &str, report: &RunReport) -> Result<(), Failure> {
    let output = &invocation.output;
    if output.is_json() {
        return output.json(report);
    }
    output.text(&format!("{gap}{}", report::run(report, output.style())))
}

fn end_of(report: &RunReport, interrupt: &Interrupt) -> Exit {
    match (report.status, interrupt.seen()) {
        (RunEnd::Cancelled, Some(exit)) => exit,
        (RunEnd::Failed, _) if report.is_outdated() => Exit::NotStarted,
        (status, _) => Exit::of(status),
    }
}

/// What the command line asks for.
fn requests(project: &Project, asked: &Run, dir: &Path) -> Result<Vec<Request>, Failure> {
    let scope = if asked.full { Scope::Full } else { Scope::Changes };
    let overrides = overrides(&asked.overriding);
    let request = |export: String, expected: Option<PlanReport>| Request {
        export,
        trigger: Trigger::Manual,
        scope: scope.clone(),
        overrides: overrides.clone(),
        expected,
    };
    if let Some(file) = &asked.plan {
        let plans = read_plans(&dir.join(file))?;
        let names: Vec<String> = plans.iter().map(|plan| plan.export.clone()).collect();
        project::exports(project, &names)?;
        return Ok(plans.into_iter().map(|plan| request(plan.export.clone(), Some(plan))).collect());
    }
    let exports = project::exports(project, &asked.exports)?;
    if asked.exports.is_empty() && !asked.all && exports.len() > 1 {
        return Err(Failure::new("which export?")
            .help(format!("name some of {}, or run every one with `--all`", exports.join(", "))));
    }
    Ok(exports.into_iter().map(|export| request(export, None)).collect())
}

/// Which guards may not stop a run, and who says so.
pub(super) fn overrides(Overriding { overrides, reason, by }: &Overriding) -> Override {
    Override {
        guards: overrides.clone(),
        by: (!overrides.is_empty()).then(|| by.clone().unwrap_or_else(who)),
        reason: reason.clone(),
    }
}

/// The plans of a file that `plan --out` wrote: one a line.
fn read_plans(path: &Path) -> Result<Vec<PlanReport>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let plans: Result<Vec<PlanReport>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
    match plans {
        Ok(plans) if plans.iter().any(|plan| plan.schema_version != 1) => Err(Failure::new(format!(
            "{} was made by another version of Segport, in a form that this one does not know",
            path.display()
        ))
        .help("make one with `segport plan --out FILE`")),
        Ok(plans) if !plans.is_empty() => Ok(plans),
        Ok(_) => Err(Failure::new(format!("{} holds no plan", path.display()))),
        Err(error) => Err(Failure::new(format!("{} is not a plan: {error}", path.display()))
            .help("make one with `segport plan --out FILE`")),
    }
}
