//! A fingerprint of everything that decides what an export sends.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::project::{Export, FieldMapping, Leavers, Project, Threshold};

/// The SHA-256, as 64 hexadecimal digits, of an export with its connection, segments and sources as they are configured.
///
/// What decides neither what is sent nor whether it may be sent does not count: the display names of exports and connections,
/// consent, permissions, schedules, comments and layout. Secret references count, the secrets do not. `None` if there is no
/// such export.
pub fn config_hash(project: &Project, export: &str) -> Option<String> {
    let export = project.exports.get(export)?;
    let segments: Vec<_> = export.segments.iter().filter_map(|id| segment(project, id)).collect();
    let connection = project.connections.get(&export.connection)?;
    let config = json!({
        "export": fingerprinted(export),
        "connection": { "id": connection.id, "plugin": connection.plugin, "settings": connection.settings },
        "segments": segments,
    });
    let mut text = String::new();
    canonical(&config, &mut text);
    let digest = Sha256::digest(text.as_bytes());
    Some(digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a text cannot fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
        hex
    }))
}

fn segment(project: &Project, id: &str) -> Option<Value> {
    let segment = project.segments.get(id)?;
    let source = project.sources.get(&segment.source)?;
    Some(json!({
        "id": segment.id,
        "display_name": segment.display_name,
        "key": segment.key,
        "read": segment.read,
        "source": { "id": source.id, "plugin": source.plugin, "settings": source.settings },
    }))
}

fn fingerprinted(export: &Export) -> Value {
    let threshold = |threshold: Threshold| threshold.to_string();
    json!({
        "id": export.id,
        "fields": export.fields.iter().map(field).collect::<Vec<_>>(),
        "leavers": match export.leavers { Leavers::Remove => "remove", Leavers::Keep => "keep" },
        "guards": {
            "max_removals": threshold(export.guards.max_removals),
            "max_growth": threshold(export.guards.max_growth),
            "max_shrink": threshold(export.guards.max_shrink),
            "max_refused": threshold(export.guards.max_refused),
            "allow_empty": export.guards.allow_empty,
            "allow_other_account": export.guards.allow_other_account,
        },
    })
}

fn field(field: &FieldMapping) -> Value {
    json!({
        "name": field.name,
        "custom": field.custom,
        "type": field.field_type,
        "column": field.column,
        "transform": field.transform,
        "when_null": field.when_null,
    })
}

/// JSON with the keys of each object in order, whatever order the map keeps.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<_> = object.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in keys {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(entries) => {
            text.push('[');
            for entry in entries {
                canonical(entry, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}
