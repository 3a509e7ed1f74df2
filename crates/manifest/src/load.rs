//! Reading a project: files, then each file against its schema, then what they say of one another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::Document;
use crate::file_kind::FileKind;
use crate::files::{Files, Folder, SETTINGS, read_folder, settings_document, typed};
use crate::findings::Findings;
use crate::place::at_secret;
use crate::project::{Outline, Project, Settings};
use crate::validate::{Compiled, PLUGIN_TABLES};
use crate::{pointer, resolve, schema};

/// What came of reading a project.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project as far as it could be made out. It is whole if no finding is an error, and only then may it be run.
    pub project: Project,
    /// All findings of all files.
    pub diagnostics: Diagnostics,
}

/// Reads `segport.toml` alone.
///
/// # Errors
/// All findings in `segport.toml`.
pub fn read_settings(dir: &Path) -> Result<Settings, Diagnostics> {
    let mut findings = Vec::new();
    let OwnFile { settings, .. } = own_file(dir, &mut findings);
    if findings.is_empty() { Ok(settings) } else { Err(findings.into_iter().collect::<Diagnostics>().sorted()) }
}

/// The finding about a secret that `segport.toml` names at `pointer`, such as `/state/key`, where that stands.
pub fn at_secret_of_settings(dir: &Path, finding: Diagnostic, pointer: &str) -> Diagnostic {
    at_secret(finding, SETTINGS, own_file(dir, &mut Vec::new()).document.as_ref(), pointer)
}

/// Reads `segport.toml` as far as it is right, and which plugins the other files name. [`load`] tells what is wrong.
///
/// # Errors
/// If there is no `segport.toml`, and so no project.
pub fn outline(dir: &Path) -> Result<Outline, Diagnostics> {
    let mut findings = Vec::new();
    let OwnFile { settings, places_plugins, .. } = own_file(dir, &mut findings);
    match findings.into_iter().find(|finding| finding.code == Code::NoProject) {
        Some(finding) => Err(finding.into()),
        None => Ok(Outline { settings, places_plugins, plugin_ids: plugin_ids(dir) }),
    }
}

/// The plugins that sources and connections name.
fn plugin_ids(dir: &Path) -> BTreeSet<String> {
    let mut ignored = Vec::new();
    let mut found = BTreeSet::new();
    for kind in [FileKind::Source, FileKind::Connection] {
        for document in read_folder(dir, kind, &mut ignored).documents.into_values() {
            found.extend(plugin_of(&document));
        }
    }
    found
}

/// Reads and checks all files of a project.
///
/// Nothing outside of them is looked at: [`crate::check_columns`] and [`crate::check_secrets`] do that.
pub fn load(dir: &Path, catalog: &Catalog) -> Loaded {
    let mut findings = Vec::new();
    let OwnFile { settings, places_plugins, document } = own_file(dir, &mut findings);
    let mut checker = Checker { catalog, compiled: BTreeMap::new(), findings: Vec::new() };
    let sources = checker.folder(dir, FileKind::Source, plugin_of);
    let segments = checker.folder(dir, FileKind::Segment, |segment| {
        plugin_of(sources.documents.get(segment.value().get("source")?.as_str()?)?)
    });
    let connections = checker.folder(dir, FileKind::Connection, plugin_of);
    let exports = checker.folder(dir, FileKind::Export, |export| {
        plugin_of(connections.documents.get(export.value().get("connection")?.as_str()?)?)
    });
    findings.append(&mut checker.findings);

    let files = Files { catalog, sources, segments, connections, exports };
    let resolved = resolve::entities(&files, &mut findings);
    // Which may be where the file would have told.
    findings.retain(|finding| places_plugins || finding.code != Code::UnknownPlugin);

    let project = Project {
        dir: dir.to_owned(),
        settings,
        sources: resolved.sources,
        segments: resolved.segments,
        connections: resolved.connections,
        exports: resolved.exports,
        documents: Arc::new(files.into_documents(document)),
    };
    Loaded { project, diagnostics: findings.into_iter().collect::<Diagnostics>().sorted() }
}

fn plugin_of(document: &Document) -> Option<String> {
    Some(document.value().get("plugin")?.as_str()?.to_owned())
}

/// `segport.toml`.
#[derive(Debug, Default)]
struct OwnFile {
    /// What it says as far as it is right.
    settings: Settings,
    /// Whether it says for certain where plugins are.
    places_plugins: bool,
    /// `None` if it is no TOML, or not there.
    document: Option<Document>,
}

fn own_file(dir: &Path, findings: &mut Vec<Diagnostic>) -> OwnFile {
    let Some(mut document) = settings_document(dir, findings) else { return OwnFile::default() };
    let compiled = match Compiled::new(schema::base(FileKind::Settings)) {
        Ok(compiled) => compiled,
        Err(error) => {
            findings.push(Diagnostic::error(Code::Internal, error));
            return OwnFile::default();
        }
    };
    if document.value().pointer("/state/url").is_some_and(resolve::holds_secret) {
        document.mask(&["/state/url".to_owned()]);
    }
    let wrong = compiled.check(&mut document, findings);
    let tables: Vec<String> = wrong.iter().map(|pointer| pointer::table(pointer).to_owned()).collect();
    // Where an entry alone cannot be left out, its table is.
    let raw = typed(&document, &wrong, findings).or_else(|| typed(&document, &tables, findings)).unwrap_or_default();
    // A table that is not known may be that of plugins, misspelt.
    let others = ["", "/project", "/state", "/egress", "/refresh"];
    let places_plugins = tables.iter().all(|table| others.contains(&table.as_str()));
    let settings = resolve::settings(dir, raw, &mut Findings::in_file(&document, findings));
    OwnFile { settings, places_plugins, document: Some(document) }
}

/// Checks files against schemas and compiles each schema once.
struct Checker<'c> {
    catalog: &'c Catalog,
    compiled: BTreeMap<(FileKind, String), Option<Compiled>>,
    findings: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn folder(&mut self, dir: &Path, kind: FileKind, plugin: impl Fn(&Document) -> Option<String>) -> Folder {
        let mut folder = read_folder(dir, kind, &mut self.findings);
        for (id, document) in &mut folder.documents {
            let plugin = plugin(document).unwrap_or_default();
            let wrong = self.check(kind, plugin, document);
            folder.wrong.insert(id.clone(), wrong);
        }
        folder
    }

    fn check(&mut self, kind: FileKind, plugin: String, document: &mut Document) -> Vec<String> {
        let descriptor = self.catalog.get(&plugin).filter(|descriptor| kind.takes(descriptor));
        let key = (kind, descriptor.map(|descriptor| descriptor.id.clone()).unwrap_or_default());
        let findings = &mut self.findings;
        let compiled = self.compiled.entry(key).or_insert_with(|| {
            let schema =
                descriptor.map_or_else(|| schema::base(kind), |descriptor| schema::for_plugin(kind, descriptor));
            Compiled::new(schema)
                .map_err(|error| {
                    let message = format!("the schema of plugin `{plugin}` cannot be used: {error}");
                    findings.push(
                        Diagnostic::error(Code::BadPluginSchema, message)
                            .help("this is a defect of the plugin: install another version of it, or report it"),
                    );
                })
                .ok()
        });
        let Some(compiled) = compiled else { return Vec::new() };
        if descriptor.is_none() && kind != FileKind::Export {
            // Without the plugin's schema nobody knows which of its settings are secrets.
            document.mask(&PLUGIN_TABLES.map(str::to_owned));
        }
        compiled.check(document, findings)
    }
}
