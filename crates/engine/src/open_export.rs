//! An export with everything opened that its run needs.

use std::sync::{Arc, OnceLock};

use segport_core::{Error, ExportSpec, Limits};
use segport_host::ConnectorInstance;
use segport_manifest::Export;
use sha2::{Digest, Sha256};

use crate::line::Line;
use crate::map::Mapping;
use crate::read::SegmentReader;
use crate::report::PluginRef;

/// The error of a refused key, once a run has met it: no other run of the connection begins then.
pub(crate) type Refusal = Arc<OnceLock<Error>>;

/// An export with everything opened that its run needs.
#[derive(Debug)]
pub(crate) struct OpenExport {
    pub(crate) export: Export,
    pub(crate) config_hash: String,
    pub(crate) plugin: PluginRef,
    pub(crate) connector: ConnectorInstance,
    pub(crate) line: Arc<Line>,
    pub(crate) limits: Limits,
    pub(crate) segments: Vec<OpenSegment>,
    pub(crate) spec: ExportSpec,
    /// Where the rows go, of the connection; `None` if the connector cannot tell.
    pub(crate) address: Option<String>,
    /// The export's segments as the ledger names them.
    pub(crate) ledger_names: Vec<String>,
    pub(crate) has_consent: bool,
    pub(crate) refusal: Refusal,
}

impl OpenExport {
    /// Where the rows of the segment at this position go, as far as what was acknowledged of them holds for all that go there.
    pub(crate) fn address(&self, position: usize) -> Option<&str> {
        self.address.as_deref().or_else(|| self.ledger_names.get(position).map(String::as_str))
    }

    /// Names the place of the export's account, whichever account that is.
    pub(crate) fn place(&self) -> String {
        self.address.as_deref().unwrap_or(&self.export.connection).replace(ADDRESS_MARK, " at ")
    }

    /// The field that says who a row is at the destination.
    pub(crate) fn identity(&self) -> &str {
        let position = self.segments.first().map(|segment| segment.mapping.identity());
        position.and_then(|position| self.spec.fields.get(position)).map_or("", |field| &field.name)
    }
}

/// A segment of an export, ready to be read.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) reader: SegmentReader,
    pub(crate) mapping: Arc<Mapping>,
}

/// A segment as the ledger names it: with what decides where its rows go. So a list that is renamed, or an address that
/// changes, has no members yet, whatever was acknowledged elsewhere.
pub(crate) fn ledger_name(segment: &str, connection: &str, target: &str) -> String {
    let digest = hex::encode(Sha256::digest(format!("{connection}\0{target}")));
    format!("{segment}{TARGET_MARK}{}", digest.get(..16).unwrap_or_default())
}

/// An address of a connection: two connections may have different accounts there.
pub(crate) fn address_of(connection: &str, address: &str) -> String {
    format!("{connection}{ADDRESS_MARK}{address}")
}

/// Stands between a connection's id, which never has it, and an address.
const ADDRESS_MARK: char = '\0';

/// Stands between a segment's id, which never has it, and its target.
const TARGET_MARK: char = '#';

/// The id of the segment that the ledger names so.
pub fn segment_id(ledger_name: &str) -> &str {
    ledger_name.split_once(TARGET_MARK).map_or(ledger_name, |(id, _)| id)
}
