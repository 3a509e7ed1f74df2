//! The file of the state: how errors name it, and what its rows must be like.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::error::primary_code;
use crate::page::{Page, Seal};
use crate::{Error, Result, RunRecord, RunStatus};

/// Where the state is, and what its pages are sealed with.
#[derive(Debug, Clone)]
pub(crate) struct StateFile {
    path: Arc<Path>,
    seal: Seal,
}

impl StateFile {
    pub(crate) fn new(path: &Path, seal: Seal) -> Self {
        Self { path: path.into(), seal }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says what was tried when SQLite says no.
    pub(crate) fn failed(&self, action: &'static str) -> impl Fn(sqlx::Error) -> Error {
        let path: PathBuf = self.path.to_path_buf();
        move |error| match primary_code(&error) {
            Some(11 | 26) => Error::damaged(&path, format!("{action} failed: {error}")),
            _ => Error::Database { action, path: path.clone(), source: Arc::new(error) },
        }
    }

    pub(crate) fn damaged(&self, problem: impl Into<String>) -> Error {
        Error::damaged(&self.path, problem)
    }

    pub(crate) fn checksum(&self, export: &str, page: &Page<Vec<u8>>) -> i64 {
        self.seal.checksum(export, page)
    }

    /// A page as a query gives it: number, run, kind, rows, checksum, and the body, which a query may leave out.
    ///
    /// # Errors
    /// If it does not hold what was written to it.
    pub(crate) fn page(&self, export: &str, row: &SqliteRow) -> Result<Page<Vec<u8>>> {
        let failed = self.failed("read a page");
        let body: Option<Vec<u8>> = row.try_get(5).map_err(&failed)?;
        let is_whole = body.is_some();
        let page = Page {
            number: row.try_get(0).map_err(&failed)?,
            run: row.try_get(1).map_err(&failed)?,
            kind: row.try_get(2).map_err(&failed)?,
            rows: row.try_get(3).map_err(&failed)?,
            body: body.unwrap_or_default(),
        };
        let checksum: i64 = row.try_get(4).map_err(&failed)?;
        if !is_whole || self.checksum(export, &page) == checksum {
            Ok(page)
        } else {
            Err(Error::unreadable_page(&self.path, export, page.number))
        }
    }

    /// A run as a query gives it, and its number: number, id, export, status, start, end and report.
    pub(crate) fn run_record(&self, row: &SqliteRow) -> Result<(i64, RunRecord)> {
        let failed = self.failed("read the runs");
        let text = |column| row.try_get::<String, usize>(column).map_err(&failed);
        let optional = |column| row.try_get::<Option<String>, usize>(column).map_err(&failed);
        let time = |text: String| {
            text.parse::<Timestamp>().map_err(|_| self.damaged(format!("`{text}` stands where a time should be")))
        };
        let status = text(3)?;
        let run = RunRecord {
            run_id: text(1)?,
            export: text(2)?,
            status: RunStatus::parse(&status)
                .ok_or_else(|| self.damaged(format!("a run has the unknown status `{status}`")))?,
            started_at: time(text(4)?)?,
            finished_at: optional(5)?.map(time).transpose()?,
            report: optional(6)?,
        };
        Ok((row.try_get(0).map_err(&failed)?, run))
    }
}
