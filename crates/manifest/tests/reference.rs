//! The reference of the project files and of the error codes, made from the types.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test")]

use std::fs;
use std::path::Path;

use segport_core::ErrorKind;
use segport_manifest::{Code, schemas};
use segport_reference::{Notation, Schema, anchor, keep, table};
use serde_json::Value;

const MANIFEST: &str = "docs/src/reference/manifest.md";

/// Types that have a section of their own on the page.
const LINKS: [(&str, &str); 5] = [
    ("FieldEntry", "text or [table](#a-field-as-a-table)"),
    ("CustomFieldEntry", "text or [table](#a-field-as-a-table)"),
    ("FieldType", "[type](#types)"),
    ("RawThreshold", "[share](#shares), or whole number"),
    ("Transform", "[transforms](#transforms)"),
];

const GROUPS: [(&str, &str); 6] = [
    ("SP01", "Syntax and schema"),
    ("SP02", "References and mapping"),
    ("SP03", "Secrets, consent and permissions"),
    ("SP04", "Plugins"),
    ("SP05", "Limits, guards and schedules"),
    ("SP06", "What goes wrong in a run"),
];

const KINDS: [ErrorKind; 12] = [
    ErrorKind::ConfigInvalid,
    ErrorKind::Unauthenticated,
    ErrorKind::PermissionDenied,
    ErrorKind::NotFound,
    ErrorKind::RateLimited,
    ErrorKind::Rejected,
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
    ErrorKind::Cancelled,
    ErrorKind::Unsupported,
    ErrorKind::Contract,
    ErrorKind::Internal,
];

fn schema(file: &str) -> Value {
    serde_json::from_str(&schemas(None)[file]).unwrap()
}

#[test]
fn reference_of_the_project_files() {
    let [project, source, segment, connection, export] =
        ["segport", "source", "segment", "connection", "export"].map(|kind| schema(&format!("{kind}.json")));
    let keys = |schema: &Value| Schema::new(schema, Notation::Toml).links(&LINKS).keys();
    let export_schema = Schema::new(&export, Notation::Toml).links(&LINKS);
    let parts = [
        ("segport.toml", keys(&project)),
        ("source", keys(&source)),
        ("segment", keys(&segment)),
        ("connection", keys(&connection)),
        ("export", keys(&export)),
        ("field", export_schema.keys_of("CustomFieldTable")),
        ("types", export_schema.values_of("FieldType")),
        ("transforms", export_schema.values_of("Transform")),
    ];
    keep(MANIFEST, &parts).unwrap_or_else(|problem| panic!("{problem}"));
}

fn as_json(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, as_json(value))).collect(),
        toml::Value::Array(values) => values.into_iter().map(as_json).collect(),
        other => serde_json::to_value(other).unwrap(),
    }
}

/// The first block of TOML below the heading of each kind of file is an example that its schema accepts.
#[test]
fn reference_shows_examples_that_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join(MANIFEST)).unwrap();
    for kind in ["segport", "source", "segment", "connection", "export"] {
        let heading = if kind == "segport" { "## `segport.toml`".to_owned() } else { format!("## `{kind}s/ID.toml`") };
        let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("{MANIFEST} has no heading {heading}"));
        let (_, block) = section.split_once("```toml\n").unwrap();
        let (example, _) = block.split_once("```").unwrap();
        let example = as_json(toml::from_str(example).unwrap());
        let schema = schema(&format!("{kind}.json"));
        jsonschema::draft7::validate(&schema, &example).unwrap_or_else(|error| panic!("{heading}: {error}"));
        for key in schema["properties"].as_object().unwrap().keys() {
            assert!(example.get(key).is_some(), "the example below {heading} does not show `{key}`");
        }
    }
}

#[test]
fn reference_of_the_error_codes() {
    let mut index = Vec::new();
    let mut pages = String::new();
    for (prefix, title) in GROUPS {
        pages.push_str(&format!("## {prefix}xx: {title}\n\n"));
        for code in Code::ALL.iter().filter(|code| code.as_str().starts_with(prefix)) {
            let page = code.page().trim();
            let heading = page.lines().next().unwrap().trim_start_matches("# ");
            let name = heading.split_once(": ").unwrap().1.to_owned();
            index.push([format!("[{code}](#{})", anchor(heading)), name]);
            // A page of its own becomes a section, and its sections paragraphs.
            let section =
                page.replacen("# ", "### ", 1).replace("## Example\n", "Example:\n").replace("## Fix\n\n", "Fix: ");
            pages.push_str(&format!("{section}\n\n"));
        }
    }
    assert_eq!(index.len(), Code::ALL.len(), "a code is in no group");
    let kinds = KINDS.map(|kind| [format!("`{kind}`"), format!("`{}`", Code::of(kind))]);
    let parts =
        [("index", table(["code", "title"], index)), ("codes", pages), ("kinds", table(["kind", "code"], kinds))];
    keep("docs/src/reference/error-codes.md", &parts).unwrap();
}
