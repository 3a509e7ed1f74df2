//! What a file of a project can be.

use segport_core::{Descriptor, PluginKind};

/// The five kinds of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    Settings,
    Source,
    Segment,
    Connection,
    Export,
}

impl FileKind {
    pub(crate) const ALL: [Self; 5] = [Self::Settings, Self::Source, Self::Segment, Self::Connection, Self::Export];

    /// The folder that such files are in.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Settings => ".",
            Self::Source => "sources",
            Self::Segment => "segments",
            Self::Connection => "connections",
            Self::Export => "exports",
        }
    }

    /// Whether values may be secrets as long as nobody knows what they are, as in a text that is not TOML.
    pub(crate) fn may_hold_secrets(self) -> bool {
        self != Self::Export
    }

    /// Whether such files name plugins of this one's kind.
    pub(crate) fn takes(self, plugin: &Descriptor) -> bool {
        match self {
            Self::Source | Self::Segment => plugin.kind == PluginKind::Source,
            Self::Connection | Self::Export => plugin.kind == PluginKind::Connector,
            Self::Settings => false,
        }
    }
}
