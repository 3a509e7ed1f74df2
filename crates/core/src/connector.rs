//! The trait that a destination's connector implements.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{
    Batch, Context, Descriptor, Error, ErrorKind, Estimate, FieldType, FoundRows, Limits, Outcomes, Result, Session,
    Workload,
};

/// Writes segments to one kind of destination.
///
/// An instance is one connection. It may be called from several tasks at once; dropping a future of it at any await point
/// must leave it usable. Row results are [`Outcomes`], not errors: an `Err` from [`Connector::write`] says that the batch as a
/// whole has no outcomes.
#[async_trait]
pub trait Connector: Send + Sync + Sized + 'static {
    /// What stands under `[settings]` of a connection.
    type Settings: DeserializeOwned + JsonSchema + Send;

    /// Fields, limits and capabilities.
    fn descriptor() -> Descriptor;

    /// Makes an instance; does not call the destination.
    ///
    /// # Errors
    /// `config_invalid` for settings that cannot work.
    fn open(settings: Self::Settings, cx: &Context) -> Result<Self>;

    /// The limits in force under this instance's settings.
    fn limits(&self) -> Limits {
        Self::descriptor().limits
    }

    /// Where the account is that rows go to, as far as the settings tell, such as the address of an API. What was
    /// acknowledged at one address says nothing of another; with `None` each list is an address of its own, and a row that is
    /// read in another segment than before is sent again.
    fn address(&self) -> Option<String> {
        None
    }

    /// Tests the connection the way an export would use it.
    async fn check(&self, cx: &Context) -> Result<Account>;

    /// What `workload` would cost; called without network.
    fn estimate(&self, workload: &Workload) -> Estimate {
        let [at_least, at_most] = [workload.batches, workload.batches_at_most.max(workload.batches)]
            .map(|batches| batches + workload.leavers);
        Estimate { at_least, at_most, notes: Vec::new() }
    }

    /// Prepares a run, such as finding or creating the list of each segment. The runs of one connection on one machine do this
    /// one after the other, so that two of them never create the same list.
    async fn begin(&self, cx: &Context, export: &ExportSpec) -> Result<Session>;

    /// Delivers one batch and says what became of each row.
    async fn write(&self, cx: &Context, batch: &Batch) -> Result<Outcomes>;

    /// Looks up what the destination holds of rows that an earlier run may have written; changes nothing. Called before
    /// [`Connector::write`] with the same batch, if the capability `settle` is declared.
    ///
    /// # Errors
    /// `unsupported` unless the connector has it; otherwise that nothing could be found out about any of the rows.
    async fn settle(&self, _cx: &Context, _batch: &Batch) -> Result<FoundRows> {
        Err(Error::new(ErrorKind::Unsupported, "this connector cannot look rows up"))
    }

    /// Ends a run.
    async fn finish(&self, cx: &Context, session: &Session) -> Result<()>;

    /// What decides where the rows of each segment end up, such as the address and the list; one text a segment, in their
    /// order: unless it is overridden, [`Connector::address`] and the segment's name. Called without network. When a segment's
    /// text changes, its rows count as not delivered there yet.
    fn targets(&self, export: &ExportSpec) -> Vec<String> {
        let address = self.address();
        let target = |display_name: &String| match &address {
            Some(address) => format!("{address} {display_name}"),
            None => display_name.clone(),
        };
        export.segments.iter().map(|segment| target(&segment.display_name)).collect()
    }

    /// Checks an export's mapping beyond what the descriptor can say; called by `segport check` without network.
    ///
    /// # Errors
    /// `config_invalid` for a mapping that cannot work.
    fn accepts(&self, export: &ExportSpec) -> Result<()> {
        if export.segments.len() > 1 && !Self::descriptor().capabilities.several_segments {
            return Err(Error::new(ErrorKind::ConfigInvalid, "this connector takes one segment per export"));
        }
        Ok(())
    }
}

/// Whose account a connection reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The destination's id of the account.
    pub id: String,
    /// A name people recognise, where the destination gives one.
    #[serde(default)]
    pub name: Option<String>,
    /// Further facts worth showing, such as the number of lists.
    #[serde(default)]
    pub facts: Vec<(String, String)>,
}

/// What a connector needs to know of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSpec {
    /// Id of the export.
    pub id: String,
    /// The export's segments, in the order of the manifest; a position in here is a segment's index everywhere else.
    pub segments: Vec<ExportSegment>,
    /// The mapped fields, in the order of a batch's columns.
    pub fields: Vec<MappedField>,
    /// The account that earlier runs reached at the same [address](Connector::address), as a session told it
    /// ([`Session::account`]); `None` if nobody knows. Told to [`Connector::begin`] alone, as `may_move` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether the user lets the export go to another account. Otherwise a connector that finds itself at one makes nothing there,
    /// and returns a session that names it: the host stops the run.
    #[serde(default)]
    pub may_move: bool,
}

/// One segment of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSegment {
    /// Id of the segment.
    pub id: String,
    /// Its `display_name`, or its id.
    pub display_name: String,
    /// Whether this is a first run: no row of the segment was sent there before, or all have left. Told to
    /// [`Connector::begin`]; `false` in every other call, and from hosts that were made before this existed.
    #[serde(default)]
    pub first_run: bool,
    /// The destination's id of the segment's list, as an earlier session told it ([`Session::lists`]). Told to
    /// [`Connector::begin`] alone, as `first_run` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

/// One mapped field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedField {
    /// Name of the standard field, or the display name of the custom field.
    pub name: String,
    /// Type of its values.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Whether it is a custom field.
    pub custom: bool,
    /// Whether a null is sent, to clear the field, instead of being left out.
    pub clear_null: bool,
}
