//! `segport schema`: the JSON schemas of the project's files, and of plans and reports.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use segport_engine::PlanReport;
use segport_engine::report::RunReport;
use segport_manifest::Catalog;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::arguments::Schema;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::project::Installation;
use crate::text::counted;

/// Prints one, or writes all.
pub(crate) fn schema(invocation: &Invocation, asked: &Schema) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    if let Some(name) = &asked.name {
        let schemas = all(Some(&Installation::find(dir, Handle::current())?.catalog()?));
        let name = name.strip_suffix(".json").unwrap_or(name);
        let text = schemas.get(&format!("{name}.json")).ok_or_else(|| {
            let names: Vec<_> = schemas.keys().map(|name| name.trim_end_matches(".json")).collect();
            Failure::new(format!("there is no schema `{name}`")).help(format!("the schemas are {}", names.join(", ")))
        })?;
        if output.is_json() {
            output.json(&serde_json::from_str::<Value>(text).map_err(|error| Failure::new(error.to_string()))?)?;
        } else {
            output.text(text)?;
        }
        return Ok(Exit::Done);
    }
    let out = match &asked.out {
        Some(out) => dir.join(out),
        None => {
            // Not into a directory that has nothing to do with Segport.
            segport_manifest::read_settings(dir)?;
            dir.join("schemas")
        }
    };
    let written = write_all(dir, &out, Handle::current())?;
    if output.is_json() {
        output.json(&json!({ "directory": out, "files": written }))?;
    } else {
        output.text(&format!("wrote {} to {}\n", counted(written.len() as u64, "schema"), out.display()))?;
    }
    Ok(Exit::Done)
}

/// Writes all schemas, with those of the plugins of the project in `dir`; returns their names.
pub(crate) fn write_all(dir: &Path, out: &Path, runtime: Handle) -> Result<Vec<String>, Failure> {
    let catalog = Installation::find(dir, runtime)?.catalog()?;
    fs::create_dir_all(out).map_err(|error| Failure::file("make", out, &error))?;
    let schemas = all(Some(&catalog));
    for (name, text) in &schemas {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))?;
    }
    Ok(schemas.into_keys().collect())
}

/// The names of the files that [`write_all`] writes.
pub(crate) fn file_names() -> Vec<String> {
    all(None).into_keys().collect()
}

fn all(catalog: Option<&Catalog>) -> BTreeMap<String, String> {
    let text = |schema: Value| format!("{schema:#}\n");
    let mut schemas = segport_manifest::schemas(catalog);
    schemas.insert("run-report.json".to_owned(), text(RunReport::schema()));
    schemas.insert("plan.json".to_owned(), text(PlanReport::schema()));
    schemas
}
