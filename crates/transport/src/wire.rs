//! What stands in for the network in simulations.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::Response;

/// Stands in for the network between an attempt and its answer, for simulations.
#[async_trait]
pub trait Wire: Debug + Send + Sync {
    /// Carries one attempt to the destination and its answer back. It is dropped when the attempt's deadline passes.
    ///
    /// # Errors
    /// [`Loss`], if there is no answer.
    async fn carry(&self, operation: &str, body: &Bytes) -> Result<Response, Loss>;
}

/// Why a [`Wire`] brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// There was no connection; nothing was sent.
    Unconnected,
    /// The connection broke; the request may have arrived.
    Broken,
}
