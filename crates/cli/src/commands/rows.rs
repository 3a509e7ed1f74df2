//! `segport rows`: what became of each row of a run.

use segport_core::harmless;
use segport_engine::report::RunReport;
use segport_engine::{Named, Revealed, segment_id};
use segport_ledger::{OutcomeKind, RowRecord, RunRecord, RunStatus, Store, Whose};
use serde::Serialize;

use crate::arguments::Rows;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::output::json_line;
use crate::text::table;
use crate::{progress, project};

/// All rows but the unchanged ones, in the order they were written.
pub(crate) async fn rows(invocation: &Invocation, asked: &Rows) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let only = asked.outcome.as_deref().map(outcome).transpose()?;
    let settings = segport_manifest::read_settings(dir)?;
    let Some(store) = project::existing_state(dir, &settings.state).await? else {
        return Err(segport_ledger::Error::NoRun { run: asked.run.clone() }.into());
    };
    let run = project::run_named(&store, &asked.run).await?;
    // What it read before it knew is on record all the same.
    if RunReport::of(&run).is_some_and(|report| report.is_outdated()) {
        output.note("the plan was outdated, so that nothing became of any row; `segport runs RUN` has the report");
        return Ok(Exit::Done);
    }
    let mut revealed = match asked.reveal {
        true => Some(reveal(invocation, &store, &run, only).await?),
        false => None,
    };
    let mut reader = store.rows(&run.run_id, only).await?;
    let mut is_empty = true;
    while let Some(rows) = reader.next().await? {
        is_empty = false;
        if output.is_closed() {
            break;
        }
        let named = |row| revealed.as_mut().map(|revealed| Found::new(row, revealed.take(row)));
        let found: Vec<Option<Found>> = rows.iter().map(named).collect();
        let rows = rows.iter().zip(found);
        let text = if output.is_json() {
            rows.map(|(row, found)| json_line(&as_json(&run.run_id, row, found)))
                .collect::<Result<String, Failure>>()?
        } else {
            table(&rows.map(|(row, found)| as_cells(row, found)).collect::<Vec<_>>())
        };
        output.text(&text)?;
    }
    if !store.keeps_rows(&run.run_id).await? {
        output.note(
            "later runs have taken its place: rows of this run may be missing; `segport runs RUN` has its report",
        );
    } else if is_empty && matches!(run.status, RunStatus::Ended(_)) {
        output.note(&match only {
            Some(outcome) => format!("no row of this run was {outcome}; `segport runs RUN` has its report"),
            None => "every row that this run read was unchanged, or it read none; `segport runs RUN` has its report"
                .to_owned(),
        });
    }
    Ok(Exit::Done)
}

/// Reads the source again for the rows that will be listed.
async fn reveal(
    invocation: &Invocation,
    store: &Store,
    run: &RunRecord,
    only: Option<OutcomeKind>,
) -> Result<Revealed, Failure> {
    let engine = project::open(invocation.dir())?.engine;
    let mut revealed = Revealed::default();
    let mut reader = store.rows(&run.run_id, only).await?;
    while let Some(rows) = reader.next().await? {
        rows.iter().for_each(|row| revealed.ask(row));
    }
    let progress = progress::watcher(invocation.global.quiet);
    engine.reveal(&run.export, store.hasher(), &mut revealed, &*progress).await?;
    Ok(revealed)
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
    /// On rows about a removal only.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaver: Option<bool>,
    code: &'a str,
    reason: &'a str,
    identity_hash: Option<String>,
    segments: Vec<&'a str>,
    #[serde(flatten)]
    found: Option<Found>,
}

/// What the source says of a row.
#[derive(Serialize)]
struct Found {
    key: Option<Key>,
    identity: Option<String>,
    /// Whether the row could be looked for.
    #[serde(skip)]
    has_hash: bool,
}

/// A key as the segment's `key` is written: one value, or several.
#[derive(Serialize)]
#[serde(untagged)]
enum Key {
    One(String),
    Several(Vec<String>),
}

impl Found {
    fn new(row: &RowRecord, named: Option<Named>) -> Self {
        let (key, identity) = named.map_or((None, None), |Named { key, identity }| (Some(key), identity));
        let key = key.map(|mut key| match key.len() {
            1 => Key::One(key.remove(0)),
            _ => Key::Several(key),
        });
        Self { key, identity, has_hash: row.whose != Whose::Nobody }
    }

    fn cells(self) -> [String; 2] {
        let identity = self.identity.as_deref().map_or_else(|| "-".to_owned(), harmless);
        match self.key {
            Some(Key::One(key)) => [harmless(&key), identity],
            Some(Key::Several(keys)) => [harmless(&keys.join(", ")), identity],
            None if self.has_hash => ["-".to_owned(), "not in the source any more".to_owned()],
            None => ["-".to_owned(), "-".to_owned()],
        }
    }
}

fn as_json<'a>(run: &'a str, row: &'a RowRecord, found: Option<Found>) -> Line<'a> {
    Line {
        run_id: run,
        outcome: row.outcome,
        leaver: row.leaver.then_some(true),
        code: &row.code,
        reason: &row.reason,
        identity_hash: row.whose.identity().map(|identity| identity.to_string()),
        segments: segments(row),
        found,
    }
}

/// Ids of the segments, without what the ledger adds to them.
fn segments(row: &RowRecord) -> Vec<&str> {
    row.segments.iter().map(|name| segment_id(name)).collect()
}

fn as_cells(row: &RowRecord, found: Option<Found>) -> Vec<String> {
    let outcome = match (row.leaver, row.outcome) {
        (true, outcome) if outcome != OutcomeKind::Removed => format!("{outcome} (removal)"),
        (_, outcome) => outcome.to_string(),
    };
    let hash = match row.whose {
        Whose::Identity(identity) => identity.to_string(),
        Whose::Key(key) => format!("key {key}"),
        Whose::Nobody => "-".to_owned(),
    };
    let mut cells = vec![outcome, hash];
    cells.extend(found.into_iter().flat_map(Found::cells));
    cells.extend([segments(row).join(","), row.code.to_string(), row.reason.to_string()]);
    cells
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
