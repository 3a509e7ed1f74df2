//! `segport runs`: what earlier runs did.

use segport_ledger::{RunEnd, RunRecord, RunStatus};
use serde_json::json;

use crate::arguments::Runs;
use crate::commands::Invocation;
use crate::commands::retry::{open_rows, report_of};
use crate::exit::{Exit, Failure};
use crate::text::{count, moment, table};
use crate::{project, report};

/// A list, newest first, or one run.
pub(crate) async fn runs(invocation: &Invocation, asked: &Runs) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let settings = segport_manifest::read_settings(dir)?;
    let store = project::existing_state(dir, &settings.state).await?;
    let records = match (&store, &asked.run) {
        (Some(store), Some(run)) => vec![project::run_named(store, run).await?],
        (Some(store), None) => store.runs(asked.export.as_deref(), asked.limit).await?,
        (None, Some(run)) => return Err(segport_ledger::Error::NoRun { run: run.clone() }.into()),
        (None, None) => Vec::new(),
    };
    if output.is_json() {
        for record in &records {
            match &record.report {
                Some(report) => output.text(&format!("{}\n", report.trim()))?,
                None => output.json(&unfinished(record))?,
            }
        }
    } else if asked.run.is_some() {
        for record in &records {
            output.text(&one(record, output.style()))?;
        }
    } else if records.is_empty() {
        output.note("there were no runs yet");
    } else {
        output.text(&list(&records))?;
    }
    Ok(Exit::Done)
}

/// A run without a report.
fn unfinished(record: &RunRecord) -> serde_json::Value {
    json!({
        "schema_version": 1,
        "run_id": record.run_id,
        "export": record.export,
        "status": status(record.status),
        "started_at": record.started_at.to_string(),
        "finished_at": record.finished_at.map(|at| at.to_string()),
    })
}

fn one(record: &RunRecord, style: segport_manifest::Style) -> String {
    match report_of(record) {
        Some(run) => report::run(&run, style),
        None => format!(
            "{}: {} since {}\n\n  run {}\n",
            record.export,
            status(record.status),
            moment(record.started_at),
            record.run_id
        ),
    }
}

fn list(records: &[RunRecord]) -> String {
    let head = ["run", "export", "started", "status", "added", "changed", "removed", "open"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for record in records {
        let mut row = vec![
            record.run_id.clone(),
            record.export.clone(),
            moment(record.started_at),
            status(record.status).to_owned(),
        ];
        if let Some(report) = report_of(record) {
            let numbers = [report.rows.added, report.rows.changed, report.leavers.removed, open_rows(&report)];
            row.extend(numbers.map(count));
        }
        rows.push(row);
    }
    table(&rows)
}

/// Where a run stands, in the words of a report.
pub(crate) fn status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "running",
        RunStatus::Interrupted => "interrupted",
        RunStatus::Ended(RunEnd::Succeeded) => "succeeded",
        RunStatus::Ended(RunEnd::Partial) => "partial",
        RunStatus::Ended(RunEnd::Failed) => "failed",
        RunStatus::Ended(RunEnd::Stopped) => "stopped",
        RunStatus::Ended(RunEnd::Cancelled) => "cancelled",
    }
}
