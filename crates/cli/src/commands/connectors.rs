//! `segport connectors`: the plugins.

use segport_core::{Descriptor, FieldType, PROJECT_DIR, PluginKind};
use segport_host::{Attempt, Installed, PinState};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::arguments::Connectors;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::project::Installation;
use crate::scaffold;
use crate::text::{count, counted, glossary, table, word, wrap};

/// List, show, verify, lock or new.
pub(crate) fn connectors(invocation: &Invocation, asked: &Connectors) -> Result<Exit, Failure> {
    let found = || Installation::find(invocation.dir(), Handle::current());
    match asked {
        Connectors::List => list(invocation, &found()?),
        Connectors::Show { id } => show(invocation, &found()?, id),
        Connectors::Verify => verify(invocation, &in_project(found()?)?),
        Connectors::Lock => lock(invocation, &in_project(found()?)?),
        Connectors::New { name } => new(invocation, name),
    }
}

fn in_project(installation: Installation) -> Result<Installation, Failure> {
    if installation.is_project {
        return Ok(installation);
    }
    Err(Failure::coded(segport_manifest::Code::NoProject, "segport.lock belongs to a project, and there is none here")
        .help("go to the project's directory, or name it with `-C DIR`"))
}

fn list(invocation: &Invocation, installation: &Installation) -> Result<Exit, Failure> {
    let output = &invocation.output;
    let installed = installation.plugins.installed()?;
    if output.is_json() {
        for plugin in &installed {
            output.json(&as_json(plugin))?;
        }
    } else if installed.is_empty() {
        let places: Vec<_> = installation.directories.iter().map(|place| format!("  {}", place.display())).collect();
        output.note(&format!("no plugins were found; looked in\n{}", places.join("\n")));
    } else {
        output.text(&as_table(&installed))?;
    }
    Ok(if tell_unlistable(installation) { Exit::Unfinished } else { Exit::Done })
}

/// Names the directories whose plugins are not all shown; whether there are any.
fn tell_unlistable(installation: &Installation) -> bool {
    let unlistable = installation.plugins.unlistable();
    for Attempt { place, problem, .. } in &unlistable {
        Output::remark(&format!(
            "{} {problem}, so that only accepted plugins in it are shown; let the user that runs segport list it, or name another \
             directory in `[plugins] path`",
            place.display()
        ));
    }
    !unlistable.is_empty()
}

fn verify(invocation: &Invocation, installation: &Installation) -> Result<Exit, Failure> {
    let output = &invocation.output;
    let installed = installation.plugins.installed()?;
    let is_good = |plugin: &Installed| matches!(plugin.state, PinState::Pinned(_) | PinState::Unpinned(_));
    let bad = installed.iter().filter(|plugin| !is_good(plugin)).count();
    if output.is_json() {
        for plugin in &installed {
            output.json(&as_json(plugin))?;
        }
    } else {
        output.text(&as_table(&installed))?;
        let new = installed.iter().filter(|plugin| matches!(plugin.state, PinState::Unpinned(_))).count();
        output.text(&match bad {
            0 if new > 0 => format!(
                "\n{} as accepted, {new} accepted when first used, or with `segport connectors lock`\n",
                counted((installed.len() - new) as u64, "plugin")
            ),
            0 => format!("\n{} as accepted\n", counted(installed.len() as u64, "plugin")),
            bad => {
                let is_refused = installed.iter().any(|plugin| matches!(plugin.state, PinState::Refused(_)));
                let way = if is_refused {
                    "see above why a file is not loaded at all; of the others, `segport connectors lock` accepts what is there now"
                } else {
                    "`segport connectors lock` accepts what is there now"
                };
                format!("\n{} not as accepted; {way}\n", counted(bad as u64, "plugin"))
            }
        })?;
    }
    let all_seen = !tell_unlistable(installation);
    Ok(if bad == 0 && all_seen { Exit::Done } else { Exit::Unfinished })
}

fn lock(invocation: &Invocation, installation: &Installation) -> Result<Exit, Failure> {
    let output = &invocation.output;
    for pin in installation.plugins.lock()? {
        if output.is_json() {
            output.json(&json!({ "id": pin.id, "version": pin.version, "sha256": pin.sha256, "file": pin.file }))?;
        } else {
            output.text(&format!("accepted {} {} ({})\n", pin.id, pin.version, pin.sha256))?;
        }
    }
    Ok(Exit::Done)
}

