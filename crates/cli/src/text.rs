//! Numbers, times and tables as people read them.

use std::path::Path;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use segport_core::harmless;

/// `12345` as `12,345`.
pub(crate) fn count(number: u64) -> String {
    segport_core::grouped(number, ",")
}

/// A number of things: `1 call`, `2 calls`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Seconds as `0.4 s`, `12 s`, `3 min 20 s`, `5 h 33 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds >= 1e15 {
        return "unknown time".to_owned();
    }
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let seconds = seconds.round() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The time from `start` to `end`.
pub(crate) fn between(start: Timestamp, end: Timestamp) -> String {
    duration((end - start).as_secs_f64())
}

/// The second of a moment, in UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    at.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc)).unwrap_or(at).to_string()
}

/// Columns padded to their widest cell; the last one is not. Ends in a line break unless there are no rows. Cells may hold somebody
/// else's text.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| harmless(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The same with texts in the last column, which go on below their beginning so that lines have about `width` characters.
pub(crate) fn glossary(rows: &[Vec<String>], width: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0).saturating_sub(1);
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let before: usize = (0..columns).filter_map(widest).map(|widest| widest + 2).sum();
    let mut lines = Vec::new();
    for row in rows {
        let Some((text, cells)) = row.split_last() else { continue };
        let text = wrap(text, width.saturating_sub(before).max(30), "");
        let first = [cells, &[text.lines().next().unwrap_or_default().to_owned()]].concat();
        let further =
            text.lines().skip(1).map(|line| [vec![String::new(); cells.len()], vec![line.to_owned()]].concat());
        lines.extend([first].into_iter().chain(further));
    }
    table(&lines)
}

/// A path as one word of a command line, to be copied into a shell.
pub(crate) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Breaks paragraphs into lines of at most `width` characters, each after `indent`.
pub(crate) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut out = String::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                out.push_str(&format!("{indent}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out.push_str(format!("{indent}{line}").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        let check = |number, expected| assert_eq!(count(number), expected);
        check(0, "0");
        check(999, "999");
        check(1000, "1,000");
        check(100_000, "100,000");
        check(1_234_567, "1,234,567");
        assert_eq!(counted(1, "call"), "1 call");
        assert_eq!(counted(0, "call"), "0 calls");
    }

    #[test]
    fn durations() {
        let check = |seconds, expected| assert_eq!(duration(seconds), expected);
        check(0.04, "0.0 s");
        check(0.44, "0.4 s");
        check(9.949, "9.9 s");
        check(9.96, "10 s");
        check(119.4, "119 s");
        check(200.0, "3 min 20 s");
        check(20_000.0, "5 h 33 min");
        check(f64::INFINITY, "unknown time");
    }

    #[test]
    fn tables_are_aligned() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(table(&[row(&["a", "zoë", ""]), row(&["bbb", "c", "d"])]), "a    zoë\nbbb  c    d\n");
        assert_eq!(table(&[row(&["\u{1b}[2Jx", "y"]), row(&["", "a\nb"])]), "\\u{1b}[2Jx  y\n            a\\nb\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn long_texts_of_a_glossary_go_on_below_their_beginning() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = format!("{}{}", "one two ".repeat(4), "three");
        let expected = "a   one two one two one two one\n    two three\nbb\n";
        assert_eq!(glossary(&[row(&["a", &text]), row(&["bb", ""])], 10), expected);
        assert_eq!(glossary(&[], 10), "");
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        let check = |path: &str, expected: &str| assert_eq!(word(Path::new(path)), expected);
        check("shop", "shop");
        check("../a/b-c_1.2", "../a/b-c_1.2");
        check("-x", "./-x");
        check("Ünï cödé", "'Ünï cödé'");
        check("it's $HOME", r"'it'\''s $HOME'");
        check("a;b", "'a;b'");
        check("", "''");
    }

    #[test]
    fn paragraphs_are_wrapped() {
        assert_eq!(wrap("one two three\n\nfour", 7, "  "), "  one two\n  three\n\n  four\n");
    }
}
