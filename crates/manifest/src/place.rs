//! Where in a file stands what somebody else objects to, such as a plugin.

use crate::diagnostic::{Diagnostic, Location};
use crate::document::Document;
use crate::pointer;
use crate::project::Project;

impl Project {
    /// The finding at the entry of these tables of `file` that its message names first, by its key or its text in backticks; where
    /// it names none, at the first of the tables. What the message itself does not tell of a table that may hold secrets is hidden.
    pub fn placed(&self, finding: Diagnostic, file: &str, tables: &[&str]) -> Diagnostic {
        match self.documents.get(file) {
            Some(document) => {
                let place = place(document.clone(), tables, &finding.message);
                finding.at(place, "")
            }
            None => finding.in_file(file),
        }
    }
}

/// The finding at the secret, or at the reference to one, at `pointer` of `file`.
pub(crate) fn at_secret(finding: Diagnostic, file: &str, document: Option<&Document>, pointer: &str) -> Diagnostic {
    match document {
        Some(document) => finding.at(document.at_value(pointer), format!("`{}` is kept there", pointer::last(pointer))),
        None => finding.in_file(file),
    }
}

fn place(mut document: Document, tables: &[&str], message: &str) -> Location {
    let entries: Vec<String> = tables.iter().flat_map(|table| document.entries(table)).collect();
    let told = |text: &str| message.find(&format!("`{text}`"));
    let text_of = |at: &str| document.value().pointer(at).and_then(|value| told(value.as_str()?));
    let by_text = entries.iter().filter_map(|at| Some((text_of(at)?, at)));
    let by_key = entries.iter().filter_map(|at| Some((told(&pointer::last(at))?, at)));
    let named = by_text.clone().chain(by_key).min().map(|(_, at)| at.clone());
    if document.kind().may_hold_secrets() {
        let untold: Vec<String> = entries.iter().filter(|at| text_of(at).is_none()).cloned().collect();
        document.mask(&untold);
    }
    match named {
        Some(at) => document.at_key(&at),
        None => document.at_value(tables.first().copied().unwrap_or_default()),
    }
}
