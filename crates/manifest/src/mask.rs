//! What is shown of a text that holds a secret.

use std::ops::Range;

/// `text` with what stands between the quotes of these spans, and in a comment behind them, replaced by `*` and its like; every byte
/// and character of the rest stays where it is.
pub(crate) fn spans(text: &str, spans: &[Range<usize>]) -> String {
    let inner: Vec<_> = spans.iter().flat_map(|span| [between_quotes(text, span), comment(text, span.end)]).collect();
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

/// The comment behind a value that ends at `end`, which may hold the one it had before. A `#` in a text that follows counts as well.
fn comment(text: &str, end: usize) -> Range<usize> {
    let rest = text.get(end..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let start = rest.find('#').map_or(rest.len(), |mark| mark + 1);
    end + start..end + rest.len()
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

/// What is hidden is replaced character by character with one of as many bytes, so that spans and columns stay true.
fn push(shown: &mut String, character: char, hidden: bool) {
    shown.push(match character.len_utf8() {
        _ if !hidden => character,
        1 => '*',
        2 => '·',
        3 => '•',
        _ => '🔒',
    });
}

/// Lower case with underscores, as all keys are and the lines of an encoded key are not.
fn is_key(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.')
}

fn is_header(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|text| is_key(text.trim_end_matches(']')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_keeps_its_place_in_bytes_and_characters() {
        let check = |text: &str, expected: &str| {
            let shown = unparsed(text);
            assert_eq!(shown, expected);
            assert_eq!(shown.len(), text.len());
            assert_eq!(shown.chars().count(), text.chars().count());
        };
        check("key = \"abc\"", "key = \"***\"");
        check("key = \"aø€😀\" x", "key = \"*·•🔒\" *");
        check("ø = 1\r\n", "· = *\r\n");
        assert_eq!(spans("a = ['ø€', 'x']", &[5..12, 14..17]), "a = ['·•', '*']");
        let lines = "a = 'x' # ø\r\nb = 'y' # z\nc = 1 # z";
        assert_eq!(spans(lines, &[4..7, 18..21]), "a = '*' #*·\r\nb = '*' #**\nc = 1 # z");
        assert_eq!(spans("a = ['x', 'y'], b = '#z' # z", &[5..8, 10..13]), "a = ['*', '*'], b = '#******");
    }
}
