//! `segport plan`: what a run would do.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use segport_core::without_temporary_path;
use segport_engine::report::Verdict;
use segport_engine::{Cancel, PlanReport, Request, Scope};
use segport_manifest::Project;

use crate::arguments::Plan;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{Output, json_line};
use crate::text::word;
use crate::{progress, project, report};

/// Plans one export after the other; one that cannot be planned does not keep the others from it.
pub(crate) async fn plan(invocation: &Invocation, asked: &Plan) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let engine = project::open(dir)?.engine;
    let exports = project::exports(engine.project(), &asked.exports)?;
    let store = project::state(dir, &engine.project().settings.state).await?;
    let progress = progress::watcher(invocation.global.quiet);
    let cancel = Cancel::new();
    let interrupt = Interrupt::watch(cancel.clone())?;
    let scope = if asked.full { Scope::Full } else { Scope::Changes };

    let mut file = String::new();
    let (mut worst, mut unplanned, mut plans) = (Exit::Done, Vec::new(), 0);
    let (mut hindrances, mut feasible) = (Vec::new(), false);
    for export in exports {
        let request = Request { scope: scope.clone(), ..Request::new(export.clone()) };
        let planned = Box::pin(engine.plan(&store, &request, &*progress, &cancel)).await;
        if let Some(exit) = interrupt.seen() {
            return Ok(exit);
        }
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                let failure = Failure::from(error);
                output.failure(&failure);
                worst = worst.max(failure.exit());
                unplanned.push(format!("`{export}`"));
                continue;
            }
        };
        plans += 1;
        if asked.detailed_exitcode && plan.has_changes() {
            worst = worst.max(Exit::Changes);
        }
        let hindered = hindrances.len();
        hindrances.extend(hindrance(&plan, engine.project()));
        feasible |= plan.has_changes() && hindrances.len() == hindered;
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
        if unplanned.is_empty() {
            let path = dir.join(out);
            write(&path, &file).map_err(|error| {
                Failure::file("write", &path, &io::Error::new(error.kind(), without_temporary_path(&error)))
            })?;
        } else {
            // Whoever carries the file out would take it for the plan of all.
            feasible = false;
            Output::remark(&format!("{} was not written: a plan is missing in it", out.display()));
        }
    }
    if !unplanned.is_empty() {
        hindrances.push(format!("There is no plan of {}.\n", unplanned.join(", ")));
    }
    if !output.is_json() && plans > 0 {
        let lone = engine.project().exports.len() == 1;
        output.text(&conclusion(asked, lone, feasible, &hindrances))?;
    }
    Ok(worst)
}

/// Replaces a file as a whole, and keeps its mode: one that was cut off behind the plan of an export would pass for a plan of all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let former = fs::metadata(&path).ok();
    if former.as_ref().is_some_and(|former| !former.is_file()) {
        // A pipe or a terminal.
        return fs::write(&path, text);
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".plan").permissions(Permissions::from_mode(0o666)).tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    if let Some(former) = former {
        file.as_file().set_permissions(former.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

/// What would keep a run from doing what is planned.
fn hindrance(plan: &PlanReport, project: &Project) -> Option<String> {
    let connection = project.connections.get(&plan.connection);
    if connection.is_some_and(|connection| connection.consent.is_none()) {
        return Some(format!(
            "A run of `{}` sends nothing before `segport connect {}` is accepted.\n",
            plan.export, plan.connection
        ));
    }
    let stopped: Vec<String> = plan
        .guards
        .iter()
        .filter(|guard| guard.verdict == Verdict::Stopped)
        .map(|guard| format!("`{}`", guard.guard))
        .collect();
    (!stopped.is_empty()).then(|| format!("A run of `{}` would be stopped by {}.\n", plan.export, stopped.join(", ")))
}

/// The last lines. In a project with a `lone` export a run need not name it; `feasible` if there is something to send.
fn conclusion(asked: &Plan, lone: bool, feasible: bool, hindrances: &[String]) -> String {
    if !feasible && hindrances.is_empty() {
        return "Nothing was sent, and there is nothing to send.\n".to_owned();
    }
    let mut text = format!("Nothing was sent. {}", hindrances.concat());
    if feasible {
        let what = if hindrances.is_empty() { "what" } else { "what else" };
        text.push_str(&format!("`{}` does {what} is planned here.\n", carrying_out(asked, lone)));
    }
    text
}

/// The command that carries a plan out.
fn carrying_out(asked: &Plan, lone: bool) -> String {
    let mut run = "segport run".to_owned();
    match &asked.out {
        Some(out) => run.push_str(&format!(" --plan {}", word(out))),
        None => {
            asked.exports.iter().for_each(|export| run.push_str(&format!(" {export}")));
            run.push_str(if asked.exports.is_empty() && !lone { " --all" } else { "" });
            run.push_str(if asked.full { " --full" } else { "" });
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_takes_the_place_of_the_former_one_as_a_whole() {
        let place = tempfile::tempdir().unwrap();
        let [plan, link, former] = ["plan.json", "link.json", "former.json"].map(|name| place.path().join(name));
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        write(&plan, "one\n").unwrap();
        std::os::unix::fs::symlink("plan.json", &link).unwrap();
        fs::hard_link(&plan, &former).unwrap();
        fs::set_permissions(&plan, Permissions::from_mode(0o640)).unwrap();
        write(&link, "two\n").unwrap();
        assert_eq!((&*text(&plan), &*text(&former)), ("two\n", "one\n"));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&plan).unwrap().permissions().mode() & 0o777, 0o640);
        write(Path::new("/dev/null"), "three\n").unwrap();
        assert!(write(&place.path().join("nowhere/plan.json"), "four\n").is_err());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "nothing else is left behind");
    }
}
