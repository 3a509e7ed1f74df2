//! One segment being read: its files in order, and cursors that name any place in them.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use segport_sdk::{Error, ErrorKind, Page, Result};
use serde::{Deserialize, Serialize};

use crate::csv::CsvFiles;
use crate::json_lines::JsonFiles;
use crate::page::PageLimit;
use crate::parquet::ParquetFiles;
use crate::place::{Root, SourceFile, changed, fingerprint};
use crate::rows::{Files, Position, Rows};
use crate::settings::{Format, Read, invalid};

/// A place in a segment, as it crosses the plugin boundary.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    /// Fingerprint of the list of files, so that a cursor is never used with other data.
    #[serde(rename = "s")]
    stamp: u64,
    #[serde(rename = "f")]
    file: usize,
    /// `None` at the beginning of the file.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

/// A segment under way.
pub(crate) struct Segment {
    root: Root,
    read: Read,
    sources: Arc<[SourceFile]>,
    /// Of the sources.
    stamp: u64,
    files: Box<dyn Files>,
    limit: PageLimit,
    index: usize,
    position: Option<Position>,
    rows: Option<Box<dyn Rows>>,
}

impl Segment {
    /// Finds the files and their columns, and stands at `cursor` or the beginning.
    ///
    /// # Errors
    /// What is wrong with `read` or the files; `unavailable` if the data is not that of `cursor` any more.
    pub(crate) fn open(root: &Root, read: &Read, cursor: Option<&str>, most: PageLimit) -> Result<Self> {
        let sources: Arc<[SourceFile]> = root.files(&read.path, read.format)?.into();
        let stamp = fingerprint(&sources);
        let start = match cursor {
            None => None,
            Some(text) => Some(parse_cursor(text, &sources, stamp, &read.path)?),
        };
        let files: Box<dyn Files> = match format(read, &sources)? {
            Format::Csv => Box::new(CsvFiles::plan(&sources, read.csv()?)?),
            Format::JsonLines => Box::new(JsonFiles::plan(&sources, read.json_lines()?)?),
            Format::Parquet => Box::new(ParquetFiles::plan(&sources, read.parquet()?)?),
        };
        let (index, position) = start.map_or((0, None), |cursor| (cursor.file, cursor.position));
        let limit = most.of_columns(files.schema().fields().len());
        Ok(Self { root: root.clone(), read: read.clone(), sources, stamp, files, limit, index, position, rows: None })
    }

    /// The segment's columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.files.schema()
    }

    /// Leaves out all columns but these, as far as that spares work; to be called before the first page.
    pub(crate) fn keep_only(&mut self, columns: &[String], most: PageLimit) {
        self.files.keep_only(columns);
        self.limit = most.of_columns(self.schema().fields().len());
    }

    /// Whether the files are still those that were found when this was opened.
    pub(crate) fn is_current(&self) -> bool {
        self.root.files(&self.read.path, self.read.format).is_ok_and(|now| *now == *self.sources)
    }

    /// The next page.
    ///
    /// # Errors
    /// What makes the rest of the segment unreadable; `unavailable` if a file changed since the read began.
    pub(crate) fn page(&mut self) -> Result<Page> {
        loop {
            let Some(source) = self.sources.get(self.index) else {
                return Ok(Page { rows: RecordBatch::new_empty(self.schema()), unreadable: Vec::new(), next: None });
            };
            let mut rows = match self.rows.take() {
                Some(rows) => rows,
                None => {
                    source.unchanged()?;
                    self.files.open(source, self.position)?
                }
            };
            let stretch = rows.stretch(self.limit);
            // A file cut short or overwritten explains any error better than the error itself.
            source.unchanged()?;
            let stretch = stretch?;
            if stretch.last {
                self.index += 1;
                self.position = None;
            } else {
                self.position = Some(rows.position());
                self.rows = Some(rows);
            }
            let more = self.index < self.sources.len();
            if stretch.rows.num_rows() == 0 && stretch.unreadable.is_empty() && more {
                continue;
            }
            let next = if more { Some(self.cursor()?) } else { None };
            return Ok(Page { rows: stretch.rows, unreadable: stretch.unreadable, next });
        }
    }

    fn cursor(&self) -> Result<String> {
        let cursor = Cursor { stamp: self.stamp, file: self.index, position: self.position };
        serde_json::to_string(&cursor)
            .map_err(|error| Error::new(ErrorKind::Internal, "a cursor could not be written").because(&error))
    }
}

