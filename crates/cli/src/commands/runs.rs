//! `segport runs`: what earlier runs did.

use std::collections::HashSet;
use std::path::Path;

use segport_engine::report::RunReport;
use segport_ledger::{RunRecord, RunStatus};
use segport_manifest::Code;
use serde_json::json;

use crate::arguments::Runs;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::text::{count, moment, table};
use crate::{project, report};

/// A list, newest first, or one run.
pub(crate) async fn runs(invocation: &Invocation, asked: &Runs) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let settings = segport_manifest::read_settings(dir)?;
    let store = project::existing_state(dir, &settings.state).await?;
    let mut records = match (&store, &asked.run) {
        (Some(store), Some(run)) => vec![project::run_named(store, run).await?],
        (Some(store), None) => store.runs(asked.export.as_deref(), asked.limit.saturating_add(1)).await?,
        (None, Some(run)) => return Err(segport_ledger::Error::NoRun { run: run.clone() }.into()),
        (None, None) => Vec::new(),
    };
    if let (true, Some(export)) = (records.is_empty(), &asked.export) {
        is_known(dir, export)?;
    }
    let limit = asked.limit as usize;
    if records.len() > limit {
        records.truncate(limit);
        output.note("there are older runs; `--limit N` lists more");
    }
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
        output.note(&match &asked.export {
            Some(export) => format!("there were no runs of an export `{export}` yet"),
            None => "there were no runs yet".to_owned(),
        });
    } else {
        output.text(&list(&records))?;
        for RunRecord { run_id, export, .. } in interrupted(&records) {
            output.note(&format!("run {run_id} died; the next run of `{export}` settles what has no outcome"));
        }
    }
    Ok(Exit::Done)
}

/// That an export without runs is one of the project, whose files may be wrong otherwise.
fn is_known(dir: &Path, export: &str) -> Result<(), Failure> {
    let file = Path::new("exports").join(format!("{export}.toml"));
    if dir.join(&file).exists() {
        return Ok(());
    }
    Err(Failure::coded(Code::UnknownExport, format!("there is no export `{export}`, and there were no runs of one"))
        .help("`segport runs` lists the runs of all exports"))
}

/// A run without a report.
fn unfinished(record: &RunRecord) -> serde_json::Value {
    json!({
        "schema_version": 1,
        "run_id": record.run_id,
        "export": record.export,
        "status": record.status.as_str(),
        "started_at": record.started_at.to_string(),
        "finished_at": record.finished_at.map(|at| at.to_string()),
    })
}

fn one(record: &RunRecord, style: segport_manifest::Style) -> String {
    match RunReport::of(record) {
        Some(run) => report::run(&run, style),
        None => {
            let RunRecord { run_id, export, started_at, status, .. } = record;
            let began = moment(*started_at);
            let hint = match status {
                RunStatus::Interrupted => format!(
                    "  it died; `segport run {export}` settles what has no outcome\n  \
                     `segport rows {run_id}` lists what became of each row so far\n"
                ),
                _ => String::new(),
            };
            format!("{export}: {}, began {began}\n\n  run {run_id}\n{hint}", status.as_str())
        }
    }
}

/// Runs that died and that no later run of their export has made up for.
fn interrupted(records: &[RunRecord]) -> impl Iterator<Item = &RunRecord> {
    let mut seen = HashSet::new();
    let newest = records.iter().filter(move |run| seen.insert(&run.export));
    newest.filter(|run| run.status == RunStatus::Interrupted)
}

fn list(records: &[RunRecord]) -> String {
    let head = ["run", "export", "started", "status", "added", "changed", "removed", "open"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for record in records {
        let mut row = vec![
            record.run_id.clone(),
            record.export.clone(),
            moment(record.started_at),
            record.status.as_str().to_owned(),
        ];
        if let Some(report) = RunReport::of(record) {
            let numbers = [report.rows.added, report.rows.changed, report.leavers.removed, report.open_rows()];
            row.extend(numbers.map(count));
        }
        rows.push(row);
    }
    table(&rows)
}
