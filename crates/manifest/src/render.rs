//! Findings as text, the way rustc shows them.

use std::borrow::Cow;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity, Style};

/// Lines end in `\n`, the last one too.
pub(crate) fn render(finding: &Diagnostic, style: Style) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(visible(&finding.message)).id(finding.code.as_str()));
    if let Some(location) = &finding.location {
        let source = location.file();
        let mark = AnnotationKind::Primary.span(location.span());
        let mark = if finding.label.is_empty() { mark } else { mark.label(visible(&finding.label)) };
        group = group.element(Snippet::source(source.text()).path(source.path()).annotation(mark));
    } else if !finding.file.is_empty() {
        group = group.element(Origin::path(&finding.file));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(visible(help)));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    format!("{}\n", renderer.decor_style(DecorStyle::Ascii).render(&[group]))
}

/// `text` with its control characters written out: names of columns come from data, and could tell the terminal what to do.
fn visible(text: &str) -> Cow<'_, str> {
    let is_command = |letter: char| letter.is_control() && letter != '\n';
    if !text.contains(is_command) {
        return text.into();
    }
    let shown = |letter: char| match is_command(letter) {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(shown).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn no_text_tells_the_terminal_what_to_do() {
        let finding = Diagnostic::error(Code::UnknownColumn, "a\u{1b}[31mb").help("c\u{7}\nd");
        let shown = render(&finding, Style::Plain);
        assert!(shown.contains(r"a\u{1b}[31mb") && shown.contains(r"c\u{7}"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown}");
    }
}
