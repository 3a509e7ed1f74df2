//! Tables from what a plugin says of itself.

use segport_core::{Descriptor, FieldType, PROJECT_DIR, grouped};
use serde_json::Value;

use crate::markdown::{listed, one_line, table};
use crate::schema::{Notation, Schema};

/// What stands under `[settings]` of a connection or source.
pub fn settings(plugin: &Descriptor) -> String {
    keys(&plugin.settings_schema)
}

/// What stands under `[read]` of a segment.
pub fn read(plugin: &Descriptor) -> String {
    keys(&plugin.read_schema)
}

fn keys(schema: &Value) -> String {
    Schema::new(schema, Notation::Toml).hidden(&[PROJECT_DIR]).keys()
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
    table(["limit or capability", ""], plugin.terms().into_iter().map(|(name, value)| [name.to_owned(), value]))
}
