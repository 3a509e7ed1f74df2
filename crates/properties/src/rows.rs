//! Whatever stands in a file of rows: each row is read or reported as unreadable, and every cursor leads to the same rows.

use std::path::Path;

use arrow_array::Array;
use segport_files::Files;
use segport_sdk::test::{Script, SourceHarness};
use segport_sdk::{ErrorKind, Page, Result};
use serde_json::{Value, json};

use crate::block_on;

/// The bytes as a CSV file.
pub fn csv(bytes: &[u8]) {
    let without_header = |records: u64| records.saturating_sub(1);
    let quoted = records(bytes, Some(b'"'), b',');
    check("f.csv", bytes, json!({}), Some(without_header(quoted)));
    let typed = json!({"header": false, "columns": ["a", "b"], "types": {"a": "integer", "b": "date"}});
    check("f.csv", bytes, typed, Some(quoted));
    let plain = json!({
        "delimiter": ";", "quote": "", "encoding": "windows-1252", "null_values": ["-", "NULL"], "infer_types": false,
    });
    check("f.csv", bytes, plain, Some(without_header(records(bytes, None, b';'))));
}

/// The bytes as a file of JSON lines.
pub fn json_lines(bytes: &[u8]) {
    let lines = without_mark(bytes).split(|&byte| byte == b'\n');
    let rows = lines.filter(|line| !line.trim_ascii().is_empty()).count() as u64;
    check("f.jsonl", bytes, json!({}), Some(rows));
    let typed = json!({"columns": ["a", "b", "c"], "types": {"a": "integer", "b": "boolean", "c": "float"}});
    check("f.jsonl", bytes, typed, Some(rows));
}

/// The bytes as a Parquet file.
pub fn parquet(bytes: &[u8]) {
    // How many rows it has only the reader can say.
    check("f.parquet", bytes, json!({}), None);
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// How many records a CSV file has, found byte by byte.
fn records(bytes: &[u8], quote: Option<u8>, delimiter: u8) -> u64 {
    enum At {
        Row,
        Field,
        Plain,
        Quoted,
        Quote,
    }
    let mut records = 0;
    let mut at = At::Row;
    for &byte in without_mark(bytes) {
        let ends_row = byte == b'\n' || byte == b'\r';
        if matches!(at, At::Row) && !ends_row {
            records += 1;
        }
        at = match at {
            At::Quoted if Some(byte) == quote => At::Quote,
            At::Quoted => At::Quoted,
            At::Quote if Some(byte) == quote => At::Quoted,
            At::Row | At::Field if Some(byte) == quote => At::Quoted,
            _ if ends_row => At::Row,
            _ if byte == delimiter => At::Field,
            _ => At::Plain,
        };
    }
    records
}

/// Reads a file with these options; `rows` is how many it has, if that is known.
fn check(name: &str, bytes: &[u8], mut read: Value, rows: Option<u64>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), bytes).unwrap();
    read["path"] = name.into();
    let pages = same_from_every_cursor(dir.path(), &read);
    let (mut seen, mut last_unreadable) = (0, 0);
    for page in &pages {
        for row in &page.unreadable {
            assert_eq!(row.place, name);
            assert!(row.row > last_unreadable, "{row:?} is reported after row {last_unreadable}");
            last_unreadable = row.row;
        }
        seen += (page.rows.num_rows() + page.unreadable.len()) as u64;
    }
    assert!(last_unreadable <= seen, "row {last_unreadable} of {seen} is reported");
    if let (Some(rows), Some(Page { next: None, .. })) = (rows, pages.last()) {
        assert_eq!(seen, rows, "{read}");
    }
}

/// Reads what `read` names below `root` page by page, then each page once more with a source that has read nothing before, and
/// returns the pages. The last one has a cursor if reading ended in an error.
pub fn same_from_every_cursor(root: &Path, read: &Value) -> Vec<Page> {
    let warm = open(root);
    let schema = expected(block_on(warm.schema(read.clone())));
    let mut pages: Vec<(Option<String>, Option<Page>)> = Vec::new();
    let mut cursor = None;
    loop {
        let page = expected(block_on(warm.read(read.clone(), cursor.as_deref())));
        assert!(schema.is_some() || page.is_none(), "rows without a schema");
        let next = page.as_ref().and_then(|page| page.next.clone());
        pages.push((cursor, page));
        assert!(pages.len() < 1_000, "reading does not end");
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    for (cursor, page) in pages.iter().rev() {
        let cold = expected(block_on(open(root).read(read.clone(), cursor.as_deref())));
        assert_eq!(&cold, page);
    }
    for page in pages.iter().filter_map(|(_, page)| page.as_ref()) {
        let names = |schema: &arrow_schema::Schema| -> Vec<String> {
            schema.fields().iter().map(|field| field.name().clone()).collect()
        };
        assert_eq!(Some(names(page.rows.schema_ref())), schema.as_deref().map(names));
        for column in page.rows.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
    pages.into_iter().filter_map(|(_, page)| page).collect()
}

fn open(root: &Path) -> SourceHarness<Files> {
    let settings = json!({"root": root.file_name().unwrap().to_str(), "project_dir": root.parent()});
    SourceHarness::open(settings, &Script::new()).unwrap()
}

/// Anything may be wrong with a file, but that is never a defect of the source.
fn expected<T>(result: Result<T>) -> Option<T> {
    result
        .inspect_err(|error| {
            assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Contract), "{error:?}");
        })
        .ok()
}
