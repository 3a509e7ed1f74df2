//! Tables from a JSON schema, as `schemars` makes it.

use segport_core::grouped;
use serde_json::{Map, Value};

use crate::markdown::{listed, one_line, table};

/// How a reader writes what the schema describes; decides what types are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// A table of TOML.
    Toml,
    /// An object of JSON.
    Json,
}

/// A JSON schema (draft-07).
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    root: &'a Value,
    notation: Notation,
    links: &'a [(&'a str, &'a str)],
    hidden: &'a [&'a str],
}

/// One key: where it stands, and what the schema says of it.
struct Entry<'a> {
    key: String,
    schema: &'a Value,
    required: Option<String>,
}

impl<'a> Schema<'a> {
    /// The schema `root`.
    pub fn new(root: &'a Value, notation: Notation) -> Self {
        Self { root, notation, links: &[], hidden: &[] }
    }

    /// The same, with Markdown in place of the types of these names: definitions that have a table of their own.
    #[must_use]
    pub fn links(self, links: &'a [(&'a str, &'a str)]) -> Self {
        Self { links, ..self }
    }

    /// The same without these keys, which nobody writes.
    #[must_use]
    pub fn hidden(self, hidden: &'a [&'a str]) -> Self {
        Self { hidden, ..self }
    }

    /// Every key with type, default and meaning; keys of inner tables with the path to them.
    pub fn keys(&self) -> String {
        self.key_table(self.root)
    }

    /// [`Schema::keys`] of a definition.
    pub fn keys_of(&self, definition: &str) -> String {
        self.key_table(self.definition(definition))
    }

    fn key_table(&self, schema: &'a Value) -> String {
        let mut entries = Vec::new();
        self.collect("", schema, true, &mut entries);
        let rows = entries.iter().map(|entry| {
            let (meaning, default) = self.meaning(entry.schema);
            let default = entry.required.clone().unwrap_or_else(|| self.default(entry.schema, default));
            [format!("`{}`", entry.key), self.kind(entry.schema), default, meaning]
        });
        table(["key", "type", "default", "meaning"], rows)
    }

    /// The fields of the root with type and meaning, without those of inner objects.
    pub fn fields(&self) -> String {
        self.field_table(self.root)
    }

    /// [`Schema::fields`] of a definition.
    pub fn fields_of(&self, definition: &str) -> String {
        self.field_table(self.definition(definition))
    }

    fn field_table(&self, schema: &'a Value) -> String {
        let rows = self.properties(schema).into_iter().map(|(name, property)| {
            let may_lack = if required(schema, name) { "" } else { ", may be absent" };
            [format!("`{name}`"), self.kind(property) + may_lack, self.meaning(property).0]
        });
        table(["field", "type", "meaning"], rows)
    }

    /// The values of a definition that is one of several.
    pub fn values_of(&self, definition: &str) -> String {
        let rows = alternatives(self.definition(definition)).into_iter().map(|value| {
            let name = match (value.get("const"), value.get("properties").and_then(Value::as_object)) {
                (Some(value), _) => self.literal(value),
                (None, Some(properties)) => {
                    let keys: Vec<_> = properties.keys().map(|key| format!("{key} = ...")).collect();
                    format!("`{{ {} }}`", keys.join(", "))
                }
                (None, None) => self.kind(value),
            };
            [name, one_line(description(value))]
        });
        table(["value", "meaning"], rows)
    }

    fn collect(&self, path: &str, schema: &'a Value, always: bool, entries: &mut Vec<Entry<'a>>) {
        for (name, property) in self.properties(schema) {
            let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let is_required = required(schema, name);
            let note = match is_required {
                true if always => Some("required".to_owned()),
                true => Some(format!("required in `[{path}]`")),
                false => None,
            };
            entries.push(Entry { key: key.clone(), schema: property, required: note });
            self.collect(&key, self.resolved(property), always && is_required, entries);
        }
        if let Some(value) = schema.get("additionalProperties").filter(|value| value.is_object()) {
            entries.push(Entry { key: format!("{path}.NAME"), schema: value, required: Some(String::new()) });
        }
    }

    /// The properties of an object: what is required as the type has it, then the rest by name.
    fn properties(&self, schema: &'a Value) -> Vec<(&'a String, &'a Value)> {
        if is_secret(schema) {
            return Vec::new();
        }
        let place = |name: &str| {
            let names = schema.get("required").and_then(Value::as_array)?;
            names.iter().position(|required| required == name)
        };
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut properties: Vec<_> = properties.filter(|(name, _)| !self.hidden.contains(&name.as_str())).collect();
        properties.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
        properties
    }

    fn definition(&self, name: &str) -> &'a Value {
        self.root.pointer(&format!("/definitions/{name}")).unwrap_or(&Value::Null)
    }

    /// What a reference, or a choice of one, stands for.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        if let Some(name) = reference(schema) {
            return self.resolved(self.definition(name));
        }
        match alternatives(schema).as_slice() {
            [only] => self.resolved(only),
            _ => schema,
        }
    }

    /// What is to be written, such as "whole number, 1 to 100".
    fn kind(&self, schema: &'a Value) -> String {
        if let Some(name) = reference(schema) {
            let link = self.links.iter().find(|(known, _)| *known == name);
            return link.map_or_else(|| self.kind(self.definition(name)), |(_, link)| (*link).to_owned());
        }
        if is_secret(schema) {
            return "secret reference".to_owned();
        }
        let choices = alternatives(schema);
        if !choices.is_empty() {
            let mut kinds: Vec<_> = choices.iter().map(|choice| self.kind(choice)).collect();
            kinds.dedup();
            // Limits of one choice are not those of the next.
            return if kinds.iter().any(|kind| kind.contains(", ")) { kinds.join("; or ") } else { listed(&kinds) };
        }
        if let Some(value) = schema.get("const") {
            return self.literal(value);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return listed(&values.iter().map(|value| self.literal(value)).collect::<Vec<_>>());
        }
        let of = |name: &str| types(schema).any(|kind| kind == name);
        if of("string") {
            return text(schema);
        }
        if of("integer") {
            return format!("whole number{}", range(schema));
        }
        if of("number") {
            return format!("number{}", range(schema));
        }
        if of("boolean") {
            return "boolean".to_owned();
        }
        if of("array") {
            let items = schema.get("items").map_or_else(|| "anything".to_owned(), |items| plural(self.kind(items)));
            let least = if schema.get("minItems").is_some() { ", at least one" } else { "" };
            let unique = if schema.get("uniqueItems").is_some() { ", none twice" } else { "" };
            return format!("array of {items}{least}{unique}");
        }
        match self.notation {
            Notation::Toml => "table".to_owned(),
            Notation::Json => "object".to_owned(),
        }
    }

    /// A value as it is written.
    fn literal(&self, value: &Value) -> String {
        match whole(value).filter(|_| self.notation == Notation::Toml) {
            Some(number) => format!("`{}`", grouped(number, "_")),
            None => format!("`{value}`"),
        }
    }

    /// The comment, with what each value means, and the sentence in it that says the default.
    fn meaning(&self, schema: &'a Value) -> (String, Option<String>) {
        let resolved = self.resolved(schema);
        let own = description(schema);
        let (mut meaning, default) = without_default(if own.is_empty() { description(resolved) } else { own });
        let is_linked = named(schema).is_some_and(|name| self.links.iter().any(|(known, _)| *known == name));
        if !is_linked {
            for value in alternatives(resolved) {
                let about = one_line(description(value));
                if let (Some(name), false) = (value.get("const"), about.is_empty()) {
                    meaning.push_str(&format!(" {}: {about}", self.literal(name)));
                }
            }
        }
        (meaning.trim().to_owned(), default)
    }

    /// The default: what the schema has, else what the comment says.
    fn default(&self, schema: &Value, said: Option<String>) -> String {
        let inner = named(schema).map_or(schema, |name| self.definition(name));
        if inner.get("properties").is_some() && !is_secret(inner) {
            // The keys of an inner table say their own.
            return String::new();
        }
        match schema.get("default") {
            None | Some(Value::Null) => said.unwrap_or_else(|| "none".to_owned()),
            Some(default) => self.literal(default),
        }
    }
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// A text without its sentence "Default: ...", and what that says.
fn without_default(text: &str) -> (String, Option<String>) {
    const MARK: &str = "Default: ";
    let text = one_line(text);
    let Some(start) = text.find(MARK) else { return (text, None) };
    let (before, after) = text.split_at(start);
    let after = after.strip_prefix(MARK).unwrap_or(after);
    let (default, rest) = after.split_once(". ").unwrap_or((after.trim_end_matches('.'), ""));
    (one_line(&format!("{before}{rest}")), Some(default.to_owned()))
}

