//! A page, and the parts of it that are generated.

use std::path::Path;
use std::{env, fs};

const START: &str = "<!-- generated: ";
const START_END: &str = " -->";
const END: &str = "<!-- /generated -->";

/// Checks the generated parts of a page, or writes them if the environment variable `SEGPORT_UPDATE` is set.
///
/// `page` is a path relative to the root of the workspace. A part stands between `<!-- generated: NAME -->` and
/// `<!-- /generated -->`, each on a line of its own; what is outside of them is written by hand and left alone. `parts` are
/// names with their text.
///
/// # Errors
/// A sentence that says what to do, if the page cannot be read or written, is not what the types say, or has other parts.
pub fn keep(page: &str, parts: &[(&str, String)]) -> Result<(), String> {
    // Two levels above this crate, by the layout of the workspace.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let written = fs::read_to_string(&path).map_err(|error| format!("{page} cannot be read: {error}"))?;
    let current = fill(&written, parts).map_err(|problem| format!("{page} {problem}"))?;
    if written == current {
        return Ok(());
    }
    if env::var_os("SEGPORT_UPDATE").is_some() {
        return fs::write(&path, current).map_err(|error| format!("{page} cannot be written: {error}"));
    }
    let difference = first_difference(&written, &current);
    Err(format!("{page} is not what the types say: run `cargo xtask reference` and commit the result\n{difference}"))
}

fn fill(text: &str, parts: &[(&str, String)]) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut unused: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        filled.push_str(line);
        filled.push('\n');
        let Some(name) = line.strip_prefix(START).and_then(|rest| rest.strip_suffix(START_END)) else { continue };
        let (_, part) = parts
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("has a part `{name}`, which nothing generates"))?;
        if part.trim().is_empty() {
            return Err(format!(
                "has a part `{name}`, for which the types give nothing: is its definition called otherwise now?"
            ));
        }
        if !lines.by_ref().any(|line| line == END) {
            return Err(format!("has a part `{name}` without `{END}` behind it"));
        }
        unused.retain(|other| *other != name);
        filled.push_str(&format!("\n{}\n\n{END}\n", part.trim()));
    }
    match unused.as_slice() {
        [] => Ok(filled),
        names => {
            Err(format!("lacks the generated parts {}: add `{START}NAME{START_END}` and `{END}`", names.join(", ")))
        }
    }
}

fn first_difference(written: &str, current: &str) -> String {
    let (mut old, mut new) = (written.lines(), current.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (old.next(), new.next()) {
            (None, None) => return "they differ in line endings".to_owned(),
            (left, right) if left == right => {}
            (left, right) => {
                let shown = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return format!("line {number}\n  page:  {}\n  types: {}", shown(left), shown(right));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n\n<!-- generated: a -->\nold\n<!-- /generated -->\n\nby hand\n";

    fn parts(names: &[&'static str]) -> Vec<(&'static str, String)> {
        names.iter().map(|name| (*name, format!("new {name}\n"))).collect()
    }

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let filled = fill(PAGE, &parts(&["a"])).unwrap();
        assert_eq!(filled, "# Page\n\n<!-- generated: a -->\n\nnew a\n\n<!-- /generated -->\n\nby hand\n");
        assert_eq!(fill(&filled, &parts(&["a"])).unwrap(), filled, "what is current stays as it is");
    }

    #[test]
    fn parts_and_page_must_agree() {
        assert!(fill(PAGE, &parts(&["b"])).unwrap_err().contains("`a`, which nothing generates"));
        assert!(fill(PAGE, &parts(&["a", "b"])).unwrap_err().contains("lacks the generated parts b"));
        assert!(fill("<!-- generated: a -->\n", &parts(&["a"])).unwrap_err().contains("without"));
        assert!(fill(PAGE, &[("a", String::new())]).unwrap_err().contains("nothing"));
    }

    #[test]
    fn a_stale_page_is_shown_where_it_differs() {
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), "line 2\n  page:  b\n  types: c");
        assert_eq!(first_difference("a\n", "a\nc\n"), "line 2\n  page:  (the end)\n  types: c");
    }
}
