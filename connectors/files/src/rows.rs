//! What every format gives: the columns of its files, and their rows from any place on.

use arrow_schema::SchemaRef;
use segport_sdk::Result;
use serde::{Deserialize, Serialize};

use crate::page::{PageLimit, Stretch};
use crate::place::SourceFile;

/// How the files of one segment are read, once their columns are known.
pub(crate) trait Files: Send + Sync {
    /// The segment's columns.
    fn schema(&self) -> SchemaRef;

    /// Leaves out all columns but these, where that spares work: of a text every field is looked at anyway.
    fn keep_only(&mut self, _columns: &[String]) {}

    /// Opens one of the files, at its beginning or where an earlier [`Rows::position`] was.
    ///
    /// # Errors
    /// What is wrong with the file as a whole.
    fn open(&self, source: &SourceFile, from: Option<Position>) -> Result<Box<dyn Rows>>;
}

/// The rows of one file from some position on.
pub(crate) trait Rows: Send {
    /// The rows up to `limit` or the end of the file.
    ///
    /// # Errors
    /// What makes the rest of the file unreadable.
    fn stretch(&mut self, limit: PageLimit) -> Result<Stretch>;

    /// Where the next stretch begins.
    fn position(&self) -> Position;
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Offset in bytes; in Parquet the row group.
    #[serde(rename = "o")]
    pub(crate) offset: u64,
    /// Number of the row that comes next; in Parquet the rows of the group that are done.
    #[serde(rename = "r")]
    pub(crate) row: u64,
    /// Line that comes next; 0 in Parquet.
    #[serde(rename = "l")]
    pub(crate) line: u64,
}