fn required(schema: &Value, name: &str) -> bool {
    let names = schema.get("required").and_then(Value::as_array);
    names.is_some_and(|names| names.iter().any(|required| required == name))
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/definitions/")
}

/// The name of the definition that a schema, or its only alternative, refers to.
fn named(schema: &Value) -> Option<&str> {
    reference(schema).or_else(|| match alternatives(schema).as_slice() {
        [only] => reference(only),
        _ => None,
    })
}

/// What a value may be one of; null is left out, since it stands for "not there".
fn alternatives(schema: &Value) -> Vec<&Value> {
    let choices = ["anyOf", "oneOf", "allOf"].iter().find_map(|keyword| schema.get(keyword)?.as_array());
    let is_null = |choice: &&Value| choice.get("type").is_some_and(|kind| kind == "null");
    choices.into_iter().flatten().filter(|choice| !is_null(choice)).collect()
}

fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.as_slice(),
        Some(kind) => std::slice::from_ref(kind),
        None => &[],
    };
    kinds.iter().filter_map(Value::as_str)
}

/// Whether it is a secret reference: a table of which one key is written.
fn is_secret(schema: &Value) -> bool {
    let keys = |object: &Map<String, Value>| object.keys().map(String::as_str).eq(["credential", "env", "file"]);
    schema.get("properties").and_then(Value::as_object).is_some_and(keys)
}

