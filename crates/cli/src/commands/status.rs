//! `segport status`: one line an export.

use jiff::Timestamp;
use segport_engine::report::{RunReport, Severity, Verdict};
use segport_engine::undone::Undone;
use segport_ledger::{RunEnd, RunRecord, RunStatus, Store};
use segport_manifest::{Export, Project};
use serde::Serialize;

use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::project;
use crate::text::{count, counted, moment, table};

/// What is known of one export.
#[derive(Debug, Serialize)]
struct Standing {
    export: String,
    connection: String,
    last_run: Option<LastRun>,
    #[serde(serialize_with = "as_text")]
    next_run: Option<Timestamp>,
    rows_held: u64,
    open_problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LastRun {
    run_id: String,
    status: &'static str,
    #[serde(serialize_with = "as_text")]
    started_at: Option<Timestamp>,
}

fn as_text<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(moment).serialize(serializer)
}

/// All exports of the project.
pub(crate) async fn status(invocation: &Invocation) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let engine = project::open(dir)?.engine;
    let project = engine.project();
    let store = project::existing_state(dir, &project.settings.state).await?;
    let now = Timestamp::now();
    let mut standings = Vec::new();
    for export in project.exports.values() {
        standings.push(standing(project, export, store.as_ref(), now).await?);
    }
    if output.is_json() {
        for standing in &standings {
            output.json(standing)?;
        }
    } else {
        output.text(&as_table(&standings))?;
    }
    Ok(Exit::Done)
}

async fn standing(
    project: &Project,
    export: &Export,
    store: Option<&Store>,
    now: Timestamp,
) -> Result<Standing, Failure> {
    let (last, rows_held, undone) = match store {
        Some(store) => (
            store.runs(Some(&export.id), 1).await?.pop(),
            store.held(&export.id).await?,
            Undone::of(store, &export.id).await?,
        ),
        None => (None, 0, Undone::default()),
    };
    let schedule = export.schedule.as_ref().or(project.settings.refresh.as_ref());
    Ok(Standing {
        export: export.id.clone(),
        connection: export.connection.clone(),
        next_run: schedule.and_then(|schedule| schedule.next_run(now)),
        rows_held,
        open_problems: problems(project, export, last.as_ref(), &undone),
        last_run: last.map(|run| LastRun {
            status: run.status.as_str(),
            started_at: Some(run.started_at),
            run_id: run.run_id,
        }),
    })
}

fn problems(project: &Project, export: &Export, last: Option<&RunRecord>, undone: &Undone) -> Vec<String> {
    let mut problems = Vec::new();
    if project.connections.get(&export.connection).is_some_and(|connection| connection.consent.is_none()) {
        problems.push(format!("`segport connect {}` was not accepted yet", export.connection));
    }
    if last.is_some_and(|run| run.status == RunStatus::Interrupted) {
        problems.push("the last run died; the next one settles what has no outcome".to_owned());
    }
    let last = last.and_then(RunReport::of);
    problems.extend(last.iter().flat_map(|report| failures(report, "the last run")));
    let earlier = undone.unmet.iter().filter(|unmet| last.as_ref().is_some_and(|last| last.run_id != unmet.run_id));
    problems.extend(earlier.flat_map(|report| failures(report, "the last run that was no retry")));
    // Not of the newest run alone: what earlier ones left counts until something makes up for it.
    for (nth, left) in undone.left.iter().rev().enumerate() {
        let of = if nth == 0 { "" } else { " of an earlier run" };
        match left.rows {
            Some(rows) => problems.push(format!("{}{of} to retry", counted(rows, "row"))),
            None if last.is_some() => {
                problems.push("an earlier run died; the next one settles what has no outcome".to_owned());
            }
            None => {}
        }
    }
    if undone.invalid > 0 {
        problems.push(format!("{} invalid", counted(undone.invalid, "row")));
    }
    problems
}

/// Why a run was not carried out.
fn failures(report: &RunReport, run: &str) -> Vec<String> {
    match report.status {
        RunEnd::Failed => vec![failure(report, run)],
        RunEnd::Stopped => {
            let stopped = report.guards.iter().filter(|guard| guard.verdict == Verdict::Stopped);
            stopped.map(|guard| format!("guard {} stopped {run}", guard.guard)).collect()
        }
        RunEnd::Succeeded | RunEnd::Partial | RunEnd::Cancelled => Vec::new(),
    }
}

fn failure(report: &RunReport, run: &str) -> String {
    let error = report.problems.iter().find(|problem| problem.severity == Severity::Error);
    error.map_or_else(|| format!("{run} failed"), |error| format!("{run} failed: {} {}", error.code, error.message))
}

fn as_table(standings: &[Standing]) -> String {
    let head = ["export", "last run", "next run", "rows held", "open problems"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for standing in standings {
        let last = standing.last_run.as_ref().map(|run| match run.started_at {
            Some(at) => format!("{} {}", run.status, moment(at)),
            None => run.status.to_owned(),
        });
        let problems = standing.open_problems.join(", ");
        rows.push(vec![
            standing.export.clone(),
            last.unwrap_or_else(|| "never".to_owned()),
            standing.next_run.map_or_else(|| "by hand".to_owned(), moment),
            count(standing.rows_held),
            if problems.is_empty() { "none".to_owned() } else { problems },
        ]);
    }
    table(&rows)
}
