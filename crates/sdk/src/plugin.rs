//! A plugin before it is opened: who it is, and how to describe and open it.

use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use segport_core::http::HttpClient;
use segport_core::{Connector, Context, Descriptor, PluginKind, Result, SegmentSource};
use serde_json::Value;

use crate::serve::{Served, ServedConnector, ServedSource, read_args};

/// A connector or segment source with its id and version; the same for a loaded library and for a type that is called in
/// its own process.
#[derive(Debug, Clone, Copy)]
pub struct Plugin {
    id: &'static str,
    version: &'static str,
    describe: fn() -> Descriptor,
    open: Open,
}

type Open = fn(Value, Arc<dyn HttpClient>) -> Result<Arc<dyn Served>>;

impl Plugin {
    /// The plugin that `C` makes. Does not compile in a constant when `id` is not lower-case letters, digits and
    /// underscores with a letter first.
    pub const fn connector<C: Connector>(id: &'static str, version: &'static str) -> Self {
        require_id(id);
        Self { id, version, describe: describe_connector::<C>, open: open_connector::<C> }
    }

    /// The plugin that `S` makes; as [`Plugin::connector`].
    pub const fn source<S: SegmentSource>(id: &'static str, version: &'static str) -> Self {
        require_id(id);
        Self { id, version, describe: describe_source::<S>, open: open_source::<S> }
    }

    /// The id that manifests use.
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// The author's description with id, version, kind and JSON schemas filled in.
    pub fn describe(&self) -> Descriptor {
        Descriptor { id: self.id.to_owned(), version: self.version.to_owned(), ..(self.describe)() }
    }

    /// Opens an instance that sends its requests through `http`.
    ///
    /// # Errors
    /// `config_invalid` for settings that are not what the plugin expects, and what its `open` returns.
    pub fn open(&self, settings: Value, http: Arc<dyn HttpClient>) -> Result<Arc<dyn Served>> {
        (self.open)(settings, http)
    }
}

const fn require_id(id: &str) {
    let bytes = id.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // `get` is not const; `at` is below the length.
        let byte = bytes[at];
        let fits = byte.is_ascii_lowercase() || (at > 0 && (byte.is_ascii_digit() || byte == b'_'));
        assert!(fits, "a plugin's id is lower-case letters, digits and underscores, a letter first");
        at += 1;
    }
    assert!(!bytes.is_empty(), "a plugin's id is not empty");
}

fn describe_connector<C: Connector>() -> Descriptor {
    Descriptor {
        kind: PluginKind::Connector,
        settings_schema: schema::<C::Settings>(),
        read_schema: Value::Null,
        ..C::descriptor()
    }
}

fn describe_source<S: SegmentSource>() -> Descriptor {
    Descriptor {
        kind: PluginKind::Source,
        settings_schema: schema::<S::Settings>(),
        read_schema: schema::<S::Read>(),
        ..S::descriptor()
    }
}

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
}

fn open_connector<C: Connector>(settings: Value, http: Arc<dyn HttpClient>) -> Result<Arc<dyn Served>> {
    let connector = C::open(read_args(settings, "settings")?, &Context::new("", Arc::clone(&http)))?;
    Ok(Arc::new(ServedConnector::new(connector, http)))
}

fn open_source<S: SegmentSource>(settings: Value, http: Arc<dyn HttpClient>) -> Result<Arc<dyn Served>> {
    let source = S::open(read_args(settings, "settings")?, &Context::new("", Arc::clone(&http)))?;
    Ok(Arc::new(ServedSource::new(source, http)))
}
