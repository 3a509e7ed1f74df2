//! JSON schemas (draft-07) of the manifests.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use segport_core::{Descriptor, PROJECT_DIR};
use serde_json::{Map, Value, json};

use crate::catalog::Catalog;
use crate::file_kind::FileKind;
use crate::raw::{ConnectionFile, ExportFile, SegmentFile, SettingsFile, SourceFile};

impl FileKind {
    fn schema_file(self) -> &'static str {
        match self {
            Self::Settings => "segport.json",
            Self::Source => "source.json",
            Self::Segment => "segment.json",
            Self::Connection => "connection.json",
            Self::Export => "export.json",
        }
    }

    /// The table that belongs to the plugin, and the plugin's schema of it.
    fn plugin_part(self, plugin: &Descriptor) -> Option<(&'static str, Value)> {
        match self {
            Self::Source | Self::Connection => Some(("settings", closed(&plugin.settings_schema))),
            Self::Segment => Some(("read", closed(&plugin.read_schema))),
            Self::Settings | Self::Export => None,
        }
    }
}

/// The schema of each kind of file by its file name, such as `export.json`, ready to be written.
///
/// With a catalog they include the plugins' own: the `settings` of a source or connection, the `read` of a segment, and the
/// fields of an export.
pub fn schemas(catalog: Option<&Catalog>) -> BTreeMap<String, String> {
    let text = |kind: FileKind| {
        let mut schema = base(kind);
        if let Some(catalog) = catalog {
            let plugins: Vec<_> = catalog.iter().filter(|plugin| kind.takes(plugin)).collect();
            if !plugins.is_empty() {
                extend(&mut schema, kind, &plugins);
            }
        }
        (kind.schema_file().to_owned(), format!("{schema:#}\n"))
    };
    FileKind::ALL.into_iter().map(text).collect()
}

/// The schema of a kind of file without any plugin's part.
pub(crate) fn base(kind: FileKind) -> Value {
    match kind {
        FileKind::Settings => root::<SettingsFile>("segport.toml"),
        FileKind::Source => root::<SourceFile>("A source of segments"),
        FileKind::Segment => root::<SegmentFile>("A segment"),
        FileKind::Connection => root::<ConnectionFile>("A connection"),
        FileKind::Export => root::<ExportFile>("An export"),
    }
}

fn root<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value();
    drop_null(&mut schema);
    if let Value::Object(schema) = &mut schema {
        schema.insert("title".to_owned(), title.into());
    }
    schema
}

/// TOML has no null, so what is optional is not nullable.
fn drop_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(alternatives)) = object.get_mut("anyOf") {
                alternatives.retain(|alternative| *alternative != json!({ "type": "null" }));
            }
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            object.values_mut().for_each(drop_null);
        }
        Value::Array(entries) => entries.iter_mut().for_each(drop_null),
        _ => {}
    }
}

/// The keyword for those of the possible texts that the plugin offers. Others that are possible have a finding of their own.
pub(crate) const OFFERED: &str = "x-segport-offered";

/// The schema of a kind of file whose plugin is known.
pub(crate) fn for_plugin(kind: FileKind, plugin: &Descriptor) -> Value {
    let mut schema = base(kind);
    if let (FileKind::Export, Some(rules)) = (kind, &plugin.custom_fields) {
        let names: Vec<_> = rules.types.iter().map(|offered| offered.as_str()).collect();
        set(&mut schema, "/definitions/CustomFieldTable/properties/type", OFFERED, json!(names));
    }
    let Some((table, part)) = kind.plugin_part(plugin).filter(|(_, part)| part.is_object()) else { return schema };
    let needs_table = has_required(&part);
    let reference = define(&mut schema, &format!("{}-{table}", plugin.id), part);
    if let Some(property) = schema.pointer_mut(&format!("/properties/{table}")) {
        let description = property.get("description").cloned().unwrap_or_default();
        *property = json!({ "description": description, "allOf": [reference] });
    }
    if needs_table && let Some(Value::Array(required)) = schema.get_mut("required") {
        required.push(table.into());
    }
    schema
}

