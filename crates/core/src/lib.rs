//! Traits, messages, errors and the data model that every part of Segport shares.
//!
//! This crate does no I/O and knows no connector by name. Three groups of items live here:
//!
//! * what a plugin author implements: [`Connector`], [`SegmentSource`] and the values they take and give;
//! * what crosses the plugin boundary: [`op`], [`Frame`] and the IPC encoding of rows in [`rows`];
//! * what everybody speaks: [`Error`], [`Secret`], [`Descriptor`], [`http`].

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod batch;
mod connector;
mod context;
mod descriptor;
mod error;
mod frame;
mod harmless;
pub mod http;
pub mod op;
mod outcome;
pub mod rows;
mod secret;
mod source;
mod terms;

pub use batch::{Batch, BatchKind, Members, OccupiedList, Session};
pub use connector::{Account, Connector, ExportSegment, ExportSpec, MappedField};
pub use context::Context;
pub use descriptor::{
    Capabilities, CustomFields, Descriptor, Estimate, Field, FieldType, Limits, PROJECT_DIR, PluginKind, Workload,
};
pub use error::{Error, ErrorKind, Result, Retry, without_temporary_path};
pub use frame::Frame;
pub use harmless::{harmless, harmless_lines};
pub use outcome::{Found, FoundRows, Outcomes, RowOutcome};
pub use secret::Secret;
pub use source::{Page, SegmentSource, UnreadableRow};
pub use terms::grouped;
