//! Somebody else's text where a terminal shows it.

/// Somebody else's text in one line that a terminal shows and does not obey.
pub fn harmless(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_odd(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The same of a text whose lines are our own.
pub fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_no_foreign_text() {
        assert_eq!(harmless("Zoë 🏴 \u{1b}[31m\n\u{202e}x"), "Zoë 🏴 \\u{1b}[31m\\n\\u{202e}x");
        assert_eq!(harmless_lines("a\r\n\u{7}b\n"), "a\\r\n\\u{7}b\n");
    }
}
