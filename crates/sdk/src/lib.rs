//! What the author of a Segport plugin depends on.
//!
//! Implement [`Connector`] or [`SegmentSource`], add one line, and build the crate as `cdylib`:
//!
//! ```
//! use segport_sdk::{async_trait, Account, Batch, Connector, Context, Descriptor, ExportSpec, Outcomes, Result, RowOutcome, Session};
//!
//! /// What stands under `[settings]`.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Settings {
//!     /// Where to write to.
//!     base_url: String,
//! }
//!
//! struct Mailgrid(Settings);
//!
//! #[async_trait]
//! impl Connector for Mailgrid {
//!     type Settings = Settings;
//!
//!     fn descriptor() -> Descriptor {
//!         Descriptor::new("Mailgrid", "Writes segments to Mailgrid lists.")
//!     }
//!     fn open(settings: Settings, _: &Context) -> Result<Self> {
//!         Ok(Self(settings))
//!     }
//!     async fn check(&self, _: &Context) -> Result<Account> {
//!         Ok(Account { id: self.0.base_url.clone(), name: None, facts: Vec::new() })
//!     }
//!     async fn begin(&self, _: &Context, _: &ExportSpec) -> Result<Session> {
//!         Ok(Session::default())
//!     }
//!     async fn write(&self, _: &Context, batch: &Batch) -> Result<Outcomes> {
//!         Ok(Outcomes::all(RowOutcome::Done(None), batch.rows.num_rows()))
//!     }
//!     async fn finish(&self, _: &Context, _: &Session) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! segport_sdk::export_connector!(Mailgrid, "mailgrid");
//! ```
//!
//! The library runs each call as a task on a small tokio runtime of its own: timeouts, cancelling and panics are dealt with
//! here. Network access over HTTP is the host's ([`Context::http`]); `tracing` events go to the host's log with the plugin's
//! id and the run. [`mod@test`] calls a plugin through the same bytes without building a library.

#![deny(missing_docs)]

#[doc(hidden)]
pub mod export;
mod instance;
mod log;
mod panics;
mod plugin;
mod requests;
mod serve;
pub mod test;
mod threads;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use panics::contained;
pub use plugin::Plugin;
pub use segport_core::{
    Account, Batch, BatchKind, Capabilities, Connector, Context, CustomFields, Descriptor, Error, ErrorKind, Estimate,
    ExportSegment, ExportSpec, Field, FieldType, Found, FoundRows, Frame, Limits, MappedField, Members, OccupiedList,
    Outcomes, Page, PluginKind, Result, Retry, RowOutcome, Secret, SegmentSource, Session, UnreadableRow, Workload,
    http, op, rows,
};
pub use serve::Served;

/// Exports a [`Connector`] as the plugin of this library: `export_connector!(Type, "id")`.
///
/// The id is what manifests say after `plugin =`: lower-case letters, digits and underscores, a letter first. The version is
/// the one of the crate that contains the line. A library exports one plugin.
#[macro_export]
macro_rules! export_connector {
    ($type:ty, $id:literal) => {
        $crate::__export!(connector, $type, $id);
    };
}

/// Exports a [`SegmentSource`] as the plugin of this library: `export_segment_source!(Type, "id")`.
///
/// As [`export_connector!`].
#[macro_export]
macro_rules! export_segment_source {
    ($type:ty, $id:literal) => {
        $crate::__export!(source, $type, $id);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($kind:ident, $type:ty, $id:literal) => {
        const _: () = {
            static EXPORT: $crate::export::Export =
                $crate::export::Export::new($crate::Plugin::$kind::<$type>($id, ::core::env!("CARGO_PKG_VERSION")));

            struct ThisPlugin;

            impl $crate::export::Exported for ThisPlugin {
                fn export() -> &'static $crate::export::Export {
                    &EXPORT
                }
            }

            static TABLE: $crate::export::PluginTable = $crate::export::table::<ThisPlugin>();

            #[unsafe(export_name = ::core::concat!("segport_plugin_v1_", $id))]
            extern "C" fn entry() -> *const $crate::export::PluginTable {
                &raw const TABLE
            }
        };
    };
}