fn text(schema: &Value) -> String {
    if schema.get("format").is_some_and(|format| format == "date-time") {
        return "date and time with offset".to_owned();
    }
    let not_empty = schema.get("minLength").is_some_and(|least| *least == 1);
    if not_empty { "text, not empty".to_owned() } else { "text".to_owned() }
}

fn range(schema: &Value) -> String {
    let bound = |keyword: &str| {
        let bound = schema.get(keyword)?;
        Some(whole(bound).map_or_else(|| bound.to_string(), |whole| grouped(whole, ",")))
    };
    let is_count = schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint"));
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        // That a count is not negative goes without saying.
        (Some(least), None) if !(is_count && least == "0") => format!(", {least} or more"),
        (None, Some(most)) => format!(", at most {most}"),
        _ => String::new(),
    }
}

/// A number that is whole and not negative, whether it is written `5` or `5.0`.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0)?;
        format!("{number:.0}").parse().ok()
    })
}

fn plural(kind: String) -> String {
    for (one, many) in
        [("text", "texts"), ("object", "objects"), ("table", "tables"), ("whole number", "whole numbers")]
    {
        if let Some(rest) = kind.strip_prefix(one) {
            return format!("{many}{rest}");
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_has_its_row() {
        let schema = json!({
            "required": ["name", "key"],
            "properties": {
                "key": { "$ref": "#/definitions/Secret", "description": "The key." },
                "limit": { "type": ["number", "null"], "minimum": 0.0, "default": 5.0, "description": "Most calls.\n\nMore." },
                "mode": { "allOf": [{ "$ref": "#/definitions/Mode" }], "default": "fast", "description": "How." },
                "name": { "type": "string", "minLength": 1, "description": "A name. Default: the id. Shown." },
                "nick": { "type": ["string", "null"], "description": "Another. Default: the name." },
                "project_dir": { "type": "string" },
                "rows": { "type": "integer", "minimum": 1, "maximum": 100_000, "default": 50_000 },
                "table": { "anyOf": [{ "$ref": "#/definitions/Table" }, { "type": "null" }], "description": "Inner." },
            },
            "definitions": {
                "Mode": { "oneOf": [
                    { "const": "fast", "type": "string", "description": "Quick." },
                    { "const": "safe", "type": "string" },
                ] },
                "Secret": { "type": "object", "properties": { "credential": {}, "env": {}, "file": {} } },
                "Table": {
                    "type": "object",
                    "required": ["a"],
                    "properties": { "a": { "type": "array", "items": { "type": "string" }, "minItems": 1 } },
                    "additionalProperties": { "$ref": "#/definitions/Mode" },
                },
            },
        });
        let links = [("Mode", "[mode](#modes)")];
        let expected = "\
| key | type | default | meaning |
| --- | --- | --- | --- |
| `name` | text, not empty | required | A name. Shown. |
| `key` | secret reference | required | The key. |
| `limit` | number, 0 or more | `5` | Most calls. More. |
| `mode` | `\"fast\"` or `\"safe\"` | `\"fast\"` | How. `\"fast\"`: Quick. |
| `nick` | text | the name | Another. |
| `rows` | whole number, 1 to 100,000 | `50_000` |  |
| `table` | table |  | Inner. |
| `table.a` | array of texts, at least one | required in `[table]` |  |
| `table.NAME` | `\"fast\"` or `\"safe\"` |  | `\"fast\"`: Quick. |
";
        let toml = Schema::new(&schema, Notation::Toml).hidden(&["project_dir"]);
        assert_eq!(toml.keys(), expected);
        let linked = toml.links(&links).keys();
        assert!(linked.contains("| `mode` | [mode](#modes) | `\"fast\"` | How. |"), "{linked}");
        let values = Schema::new(&schema, Notation::Json).values_of("Mode");
        assert!(values.contains("| `\"fast\"` | Quick. |"), "{values}");
    }
}
