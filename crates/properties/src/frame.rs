//! Whatever comes over the plugin boundary: it is read or refused, what is read is sound, and what is written again is the same.

use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::DataType;
use bytes::Bytes;
use segport_autopilot::Autopilot;
use segport_core::http::HttpClient;
use segport_core::{ErrorKind, Frame, op, rows};
use segport_files::Files;
use segport_sdk::test::{Script, json as answer};
use segport_sdk::{Plugin, Served};
use serde_json::json;
use serde_json::value::RawValue;

use crate::block_on;

const OPERATIONS: [u32; 11] = [
    op::CHECK,
    op::BEGIN,
    op::WRITE,
    op::SETTLE,
    op::FINISH,
    op::ESTIMATE,
    op::ACCEPTS,
    op::TARGETS,
    op::SCHEMA,
    op::READ,
    u32::MAX,
];

/// The bytes as rows, as a frame and its rows, and as the request of every operation.
pub fn frame(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    sound(&bytes);
    let Ok(frame) = Frame::decode(bytes.clone()) else { return };
    sound(&frame.payload());
    let Ok(header) = frame.header::<&RawValue>() else { return };
    let again = Frame::encode(&header, |out| {
        out.extend_from_slice(&frame.payload());
        Ok(())
    });
    let again = Frame::decode(again.unwrap()).unwrap();
    assert_eq!(again.header::<&RawValue>().unwrap().get(), header.get());
    assert_eq!(again.payload(), frame.payload());
    for plugin in plugins() {
        for op in OPERATIONS {
            if let Err(error) = block_on(plugin.call(op, bytes.clone())) {
                assert_ne!(error.kind(), ErrorKind::Internal, "operation {op}: {error:?}");
            }
        }
    }
}

/// Both plugins, opened anew: what one request leaves behind must not decide about the next.
fn plugins() -> [Arc<dyn Served>; 2] {
    let http: Arc<dyn HttpClient> = Script::answering(|_| answer(200, r#"{"contacts":[],"lists":[]}"#)).client();
    let autopilot =
        json!({"api_key": "0123456789abcdef", "base_url": "http://127.0.0.1:9/v1", "requests_per_second": 0});
    // A folder that is there wherever this runs.
    let files = json!({"root": "src", "project_dir": env!("CARGO_MANIFEST_DIR")});
    [
        Plugin::connector::<Autopilot>("autopilot", "0.0.0").open(autopilot, Arc::clone(&http)).unwrap(),
        Plugin::source::<Files>("files", "0.0.0").open(files, http).unwrap(),
    ]
}

fn sound(bytes: &Bytes) {
    let schema = rows::decode_schema(bytes);
    let Ok(batch) = rows::decode(bytes.clone()) else { return };
    assert_eq!(schema.unwrap(), batch.schema());
    for column in batch.columns() {
        column.to_data().validate_full().unwrap();
    }
    // What the engine makes of columns, and so writes.
    let is_plain = |column: &arrow_array::ArrayRef| {
        matches!(column.data_type(), DataType::Utf8 | DataType::Int64 | DataType::Float64 | DataType::Boolean)
    };
    if batch.columns().iter().all(is_plain) {
        let mut again = Vec::new();
        rows::encode(&batch, &mut again).unwrap();
        assert_eq!(rows::decode(again.into()).unwrap(), batch);
    }
}
