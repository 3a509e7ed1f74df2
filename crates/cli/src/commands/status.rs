//! `segport status`: one line an export.

use jiff::Timestamp;
use segport_engine::report::{RunReport, Severity, Status, Verdict};
use segport_ledger::{RunRecord, RunStatus, Store};
use segport_manifest::{Export, Project};
use serde::Serialize;

use crate::commands::Invocation;
use crate::commands::retry::{open_rows, report_of};
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
    let (last, rows_held) = match store {
        Some(store) => (store.runs(Some(&export.id), 1).await?.pop(), store.held(&export.id).await?),
        None => (None, 0),
    };
    let schedule = export.schedule.as_ref().or(project.settings.refresh.as_ref());
    Ok(Standing {
        export: export.id.clone(),
        connection: export.connection.clone(),
        next_run: schedule.and_then(|schedule| schedule.next_run(now)),
        rows_held,
        open_problems: problems(project, export, last.as_ref()),
        last_run: last.map(|run| LastRun {
            status: run.status.as_str(),
            started_at: Some(run.started_at),
            run_id: run.run_id,
        }),
    })
}

fn problems(project: &Project, export: &Export, last: Option<&RunRecord>) -> Vec<String> {
    let mut problems = Vec::new();
    if project.connections.get(&export.connection).is_some_and(|connection| connection.consent.is_none()) {
        problems.push(format!("`segport connect {}` was not accepted yet", export.connection));
    }
    if last.is_some_and(|run| run.status == RunStatus::Interrupted) {
        problems.push("the last run died; the next one settles what has no outcome".to_owned());
    }
    if let Some(report) = last.and_then(report_of) {
        match report.status {
            Status::Failed => problems.push(failure(&report)),
            Status::Stopped => {
                let stopped = report.guards.iter().filter(|guard| guard.verdict == Verdict::Stopped);
                problems.extend(stopped.map(|guard| format!("guard {} stopped the last run", guard.guard)));
            }
            Status::Succeeded | Status::Partial | Status::Cancelled => {}
        }
        let open = open_rows(&report);
        if open > 0 {
            problems.push(format!("{} to retry", counted(open, "row")));
        }
        if report.rows.invalid > 0 {
            problems.push(format!("{} invalid", counted(report.rows.invalid, "row")));
        }
    }
    problems
}

fn failure(report: &RunReport) -> String {
    let error = report.problems.iter().find(|problem| problem.severity == Severity::Error);
    error.map_or_else(
        || "the last run failed".to_owned(),
        |error| format!("the last run failed: {} {}", error.code, error.message),
    )
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
