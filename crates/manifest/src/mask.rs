//! What is shown of a text that holds a secret.

use std::ops::Range;

/// `text` with what stands between the quotes of these spans replaced by `*`; every other byte stays where it is.
pub(crate) fn spans(text: &str, spans: &[Range<usize>]) -> String {
    let inner: Vec<_> = spans.iter().map(|span| between_quotes(text, span)).collect();
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let hidden = character != '\n' && inner.iter().any(|span| span.contains(&at));
        push(&mut shown, character, hidden);
    }
    shown
}

fn between_quotes(text: &str, span: &Range<usize>) -> Range<usize> {
    let text = text.get(span.clone()).unwrap_or_default();
    let quotes = ['"', '\''];
    let start = text.len() - text.trim_start_matches(quotes).len();
    let end = text.trim_end_matches(quotes).len();
    span.start + start..span.start + end.max(start)
}

/// A text that is not TOML, and so nobody knows what in it is a secret: only keys and punctuation stay.
pub(crate) fn unparsed(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let kept = match line.split_once('=') {
            Some((key, _)) if is_key(key.trim()) => key.len(),
            None if is_header(line.trim()) => line.len(),
            _ => 0,
        };
        for (at, character) in line.char_indices() {
            let structure = character.is_whitespace() || "\"'=[]{},".contains(character);
            push(&mut shown, character, at >= kept && !structure);
        }
    }
    shown
}

fn push(shown: &mut String, character: char, hidden: bool) {
    if hidden {
        shown.extend(std::iter::repeat_n('*', character.len_utf8()));
    } else {
        shown.push(character);
    }
}

/// Lower case with underscores, as all keys are and the lines of an encoded key are not.
fn is_key(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.')
}

fn is_header(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|text| is_key(text.trim_end_matches(']')))
}
