//! What is found wrong in one file.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::files::Folder;
use crate::suggest;

/// A file, and the findings of all files that those in it are added to.
#[derive(Debug)]
pub(crate) struct Findings<'f> {
    pub(crate) document: &'f Document,
    found: &'f mut Vec<Diagnostic>,
}

impl<'f> Findings<'f> {
    pub(crate) fn in_file(document: &'f Document, found: &'f mut Vec<Diagnostic>) -> Self {
        Self { document, found }
    }

    /// An error about the value at `pointer`.
    pub(crate) fn report(
        &mut self,
        code: Code,
        message: impl Into<String>,
        pointer: &str,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(code, message).help(help), pointer, label);
    }

    /// A finding about the value at `pointer`.
    pub(crate) fn push(&mut self, finding: Diagnostic, pointer: &str, label: impl Into<String>) {
        self.found.push(finding.at(self.document.at_value(pointer), label));
    }

    /// A finding about the key at `pointer`, whatever its value.
    pub(crate) fn push_at_key(&mut self, finding: Diagnostic, pointer: &str, label: impl Into<String>) {
        self.found.push(finding.at(self.document.at_key(pointer), label));
    }

    /// Reports an id at `pointer` that no file of `folder` has.
    pub(crate) fn known(&mut self, folder: &Folder, what: Named, pointer: &str, id: &str) -> Option<()> {
        if folder.ids.contains(id) {
            return Some(());
        }
        let (code, what) = what.code_and_name();
        let help = suggest::among(id, folder.ids.iter().map(String::as_str))
            .unwrap_or_else(|| format!("make the file `{what}s/{id}.toml`"));
        let label = format!("there is no file `{what}s/{id}.toml`");
        self.report(code, format!("unknown {what} `{id}`"), pointer, label, help);
        None
    }
}

/// What files name one another for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named {
    Source,
    Segment,
    Connection,
}

impl Named {
    fn code_and_name(self) -> (Code, &'static str) {
        match self {
            Self::Source => (Code::UnknownSource, "source"),
            Self::Segment => (Code::UnknownSegment, "segment"),
            Self::Connection => (Code::UnknownConnection, "connection"),
        }
    }
}
