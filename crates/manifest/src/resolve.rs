//! What the files say of one another and of the plugins: names become things, texts become types.

use std::collections::BTreeMap;
use std::path::Path;

use segport_core::{Descriptor, PluginKind};
use serde_json::Value;

use crate::catalog::Catalog;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::files::{Files, Folder, SETTINGS, typed};
use crate::findings::{Findings, Named};
use crate::project::{
    Connection, Consent, Egress, Export, Plugins, Schedule, Segment, Settings, Source, State, StateUrl,
};
use crate::raw::{ConnectionFile, Key, SegmentFile, SettingsFile, SourceFile, Url};
use crate::secret::{SecretRef, misplaced, names_a_secret};
use crate::{export, suggest};

/// What is in the four folders.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    pub(crate) sources: BTreeMap<String, Source>,
    pub(crate) segments: BTreeMap<String, Segment>,
    pub(crate) connections: BTreeMap<String, Connection>,
    pub(crate) exports: BTreeMap<String, Export>,
}

/// Everything that could be resolved; what could not is in `findings`.
pub(crate) fn entities(files: &Files<'_>, findings: &mut Vec<Diagnostic>) -> Entities {
    Entities {
        sources: each(&files.sources, findings, |id, raw, findings| source(files, id, raw, findings)),
        segments: each(&files.segments, findings, |id, raw, findings| segment(files, id, raw, findings)),
        connections: each(&files.connections, findings, |id, raw, findings| connection(files, id, raw, findings)),
        exports: each(&files.exports, findings, |id, raw, findings| export::resolve(files, id, raw, findings)),
    }
}

