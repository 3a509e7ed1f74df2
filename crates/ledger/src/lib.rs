//! What each destination has acknowledged: the only state a run needs.
//!
//! A [`Store`] is one database. An export is written by one owner at a time, who holds its [`Lease`]; [`Lease::begin`] opens a
//! run and gives its [`RunLedger`]: a [`Snapshot`] with the in-memory [`Index`] that rows are compared with, and the
//! [`Journal`] that makes intents and outcomes durable. `segport plan` uses a [`Snapshot`] alone and writes nothing.
//!
//! What a destination did is never guessed: a row is *held* once its outcome was committed with a full sync, and a row that was
//! about to be sent and has no outcome is *uncertain* until a later run has sent it again.
//!
//! On disk there are no profiles, only keyed hashes ([`Hasher`]) in checksummed pages.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod access;
mod asked;
mod bucket;
mod codec;
mod database;
mod destination_id;
mod error;
mod faults;
mod files;
mod fold;
mod hash;
mod history;
mod index;
mod journal;
mod key;
mod lease;
mod leavers;
mod load;
mod memberships;
#[cfg(feature = "simulation")]
mod memory;
mod page;
mod record;
mod run;
mod shared_ids;
mod snapshot;
mod sqlite;
mod standing;
mod store;
mod suppression;
mod table;
mod walk;

pub use error::{Error, Result};
pub use faults::{Faults, NoFaults};
pub use fold::Folding;
pub use hash::{Fingerprint, Hasher, Identity, KeyHash};
pub use history::{RowReader, RowRecord, RunEnd, RunRecord, RunStatus};
pub use index::{Held, Index, Observation, ReadIn, ReadRows, Rekeyed};
pub use journal::{Journal, Reached};
pub use key::StateKey;
pub use lease::Lease;
pub use leavers::{Leaver, Leavers, Present, PresentKeys};
pub use memberships::{Memberships, SegmentNumber};
#[cfg(feature = "simulation")]
pub use memory::Memory;
pub use record::{Change, Done, Intent, OutcomeKind, Record, Row, Undelivered, Untried, Whose};
pub use run::{NewRun, RunLedger};
pub use shared_ids::SharedIds;
pub use snapshot::{Snapshot, WantedRows};
pub use store::{Store, sqlite_path};
pub use suppression::Suppressions;