/// Adds the parts of all plugins to a schema for editors.
fn extend(schema: &mut Value, kind: FileKind, plugins: &[&Descriptor]) {
    match kind {
        FileKind::Settings => {}
        FileKind::Source | FileKind::Connection => {
            let mut rules = Vec::new();
            for plugin in plugins {
                let Some((table, part)) = kind.plugin_part(plugin).filter(|(_, part)| part.is_object()) else {
                    continue;
                };
                let required = if has_required(&part) { vec![table] } else { Vec::new() };
                let reference = define(schema, &format!("{}-{table}", plugin.id), part);
                rules.push(json!({
                    "if": { "properties": { "plugin": { "const": plugin.id } }, "required": ["plugin"] },
                    "then": { "properties": { table: reference }, "required": required },
                }));
            }
            set(schema, "", "allOf", rules.into());
            let ids: Vec<_> = plugins.iter().map(|plugin| plugin.id.as_str()).collect();
            set(schema, "/properties/plugin", "enum", json!(ids));
        }
        FileKind::Segment => {
            let mut alternatives = Vec::new();
            for plugin in plugins {
                let Some((table, part)) = kind.plugin_part(plugin).filter(|(_, part)| part.is_object()) else { return };
                alternatives.push(define(schema, &format!("{}-{table}", plugin.id), part));
            }
            set(schema, "/properties/read", "anyOf", alternatives.into());
        }
        FileKind::Export => {
            let mut fields = Map::new();
            for field in plugins.iter().flat_map(|plugin| &plugin.fields) {
                let entry = json!({
                    "description": field.description,
                    "allOf": [{ "$ref": "#/definitions/FieldEntry" }],
                });
                fields.entry(field.name.clone()).or_insert(entry);
            }
            if let Some(Value::Object(table)) = schema.pointer_mut("/definitions/FieldsTable") {
                if let Some(Value::Object(properties)) = table.get_mut("properties") {
                    properties.extend(fields);
                }
                table.insert("additionalProperties".to_owned(), false.into());
            }
        }
    }
}

fn set(schema: &mut Value, pointer: &str, keyword: &str, value: Value) {
    if let Some(Value::Object(place)) = schema.pointer_mut(pointer) {
        place.insert(keyword.to_owned(), value);
    }
}

fn has_required(part: &Value) -> bool {
    part.get("required").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty())
}

/// Adds a plugin's schema to the definitions of `schema`, and returns a reference to it.
fn define(schema: &mut Value, name: &str, mut part: Value) -> Value {
    let address = format!("#/definitions/{name}");
    relocate(&mut part, &address);
    if let Value::Object(part) = &mut part {
        part.remove("$schema");
        part.remove("$id");
    }
    if let Value::Object(schema) = schema
        && let Value::Object(definitions) = schema.entry("definitions").or_insert_with(|| json!({}))
    {
        definitions.insert(name.to_owned(), part);
    }
    json!({ "$ref": address })
}

fn relocate(part: &mut Value, address: &str) {
    match part {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(rest) = target.strip_prefix('#') {
                            *target = format!("{address}{rest}");
                        }
                    }
                    _ => relocate(value, address),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| relocate(entry, address)),
        _ => {}
    }
}

/// A plugin's schema in which unknown keys are errors, unless it says otherwise, and without what the host adds.
fn closed(part: &Value) -> Value {
    let mut part = part.clone();
    drop_null(&mut part);
    let Value::Object(object) = &mut part else { return part };
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.remove(PROJECT_DIR);
    }
    if let Some(Value::Array(required)) = object.get_mut("required") {
        required.retain(|key| key != PROJECT_DIR);
    }
    let open_by_design = ["additionalProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref"];
    if object.contains_key("properties") && !open_by_design.iter().any(|keyword| object.contains_key(*keyword)) {
        object.insert("additionalProperties".to_owned(), false.into());
    }
    part
}

/// The keys that a table may have, as far as `schema` names them.
pub(crate) fn known_keys(schema: &Value) -> BTreeSet<&str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str)).collect()
}
