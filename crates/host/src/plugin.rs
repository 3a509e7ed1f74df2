//! A plugin as the rest of Segport sees it, wherever its code runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::HttpClient;
use segport_core::op::Opened;
use segport_core::{Descriptor, Result};
use serde_json::Value;

/// A plugin that is ready to be opened.
pub trait Plugin: Send + Sync + fmt::Debug {
    /// What the plugin says of itself.
    fn descriptor(&self) -> &Descriptor;

    /// SHA-256 of the library in hexadecimal; empty where there is none.
    fn sha256(&self) -> &str;

    /// Opens an instance with these settings, secrets resolved, that sends its requests through `http`.
    ///
    /// # Errors
    /// `config_invalid` for settings that cannot work, and `internal` if the plugin panicked.
    fn open(&self, settings: Value, http: Arc<dyn HttpClient>) -> Result<Box<dyn Instance>>;
}

/// An open connection or source, called with bytes.
#[async_trait]
pub trait Instance: Send + Sync + fmt::Debug {
    /// What the plugin answered when it was opened.
    fn opened(&self) -> &Opened;

    /// Calls operation `op` of [`segport_core::op`]; `request` and the answer are frames. Dropping the future cancels the
    /// call.
    ///
    /// # Errors
    /// `timeout` after `timeout`, and what the plugin answers.
    async fn call(&self, op: u32, timeout: Duration, request: Bytes) -> Result<Bytes>;
}
