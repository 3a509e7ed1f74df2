//! `segport rows`: what became of each row of a run.

use segport_engine::segment_id;
use segport_ledger::{OutcomeKind, RowRecord};
use serde::Serialize;

use crate::arguments::Rows;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::output::json_line;
use crate::project;
use crate::text::table;

/// All rows but the unchanged ones, in the order they were written.
pub(crate) async fn rows(invocation: &Invocation, asked: &Rows) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let only = asked.outcome.as_deref().map(outcome).transpose()?;
    let settings = segport_manifest::read_settings(dir)?;
    let Some(store) = project::existing_state(dir, &settings.state).await? else {
        return Err(segport_ledger::Error::NoRun { run: asked.run.clone() }.into());
    };
    let run = project::run_named(&store, &asked.run).await?.run_id;
    let mut reader = store.rows(&run, only).await?;
    while let Some(rows) = reader.next().await? {
        if output.is_closed() {
            break;
        }
        let text = if output.is_json() {
            rows.iter().map(|row| json_line(&as_json(&run, row))).collect::<Result<String, Failure>>()?
        } else {
            table(&rows.iter().map(as_cells).collect::<Vec<_>>())
        };
        output.text(&text)?;
    }
    Ok(Exit::Done)
}

fn outcome(name: &str) -> Result<OutcomeKind, Failure> {
    OutcomeKind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
        let names = OutcomeKind::ALL.map(OutcomeKind::as_str);
        let message = match name {
            "unchanged" => "rows that are unchanged are not listed".to_owned(),
            _ => format!("there is no outcome `{name}`"),
        };
        Failure::new(message).help(format!("the outcomes are {}", names.join(", ")))
    })
}

/// One row as JSON.
#[derive(Serialize)]
struct Line<'a> {
    run_id: &'a str,
    outcome: OutcomeKind,
    code: &'a str,
    reason: &'a str,
    identity_hash: Option<String>,
    segments: Vec<&'a str>,
}

fn as_json<'a>(run: &'a str, row: &'a RowRecord) -> Line<'a> {
    Line {
        run_id: run,
        outcome: row.outcome,
        code: &row.code,
        reason: &row.reason,
        identity_hash: row.identity.map(|identity| identity.to_string()),
        segments: segments(row),
    }
}

/// Ids of the segments, without what the ledger adds to them.
fn segments(row: &RowRecord) -> Vec<&str> {
    row.segments.iter().map(|name| segment_id(name)).collect()
}

fn as_cells(row: &RowRecord) -> Vec<String> {
    let outcome = match (row.leaver, row.outcome) {
        (true, outcome) if outcome != OutcomeKind::Removed => format!("{outcome} (removal)"),
        (_, outcome) => outcome.to_string(),
    };
    let hash = row.identity.map_or_else(|| "-".to_owned(), |identity| identity.to_string());
    vec![outcome, hash, segments(row).join(","), row.code.to_string(), row.reason.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_checked() {
        assert_eq!(outcome("refused").unwrap(), OutcomeKind::Refused);
        assert!(outcome("unchanged").unwrap_err().to_string().contains("not listed"));
        assert!(outcome("refusd").unwrap_err().to_string().contains("refused"));
    }
}
