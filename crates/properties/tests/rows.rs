//! Files of many pages: every cursor leads to the same rows.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use segport_properties::same_from_every_cursor;
use serde_json::json;

const ROWS: i64 = 9_000;

fn csv(part: usize) -> Vec<u8> {
    let lines: Vec<String> = (0..ROWS).map(|row| format!("{part},\"line\n{row}\"")).collect();
    format!("part,text\n{}\n", lines.join("\n")).into_bytes()
}

fn json_lines(part: usize) -> Vec<u8> {
    let lines: Vec<String> = (0..ROWS).map(|row| json!({"part": part, "row": row}).to_string()).collect();
    lines.join("\n").into_bytes()
}

fn parquet(_: usize) -> Vec<u8> {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(4_000)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn cursors_work_cold_over_several_files_and_groups() {
    #[track_caller]
    fn check(root: &Path, ending: &str, file: fn(usize) -> Vec<u8>) {
        fs::create_dir(root.join(ending)).unwrap();
        for part in 0..3 {
            fs::write(root.join(ending).join(format!("{part}.{ending}")), file(part)).unwrap();
        }
        let pages = same_from_every_cursor(root, &json!({"path": ending}));
        assert!(pages.len() > 3, "{} pages", pages.len());
        assert_eq!(pages.iter().map(|page| page.rows.num_rows()).sum::<usize>(), 27_000);
    }
    let root = tempfile::tempdir().unwrap();
    check(root.path(), "csv", csv);
    check(root.path(), "jsonl", json_lines);
    check(root.path(), "parquet", parquet);
}
