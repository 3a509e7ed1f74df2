#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod csv;
mod glob;
mod infer;
mod input;
mod json_lines;
mod page;
mod parquet;
mod place;
mod plain;
mod readers;
mod rows;
mod segment;
mod settings;
mod values;

use arrow_schema::SchemaRef;
use segport_sdk::{Context, Descriptor, Page, Result, SegmentSource, async_trait};

use crate::page::PageLimit;
use crate::place::Root;
use crate::readers::Readers;
pub use crate::settings::{ColumnType, Encoding, Format, Read, Settings};

/// The segment source for files below one directory.
pub struct Files {
    readers: Readers,
}

#[async_trait]
impl SegmentSource for Files {
    type Settings = Settings;
    type Read = Read;

    fn descriptor() -> Descriptor {
        Descriptor::new("Files", "Reads segments from CSV, JSON lines and Parquet files.")
    }

    fn open(settings: Settings, _: &Context) -> Result<Self> {
        let root = Root::new(settings.directory());
        Ok(Self { readers: Readers::new(root, PageLimit::default()) })
    }

    async fn schema(&self, _: &Context, read: &Read) -> Result<SchemaRef> {
        self.readers.schema(read).await
    }

    async fn read(&self, cx: &Context, read: &Read, cursor: Option<&str>) -> Result<Page> {
        self.readers.page(read, cx.columns(), cursor).await
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

segport_sdk::export_segment_source!(Files, "files");
