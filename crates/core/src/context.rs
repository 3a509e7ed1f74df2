//! What a call is given besides its arguments.

use std::sync::Arc;

use crate::http::HttpClient;

/// The surroundings of one call: its run, and the host's services.
#[derive(Debug, Clone)]
pub struct Context {
    run: Arc<str>,
    http: Arc<dyn HttpClient>,
}

impl Context {
    /// A context for calls of `run` (empty outside a run) that sends through `http`.
    pub fn new(run: &str, http: Arc<dyn HttpClient>) -> Self {
        Self { run: run.into(), http }
    }

    /// The id of the run that this call belongs to; empty outside a run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The host's HTTP client: TLS, pool, rate limit, retries, egress policy and redaction are its business.
    pub fn http(&self) -> &dyn HttpClient {
        &*self.http
    }
}
