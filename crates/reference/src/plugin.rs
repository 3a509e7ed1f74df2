//! Tables from what a plugin says of itself.

use segport_core::{Descriptor, FieldType};
use serde_json::Value;

use crate::markdown::{grouped, listed, one_line, table};
use crate::schema::{Notation, Schema};

/// Filled in by the host.
const HIDDEN: [&str; 1] = ["project_dir"];

/// What stands under `[settings]` of a connection or source.
pub fn settings(plugin: &Descriptor) -> String {
    keys(&plugin.settings_schema)
}

/// What stands under `[read]` of a segment.
pub fn read(plugin: &Descriptor) -> String {
    keys(&plugin.read_schema)
}

fn keys(schema: &Value) -> String {
    Schema::new(schema, Notation::Toml).hidden(&HIDDEN).keys()
}

/// The standard fields of a destination.
pub fn fields(plugin: &Descriptor) -> String {
    let rows = plugin.fields.iter().map(|field| {
        let required = if field.required { ", required" } else { "" };
        let longest = field.max_chars.map(|most| format!(", at most {} characters", grouped(most.into(), ",")));
        let kind = format!("{}{required}{}", field.field_type.as_str(), longest.unwrap_or_default());
        [format!("`{}`", field.name), kind, field.description.clone()]
    });
    table(["field", "type", "meaning"], rows)
}

/// The rules for custom fields, where the destination has them.
pub fn custom_fields(plugin: &Descriptor) -> String {
    let Some(custom) = &plugin.custom_fields else { return "There are no custom fields.".to_owned() };
    let names = |types: &[FieldType]| types.iter().map(|kind| format!("`{}`", kind.as_str())).collect::<Vec<_>>();
    let mut forbidden: Vec<_> = custom.forbidden.iter().map(|part| format!("`\"{part}\"`")).collect();
    if !custom.outer_spaces {
        forbidden.push("a space at either end".to_owned());
    }
    let mut rows = vec![
        ["types", &listed(&names(&custom.types))].map(str::to_owned),
        ["type unless set", &names(&custom.types).first().cloned().unwrap_or_default()].map(str::to_owned),
    ];
    if !forbidden.is_empty() {
        rows.push(["not in a name", &listed(&forbidden)].map(str::to_owned));
    }
    if !custom.help.is_empty() {
        rows.push(["why", &one_line(&custom.help)].map(str::to_owned));
    }
    table(["custom fields", ""], rows)
}

/// Limits unless the settings say otherwise, and what a connector can do.
pub fn limits(plugin: &Descriptor) -> String {
    let (limits, can) = (plugin.limits, plugin.capabilities);
    let count = |number: u64| grouped(number, ",");
    let yes = |can: bool| if can { "yes" } else { "no" }.to_owned();
    let rate = limits.requests_per_second;
    let rows = [
        ("rows in one call", count(limits.rows_per_batch.into())),
        ("bytes of values in one call", count(limits.bytes_per_batch.into())),
        ("rows sent by one run", limits.rows_per_export.map_or_else(|| "no limit".to_owned(), count)),
        ("calls a second", if rate > 0.0 { rate.to_string() } else { "no limit".to_owned() }),
        ("calls under way at once", count(limits.max_in_flight.into())),
        ("longest wait for an answer", format!("{} seconds", limits.request_timeout_ms / 1000)),
        ("several segments in one export", yes(can.several_segments)),
        ("takes leavers off their list", yes(can.remove)),
        ("a row may be sent twice without harm", yes(can.repeatable)),
        ("a row in doubt is looked up before it is sent again", yes(can.settle)),
    ];
    table(["limit or capability", ""], rows.map(|(name, value)| [name.to_owned(), value]))
}
