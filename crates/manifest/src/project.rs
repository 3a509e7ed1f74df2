//! The validated project: what the rest of Segport works with.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use segport_core::FieldType;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Document;
use crate::secret::SecretRef;

/// What `segport.toml` says.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The project's name.
    pub name: String,
    /// Where state is kept.
    pub state: State,
    /// Where plugins are found.
    pub plugins: Plugins,
    /// Which destinations may be called.
    pub egress: Egress,
    /// When exports without a schedule of their own run; `None` = only by hand.
    pub refresh: Option<Schedule>,
}

/// A project before its plugins are loaded: enough to load those it needs.
#[derive(Debug, Clone)]
pub struct Outline {
    /// What `segport.toml` says as far as it is right; the rest is as if it were not there.
    pub settings: Settings,
    /// Whether it says for certain where plugins are. If not, what is found elsewhere must not be taken for them.
    pub places_plugins: bool,
    /// Ids of the plugins that sources and connections name. Files that cannot be read add nothing.
    pub plugin_ids: BTreeSet<String>,
}

/// A project: everything resolved and typed, except secrets, which stay references. What is wrong is missing.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's directory.
    pub dir: PathBuf,
    /// What `segport.toml` says.
    pub settings: Settings,
    /// Sources by id.
    pub sources: BTreeMap<String, Source>,
    /// Segments by id.
    pub segments: BTreeMap<String, Segment>,
    /// Connections by id.
    pub connections: BTreeMap<String, Connection>,
    /// Exports by id.
    pub exports: BTreeMap<String, Export>,
    pub(crate) documents: Arc<BTreeMap<String, Document>>,
}

impl Project {
    /// The directory that holds the project's own state, such as the default database: `.segport` in the project.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join(".segport")
    }
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Address of the state store.
    pub url: StateUrl,
    /// Key of the keyed hashes; `None` = made once in `.segport/`.
    pub key: Option<SecretRef>,
}

/// The address of the state store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateUrl {
    /// As written. The path of a `sqlite:` address is relative to the project. Holds no password.
    Plain(String),
    /// Kept elsewhere, because it holds a password.
    Secret(SecretRef),
}

impl StateUrl {
    /// The address of a project that names none.
    pub const DEFAULT: &'static str = "sqlite:.segport/state.db";
}

impl Default for StateUrl {
    fn default() -> Self {
        Self::Plain(Self::DEFAULT.to_owned())
    }
}

/// Where plugins are found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plugins {
    /// Directories, absolute or joined to the project's directory.
    pub path: Vec<PathBuf>,
}

/// Which destinations may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Egress {
    /// Whether loopback and private addresses are allowed.
    pub allow_private: bool,
}

/// When something runs by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Five (or, with seconds, six) fields of cron; checked.
    pub cron: String,
    /// The time zone in which `cron` is read.
    pub time_zone: TimeZone,
}

/// Where segments are read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Stem of the file.
    pub id: String,
    /// Id of the plugin.
    pub plugin: String,
    /// The name people read: `display_name`, or the id.
    pub display_name: String,
    /// Settings as the plugin's schema has them, secrets unresolved.
    pub settings: Value,
}

/// A named set of profiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Stem of the file.
    pub id: String,
    /// The name people read: `display_name`, or the id.
    pub display_name: String,
    /// Id of the source.
    pub source: String,
    /// Columns whose values say which profile a row is; at least one.
    pub key: Vec<String>,
    /// The source's own options, secrets unresolved.
    pub read: Value,
}

/// One account at a destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Stem of the file.
    pub id: String,
    /// Id of the plugin.
    pub plugin: String,
    /// The name people read: `display_name`, or the id.
    pub display_name: String,
    /// Who may use it.
    pub usable_by: BTreeSet<Role>,
    /// Who accepted the data-privacy text; without it nothing is sent.
    pub consent: Option<Consent>,
    /// Settings as the plugin's schema has them, secrets unresolved.
    pub settings: Value,
}

/// A group of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Those who administer the installation.
    Administrators,
    /// Those who work with profiles and segments.
    Contributors,
}

/// That somebody accepted a connection's data-privacy text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Who, such as an e-mail address.
    pub accepted_by: String,
    /// When.
    pub accepted_at: Timestamp,
}

