//! Operation numbers and the JSON header of each call across the plugin boundary.
//!
//! Append only: a number is never reused and a field never changes its meaning.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BatchKind, Limits, UnreadableRow};

/// [`crate::Connector::check`]: [`Call`] of `null` to [`crate::Account`].
pub const CHECK: u32 = 1;
/// [`crate::Connector::begin`]: [`Call`] of [`crate::ExportSpec`] to [`crate::Session`].
pub const BEGIN: u32 = 2;
/// [`crate::Connector::write`]: [`Call`] of [`WriteHead`] and rows to [`crate::Outcomes`], whose ids may be the payload.
pub const WRITE: u32 = 3;
/// [`crate::Connector::finish`]: [`Call`] of [`crate::Session`] to `null`.
pub const FINISH: u32 = 4;
/// [`crate::Connector::estimate`]: [`Call`] of [`crate::Workload`] to [`crate::Estimate`].
pub const ESTIMATE: u32 = 5;
/// [`crate::Connector::accepts`]: [`Call`] of [`crate::ExportSpec`] to `null`.
pub const ACCEPTS: u32 = 6;
/// [`crate::Connector::targets`]: [`Call`] of [`crate::ExportSpec`] to an array of texts.
pub const TARGETS: u32 = 7;
/// [`crate::Connector::settle`]: [`Call`] of [`WriteHead`] and rows to [`crate::FoundRows`].
pub const SETTLE: u32 = 8;
/// [`crate::SegmentSource::schema`]: [`Call`] of [`ReadHead`] to `null` and an empty IPC stream that carries the schema.
pub const SCHEMA: u32 = 32;
/// [`crate::SegmentSource::read`]: [`Call`] of [`ReadHead`] to [`PageHead`] and rows.
pub const READ: u32 = 33;

/// The header of every call: which run it belongs to, and the operation's own arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call<T> {
    /// Id of the run; empty outside a run.
    #[serde(default)]
    pub run: String,
    /// The operation's own arguments.
    pub args: T,
}

/// The header of [`WRITE`] and [`SETTLE`]; the rows follow as payload. `S` is a [`crate::Session`], or its JSON: a run writes and reads it
/// once for all its calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteHead<S> {
    /// What `begin` returned.
    pub session: S,
    /// What to do with the rows.
    pub kind: BatchKind,
}

/// The arguments of [`SCHEMA`] and [`READ`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReadHead {
    /// The segment's `read` table.
    pub read: Value,
    /// Where to start; `None` at the beginning, and always for [`SCHEMA`].
    #[serde(default)]
    pub cursor: Option<String>,
    /// [`crate::Context::columns`]; `None` for [`SCHEMA`], and from hosts that were made before this existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
}

/// The header of the answer to [`READ`]; the rows follow as payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageHead {
    /// Rows that could not be read.
    #[serde(default)]
    pub unreadable: Vec<UnreadableRow>,
    /// Where the next page starts.
    #[serde(default)]
    pub next: Option<String>,
}

/// What `open` is given.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenHead {
    /// The settings, secrets resolved. Never printed.
    pub settings: Value,
    /// The host's handle for this instance's HTTP requests.
    pub http_scope: u64,
}

impl std::fmt::Debug for OpenHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenHead").field("http_scope", &self.http_scope).finish_non_exhaustive()
    }
}

/// What a successful `open` answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Opened {
    /// Limits in force; `None` for a source.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// [`crate::Connector::address`]; `None` for a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// One log event of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogEvent {
    /// The module that logged.
    #[serde(default)]
    pub target: String,
    /// The sentence.
    #[serde(default)]
    pub message: String,
    /// Id of the run that the event belongs to; empty outside a run.
    #[serde(default)]
    pub run: String,
    /// The event's other fields as text.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
}
