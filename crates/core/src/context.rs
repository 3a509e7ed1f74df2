//! What a call is given besides its arguments.

use std::sync::Arc;

use crate::http::HttpClient;

/// The surroundings of one call: its run, and the host's services.
#[derive(Debug, Clone)]
pub struct Context {
    run: Arc<str>,
    http: Arc<dyn HttpClient>,
    columns: Option<Arc<[String]>>,
}

impl Context {
    /// A context for calls of `run` (empty outside a run) that sends through `http`.
    pub fn new(run: &str, http: Arc<dyn HttpClient>) -> Self {
        Self { run: run.into(), http, columns: None }
    }

    /// The same, for a call that reads rows of which no more than these columns are used.
    #[must_use]
    pub fn with_columns(self, columns: Option<Vec<String>>) -> Self {
        Self { columns: columns.map(Arc::from), ..self }
    }

    /// The id of the run that this call belongs to; empty outside a run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// In [`crate::SegmentSource::read`]: the columns of which use is made. A page may leave out others, which may be large, or hold
    /// what nobody can read. `None` if all may be used.
    pub fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// The host's HTTP client: TLS, pool, rate limit, retries, egress policy and redaction are its business.
    pub fn http(&self) -> &dyn HttpClient {
        &*self.http
    }
}
