//! `segport retry`: only what failed, was deferred or is unknown.

use segport_engine::report::{RunReport, Trigger};
use segport_engine::undone::{self, Undone};
use segport_engine::{Request, Scope};
use segport_ledger::{RunEnd, Store};
use segport_manifest::Project;

use crate::arguments::Retry;
use crate::commands::{Invocation, run};
use crate::exit::{Exit, Failure};
use crate::project;

/// One run, or whatever is undone of each export.
pub(crate) async fn retry(invocation: &Invocation, asked: &Retry) -> Result<Exit, Failure> {
    let dir = invocation.dir();
    let engine = project::open(dir)?.engine;
    let store = project::state(dir, &engine.project().settings.state).await?;
    let Chosen { mut requests, hindrances } = match &asked.run {
        Some(run) => one(engine.project(), &store, run).await?,
        None => all(engine.project(), &store).await?,
    };
    let overrides = run::overrides(&asked.overriding);
    requests.iter_mut().for_each(|request| request.overrides = overrides.clone());
    let mut worst = Exit::Done;
    for hindrance in &hindrances {
        invocation.output.failure(hindrance);
        worst = worst.max(hindrance.exit());
    }
    if requests.is_empty() {
        if hindrances.is_empty() {
            invocation.output.note("there is nothing to retry");
        }
        return Ok(worst);
    }
    Ok(Box::pin(run::deliver(invocation, &engine, &store, requests)).await?.max(worst))
}

/// What to retry, and why something cannot be.
#[derive(Debug, Default)]
struct Chosen {
    requests: Vec<Request>,
    hindrances: Vec<Failure>,
}

async fn one(project: &Project, store: &Store, run: &str) -> Result<Chosen, Failure> {
    let run = project::run_named(store, run).await?;
    project::exports(project, std::slice::from_ref(&run.export))?;
    if !undone::has_open_rows(&run) {
        let hindrances = RunReport::of(&run).filter(undone::is_unmet).as_ref().map(lists_nothing);
        return Ok(Chosen { hindrances: hindrances.into_iter().collect(), ..Chosen::default() });
    }
    Ok(Chosen { requests: vec![request(&run.export, vec![run.run_id])], ..Chosen::default() })
}

async fn all(project: &Project, store: &Store) -> Result<Chosen, Failure> {
    let mut chosen = Chosen::default();
    for export in project.exports.keys() {
        let undone = Undone::of(store, export).await?;
        chosen.hindrances.extend(undone.lists_nothing().map(lists_nothing));
        if !undone.left.is_empty() {
            chosen.requests.push(request(export, undone.left.into_iter().map(|left| left.run_id).collect()));
        }
    }
    Ok(chosen)
}

fn request(export: &str, runs: Vec<String>) -> Request {
    Request { trigger: Trigger::Retry, scope: Scope::Only(runs), ..Request::new(export) }
}

/// Why there is nothing to retry although a run did not do what it was asked.
fn lists_nothing(report: &RunReport) -> Failure {
    let RunReport { run_id, export, status, .. } = report;
    let ended = match status {
        RunEnd::Stopped => "was stopped",
        RunEnd::Cancelled => "was cancelled",
        _ => "failed",
    };
    Failure::new(format!("run {run_id} of export `{export}` {ended}, and lists no rows to retry"))
        .help(format!("`segport runs {run_id}` says why; once that is mended, run the export again"))
        .exit_with(Exit::Unfinished)
}
