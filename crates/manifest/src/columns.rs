//! What lies outside the files: the columns of segments, and the addresses of destinations.

use std::collections::BTreeMap;

use segport_core::http::DESTINATION_MARK;
use serde_json::Value;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, Location};
use crate::project::{Export, Project, Segment};
use crate::walk::walk;
use crate::{pointer, suggest};

/// Checks the columns that keys and mappings name against those that the segments have.
///
/// `columns` gives the columns of each segment by its id; segments that are not in it are not checked.
pub fn check_columns(project: &Project, columns: &BTreeMap<String, Vec<String>>) -> Diagnostics {
    let mut findings = Diagnostics::new();
    for segment in project.segments.values() {
        if let Some(present) = columns.get(&segment.id) {
            check_key(project, segment, present, &mut findings);
        }
    }
    for export in project.exports.values() {
        check_mapping(project, export, columns, &mut findings);
    }
    findings.sorted()
}

fn check_key(project: &Project, segment: &Segment, present: &[String], findings: &mut Diagnostics) {
    let Some(document) = project.documents.get(&format!("segments/{}.toml", segment.id)) else { return };
    for (index, column) in segment.key.iter().enumerate().filter(|(_, column)| !present.contains(column)) {
        let of_entry = format!("/key/{index}");
        let place = if document.contains(&of_entry) { &of_entry } else { "/key" };
        let label = format!("segment `{}` has no such column", segment.id);
        let help = help(project, &segment.id, column, present);
        findings.push(unknown(column, document.at_value(place), label).help(help));
    }
}

fn check_mapping(
    project: &Project,
    export: &Export,
    columns: &BTreeMap<String, Vec<String>>,
    findings: &mut Diagnostics,
) {
    let Some(document) = project.documents.get(&format!("exports/{}.toml", export.id)) else { return };
    let known: Vec<_> = export.segments.iter().filter_map(|id| Some((id, columns.get(id)?))).collect();
    for field in &export.fields {
        let lacking: Vec<_> = known.iter().filter(|(_, present)| !present.contains(&field.column)).collect();
        let Some((id, present)) = lacking.first() else { continue };
        let names: Vec<_> = lacking.iter().map(|(id, _)| id).collect();
        let label = match names.as_slice() {
            [only] => format!("segment `{only}` has no such column"),
            several => format!("segments {} have no such column", suggest::list(several)),
        };
        let location = Location::new(document.text(), field.span.clone());
        let help = help(project, id, &field.column, present);
        findings.push(unknown(&field.column, location, label).help(help));
    }
}

fn unknown(column: &str, location: Location, label: String) -> Diagnostic {
    Diagnostic::error(Code::UnknownColumn, format!("unknown column `{column}`")).at(location, label)
}

/// What to do about a column that a segment lacks. A file that has lost its header shows a profile in the place of names, so they
/// are shown only if one of them is known, or is the column itself in another spelling.
fn help(project: &Project, segment: &str, column: &str, present: &[String]) -> String {
    if present.is_empty() {
        return "the segment has no columns at all: look at its `[read]`".to_owned();
    }
    if let [only] = present
        && let Some(delimiter) = [';', '\t', '|'].into_iter().find(|delimiter| only.contains(*delimiter))
    {
        return format!(
            "its columns seem to be separated otherwise: add `delimiter = {:?}` to its `[read]`",
            delimiter.to_string()
        );
    }
    let names: Vec<&str> = present.iter().map(String::as_str).collect();
    let is_header = named(project, segment).any(|named| names.contains(&named));
    if !is_header {
        return suggest::spelt(column, &names).unwrap_or_else(|| {
            "it has none of the columns that the project names: does the data begin with a header, and are its columns \
             separated as its `[read]` says?"
                .to_owned()
        });
    }
    suggest::among(column, names)
        .unwrap_or_else(|| "column names are compared letter by letter, upper and lower case included".to_owned())
}

/// The columns of a segment that its key and the mappings of its exports name.
fn named<'a>(project: &'a Project, segment: &'a str) -> impl Iterator<Item = &'a str> {
    let key = project.segments.get(segment).into_iter().flat_map(|segment| &segment.key);
    let exports = project.exports.values().filter(move |export| export.segments.iter().any(|id| id == segment));
    let fields = exports.flat_map(|export| export.fields.iter().map(|field| &field.column));
    key.chain(fields).map(String::as_str)
}

/// The addresses that a connector calls, by the names of the settings that hold them.
pub fn destinations<'a>(settings: &'a Value, schema: &Value) -> BTreeMap<String, &'a str> {
    let mut found = BTreeMap::new();
    walk(settings, schema, &mut |at, _, schema| {
        if schema.get(DESTINATION_MARK) == Some(&Value::Bool(true))
            && let Some(address) = settings.pointer(at).and_then(Value::as_str)
        {
            found.insert(pointer::dotted(at), address);
        }
    });
    found
}
