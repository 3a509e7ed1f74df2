//! `segport plan`: what a run would do.

use std::fs;

use segport_engine::{Cancel, Mode, Request};

use crate::arguments::Plan;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::json_line;
use crate::{progress, project, report};

/// Plans one export after the other; the first that cannot be planned ends it.
pub(crate) async fn plan(invocation: &Invocation, asked: &Plan) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let engine = project::open(dir)?.engine;
    let exports = project::exports(engine.project(), &asked.exports)?;
    let store = project::state(dir, &engine.project().state).await?;
    let progress = progress::watcher(invocation.global.quiet);
    let cancel = Cancel::new();
    let interrupt = Interrupt::watch(cancel.clone())?;
    let mode = if asked.full { Mode::Full } else { Mode::Changes };

    let mut file = String::new();
    let mut changes = false;
    for export in exports {
        let request = Request { mode: mode.clone(), ..Request::new(export) };
        let planned = Box::pin(engine.plan(&store, &request, &*progress, &cancel)).await;
        if let Some(exit) = interrupt.seen() {
            return Ok(exit);
        }
        let plan = planned?;
        changes |= plan.has_changes();
        if asked.out.is_some() {
            file.push_str(&json_line(&plan)?);
        }
        if output.is_json() {
            output.json(&plan)?;
        } else {
            output.text(&format!("{}\n", report::plan(&plan, output.style())))?;
        }
    }
    if let Some(out) = &asked.out {
        let path = dir.join(out);
        fs::write(&path, file).map_err(|error| Failure::file("write", &path, &error))?;
    }
    if !output.is_json() {
        output.text(&conclusion(asked, changes))?;
    }
    Ok(if asked.detailed_exitcode && changes { Exit::Changes } else { Exit::Done })
}

fn conclusion(asked: &Plan, changes: bool) -> String {
    let run = match &asked.out {
        Some(out) => format!("`segport run --plan {}`", out.display()),
        None if asked.full => "`segport run --full`".to_owned(),
        None => "`segport run`".to_owned(),
    };
    if changes {
        format!("Nothing was sent. {run} does what is planned here.\n")
    } else {
        "Nothing was sent, and there is nothing to send.\n".to_owned()
    }
}
