//! What a run writes down.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::{Fingerprint, Identity, KeyHash, Memberships};

/// That something is about to be sent. Durable before the call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// The row is about to be written, and made a member of these segments.
    Deliver {
        /// Whose row.
        identity: Identity,
        /// The memberships the call adds.
        memberships: Memberships,
    },
    /// The row is about to be taken off the lists of these segments.
    Remove {
        /// Whose row.
        identity: Identity,
        /// The memberships the call takes away.
        memberships: Memberships,
    },
}

/// Whether a delivered row was new to the destination's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was not held before.
    Added,
    /// It was held before, with another payload, fewer memberships, or in doubt.
    Changed,
}

/// A row that the destination acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Whose row.
    pub identity: Identity,
    /// Hash of its key in the source.
    pub key: KeyHash,
    /// Of the payload that was acknowledged.
    pub fingerprint: Fingerprint,
    /// The memberships acknowledged by this call; they join those acknowledged before. At least one over the row's life.
    pub memberships: Memberships,
    /// The destination's own id of the row. `None` keeps the one it gave before.
    pub destination_id: Option<String>,
    /// Added or changed.
    pub change: Change,
}

/// Why a row was not delivered, or a leaver not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Undelivered {
    /// The row cannot be delivered as it is.
    Invalid,
    /// Its identity was seen before in this run.
    Duplicate,
    /// It is on the suppression list.
    Suppressed,
    /// It was not tried.
    Deferred,
    /// The destination rejected it.
    Refused,
    /// It was sent, and nobody knows what became of it.
    Unknown,
}

impl Undelivered {
    /// Whether a row of which this was written down is not under way any more. What is invalid or a duplicate speaks of a row
    /// of the source, perhaps another than the one that was sent under its identity.
    pub(crate) fn settles_an_intent(self) -> bool {
        match self {
            Self::Suppressed | Self::Deferred | Self::Refused | Self::Unknown => true,
            Self::Invalid | Self::Duplicate => false,
        }
    }
}

/// Whose a row is, as far as that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// That of whoever has this identity.
    Identity(Identity),
    /// It has no readable identity, but this key in the source.
    Key(KeyHash),
    /// It has neither.
    Nobody,
}

impl Whose {
    /// The identity, if there is one.
    pub fn identity(self) -> Option<Identity> {
        match self {
            Self::Identity(identity) => Some(identity),
            Self::Key(_) | Self::Nobody => None,
        }
    }
}

impl From<Identity> for Whose {
    fn from(identity: Identity) -> Self {
        Self::Identity(identity)
    }
}

/// A row without acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What became of it.
    pub outcome: Undelivered,
    /// Whose row.
    pub whose: Whose,
    /// The segments it is in, as far as is known.
    pub memberships: Memberships,
    /// Short stable code.
    pub code: Cow<'static, str>,
    /// A sentence without the profile's data.
    pub reason: Arc<str>,
}

/// One outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A row was acknowledged.
    Done(Done),
    /// A row was not delivered. *Refused*, *deferred* and *suppressed* settle an intent of the same run, *unknown* leaves the row
    /// uncertain, and the other outcomes say nothing about what the destination holds.
    Row(Row),
    /// A leaver was taken off the lists of these segments. A row that is left without memberships is forgotten.
    Left {
        /// Whose row.
        identity: Identity,
        /// The memberships that ended.
        memberships: Memberships,
    },
    /// A leaver was not removed and stays a leaver.
    Stayed(Row),
}

/// A row or leaver that a run does not set out to send, or gives up before it wrote an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untried {
    /// A row that is not delivered.
    Row(Row),
    /// A leaver that is not removed, and stays a leaver.
    Leaver(Row),
}

/// The outcomes that have a line of their own in `segport rows`; *unchanged* has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Acknowledged, and new.
    Added,
    /// Acknowledged, and held before.
    Changed,
    /// A leaver taken off a list.
    Removed,
    /// See [`Undelivered::Invalid`].
    Invalid,
    /// See [`Undelivered::Duplicate`].
    Duplicate,
    /// See [`Undelivered::Suppressed`].
    Suppressed,
    /// See [`Undelivered::Deferred`].
    Deferred,
    /// See [`Undelivered::Refused`].
    Refused,
    /// See [`Undelivered::Unknown`].
    Unknown,
}

impl OutcomeKind {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Added,
        Self::Changed,
        Self::Removed,
        Self::Invalid,
        Self::Duplicate,
        Self::Suppressed,
        Self::Deferred,
        Self::Refused,
        Self::Unknown,
    ];

    /// The outcome as it stands in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Invalid => "invalid",
            Self::Duplicate => "duplicate",
            Self::Suppressed => "suppressed",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Undelivered> for OutcomeKind {
    fn from(outcome: Undelivered) -> Self {
        match outcome {
            Undelivered::Invalid => Self::Invalid,
            Undelivered::Duplicate => Self::Duplicate,
            Undelivered::Suppressed => Self::Suppressed,
            Undelivered::Deferred => Self::Deferred,
            Undelivered::Refused => Self::Refused,
            Undelivered::Unknown => Self::Unknown,
        }
    }
}

impl From<Change> for OutcomeKind {
    fn from(change: Change) -> Self {
        match change {
            Change::Added => Self::Added,
            Change::Changed => Self::Changed,
        }
    }
}