fn each<R: serde::de::DeserializeOwned, T>(
    folder: &Folder,
    findings: &mut Vec<Diagnostic>,
    resolve: impl Fn(&str, R, &mut Findings<'_>) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut resolved = BTreeMap::new();
    for (id, document) in &folder.documents {
        let wrong = folder.wrong.get(id).map(Vec::as_slice).unwrap_or_default();
        if let Some(raw) = typed(document, wrong, findings)
            && let Some(entity) = resolve(id, raw, &mut Findings::in_file(document, findings))
        {
            resolved.insert(id.clone(), entity);
        }
    }
    resolved
}

fn source(files: &Files<'_>, id: &str, raw: SourceFile, findings: &mut Findings<'_>) -> Option<Source> {
    plugin(files.catalog, &raw.plugin, PluginKind::Source, findings)?;
    Some(Source {
        id: id.to_owned(),
        plugin: raw.plugin,
        display_name: raw.display_name.unwrap_or_else(|| id.to_owned()),
        settings: Value::Object(raw.settings),
    })
}

fn segment(files: &Files<'_>, id: &str, raw: SegmentFile, findings: &mut Findings<'_>) -> Option<Segment> {
    findings.known(&files.sources, Named::Source, "/source", &raw.source)?;
    Some(Segment {
        id: id.to_owned(),
        display_name: raw.display_name.unwrap_or_else(|| id.to_owned()),
        source: raw.source,
        key: match raw.key {
            Key::One(column) => vec![column],
            Key::Several(columns) => columns,
        },
        read: Value::Object(raw.read),
    })
}

fn connection(files: &Files<'_>, id: &str, raw: ConnectionFile, findings: &mut Findings<'_>) -> Option<Connection> {
    plugin(files.catalog, &raw.plugin, PluginKind::Connector, findings)?;
    let consent = match raw.consent {
        None => None,
        Some(consent) => match consent.accepted_at.parse() {
            Ok(accepted_at) => Some(Consent { accepted_by: consent.accepted_by, accepted_at }),
            Err(_) => {
                let help = "write it such as 2026-11-23T10:00:00Z, or remove `[consent]` and accept again";
                let message = "`consent.accepted_at` is no point in time";
                findings.report(Code::BadValue, message, "/consent/accepted_at", "no day with time and offset", help);
                return None;
            }
        },
    };
    Some(Connection {
        id: id.to_owned(),
        plugin: raw.plugin,
        display_name: raw.display_name.unwrap_or_else(|| id.to_owned()),
        usable_by: raw.usable_by.into_iter().collect(),
        consent,
        settings: Value::Object(raw.settings),
    })
}

/// The plugin of that id and kind.
fn plugin<'c>(catalog: &'c Catalog, id: &str, kind: PluginKind, findings: &mut Findings<'_>) -> Option<&'c Descriptor> {
    let usable: Vec<&str> =
        catalog.iter().filter(|plugin| plugin.kind == kind).map(|plugin| plugin.id.as_str()).collect();
    let there: Vec<&str> = usable.iter().copied().chain(catalog.others().filter(|other| *other != id)).collect();
    let (code, message, label) = match catalog.get(id) {
        Some(plugin) if plugin.kind == kind => return Some(plugin),
        Some(_) => {
            let (is, needed) = match kind {
                PluginKind::Source => ("a connector", "a source plugin is needed here"),
                PluginKind::Connector => ("a source plugin", "a connector is needed here"),
            };
            (Code::WrongPluginKind, format!("plugin `{id}` is {is}"), needed)
        }
        None => (Code::UnknownPlugin, format!("unknown plugin `{id}`"), "no such plugin is installed"),
    };
    let meant = suggest::similar(id, &there).or_else(|| suggest::among(id, usable));
    let help = meant.unwrap_or_else(|| match catalog.is_empty() {
        false => "choose an installed one: `segport connectors list` shows them".to_owned(),
        true => format!("install it into a directory of `[plugins] path` in `{SETTINGS}`"),
    });
    findings.report(code, message, "/plugin", label, help);
    None
}

const URL: &str = "/state/url";

/// What `segport.toml` says. What is wrong stands in `findings`, and is as if it were not there.
pub(crate) fn settings(dir: &Path, raw: SettingsFile, findings: &mut Findings<'_>) -> Settings {
    let url = match raw.state.url {
        None => None,
        Some(Url::Plain(url)) if has_password(&url) => {
            let message = "the password of the state store is written into the file";
            let help = "write `url = { env = \"NAME\" }` and put the whole address there";
            findings.report(Code::SecretLiteral, message, URL, "a secret reference is needed", help);
            None
        }
        Some(Url::Plain(url)) => match state_url_problem(&url) {
            None => Some(StateUrl::Plain(url)),
            Some(problem) => {
                findings.push(unusable_state("`[state] url` cannot be used"), URL, problem);
                None
            }
        },
        Some(Url::Secret(value)) => reference(URL, &value, findings).map(StateUrl::Secret),
    };
    let key = raw.state.key.and_then(|value| reference("/state/key", &value, findings));
    Settings {
        name: raw.project.name,
        state: State { url: url.unwrap_or_default(), key },
        plugins: Plugins { path: raw.plugins.path.iter().map(|path| dir.join(path)).collect() },
        egress: Egress { allow_private: raw.egress.allow_private },
        refresh: raw.refresh.and_then(|table| Schedule::resolve("/refresh", &table, findings)),
    }
}

fn reference(pointer: &str, value: &Value, findings: &mut Findings<'_>) -> Option<SecretRef> {
    SecretRef::try_from(value)
        .map_err(|error| {
            let finding = match names_a_secret(value) {
                true => misplaced(),
                false => Diagnostic::error(Code::BadSecretReference, error.to_string()),
            };
            findings.push(finding, pointer, "a secret reference is needed");
        })
        .ok()
}

/// Why state cannot be kept at an address; says nothing of what may be secret in it.
pub(crate) fn state_url_problem(url: &str) -> Option<&'static str> {
    match url.split_once(':') {
        Some(("sqlite", path)) if path.trim_start_matches('/').is_empty() => Some("no file is named"),
        Some(("sqlite", path)) if path.trim_start_matches('/') == ":memory:" => {
            Some("state in memory would be forgotten with each run")
        }
        Some(("sqlite", _)) => None,
        Some(("postgres" | "postgresql", _)) => Some("state cannot be kept in PostgreSQL"),
        Some(_) => Some("state cannot be kept in this kind of database"),
        None => Some("`sqlite:` is missing before the path"),
    }
}

pub(crate) fn unusable_state(message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::StateUrl, message)
        .help(format!("write `sqlite:` and the path of a file, such as `{}`", StateUrl::DEFAULT))
}

/// Whether the address of the state store holds a password, or is a reference that may be one by mistake.
pub(crate) fn holds_secret(url: &Value) -> bool {
    match url {
        Value::String(url) => has_password(url),
        other => SecretRef::try_from(other).is_err() || names_a_secret(other),
    }
}

/// Whether an address has a password in it, in whichever of the forms that databases have.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    if rest.starts_with("sqlite:") {
        return false;
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let named = url.to_ascii_lowercase();
    let is_named = ["password", "passwd", "pwd"].iter().any(|name| named.contains(&format!("{name}=")));
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || is_named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_in_every_form_of_an_address() {
        for url in [
            "postgres://me:hunter2@db/segport",
            "postgres://db/segport?PassWord=hunter2",
            "host=db user=seg password=hunter2 dbname=x",
            "Server=db;Uid=me;Pwd=hunter2",
            "mysql:me:hunter2@db",
        ] {
            assert!(has_password(url), "{url}");
        }
        for url in
            ["sqlite:.segport/state.db", "sqlite:me@home/state.db", "postgres://me@db/segport", "db:5432/segport"]
        {
            assert!(!has_password(url), "{url}");
        }
    }
}
