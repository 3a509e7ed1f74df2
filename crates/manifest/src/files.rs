//! The files of a project, found and parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::document::{Document, decoded};
use crate::file_kind::FileKind;
use crate::{file, pointer};

/// The project's own file.
pub(crate) const SETTINGS: &str = "segport.toml";

/// All files but `segport.toml`, with what they are checked against.
#[derive(Debug)]
pub(crate) struct Files<'c> {
    pub(crate) catalog: &'c Catalog,
    pub(crate) sources: Folder,
    pub(crate) segments: Folder,
    pub(crate) connections: Folder,
    pub(crate) exports: Folder,
}

impl Files<'_> {
    /// All documents by their paths.
    pub(crate) fn into_documents(self, settings: Option<Document>) -> BTreeMap<String, Document> {
        let folders = [self.sources, self.segments, self.connections, self.exports];
        let others = folders.into_iter().flat_map(|folder| folder.documents.into_values());
        settings.into_iter().chain(others).map(|document| (document.text().path().to_owned(), document)).collect()
    }
}

/// `segport.toml`, if it can be read and is TOML.
pub(crate) fn settings_document(dir: &Path, findings: &mut Vec<Diagnostic>) -> Option<Document> {
    let path = dir.join(SETTINGS);
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let bytes = match file::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            findings.push(
                Diagnostic::error(Code::NoProject, format!("there is no `{SETTINGS}` in {}", whole.display()))
                    .help("run `segport init` to make a project here, or name its directory with `-C DIR`"),
            );
            return None;
        }
        Err(error) => {
            findings.push(unreadable(SETTINGS, &error));
            return None;
        }
    };
    parsed(FileKind::Settings, SETTINGS, bytes, findings)
}

/// The files of one folder.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Every id for which there is a file, readable or not.
    pub(crate) ids: BTreeSet<String>,
    /// The files that are TOML, by id.
    pub(crate) documents: BTreeMap<String, Document>,
    /// What is wrong in each of them, as JSON pointers.
    pub(crate) wrong: BTreeMap<String, Vec<String>>,
}

/// The files of the folder of this kind; what is wrong with any is in `findings`.
pub(crate) fn read_folder(dir: &Path, kind: FileKind, findings: &mut Vec<Diagnostic>) -> Folder {
    let name = kind.folder();
    let mut folder = Folder::default();
    let mut paths = match std::fs::read_dir(dir.join(name)).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect::<Vec<_>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return folder,
        Err(error) => {
            findings.push(unreadable(name, &error));
            return folder;
        }
    };
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "toml") && !path.is_dir()) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let shown = format!("{name}/{stem}.toml");
        if !is_id(&stem) {
            findings.push(bad_id(&shown, &stem));
            continue;
        }
        folder.ids.insert(stem.to_string());
        match file::read(path) {
            Ok(bytes) => {
                if let Some(document) = parsed(kind, &shown, bytes, findings) {
                    folder.documents.insert(stem.to_string(), document);
                }
            }
            Err(error) => findings.push(unreadable(&shown, &error)),
        }
    }
    folder
}

fn parsed(kind: FileKind, path: &str, bytes: Vec<u8>, findings: &mut Vec<Diagnostic>) -> Option<Document> {
    let text = decoded(kind, path, bytes).map_err(|finding| findings.push(*finding)).ok()?;
    match Document::parse(kind, path, &text) {
        Ok(document) => Some(document),
        Err(more) => {
            findings.extend(more);
            None
        }
    }
}

/// What stands in a document apart from what is wrong; `None` if too little is left.
pub(crate) fn typed<T: DeserializeOwned>(
    document: &Document,
    wrong: &[String],
    findings: &mut Vec<Diagnostic>,
) -> Option<T> {
    let mut value = document.value().clone();
    for pointer in wrong {
        remove(&mut value, pointer);
    }
    match serde_json::from_value(value) {
        Ok(typed) => Some(typed),
        Err(_) if !wrong.is_empty() => None,
        // The reason would quote values, so it is not shown.
        Err(_) => {
            let path = document.text().path();
            let message = format!("cannot read `{path}`, although it matches its schema");
            findings.push(Diagnostic::error(Code::Internal, message).in_file(path));
            None
        }
    }
}

fn remove(value: &mut Value, at: &str) {
    let Some(parent) = pointer::parent(at) else { return };
    if let Some(Value::Object(table)) = value.pointer_mut(parent) {
        table.remove(&pointer::last(at));
    }
}

fn unreadable(path: &str, error: &io::Error) -> Diagnostic {
    Diagnostic::error(Code::Unreadable, format!("cannot read `{path}`: {error}")).in_file(path)
}

/// Whether a file's stem can be an id: lower-case letters, digits, `_` and `-`, the first a letter or digit.
pub(crate) fn is_id(stem: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    stem.starts_with(good) && stem.chars().all(|c| good(c) || c == '_' || c == '-')
}

fn bad_id(path: &str, stem: &str) -> Diagnostic {
    let finding = Diagnostic::error(Code::BadId, format!("the file name `{stem}` cannot be an id")).in_file(path);
    let proposal: String = stem.to_lowercase().chars().map(|c| if is_id(&format!("a{c}")) { c } else { '-' }).collect();
    let proposal = proposal.trim_matches(['-', '_']);
    let rule = "an id has lower-case letters, digits, `_` and `-`, and begins with a letter or digit";
    if is_id(proposal) { finding.help(format!("{rule}, such as `{proposal}`")) } else { finding.help(rule) }
}