fn parse_cursor(text: &str, sources: &[SourceFile], stamp: u64, path: &str) -> Result<Cursor> {
    let unusable = || Error::new(ErrorKind::Contract, "the cursor is not one that this source gave out");
    let cursor: Cursor = serde_json::from_str(text).map_err(|_| unusable())?;
    if cursor.stamp != stamp {
        return Err(changed(path));
    }
    let source = sources.get(cursor.file).ok_or_else(unusable)?;
    let possible = cursor.position.is_none_or(|at| {
        let most = source.size.saturating_add(2);
        at.offset <= source.size && at.row <= most.max(1 << 48) && at.line <= most
    });
    if possible { Ok(cursor) } else { Err(unusable()) }
}

/// The one format of all the files.
fn format(read: &Read, sources: &[SourceFile]) -> Result<Format> {
    if let Some(format) = read.format {
        return Ok(format);
    }
    let mut first: Option<(&str, Format)> = None;
    for source in sources {
        let ending = source.name.rsplit('.').next().unwrap_or_default();
        if ["xlsx", "xls", "ods"].iter().any(|table| ending.eq_ignore_ascii_case(table)) {
            return Err(invalid(format!(
                "`{}` is a spreadsheet, which is not read: save it as CSV (UTF-8)",
                source.name
            )));
        }
        let Some(format) = Format::of(&source.name) else {
            return Err(invalid(format!(
                "the ending of `{}` does not tell its format: add `format = \"csv\"`, `\"json_lines\"` or `\"parquet\"`{}",
                source.name,
                if source.name.ends_with(".gz") {
                    " after unpacking it, since compressed files are not read"
                } else {
                    ""
                }
            )));
        };
        match first {
            None => first = Some((&source.name, format)),
            Some((name, other)) if other != format => {
                return Err(invalid(format!(
                    "`{name}` is `{}` but `{}` is `{}`: a segment has one format; choose with `format` or a pattern in `path`",
                    other.as_str(),
                    source.name,
                    format.as_str()
                )));
            }
            Some(_) => {}
        }
    }
    first.map(|(_, format)| format).ok_or_else(|| invalid("no file was found"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// Cells and places of unreadable rows, or what is wrong with a file as a whole.
    type Rows = std::result::Result<(Vec<String>, Vec<(u64, Option<u64>)>), String>;

    fn rows(root: &Root, read: &Read, limit: PageLimit, cold: bool) -> Rows {
        let whole = |error: Error| error.message().to_owned();
        let (mut cells, mut unreadable, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
        let mut segment = Segment::open(root, read, None, limit).map_err(whole)?;
        loop {
            if cold {
                segment = Segment::open(root, read, cursor.as_deref(), limit).map_err(whole)?;
            }
            let page = segment.page().map_err(whole)?;
            for row in 0..page.rows.num_rows() {
                let columns = page.rows.columns().iter();
                let row: Vec<String> =
                    columns.map(|column| arrow_cast::display::array_value_to_string(column, row).unwrap()).collect();
                cells.push(row.join("|"));
            }
            unreadable.extend(page.unreadable.iter().map(|row| (row.row, row.line)));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok((cells, unreadable)),
            }
        }
    }

    #[test]
    fn pages_of_many_columns_have_fewer_rows() {
        let folder = tempfile::tempdir().unwrap();
        let check = |columns: usize, expected: usize| {
            // Each row has one key of many.
            let lines: String = (0..9_000).map(|row| format!("{{\"k{}\":1}}\n", row % columns)).collect();
            fs::write(folder.path().join("rows.jsonl"), lines).unwrap();
            let names: Vec<String> = (0..columns).map(|column| format!("k{column}")).collect();
            let read = serde_json::json!({"path": "rows.jsonl", "columns": names});
            let root = Root::new(folder.path().to_owned());
            let read: Read = serde_json::from_value(read).unwrap();
            let page = Segment::open(&root, &read, None, PageLimit::default()).unwrap().page().unwrap();
            assert_eq!(page.rows.num_rows(), expected, "{columns} columns");
        };
        check(1, 8192);
        check(128, 8192);
        check(2_000, 524);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn page_size_and_restarts_change_nothing(text in "([a-c1\"]{0,3}[,\n\r]){0,40}", size in 1usize..9, bytes in 1u64..40) {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("1.csv"), format!("x,y\n{text}")).unwrap();
            fs::write(folder.path().join("2.csv"), format!("y,x\n{text}")).unwrap();
            let root = Root::new(folder.path().to_owned());
            let read: Read = serde_json::from_str(r#"{"path":"."}"#).unwrap();
            let whole = rows(&root, &read, PageLimit::default(), false);
            for limit in [PageLimit { rows: size, bytes: u64::MAX }, PageLimit { rows: usize::MAX, bytes }] {
                prop_assert_eq!(&rows(&root, &read, limit, false), &whole);
                prop_assert_eq!(&rows(&root, &read, limit, true), &whole);
            }
        }
    }
}
