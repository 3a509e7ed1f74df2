//! A source that counts.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use segport_sdk::{Context, Descriptor, Error, ErrorKind, Page, Result, SegmentSource, UnreadableRow, async_trait};

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Settings {
    page: i64,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    rows: i64,
}

pub(crate) struct Counter(Settings);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]))
}

#[async_trait]
impl SegmentSource for Counter {
    type Settings = Settings;
    type Read = Read;

    fn descriptor() -> Descriptor {
        Descriptor::new("Counter", "Counts.")
    }

    fn open(settings: Settings, _: &Context) -> Result<Self> {
        Ok(Self(settings))
    }

    async fn schema(&self, _: &Context, _: &Read) -> Result<SchemaRef> {
        Ok(schema())
    }

    async fn read(&self, _: &Context, read: &Read, cursor: Option<&str>) -> Result<Page> {
        let start: i64 = cursor
            .unwrap_or("0")
            .parse()
            .map_err(|error| Error::new(ErrorKind::ConfigInvalid, "the cursor is no number").because(&error))?;
        let end = (start + self.0.page).min(read.rows);
        let numbers = Int64Array::from_iter_values(start..end);
        let rows = RecordBatch::try_new(schema(), vec![Arc::new(numbers)])
            .map_err(|error| Error::new(ErrorKind::Internal, "no rows").because(&error))?;
        let lost = UnreadableRow { place: "numbers".to_owned(), row: 1, line: None, reason: "lost".to_owned() };
        Ok(Page { rows, unreadable: vec![lost], next: (end < read.rows).then(|| end.to_string()) })
    }
}

segport_sdk::export_segment_source!(Counter, "counter");
