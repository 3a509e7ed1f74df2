//! A folder of files, read through the plugin boundary and shown as text.

use std::path::Path;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, SchemaRef};
use segport_files::Files;
use segport_sdk::test::{Script, SourceHarness};
use segport_sdk::{Page, Result, UnreadableRow};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Folder {
    root: TempDir,
    source: SourceHarness<Files>,
    runtime: tokio::runtime::Runtime,
}

/// Everything one read gave.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    /// Column names and types of the schema.
    pub(crate) schema: String,
    /// Rows with `|` between cells and `∅` for no value.
    pub(crate) rows: Vec<String>,
    pub(crate) unreadable: Vec<UnreadableRow>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        let source = open(root.path());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { root, source, runtime }
    }

    pub(crate) fn with(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        Self::new().and(name, bytes)
    }

    pub(crate) fn and(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.write(name, bytes);
        self
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// A source that has read nothing yet, so every cursor is cold.
    pub(crate) fn reopen(&mut self) {
        self.source = open(self.root.path());
    }

    pub(crate) fn page(&self, read: &Value, cursor: Option<&str>) -> Result<Page> {
        self.runtime.block_on(self.source.read(read.clone(), cursor))
    }

    /// The rows as a host reads them that uses no more than these columns; they must all be readable.
    pub(crate) fn read_columns(&self, read: &Value, columns: &[&str]) -> Vec<String> {
        let (mut rows, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.source.read_columns(read.clone(), cursor.as_deref(), Some(columns));
            let page = self.runtime.block_on(page).unwrap();
            assert_eq!(page.unreadable, []);
            rows.extend(shown(&page.rows));
            cursor = page.next;
            if cursor.is_none() {
                return rows;
            }
        }
    }

    /// What `segport check` asks for.
    pub(crate) fn schema(&self, read: Value) -> Result<SchemaRef> {
        self.runtime.block_on(self.source.schema(read))
    }

    pub(crate) fn read(&self, read: Value) -> Result<Seen> {
        let schema = self.schema(read.clone())?;
        let columns: Vec<String> =
            schema.fields().iter().map(|field| format!("{}:{}", field.name(), field.data_type())).collect();
        let mut seen = Seen { schema: columns.join(" "), rows: Vec::new(), unreadable: Vec::new() };
        let mut cursor = None;
        loop {
            let page = self.page(&read, cursor.as_deref())?;
            let names: Vec<&String> = page.rows.schema_ref().fields().iter().map(|field| field.name()).collect();
            assert_eq!(names, schema.fields().iter().map(|field| field.name()).collect::<Vec<_>>());
            seen.rows.extend(shown(&page.rows));
            seen.unreadable.extend(page.unreadable);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(seen);
            }
        }
    }

    /// The message of the error that reading ends in.
    pub(crate) fn refusal(&self, read: Value) -> String {
        self.read(read).unwrap_err().to_string()
    }
}

fn open(root: &Path) -> SourceHarness<Files> {
    let (project, name) = (root.parent().unwrap(), root.file_name().unwrap().to_str().unwrap());
    SourceHarness::open(json!({"root": name, "project_dir": project}), &Script::new()).unwrap()
}

fn shown(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    // Arrow shows times of offsets only.
    let shown: Vec<ArrayRef> = rows
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Timestamp(unit, Some(_)) => {
                cast(column, &DataType::Timestamp(*unit, Some("+00:00".into()))).unwrap()
            }
            _ => column.clone(),
        })
        .collect();
    let columns: Vec<ArrayFormatter<'_>> =
        shown.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    (0..rows.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}

/// Each unreadable row as `row@line: reason`.
pub(crate) fn reasons(unreadable: &[UnreadableRow]) -> Vec<String> {
    let line = |row: &UnreadableRow| row.line.map_or_else(|| "-".to_owned(), |line| line.to_string());
    unreadable.iter().map(|row| format!("{}@{}: {}", row.row, line(row), row.reason)).collect()
}