fn new(invocation: &Invocation, name: &str) -> Result<Exit, Failure> {
    let output = &invocation.output;
    let made = scaffold::connector(invocation.dir(), name)?;
    if output.is_json() {
        output.json(&json!({ "directory": made.dir, "package": made.package, "files": made.files }))?;
        return Ok(Exit::Done);
    }
    let files: String = made.files.iter().map(|file| format!("  {file}\n")).collect();
    output.text(&format!(
        "made {} with\n{files}\nNext:\n  cd {}\n  cargo test\n  README.md in it says what to fill in\n",
        made.dir.display(),
        word(&made.dir),
    ))?;
    Ok(Exit::Done)
}

/// State, version and hash of a plugin's file.
fn state(plugin: &Installed) -> (&'static str, &str, &str, String) {
    match &plugin.state {
        PinState::Pinned(pin) => ("accepted", &pin.version, &pin.sha256, String::new()),
        PinState::Unpinned(sha256) => ("new", "", sha256, "accepted when it is first used".to_owned()),
        PinState::Changed { pin, sha256 } => {
            ("changed", &pin.version, sha256, format!("segport.lock has {}", pin.sha256))
        }
        PinState::Refused(why) => ("refused", "", "", why.clone()),
        PinState::Missing(pin) => {
            ("missing", &pin.version, &pin.sha256, "in segport.lock, but not installed".to_owned())
        }
    }
}

fn as_json(plugin: &Installed) -> Value {
    let (state, version, sha256, remark) = state(plugin);
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    json!({
        "id": plugin.id,
        "state": state,
        "version": text(version),
        "sha256": text(sha256),
        "file": plugin.file,
        "remark": text(&remark),
    })
}

fn as_table(installed: &[Installed]) -> String {
    let mut rows = vec![["plugin", "state", "version", "sha256", "file"].map(str::to_owned).to_vec()];
    for plugin in installed {
        let (state, version, sha256, remark) = state(plugin);
        let short = sha256.get(..12).unwrap_or(sha256);
        let file = plugin.file.display();
        let file = if remark.is_empty() { file.to_string() } else { format!("{file}  ({remark})") };
        rows.push([&plugin.id, state, version, short, &file].map(|cell| cell.to_string()).to_vec());
    }
    table(&rows)
}

fn show(invocation: &Invocation, installation: &Installation, id: &str) -> Result<Exit, Failure> {
    let output = &invocation.output;
    let plugin = installation.plugins.load(id)?;
    if output.is_json() {
        let mut described = json!(plugin.descriptor());
        if let Value::Object(described) = &mut described {
            described.insert("sha256".to_owned(), plugin.sha256().into());
        }
        output.json(&described)?;
    } else {
        output.text(&described(plugin.descriptor(), plugin.sha256()))?;
    }
    Ok(Exit::Done)
}

/// Characters in a line of a description.
const WIDTH: usize = 96;

fn described(descriptor: &Descriptor, sha256: &str) -> String {
    let kind = match descriptor.kind {
        PluginKind::Connector => "connector",
        PluginKind::Source => "segment source",
    };
    let Descriptor { display_name, version, description, .. } = descriptor;
    let mut text = format!("{display_name} {version} ({kind})\n{}\n", wrap(description, WIDTH, ""));
    text.push_str(&format!("sha256 {sha256}\n"));
    if descriptor.kind == PluginKind::Connector {
        text.push_str(&limits(descriptor));
    }
    if !descriptor.fields.is_empty() {
        let rows: Vec<_> = descriptor
            .fields
            .iter()
            .map(|field| {
                let required = if field.required { "required" } else { "" };
                let longest = field.max_chars.map(|chars| format!(", at most {} characters", count(chars.into())));
                let about = format!("{}{}", field.description, longest.unwrap_or_default());
                [&format!("  {}", field.name), field.field_type.as_str(), required, &about]
                    .map(|cell| cell.to_string())
                    .to_vec()
            })
            .collect();
        text.push_str(&format!("\nfields\n{}", glossary(&rows, WIDTH)));
    }
    if let Some(custom) = &descriptor.custom_fields {
        let types: Vec<_> = custom.types.iter().copied().map(FieldType::as_str).collect();
        text.push_str(&format!("\ncustom fields, under [fields.custom]\n  types: {}\n", types.join(", ")));
        text.push_str(&wrap(&custom.help, WIDTH - 2, "  "));
    }
    text.push_str(&keys("settings", &descriptor.settings_schema));
    text.push_str(&keys("read, of a segment", &descriptor.read_schema));
    text
}

fn limits(descriptor: &Descriptor) -> String {
    let terms = descriptor.terms().into_iter();
    let rows: Vec<_> = terms.map(|(name, value)| vec![format!("  {name}"), value]).collect();
    format!("\nlimits, unless the settings say otherwise\n{}", table(&rows))
}

