//! `segport retry`: only what failed, was deferred or is unknown.

use segport_engine::report::{RunReport, Trigger};
use segport_engine::{Mode, Request};
use segport_ledger::{RunRecord, RunStatus, Store};
use segport_manifest::Project;

use crate::arguments::Retry;
use crate::commands::{Invocation, run};
use crate::exit::{Exit, Failure};
use crate::project;

/// One run, or the newest of each export.
pub(crate) async fn retry(invocation: &Invocation, asked: &Retry) -> Result<Exit, Failure> {
    let dir = invocation.dir();
    let engine = project::open(dir)?.engine;
    let store = project::state(dir, &engine.project().settings.state).await?;
    let records = match &asked.run {
        Some(run) => {
            let record = project::run_named(&store, run).await?;
            project::exports(engine.project(), std::slice::from_ref(&record.export))?;
            vec![record]
        }
        None => newest(engine.project(), &store).await?,
    };
    let requests: Vec<Request> = records
        .into_iter()
        .filter(has_open_rows)
        .map(|record| Request {
            trigger: Trigger::Retry,
            mode: Mode::Only(record.run_id),
            ..Request::new(record.export)
        })
        .collect();
    if requests.is_empty() {
        invocation.output.note("there is nothing to retry");
        return Ok(Exit::Done);
    }
    Box::pin(run::deliver(invocation, &engine, &store, requests)).await
}

async fn newest(project: &Project, store: &Store) -> Result<Vec<RunRecord>, Failure> {
    let mut records = Vec::new();
    for export in project.exports.keys() {
        records.extend(store.runs(Some(export), 1).await?);
    }
    Ok(records)
}

/// Whether a run left rows behind that it was meant to deliver; who knows, if it never ended.
fn has_open_rows(record: &RunRecord) -> bool {
    match record.status {
        RunStatus::Running | RunStatus::Interrupted => true,
        RunStatus::Ended(_) => report_of(record).is_none_or(|report| open_rows(&report) > 0),
    }
}

/// The report of a run that ended.
pub(crate) fn report_of(record: &RunRecord) -> Option<RunReport> {
    serde_json::from_str(record.report.as_deref()?).ok()
}

/// Rows and leavers that were deferred, refused or are unknown.
pub(crate) fn open_rows(report: &RunReport) -> u64 {
    let RunReport { rows, leavers, .. } = report;
    rows.deferred + rows.refused + rows.unknown + leavers.deferred + leavers.refused + leavers.unknown
}
