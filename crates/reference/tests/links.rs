//! Every link in the documentation leads to a file, or a heading, that is there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use segport_reference::anchor;

/// Links to the repository are links to its files.
const REPOSITORY: &str = "https://github.com/segport/segport/blob/main/";
const BOOK: &str = "docs/src";

fn root() -> PathBuf {
    normal(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

/// The path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = parts.pop(),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        // What is built, and what begins with a dot, is not written by anybody.
        if path.is_dir() && name != "target" && name != "book" && !name.starts_with('.') {
            found.extend(pages(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

/// A page as mdBook has it: with the files that it includes.
fn included(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let line = |line: &str| match line.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}")) {
        Some(file) => included(&normal(&page.parent().unwrap().join(file.trim()))),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The lines that are not code, without the code in them.
fn prose(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push(line.split('`').step_by(2).collect());
        }
    }
    lines
}

fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        for (start, end) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            found.extend(line.split(start).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())));
        }
        if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.push(target.to_owned());
        }
    }
    found
}

/// What the headings of a page are called in links.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if in_code || heading == line || !heading.starts_with(' ') {
            continue;
        }
        let name = anchor(heading);
        let earlier: &mut u32 = seen.entry(name.clone()).or_default();
        found.push(if *earlier == 0 { name } else { format!("{name}-{earlier}") });
        *earlier += 1;
    }
    found
}

/// What is wrong with a link of `page`, whose text is `own`.
fn broken(page: &Path, own: &str, link: &str) -> Option<&'static str> {
    let root = root();
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = match path.strip_prefix(REPOSITORY) {
        Some(inside) => root.join(inside),
        None if path.contains(':') => return None,
        None if path.is_empty() => page.to_owned(),
        None => normal(&page.parent()?.join(path)),
    };
    let book = root.join(BOOK);
    if page.starts_with(&book) && !target.starts_with(&book) && !path.starts_with(REPOSITORY) {
        return Some("leads out of the book, where mdBook does not follow");
    }
    if !target.exists() {
        return Some("leads nowhere");
    }
    if heading.is_empty() {
        return None;
    }
    let text = if target == page { own.to_owned() } else { included(&target) };
    let is_there = anchors(&text).iter().any(|name| name == heading);
    (!is_there).then_some("names a heading that is not there")
}

#[test]
fn every_link_leads_somewhere() {
    let all = pages(&root());
    assert!(all.len() > 20, "only {} pages were found", all.len());
    let mut findings = Vec::new();
    for page in &all {
        let text = included(page);
        let shown = page.strip_prefix(root()).unwrap().display();
        for link in links(&text) {
            findings.extend(broken(page, &text, &link).map(|problem| format!("{shown}: `{link}` {problem}")));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let book = root().join(BOOK);
    let listed: Vec<_> = links(&included(&book.join("SUMMARY.md"))).iter().map(|link| book.join(link)).collect();
    for page in pages(&book).iter().filter(|page| !page.ends_with("SUMMARY.md")) {
        assert!(listed.contains(page), "{} is not in SUMMARY.md", page.display());
    }
}

#[test]
fn links_and_headings_are_told_from_code() {
    let text =
        "# One `x`\n[a](b.md) and `[c](d)`\n```sh\n# none [e](f)\n```\n<img src=\"g.svg\">\n[h]: i.md#j\n## One x\n";
    assert_eq!(links(text), ["b.md", "g.svg", "i.md#j"]);
    assert_eq!(anchors(text), ["one-x", "one-x-1"]);
}
