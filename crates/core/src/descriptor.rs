//! What a plugin says of itself before anything is opened.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The key of a plugin's settings that nobody writes: where its schema has it, the host fills in the project's directory.
pub const PROJECT_DIR: &str = "project_dir";

/// Which of the two kinds of plugin this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// Writes to one kind of destination.
    Connector,
    /// Reads segments.
    Source,
}

/// A plugin's description: data only, so that `check`, `plan` and the schemas need no network.
///
/// The SDK fills `id`, `version`, `kind` and the schemas from the export macro and the plugin's types; authors state the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The id used in manifests, such as `mailgrid`.
    #[serde(default)]
    pub id: String,
    /// The version of the plugin's crate.
    #[serde(default)]
    pub version: String,
    /// Connector or source.
    #[serde(default = "Descriptor::default_kind")]
    pub kind: PluginKind,
    /// The name people read, such as `Mailgrid`.
    pub display_name: String,
    /// One sentence on what the plugin does.
    pub description: String,
    /// The destination's fields. Empty for a source.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Rules for custom fields; `None` where the destination has none.
    #[serde(default)]
    pub custom_fields: Option<CustomFields>,
    /// Default limits; an opened instance may lower or raise them by its settings.
    #[serde(default)]
    pub limits: Limits,
    /// What the plugin can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// The data-privacy text shown by `connect` before consent is given. Empty for a source.
    #[serde(default)]
    pub consent: String,
    /// JSON schema (draft-07) of `settings`.
    #[serde(default)]
    pub settings_schema: Value,
    /// JSON schema (draft-07) of a segment's `read`; `null` for a connector.
    #[serde(default)]
    pub read_schema: Value,
}

impl Descriptor {
    /// A description with a name and a sentence, and defaults for everything else.
    pub fn new(display_name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            id: String::new(),
            version: String::new(),
            kind: PluginKind::Connector,
            display_name: display_name.into(),
            description: description.into(),
            fields: Vec::new(),
            custom_fields: None,
            limits: Limits::default(),
            capabilities: Capabilities::default(),
            consent: String::new(),
            settings_schema: Value::Null,
            read_schema: Value::Null,
        }
    }

    fn default_kind() -> PluginKind {
        PluginKind::Connector
    }

    /// The standard field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field that says who a row is at the destination, such as `email`.
    pub fn identity(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.identity)
    }
}

/// The type of a destination field, and so how a value is checked and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Any text, sent as it is.
    String,
    /// Text in the form of an address, at most 254 bytes, 64 before the `@`; trimmed and lower-cased. Quoted names, address
    /// literals and characters that cannot be seen are refused.
    Email,
    /// A whole number of 64 bits, sent as a number; `3.0` counts as 3.
    Integer,
    /// A finite number, sent as a number.
    Float,
    /// `true`, `yes`, `1`, `false`, `no`, `0`, in any case; sent as true or false.
    Boolean,
    /// `2026-11-23`, or a date and time with `T` or a space, with or without an offset; sent as ISO 8601 text.
    Date,
}

impl FieldType {
    /// The type's name in TOML and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Email => "email",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Date => "date",
        }
    }
}

/// One standard field of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Snake-case name used in manifests.
    pub name: String,
    /// Type of its values.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// One sentence for the reference.
    pub description: String,
    /// An export without it is an error.
    #[serde(default)]
    pub required: bool,
    /// Says who the row is: rows with equal values are one contact.
    #[serde(default)]
    pub identity: bool,
    /// Longest text in Unicode characters, where the destination states one.
    #[serde(default)]
    pub max_chars: Option<u32>,
}

impl Field {
    /// An optional field.
    pub fn optional(name: &str, field_type: FieldType, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            field_type,
            description: description.to_owned(),
            required: false,
            identity: false,
            max_chars: None,
        }
    }

    /// The required field that says who a row is.
    pub fn identity(name: &str, field_type: FieldType, description: &str) -> Self {
        Self { required: true, identity: true, ..Self::optional(name, field_type, description) }
    }
}

/// Rules for the names and types of custom fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomFields {
    /// Types the destination has; the first is the default.
    pub types: Vec<FieldType>,
    /// Texts a name must not contain, because it would not arrive as written.
    #[serde(default)]
    pub forbidden: Vec<String>,
    /// Whether a name may begin or end with a space.
    #[serde(default)]
    pub outer_spaces: bool,
    /// Why, for the error message.
    #[serde(default)]
    pub help: String,
}

/// How much a destination takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Most rows in one batch.
    pub rows_per_batch: u32,
    /// Most bytes of the values in one batch of rows to write: a text as UTF-8 and four, a number eight. A row that alone has more
    /// goes alone, with 0 each one does, and more than 8 MiB are as good as 8 MiB. A body is longer, by what it calls the values
    /// and by what it must escape. About 32 MiB of all batches are under way at once.
    #[serde(default = "default_bytes_per_batch")]
    pub bytes_per_batch: u32,
    /// Most calls a second over the whole connection; 0 = no limit.
    pub requests_per_second: f64,
    /// Most rows sent by one run of an export; the rest is deferred to the next run. `None` = no limit.
    #[serde(default)]
    pub rows_per_export: Option<u64>,
    /// Most batches under way at once.
    pub max_in_flight: u32,
    /// Longest wait for one answer, in milliseconds.
    pub request_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows_per_batch: 100,
            bytes_per_batch: default_bytes_per_batch(),
            requests_per_second: 0.0,
            rows_per_export: None,
            max_in_flight: 4,
            request_timeout_ms: 30_000,
        }
    }
}

/// 1 MiB, which leaves as much for names and escapes where a body may have two, as many services document.
fn default_bytes_per_batch() -> u32 {
    1 << 20
}

/// What a plugin can do beyond the minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Can take leavers off a list.
    pub remove: bool,
    /// Writing the same row twice has the effect of writing it once.
    pub repeatable: bool,
    /// Several segments may go through one export.
    pub several_segments: bool,
    /// Can look up whether the destination holds a row, so that a row in doubt need not be written again.
    pub settle: bool,
}

/// What a plan would ask of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Workload {
    /// Fewest batches of rows to write.
    pub batches: u64,
    /// Most batches of them, which are more where rows are wide; a few more still where rows of hundreds of kinds are mixed.
    #[serde(default)]
    pub batches_at_most: u64,
    /// Rows to write.
    pub rows: u64,
    /// Rows, counted once per segment, that must become members.
    pub joins: u64,
    /// Rows, counted once per segment, that were acknowledged as members and are to be made members again.
    #[serde(default)]
    pub rejoins: u64,
    /// Rows, counted once per segment, that must stop being members.
    pub leavers: u64,
    /// Segments of the export.
    pub segments: u64,
    /// Of the rows to write, those that an earlier run may have written: they are looked up first, if the connector can.
    #[serde(default)]
    pub in_doubt: u64,
    /// Of the fewest batches, those of such rows.
    #[serde(default)]
    pub batches_in_doubt: u64,
}

/// What a connector says a workload costs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Estimate {
    /// Fewest calls.
    pub at_least: u64,
    /// Most calls, without retries and without those that halve a batch to find what is refused in it.
    pub at_most: u64,
    /// What decides between the two, in sentences for the plan.
    #[serde(default)]
    pub notes: Vec<String>,
}
