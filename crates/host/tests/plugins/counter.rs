//! A source that counts.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use segport_sdk::{Context, Descriptor, Error, ErrorKind, Page, Result, SegmentSource, UnreadableRow, async_trait};
use serde::{Deserialize, Deserializer};

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Settings {
    page: i64,
    /// The name of the place that panics.
    #[serde(default)]
    panic_in: String,
}

impl Settings {
    fn reach(&self, place: &str) {
        assert!(self.panic_in != place, "a panic's text may hold hunter2");
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    #[serde(deserialize_with = "counted")]
    rows: i64,
}

fn counted<'de, D: Deserializer<'de>>(number: D) -> std::result::Result<i64, D::Error> {
    let rows = i64::deserialize(number)?;
    assert!(rows >= 0, "a panic's text may hold hunter2");
    Ok(rows)
}

pub(crate) struct Counter(Settings);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]))
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.0.reach("drop");
    }
}

#[async_trait]
impl SegmentSource for Counter {
    type Settings = Settings;
    type Read = Read;

    fn descriptor() -> Descriptor {
        Descriptor::new("Counter", "Counts.")
    }

    fn open(settings: Settings, _: &Context) -> Result<Self> {
        settings.reach("open");
        Ok(Self(settings))
    }

    async fn schema(&self, cx: &Context, read: &Read) -> Result<SchemaRef> {
        self.0.reach("schema");
        if read.rows == 0 {
            return Err(Error::new(ErrorKind::NotFound, "there is nothing to count").with("run", cx.run()));
        }
        Ok(schema())
    }

    async fn read(&self, _: &Context, read: &Read, cursor: Option<&str>) -> Result<Page> {
        self.0.reach("read");
        if cursor == Some("wait") {
            std::future::pending::<()>().await;
        }
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
