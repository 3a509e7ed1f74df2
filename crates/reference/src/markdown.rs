//! Markdown.

/// A table, or nothing without rows. Cells may hold Markdown; line breaks and bars in them are made harmless.
pub fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: impl IntoIterator<Item = [String; COLUMNS]>) -> String {
    let line = |cells: [String; COLUMNS]| format!("| {} |\n", cells.join(" | "));
    let rows: String = rows.into_iter().map(|row| line(row.map(|cell| one_line(&cell).replace('|', "\\|")))).collect();
    if rows.is_empty() {
        return rows;
    }
    line(head.map(str::to_owned)) + &line(head.map(|_| "---".to_owned())) + &rows
}

/// Paragraphs as one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `a`, `a or b`, `a, b or c`.
pub fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The name under which a link finds a heading, as forges and mdBook make it.
pub fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_in_their_table() {
        let text = table(["a", "b"], [["x|y".to_owned(), "one\n\ntwo".to_owned()]]);
        assert_eq!(text, "| a | b |\n| --- | --- |\n| x\\|y | one two |\n");
    }

    #[test]
    fn headings_are_found() {
        assert_eq!(anchor("SP0504: stopped: too many removals"), "sp0504-stopped-too-many-removals");
        assert_eq!(anchor("`sources/ID.toml`"), "sourcesidtoml");
    }
}
