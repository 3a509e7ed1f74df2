//! `segport check`: every mistake that can be found without calling a destination.

use std::collections::{BTreeMap, BTreeSet};

use segport_engine::{Engine, StartError};
use segport_manifest::{Code, Diagnostic, Diagnostics, Export, Leavers, ProcessEnvironment, Project, Severity};
use tokio::runtime::Handle;

use crate::commands::Invocation;
use crate::exit::{Exit, Failure, chain};
use crate::project::{self, Ready};
use crate::text::counted;

/// Exit code 1 if there are errors.
pub(crate) async fn check(invocation: &Invocation) -> Result<Exit, Failure> {
    let output = &invocation.output;
    let (findings, summary) = examine(invocation).await?;
    if output.is_json() {
        for finding in &findings {
            output.json(finding)?;
        }
    } else if !findings.is_empty() {
        output.text(&format!("{}\n", findings.render(output.style())))?;
    }
    if !output.is_json() {
        output.text(&format!("{}\n", conclusion(&findings, &summary)))?;
    }
    Ok(if findings.has_errors() { Exit::Unfinished } else { Exit::Done })
}

/// All findings, and what the project holds.
async fn examine(invocation: &Invocation) -> Result<(Diagnostics, String), Failure> {
    let opened = project::read(invocation.dir(), Handle::current())?;
    let mut findings = opened.findings.clone();
    let Ready { engine, catalog } = opened.into_engine();
    let project = engine.project();
    let found_in_files = Faulty::of(&findings);
    findings.extend(segport_manifest::check_secrets(project, &catalog, &ProcessEnvironment));
    let faulty = Faulty::of(&findings);
    findings.extend(columns(&engine, &found_in_files).await);
    if !faulty.has("segport.toml") {
        findings.extend(project::problem_of_state_key(invocation.dir(), &project.settings.state));
    }
    findings.extend(mappings(&engine, &faulty).await);
    Ok((findings.sorted(), contents(project)))
}

/// The files that have errors: nothing more can be told of what they say.
struct Faulty(BTreeSet<String>);

impl Faulty {
    fn of(findings: &Diagnostics) -> Self {
        let errors = findings.iter().filter(|found| found.severity == Severity::Error);
        Self(errors.filter_map(|error| error.path().map(str::to_owned)).collect())
    }

    fn has(&self, file: &str) -> bool {
        self.0.contains(file)
    }
}

/// Columns that mappings name and segments lack, and segments that cannot be read, if nothing is wrong with their files.
async fn columns(engine: &Engine, faulty: &Faulty) -> Diagnostics {
    let mut known = BTreeMap::new();
    let mut findings = Diagnostics::new();
    let segments = engine.project().segments.values().filter(|segment| {
        engine.project().sources.contains_key(&segment.source)
            && !faulty.has(&format!("segments/{}.toml", segment.id))
            && !faulty.has(&format!("sources/{}.toml", segment.source))
    });
    for (segment, found) in engine.columns(segments).await {
        match found {
            Ok(columns) => {
                known.insert(segment, columns);
            }
            // Told by the check of secrets.
            Err(StartError::Config(_)) => {}
            Err(error) => {
                let message = format!("segment `{segment}` cannot be read: {}", chain(&error));
                let finding = Diagnostic::error(Code::SourceUnreadable, message);
                let finding = engine.project().placed(finding, &format!("segments/{segment}.toml"), &["/read"]);
                findings.push(match engine.project().segments.get(&segment) {
                    Some(segment) => finding.help(format!(
                        "look at `[settings]` of `sources/{}.toml`, and at `[read]` of this file",
                        segment.source
                    )),
                    None => finding,
                });
            }
        }
    }
    findings.extend(segport_manifest::check_columns(engine.project(), &known));
    findings
}

/// What connectors say of their settings, and of the mappings where these are good, if nothing is wrong with their files.
async fn mappings(engine: &Engine, faulty: &Faulty) -> Diagnostics {
    let mut findings = Diagnostics::new();
    let mut objection = |file: String, tables: &[&str], error: &StartError| {
        let finding = engine.project().placed(Diagnostic::error(error.code(), chain(error)), &file, tables);
        findings.push(match error.help() {
            Some(help) => finding.help(help),
            None => finding,
        });
    };
    let mut closed = BTreeSet::new();
    for id in engine.project().connections.keys() {
        let file = format!("connections/{id}.toml");
        if faulty.has(&file) {
            closed.insert(id);
        } else if let Err(error) = engine.opens(id) {
            objection(file, &["/settings"], &error);
            closed.insert(id);
        }
    }
    let mut targets = Vec::new();
    let is_open = |export: &&Export| {
        engine.project().connections.contains_key(&export.connection)
            && !closed.contains(&export.connection)
            && !faulty.has(&format!("exports/{}.toml", export.id))
            && export.segments.iter().all(|segment| !faulty.has(&format!("segments/{segment}.toml")))
    };
    for export in engine.project().exports.values().filter(is_open) {
        match engine.targets(&export.id).await {
            Ok(found) => {
                targets.extend(found.into_iter().zip(&export.segments).map(|(at, segment)| (at, segment, export)))
            }
            Err(error) => {
                let tables = ["/segments", "/fields", "/fields/custom"];
                objection(format!("exports/{}.toml", export.id), &tables, &error);
            }
        }
    }
    findings.extend(shared(engine.project(), &targets));
    findings
}

/// Segments that come to the same place through different exports, where that takes away whom the other one put there.
fn shared(project: &Project, targets: &[(String, &String, &Export)]) -> Diagnostics {
    let mut findings = Diagnostics::new();
    for (nth, (target, segment, export)) in targets.iter().enumerate() {
        let is_same_place = |(at, other, by): &&(String, &String, &Export)| {
            at == target
                && by.connection == export.connection
                && other != segment
                && by.id != export.id
                && [by.leavers, export.leavers].contains(&Leavers::Remove)
        };
        let Some((_, other, by)) = targets.iter().take(nth).find(is_same_place) else { continue };
        let message = format!(
            "segment `{segment}` shares its list with segment `{other}` of export `{}`, of which this export knows nothing",
            by.id
        );
        let finding = Diagnostic::warning(Code::SharedTarget, message).help(
            "a run takes off whoever left its own segment, though they may be in the other one: give one of them another list, \
             or set `policy = \"keep\"` under `[leavers]` in both exports",
        );
        findings.push(project.placed(finding, &format!("exports/{}.toml", export.id), &["/segments"]));
    }
    findings
}

fn contents(project: &Project) -> String {
    let counted = |number: usize, one: &str| counted(number as u64, one);
    format!(
        "{}, {}, {}, {}",
        counted(project.exports.len(), "export"),
        counted(project.segments.len(), "segment"),
        counted(project.sources.len(), "source"),
        counted(project.connections.len(), "connection"),
    )
}

fn conclusion(findings: &Diagnostics, contents: &str) -> String {
    let (errors, warnings) = (findings.count(Severity::Error), findings.count(Severity::Warning));
    let warned = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings as u64, "warning")) };
    match errors {
        0 => format!("project ok: {contents}{warned}"),
        errors => format!("{}{warned}", counted(errors as u64, "error")),
    }
}
