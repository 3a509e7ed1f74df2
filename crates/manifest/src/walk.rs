//! Which parts of a schema speak of which parts of a value.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::pointer;

/// Calls `visit` with each value and each subschema that applies to it, or would in one of its alternatives.
pub(crate) fn walk(value: &Value, root: &Value, visit: &mut dyn FnMut(&str, &Value, &Value)) {
    Walk { root, seen: BTreeSet::new(), visit }.step("", value, root);
}

struct Walk<'a> {
    root: &'a Value,
    /// Where the walk has been, so that a schema that refers to itself ends.
    seen: BTreeSet<(String, usize)>,
    visit: &'a mut dyn FnMut(&str, &Value, &Value),
}

impl Walk<'_> {
    fn step(&mut self, pointer: &str, value: &Value, schema: &Value) {
        if !self.seen.insert((pointer.to_owned(), std::ptr::from_ref(schema).addr())) {
            return;
        }
        (self.visit)(pointer, value, schema);
        let root = self.root;
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'))
            && let Some(target) = root.pointer(target)
        {
            self.step(pointer, value, target);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for alternative in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                self.step(pointer, value, alternative);
            }
        }
        for keyword in ["then", "else"] {
            if let Some(alternative) = schema.get(keyword) {
                self.step(pointer, value, alternative);
            }
        }
        match value {
            Value::Object(table) => {
                // Which keys a pattern means need not be known: a schema that does not apply does no harm here.
                let patterns = schema.get("patternProperties").and_then(Value::as_object);
                for (key, value) in table {
                    let named = schema.get("properties").and_then(|properties| properties.get(key));
                    let others = schema.get("additionalProperties").into_iter();
                    let others = others.chain(patterns.into_iter().flat_map(|patterns| patterns.values()));
                    for schema in named.map_or_else(|| others.collect(), |schema| vec![schema]) {
                        self.step(&pointer::join(pointer, key), value, schema);
                    }
                }
            }
            Value::Array(entries) => {
                let first = schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
                let others = schema.get("items").into_iter().cycle();
                for ((index, value), schema) in entries.iter().enumerate().zip(first.chain(others)) {
                    self.step(&pointer::join(pointer, &index.to_string()), value, schema);
                }
            }
            _ => {}
        }
    }
}

/// The subschemas that apply, or would in one of their alternatives, to the value at `pointer`.
pub(crate) fn subschemas(value: &Value, root: &Value, pointer: &str) -> Vec<Value> {
    let mut found = Vec::new();
    walk(value, root, &mut |at, _, schema| {
        if at == pointer {
            found.push(schema.clone());
        }
    });
    found
}
