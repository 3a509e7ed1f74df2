//! The reference of failed calls, made from the table that the test `matrix` carries out.

#![allow(clippy::panic, reason = "a test fails by it")]

use segport_reference::{keep, table};
use segport_tests::failures::{Call, GROUPS};

#[test]
fn reference_of_failed_calls() {
    let [a, b, c, d, e, f, g, h, i, j] = Call::ALL.map(Call::title);
    let parts: Vec<(String, String)> = GROUPS
        .iter()
        .map(|group| {
            let rows = group.rows.iter().map(|row| {
                let [a, b, c, d, e, f, g, h, i, j] = row.cells.map(|cell| cell.replace(" x", " ×"));
                [row.what.to_owned(), a, b, c, d, e, f, g, h, i, j]
            });
            (group.title.to_lowercase(), table(["what goes wrong", a, b, c, d, e, f, g, h, i, j], rows))
        })
        .collect();
    let parts: Vec<(&str, String)> = parts.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    keep("docs/src/reference/failures.md", &parts).unwrap_or_else(|problem| panic!("{problem}"));
}
