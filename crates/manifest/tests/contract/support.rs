//! A small project in a temporary directory, and the plugins it uses.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use segport_core::{Capabilities, CustomFields, Descriptor, Field, FieldType, PluginKind, Secret};
use segport_manifest::Catalog;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The files of a project without errors.
pub(crate) const GOOD: &[(&str, &str)] = &[
    ("segport.toml", "#:schema schemas/segport.json\n[project]\nname = \"acme\"\n"),
    ("sources/crm.toml", "plugin = \"files\"\n[settings]\nroot = \"data\"\n"),
    ("segments/newsletter.toml", "source = \"crm\"\nkey = \"customer_id\"\n[read]\npath = \"newsletter.csv\"\n"),
    ("segments/vip.toml", "source = \"crm\"\nkey = [\"country\", \"customer_no\"]\n[read]\npath = \"vip.csv\"\n"),
    ("connections/mailer.toml", "plugin = \"mailer\"\n[settings]\napi_key = { env = \"MAILER_API_KEY\" }\n"),
    (
        "exports/newsletter.toml",
        "connection = \"mailer\"\nsegments = [\"newsletter\", \"vip\"]\n\n[fields]\nemail = \"email_address\"\nfirst_name = \"given_name\"\n",
    ),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the schema is of interest")]
struct MailerSettings {
    /// The key of the account.
    api_key: Secret,
    /// A second key.
    webhook_key: Option<Secret>,
    /// Calls a second, 1 to 20.
    #[schemars(range(min = 1, max = 20))]
    requests_per_second: Option<f64>,
    #[serde(default)]
    membership: Membership,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Membership {
    /// Tries.
    #[default]
    Probe,
    /// One by one.
    Single,
}

fn schema<T: JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
}

pub(crate) fn mailer() -> Descriptor {
    Descriptor {
        id: "mailer".to_owned(),
        fields: vec![
            Field::identity("email", FieldType::Email, "The address."),
            Field::optional("first_name", FieldType::String, "The first name."),
            Field::optional("last_name", FieldType::String, "The last name."),
            Field::optional("born", FieldType::Date, "The birthday."),
            Field::optional("orders", FieldType::Integer, "How many orders."),
        ],
        custom_fields: Some(CustomFields {
            types: vec![FieldType::String, FieldType::Float, FieldType::Date],
            forbidden: vec!["--".to_owned()],
            outer_spaces: false,
            help: "the name would not arrive as written".to_owned(),
        }),
        capabilities: Capabilities { several_segments: true, remove: true, ..Capabilities::default() },
        settings_schema: schema::<MailerSettings>(),
        ..Descriptor::new("Mailer", "Sends mail.")
    }
}

pub(crate) fn files() -> Descriptor {
    Descriptor {
        id: "files".to_owned(),
        kind: PluginKind::Source,
        settings_schema: json!({
            "type": "object",
            "properties": { "root": { "type": "string" }, "project_dir": { "type": "string" } },
            "required": ["root", "project_dir"],
        }),
        read_schema: json!({
            "type": "object",
            "properties": {
                "path": { "type": "string", "description": "Path of the file." },
                "token": { "$ref": "#/definitions/Secret" },
            },
            "required": ["path"],
            "definitions": { "Secret": { "type": "object", "x-segport-secret": true } },
        }),
        ..Descriptor::new("Files", "Reads files.")
    }
}

pub(crate) fn plain() -> Descriptor {
    Descriptor {
        id: "plain".to_owned(),
        fields: vec![Field::identity("email", FieldType::Email, "The address.")],
        ..Descriptor::new("Plain", "Takes one segment and no custom fields.")
    }
}

pub(crate) fn catalog() -> Catalog {
    Catalog::new(vec![mailer(), files(), plain()])
}

/// The good project with some files replaced, added, or (with an empty text) removed.
pub(crate) fn project(changes: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (path, text) in GOOD.iter().chain(changes) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if text.is_empty() && path.exists() {
            fs::remove_file(path).unwrap();
        } else {
            fs::write(path, text).unwrap();
        }
    }
    dir
}

/// `text` without the directory that differs from run to run.
pub(crate) fn without_dir(text: &str, dir: &Path) -> String {
    text.replace(dir.to_str().unwrap(), "PROJECT")
}
