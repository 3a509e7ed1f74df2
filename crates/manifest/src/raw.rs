//! The files as they are written. Their schemas, and so the reference pages, come from the comments in here.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use segport_core::{FieldType, Secret};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::project::{Leavers, Role, Transform, WhenNull};

/// `segport.toml`: the project.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["project"]))]
pub(crate) struct SettingsFile {
    /// What the project is called.
    // Without it the rest of a wrong file could not be read.
    #[serde(default)]
    pub(crate) project: ProjectTable,
    /// Where state is kept.
    #[serde(default)]
    pub(crate) state: StateTable,
    /// Where plugins are found.
    #[serde(default)]
    pub(crate) plugins: PluginsTable,
    /// Which destinations may be called.
    #[serde(default)]
    pub(crate) egress: EgressTable,
    /// When exports without a schedule of their own run; without this table they run by hand only.
    pub(crate) refresh: Option<ScheduleTable>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectTable {
    /// The project's name.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateTable {
    /// Address of the state store: `sqlite:PATH`, relative to the project; there is no other kind yet.
    /// Default: `"sqlite:.segport/state.db"`.
    pub(crate) url: Option<Url>,
    /// Secret key of the ledger's keyed hashes, at least 16 characters. Default: made once, kept in `.segport/state.key`.
    #[schemars(with = "Option<Secret>")]
    pub(crate) key: Option<Value>,
}

/// A text, or where it is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Url {
    Plain(String),
    Secret(#[schemars(schema_with = "reference")] Value),
}

/// The schema of a secret reference where a text may stand as well.
fn reference(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Secret::json_schema(generator);
    schema.remove(Secret::MARK);
    schema
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginsTable {
    /// Directories of plugins, absolute or relative to the project. The program's own directory and
    /// `../lib/segport/plugins` beside it are always looked in too, after these.
    #[serde(default)]
    pub(crate) path: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EgressTable {
    /// Whether loopback and private addresses are allowed as destinations, and to those plain `http`.
    #[serde(default)]
    pub(crate) allow_private: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleTable {
    /// Minute, hour, day of the month, month and day of the week: `0 6 * * 1-5` is every working day at six. A sixth field in front
    /// counts seconds.
    #[schemars(length(min = 1))]
    pub(crate) cron: String,
    /// An IANA time zone, such as `Europe/Oslo`.
    #[serde(default = "utc")]
    pub(crate) time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// `sources/ID.toml`: where segments are read from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceFile {
    /// Id of a source plugin, such as `files`.
    pub(crate) plugin: String,
    /// The name people read. Default: the id.
    #[schemars(length(min = 1))]
    pub(crate) display_name: Option<String>,
    /// The plugin's own settings, checked against the plugin's schema.
    #[serde(default)]
    pub(crate) settings: Map<String, Value>,
}

/// `segments/ID.toml`: a named set of profiles.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentFile {
    /// Id of the source.
    pub(crate) source: String,
    /// The name people read; destinations name lists after it. Default: the id.
    #[schemars(length(min = 1))]
    pub(crate) display_name: Option<String>,
    /// The column, or columns, that say which profile a row is.
    pub(crate) key: Key,
    /// The source's own options, checked against the plugin's schema.
    #[serde(default)]
    pub(crate) read: Map<String, Value>,
}

/// One column or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Key {
    One(#[schemars(length(min = 1))] String),
    Several(#[schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true))] Vec<String>),
}

/// `connections/ID.toml`: one account at a destination.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionFile {
    /// Id of a connector, such as `autopilot`.
    pub(crate) plugin: String,
    /// The name people read. Default: the id.
    #[schemars(length(min = 1))]
    pub(crate) display_name: Option<String>,
    /// Who may use the connection; checked for its form, not enforced in 0.1.0.
    #[serde(default = "administrators")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) usable_by: Vec<Role>,
    /// Who accepted the data-privacy text, and when; written by `segport connect ID --accept`. Nothing is sent without it.
    pub(crate) consent: Option<ConsentTable>,
    /// The connector's own settings, checked against the plugin's schema.
    #[serde(default)]
    pub(crate) settings: Map<String, Value>,
}

fn administrators() -> Vec<Role> {
    vec![Role::Administrators]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentTable {
    /// Who accepted, such as an e-mail address.
    #[schemars(length(min = 1))]
    pub(crate) accepted_by: String,
    /// When, with the offset from UTC, such as `2026-11-23T10:00:00Z`.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) accepted_at: String,
}

/// `exports/ID.toml`: which segments go through which connection, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportFile {
    /// The name people read. Default: the id.
    #[schemars(length(min = 1))]
    pub(crate) display_name: Option<String>,
    /// Id of the connection.
    pub(crate) connection: String,
    /// Ids of the segments, none twice. A profile that is in several, with one address, counts once; its values come from the first
    /// that has it.
    #[schemars(length(min = 1))]
    pub(crate) segments: Vec<String>,
    /// Destination field = profile column. The fields that the connector requires must be there.
    pub(crate) fields: FieldsTable,
    /// What happens to rows that left the segments.
    #[serde(default)]
    pub(crate) leavers: LeaversTable,
    /// What stops a run.
    #[serde(default)]
    pub(crate) guards: GuardsTable,
    /// When the export runs by itself.
    pub(crate) schedule: Option<ScheduleTable>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct FieldsTable {
    /// Custom fields of the destination, by their display names.
    #[serde(default)]
    pub(crate) custom: BTreeMap<String, CustomFieldEntry>,
    /// The destination's standard fields, by their names.
    #[serde(flatten)]
    pub(crate) standard: BTreeMap<String, FieldEntry>,
}

/// A profile column, or a table with more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum FieldEntry {
    Column(#[schemars(length(min = 1))] String),
    Table(FieldTable),
}

/// A profile column, or a table with more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum CustomFieldEntry {
    Column(#[schemars(length(min = 1))] String),
    Table(CustomFieldTable),
}

/// What a field of either kind is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapped<'a> {
    pub(crate) column: &'a str,
    pub(crate) transform: &'a [Transform],
    pub(crate) when_null: WhenNull,
}

impl<'a> Mapped<'a> {
    fn as_it_is(column: &'a str) -> Self {
        Self { column, transform: &[], when_null: WhenNull::default() }
    }
}

impl FieldEntry {
    pub(crate) fn mapped(&self) -> Mapped<'_> {
        match self {
            Self::Column(column) => Mapped::as_it_is(column),
            Self::Table(FieldTable { column, transform, when_null }) => {
                Mapped { column, transform, when_null: *when_null }
            }
        }
    }
}

impl CustomFieldEntry {
    pub(crate) fn mapped(&self) -> Mapped<'_> {
        match self {
            Self::Column(column) => Mapped::as_it_is(column),
            Self::Table(CustomFieldTable { column, transform, when_null, .. }) => {
                Mapped { column, transform, when_null: *when_null }
            }
        }
    }

    pub(crate) fn declared_type(&self) -> Option<FieldType> {
        match self {
            Self::Column(_) => None,
            Self::Table(table) => table.field_type,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldTable {
    /// The profile column.
    #[schemars(length(min = 1))]
    pub(crate) column: String,
    /// Changes to the value, applied one after the other.
    #[serde(default)]
    pub(crate) transform: Vec<Transform>,
    /// What a null does.
    #[serde(default)]
    pub(crate) when_null: WhenNull,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomFieldTable {
    /// The profile column.
    #[schemars(length(min = 1))]
    pub(crate) column: String,
    /// Type of the field; custom fields only. Default: the first type that the destination offers.
    #[serde(rename = "type")]
    pub(crate) field_type: Option<FieldType>,
    /// Changes to the value, applied one after the other.
    #[serde(default)]
    pub(crate) transform: Vec<Transform>,
    /// What a null does.
    #[serde(default)]
    pub(crate) when_null: WhenNull,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeaversTable {
    /// What is done with them. Default: `"remove"`, or `"keep"` where the destination cannot take rows off a list.
    pub(crate) policy: Option<Leavers>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GuardsTable {
    /// More removals than this stop a run before anything is sent. A share is one of the members that the export's lists have by
    /// the ledger; somebody on two of them counts twice, here as there.
    pub(crate) max_removals: RawThreshold,
    /// A segment that gained more rows than this stops a run before anything is sent. A share is one of the rows it had in the
    /// last run that no guard held back. `"100%"` lets it double; a number of rows can allow more.
    pub(crate) max_growth: RawThreshold,
    /// A segment that lost more rows than this stops a run before anything is sent. A share is one of the rows it had in the
    /// last run that no guard held back.
    pub(crate) max_shrink: RawThreshold,
    /// More refused rows than this stop a run. A share is one of the rows the run set out to send.
    pub(crate) max_refused: RawThreshold,
    /// Whether segments without any row are believed; otherwise they stop the run.
    pub(crate) allow_empty: bool,
    /// Whether the export may go to another account than before, as with the key of another one; otherwise that stops the run
    /// before anything is sent, where the connector can tell.
    pub(crate) allow_other_account: bool,
}

impl Default for GuardsTable {
    fn default() -> Self {
        Self {
            max_removals: RawThreshold::Text("10%".to_owned()),
            max_growth: RawThreshold::Text("100%".to_owned()),
            max_shrink: RawThreshold::Text("50%".to_owned()),
            max_refused: RawThreshold::Text("5%".to_owned()),
            allow_empty: false,
            allow_other_account: false,
        }
    }
}

/// A share such as `"10%"`, or a number of rows.
#[derive(Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawThreshold {
    Text(
        #[schemars(
            regex(pattern = r"^([0-9]{1,2}(\.[0-9]+)?|100(\.0+)?) ?%$"),
            extend("x-segport-code" = "SP0503")
        )]
        String,
    ),
    Rows(u64),
}
