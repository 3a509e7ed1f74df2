//! The trait that a source of segments implements.

use std::fmt;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Context, Descriptor, Result};

/// Reads segments from one kind of source.
#[async_trait]
pub trait SegmentSource: Send + Sync + Sized + 'static {
    /// What stands under `[settings]` of a source. Paths are relative to the project, whose directory the host adds under
    /// the settings key [`PROJECT_DIR`](crate::PROJECT_DIR) when the schema has it.
    type Settings: DeserializeOwned + JsonSchema + Send;
    /// What stands under `[read]` of a segment.
    type Read: DeserializeOwned + JsonSchema + Send + Sync;

    /// Name, description and capabilities.
    fn descriptor() -> Descriptor;

    /// Makes an instance; touches no data.
    ///
    /// # Errors
    /// `config_invalid` for settings that cannot work.
    fn open(settings: Self::Settings, cx: &Context) -> Result<Self>;

    /// The columns of a segment, as far as they can be known without reading all of it.
    async fn schema(&self, cx: &Context, read: &Self::Read) -> Result<SchemaRef>;

    /// The page that starts at `cursor`, or the first page.
    ///
    /// Reading the same data from the same cursor gives the same rows in the same order, those of [`Context::columns`] at least, which
    /// are the same for all pages of a segment. A page may widen a column to text
    /// where the schema said otherwise.
    async fn read(&self, cx: &Context, read: &Self::Read, cursor: Option<&str>) -> Result<Page>;
}

/// A stretch of a segment's rows.
#[derive(Clone, PartialEq)]
pub struct Page {
    /// The rows.
    pub rows: RecordBatch,
    /// Rows in this stretch that could not be read; they are not in `rows`.
    pub unreadable: Vec<UnreadableRow>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<String>,
}

/// Without the values of the rows; a cursor may hold some.
impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("rows", &self.rows.num_rows())
            .field("unreadable", &self.unreadable)
            .field("is_last", &self.next.is_none())
            .finish()
    }
}

/// A row that exists but cannot be read, such as a line of a CSV file with too many fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableRow {
    /// The file or table, relative to the source.
    pub place: String,
    /// Number of the row, the first data row being 1.
    pub row: u64,
    /// Line of the file, where there are lines; the first is 1.
    #[serde(default)]
    pub line: Option<u64>,
    /// What is wrong, without the row's data.
    pub reason: String,
}
