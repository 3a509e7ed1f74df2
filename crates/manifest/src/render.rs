//! Findings as text, the way rustc shows them.

use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use segport_core::{harmless, harmless_lines};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};

/// Whether a rendering has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With ANSI escape codes.
    Coloured,
}

impl Diagnostic {
    /// The finding as it is shown on a terminal, several lines.
    pub fn render(&self, style: Style) -> String {
        render(self, style)
    }
}

impl Diagnostics {
    /// All findings as they are shown on a terminal, an empty line between two.
    pub fn render(&self, style: Style) -> String {
        self.iter().map(|finding| finding.render(style)).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

impl std::error::Error for Diagnostics {}

/// Lines end in `\n`, the last one too.
fn render(finding: &Diagnostic, style: Style) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(harmless_lines(&finding.message)).id(finding.code.as_str()));
    if let Some(location) = &finding.location {
        let source = location.file();
        let mark = AnnotationKind::Primary.span(location.span());
        let mark = if finding.label.is_empty() { mark } else { mark.label(harmless_lines(&finding.label)) };
        group = group.element(Snippet::source(source.text()).path(source.path()).annotation(mark));
    } else if !finding.file.is_empty() {
        group = group.element(Origin::path(harmless(&finding.file)));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(harmless_lines(help)));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    format!("{}\n", renderer.decor_style(DecorStyle::Ascii).render(&[group]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn no_text_tells_the_terminal_what_to_do() {
        let finding = Diagnostic::error(Code::UnknownColumn, "a\u{1b}[31mb")
            .help("c\u{7}\nd\u{202e}")
            .in_file("exports/a\u{1b}[31mb.toml");
        let shown = finding.render(Style::Plain);
        assert!(shown.contains(r"a\u{1b}[31mb") && shown.contains(r"c\u{7}"), "{shown}");
        assert!(shown.contains(r"d\u{202e}") && shown.contains(r"exports/a\u{1b}[31mb.toml"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown}");
    }
}