/// The keys of a plugin's table, from its JSON schema.
fn keys(title: &str, schema: &Value) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return String::new() };
    let required = |name: &str| {
        let names = schema.get("required").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|entry| entry == name))
    };
    let rows: Vec<_> = properties
        .iter()
        .filter(|(name, _)| *name != PROJECT_DIR)
        .map(|(name, property)| {
            let about = property.get("description").and_then(Value::as_str).unwrap_or_default();
            let mut sentence = about.split("\n\n").next().unwrap_or_default().replace('\n', " ");
            let values: Vec<_> = allowed(schema, property).iter().map(ToString::to_string).collect();
            if !values.is_empty() {
                sentence.push_str(&format!(" Values: {}.", values.join(", ")));
            }
            let default = match property.get("default") {
                None | Some(Value::Null) if required(name) => "required".to_owned(),
                None | Some(Value::Null) => String::new(),
                Some(default) => default.to_string(),
            };
            vec![format!("  {name}"), default, sentence]
        })
        .collect();
    if rows.is_empty() { String::new() } else { format!("\n{title}\n{}", glossary(&rows, WIDTH)) }
}

/// The values that a part of the schema `root` allows, each once, if it names them. Those of a table or an array are its entries'.
fn allowed<'a>(root: &'a Value, part: &'a Value) -> Vec<&'a Value> {
    let (mut values, mut parts, mut next) = (Vec::new(), vec![part], 0);
    while let Some(part) = parts.get(next).copied() {
        next += 1;
        let array = |keyword: &str| part.get(keyword).and_then(Value::as_array).into_iter().flatten();
        for value in part.get("const").into_iter().chain(array("enum")).filter(|value| !value.is_null()) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let target = part.get("$ref").and_then(Value::as_str);
        let target = target.and_then(|target| root.pointer(target.strip_prefix('#')?));
        let entries = ["items", "additionalProperties"].iter().filter_map(|keyword| part.get(keyword));
        for inner in target.into_iter().chain(["anyOf", "oneOf", "allOf"].into_iter().flat_map(array)).chain(entries) {
            // A schema may refer to itself.
            if !parts.iter().any(|known| std::ptr::eq(*known, inner)) {
                parts.push(inner);
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use segport_core::{CustomFields, Field};

    use super::*;

    #[test]
    fn the_values_that_a_setting_allows_are_found_wherever_its_schema_names_them() {
        let root = json!({ "definitions": {
            "Format": { "oneOf": [{ "const": "csv" }, { "const": "parquet" }] },
            "Tree": { "anyOf": [{ "$ref": "#/definitions/Tree" }, { "const": "leaf" }] },
        }});
        let check = |part: Value, expected: Value| {
            assert_eq!(json!(allowed(&root, &part)), expected, "{part}");
        };
        check(json!({ "type": "string" }), json!([]));
        check(json!({ "enum": ["a", 2, null] }), json!(["a", 2]));
        check(json!({ "$ref": "#/definitions/Format" }), json!(["csv", "parquet"]));
        check(json!({ "anyOf": [{ "$ref": "#/definitions/Format" }, { "type": "null" }] }), json!(["csv", "parquet"]));
        check(json!({ "additionalProperties": { "$ref": "#/definitions/Format" } }), json!(["csv", "parquet"]));
        check(json!({ "items": { "enum": ["a"] }, "additionalProperties": false }), json!(["a"]));
        check(json!({ "$ref": "#/definitions/Tree" }), json!(["leaf"]));
        check(json!({ "$ref": "#/definitions/Gone" }), json!([]));
    }

    #[test]
    fn a_plugin_is_described() {
        let descriptor = Descriptor {
            version: "0.1.0".to_owned(),
            fields: vec![
                Field::identity("email", FieldType::Email, "Address of the contact"),
                Field { max_chars: Some(1000), ..Field::optional("first_name", FieldType::String, "Given name") },
            ],
            custom_fields: Some(CustomFields {
                types: vec![FieldType::String, FieldType::Float],
                forbidden: Vec::new(),
                outer_spaces: false,
                help: "names are kept as written".to_owned(),
            }),
            settings_schema: json!({
                "required": ["api_key"],
                "properties": {
                    "api_key": { "description": "The key.\n\nMore." },
                    "rate": { "description": "Calls a second.", "default": 5 },
                    "mode": { "description": "How.", "oneOf": [{ "const": "probe" }, { "const": "bulk" }] },
                    "project_dir": {},
                },
            }),
            ..Descriptor::new("Mailgrid", "Writes segments to Mailgrid lists.")
        };
        insta::assert_snapshot!(described(&descriptor, "00ff"));
    }
}
