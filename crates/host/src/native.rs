//! A plugin whose code is part of this process, for tests: the same bytes, without a library.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::HttpClient;
use segport_core::op::Opened;
use segport_core::{Descriptor, Error, ErrorKind, Result};
use segport_sdk::Served;
use serde_json::Value;

use crate::plugin::{Instance, Plugin};

/// A plugin made of a Rust type; give it `segport_sdk::Plugin::connector::<Type>("id", "version")`.
#[derive(Debug)]
pub struct Native {
    plugin: segport_sdk::Plugin,
    descriptor: Descriptor,
}

impl Native {
    /// Wraps `plugin`.
    pub fn new(plugin: segport_sdk::Plugin) -> Self {
        Self { descriptor: plugin.describe(), plugin }
    }
}

impl Plugin for Native {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn sha256(&self) -> &str {
        ""
    }

    fn open(&self, settings: Value, http: Arc<dyn HttpClient>) -> Result<Box<dyn Instance>> {
        let served = self.plugin.open(settings, http)?;
        Ok(Box::new(NativeInstance { id: self.plugin.id(), opened: served.opened(), served }))
    }
}

#[derive(Debug)]
struct NativeInstance {
    id: &'static str,
    opened: Opened,
    served: Arc<dyn Served>,
}

#[async_trait]
impl Instance for NativeInstance {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    async fn call(&self, op: u32, timeout: Duration, request: Bytes) -> Result<Bytes> {
        tokio::time::timeout(timeout, self.served.call(op, request)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, format!("plugin `{}` did not finish in time", self.id))
                .with("timeout_ms", timeout.as_millis().to_string()))
        })
    }
}
