//! Findings as text, the way rustc shows them.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity, Style};

/// Lines end in `\n`, the last one too.
pub(crate) fn render(finding: &Diagnostic, style: Style) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&finding.message).id(finding.code.as_str()));
    if let Some(location) = &finding.location {
        let source = location.file();
        let mark = AnnotationKind::Primary.span(location.span());
        let mark = if finding.label.is_empty() { mark } else { mark.label(&finding.label) };
        group = group.element(Snippet::source(source.text()).path(source.path()).annotation(mark));
    } else if !finding.file.is_empty() {
        group = group.element(Origin::path(&finding.file));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    format!("{}\n", renderer.decor_style(DecorStyle::Ascii).render(&[group]))
}
