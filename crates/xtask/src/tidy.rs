//! `cargo xtask tidy`: rules of the tree that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::proc::{Done, root, say};

/// A module longer than this is two.
const MAX_LINES: usize = 600;
/// Names that say nothing about what is in them.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "manager", "misc"];

/// Checks the tree.
pub(crate) fn run() -> Done {
    let root = root();
    let mut findings = Vec::new();
    for file in rust_files(&root)? {
        let text = fs::read_to_string(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let shown = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        check(&shown, &text, &mut findings);
    }
    if findings.is_empty() {
        say("tidy: the tree is in order");
        return Ok(());
    }
    Err(format!("the tree is not tidy\n  {}", findings.join("\n  ")))
}

fn check(path: &str, text: &str, findings: &mut Vec<String>) {
    if path.trim_end_matches(".rs").split('/').any(|name| EMPTY_NAMES.contains(&name)) {
        findings.push(format!("{path}: name the module after what it does"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(format!("{path}: {lines} lines; split it by responsibility (at most {MAX_LINES})"));
    }
    if !text.starts_with("//!") && !text.starts_with("#!") {
        findings.push(format!("{path}: begins without a sentence on what the module is for (`//! ...`)"));
    }
    let is_test = path.contains("/tests/") || path.starts_with("tests/");
    if is_test && (text.contains("#[ignore") || text.contains("thread::sleep(") || text.contains("time::sleep(")) {
        findings.push(format!("{path}: a test is ignored or sleeps"));
    }
    let may_know_autopilot =
        ["connectors/autopilot/", "crates/sandbox/", "crates/properties/", "tests/", "crates/xtask/"];
    let wire_names = ["_autopilot_list", "autopilotapikey", "email_contact_map", "contactlist_"];
    if path.starts_with("crates/core/") && text.to_lowercase().contains("autopilot") {
        findings.push(format!("{path}: names a connector; to the core they are all alike"));
    }
    if !may_know_autopilot.iter().any(|place| path.starts_with(place))
        && wire_names.iter().any(|name| text.contains(name))
    {
        findings.push(format!("{path}: knows a wire name of Autopilot; only its connector, the sandbox and what tests or measures these two may"));
    }
}

fn rust_files(dir: &Path) -> Done<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["crates", "connectors", "tests", "fuzz"].iter().map(|folder| dir.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).map_err(|error| format!("{} cannot be listed: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() && entry.file_name() != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_file_and_rule() {
        let mut findings = Vec::new();
        check("crates/core/src/utils.rs", "//! x\n", &mut findings);
        check("crates/core/src/a.rs", &format!("//! x\n{}", "\n".repeat(700)), &mut findings);
        check("crates/core/src/b.rs", "fn main() {}\n", &mut findings);
        check("crates/engine/src/c.rs", "//! x\nconst A: &str = \"_autopilot_list\";\n", &mut findings);
        check("crates/core/src/d.rs", "//! x\n/// Such as `autopilot`.\n", &mut findings);
        check("connectors/autopilot/src/c.rs", "//! x\nconst A: &str = \"_autopilot_list\";\n", &mut findings);
        check("crates/transport/tests/e.rs", "//! x\nconst A: &str = \"autopilotapikey\";\n", &mut findings);
        check("tests/tests/f.rs", "//! x\nconst A: &str = \"autopilotapikey\";\n", &mut findings);
        assert_eq!(findings.len(), 6, "{findings:?}");
    }
}