/// Which segments go through which connection, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// Stem of the file.
    pub id: String,
    /// The name people read: `display_name`, or the id.
    pub display_name: String,
    /// Id of the connection.
    pub connection: String,
    /// Ids of the segments in the file's order; at least one, none twice.
    pub segments: Vec<String>,
    /// The mapping in the file's order, standard fields and custom ones.
    pub fields: Vec<FieldMapping>,
    /// What happens to rows that left the segments; unless set, [`Leavers::Keep`] where the connector cannot remove.
    pub leavers: Leavers,
    /// What stops a run.
    pub guards: Guards,
    /// When the export runs by itself; `None` = with the project's refresh, if there is one.
    pub schedule: Option<Schedule>,
}

impl Export {
    /// The most segments of an export: the state keeps who is in which of them in so many bits.
    pub const MOST_SEGMENTS: usize = 64;
}

/// One destination field and what goes into it.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldMapping {
    /// Name of the standard field, or the display name of the custom field.
    pub name: String,
    /// Whether it stands under `[fields.custom]`.
    pub custom: bool,
    /// Type of the destination field.
    pub field_type: FieldType,
    /// The profile column.
    pub column: String,
    /// Applied to the value one after the other.
    pub transform: Vec<Transform>,
    /// What a null does.
    pub when_null: WhenNull,
    /// The bytes of the export's file that name the column.
    pub span: Range<usize>,
}

/// A change to a value before it is checked against the destination field's type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Drops white space at both ends; what is empty then is a null. For all types.
    Trim,
    /// Lower case. For all types.
    Lower,
    /// Upper case. For all types.
    Upper,
    /// The SHA-256 of the text as 64 lower-case hexadecimal digits. For `string` only.
    Sha256,
    /// Reads the text as an ISO 8601 date, or date and time, and writes it with a `T` between the two. For `date` and
    /// `string`.
    Date,
    /// Reads the text as a date in this form, such as `%d.%m.%Y` (strptime), and writes it as ISO 8601. For `date` and
    /// `string`.
    #[serde(untagged)]
    #[schemars(extend("additionalProperties" = false))]
    DateIn {
        /// How the text is written, such as `%d.%m.%Y` (strptime).
        date: String,
    },
}

/// What a null does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenNull {
    /// The field is left out: what the destination has stays.
    #[default]
    Omit,
    /// A null is sent, to clear the field.
    Clear,
    /// The row is not sent; it ends as *invalid*.
    SkipRow,
}

/// What happens to rows that left all segments of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leavers {
    /// They are taken off the list that this export put them on. Contacts are never deleted.
    #[default]
    Remove,
    /// They stay.
    Keep,
}

/// What stops a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guards {
    /// More removals than this stop a run before anything is sent.
    pub max_removals: Threshold,
    /// A segment that gained more rows than this stops a run before anything is sent.
    pub max_growth: Threshold,
    /// A segment that lost more rows than this stops a run before anything is sent.
    pub max_shrink: Threshold,
    /// More refused rows than this stop a run.
    pub max_refused: Threshold,
    /// Whether segments without any row are believed.
    pub allow_empty: bool,
    /// Whether the export may go to another account than before, as after a change of the key.
    pub allow_other_account: bool,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            max_removals: Threshold::Percent(10.0),
            max_growth: Threshold::Percent(100.0),
            max_shrink: Threshold::Percent(50.0),
            max_refused: Threshold::Percent(5.0),
            allow_empty: false,
            allow_other_account: false,
        }
    }
}

/// A number of rows, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// A share in percent, 0 to 100.
    Percent(f64),
    /// A number of rows.
    Rows(u64),
}

impl Threshold {
    /// Whether `part` rows of `whole` are more than this allows.
    pub fn is_exceeded(self, part: u64, whole: u64) -> bool {
        match self {
            Self::Rows(most) => part > most,
            #[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^52")]
            Self::Percent(most) => part as f64 * 100.0 > most * whole as f64,
        }
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Percent(most) => write!(f, "{most}%"),
            Self::Rows(most) => write!(f, "{most} rows"),
        }
    }
}

/// A threshold that is neither a share nor a number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a threshold is a share such as \"10%\" (0 to 100) or a number of rows such as 500")]
pub struct BadThreshold;

impl FromStr for Threshold {
    type Err = BadThreshold;

    fn from_str(text: &str) -> Result<Self, BadThreshold> {
        let Some(share) = text.strip_suffix('%') else {
            return text.trim().parse().map(Self::Rows).map_err(|_| BadThreshold);
        };
        let share: f64 = share.trim().parse().map_err(|_| BadThreshold)?;
        if (0.0..=100.0).contains(&share) { Ok(Self::Percent(share)) } else { Err(BadThreshold) }
    }
}
