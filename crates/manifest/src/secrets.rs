//! The secrets of a project: whether each can be read, and settings with them in place.

use serde_json::Value;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::files::SETTINGS;
use crate::place::at_secret;
use crate::project::{Project, StateUrl};
use crate::resolve::{state_url_problem, unusable_state};
use crate::secret::{Environment, SecretRef, resolve_at, secret_pointers};

/// The `[settings]` of a `file` of the project with each secret reference replaced by the secret's text. Never print the result.
///
/// # Errors
/// One finding for each secret that cannot be read, where it is named: `SP0301` to `SP0306`.
pub fn resolve_secrets(
    project: &Project,
    file: &str,
    settings: &Value,
    schema: &Value,
    env: &dyn Environment,
) -> Result<Value, Diagnostics> {
    let mut resolved = settings.clone();
    let mut findings = Diagnostics::new();
    for pointer in secret_pointers(settings, schema) {
        let Some(place) = resolved.pointer_mut(&pointer) else { continue };
        match resolve_at(place, &project.dir, env) {
            Ok(secret) => *place = Value::String(secret.expose().to_owned()),
            Err(finding) => {
                let document = project.documents.get(file);
                findings.push(at_secret(*finding, file, document, &format!("/settings{pointer}")));
            }
        }
    }
    if findings.is_empty() { Ok(resolved) } else { Err(findings) }
}

/// Checks that every secret of the project can be read; the secrets themselves are dropped at once.
pub fn check_secrets(project: &Project, catalog: &Catalog, env: &dyn Environment) -> Diagnostics {
    let mut findings = Diagnostics::new();
    let mut check = |file: &str, pointer: &str, found: Result<_, Box<Diagnostic>>| {
        if let Err(finding) = found {
            findings.push(at_secret(*finding, file, project.documents.get(file), pointer));
        }
    };
    if let StateUrl::Secret(reference) = &project.settings.state.url {
        check(SETTINGS, "/state/url", state_url(reference, project, env));
    }
    if let Some(reference) = &project.settings.state.key {
        check(SETTINGS, "/state/key", reference.resolve(&project.dir, env).map(drop));
    }
    for (file, table, value, schema) in plugin_tables(project, catalog) {
        for at in secret_pointers(value, schema) {
            let found = value.pointer(&at).map_or(Ok(()), |value| resolve_at(value, &project.dir, env).map(drop));
            check(&file, &format!("{table}{at}"), found);
        }
    }
    findings.sorted()
}

/// Whether state can be kept at the address that is a secret.
fn state_url(reference: &SecretRef, project: &Project, env: &dyn Environment) -> Result<(), Box<Diagnostic>> {
    let url = reference.resolve(&project.dir, env)?;
    match state_url_problem(url.expose()) {
        None => Ok(()),
        Some(problem) => Err(Box::new(unusable_state(format!("what {reference} holds cannot be used: {problem}")))),
    }
}

/// The tables of sources, segments and connections that belong to plugins: file, pointer, value and schema.
fn plugin_tables<'a>(
    project: &'a Project,
    catalog: &'a Catalog,
) -> impl Iterator<Item = (String, &'static str, &'a Value, &'a Value)> {
    let sources = project.sources.values().filter_map(|source| {
        let schema = &catalog.get(&source.plugin)?.settings_schema;
        Some((format!("sources/{}.toml", source.id), "/settings", &source.settings, schema))
    });
    let segments = project.segments.values().filter_map(|segment| {
        let schema = &catalog.get(&project.sources.get(&segment.source)?.plugin)?.read_schema;
        Some((format!("segments/{}.toml", segment.id), "/read", &segment.read, schema))
    });
    let connections = project.connections.values().filter_map(|connection| {
        let schema = &catalog.get(&connection.plugin)?.settings_schema;
        Some((format!("connections/{}.toml", connection.id), "/settings", &connection.settings, schema))
    });
    sources.chain(segments).chain(connections)
}
