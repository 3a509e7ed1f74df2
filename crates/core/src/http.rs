//! HTTP as a plugin sees it: a request and an answer as plain data; the host does the rest.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Result;

/// The keyword that marks a setting as an address which the connector calls (`x-segport-destination: true`), so that it can be
/// judged before a run.
pub const DESTINATION_MARK: &str = "x-segport-destination";

/// A request that the host sends: it adds TLS, pooling, the rate limit, retries and the deadline.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Everything but the body.
    pub head: RequestHead,
    /// The body; empty for none.
    pub body: Bytes,
}

/// Method, address and headers of a request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHead {
    /// Upper-case method, such as `POST`.
    pub method: String,
    /// Absolute address.
    pub url: String,
    /// A short fixed name of the operation for logs and errors, such as `POST /contacts`: an address may hold a profile's data.
    pub operation: String,
    /// Header names and values. Values are never logged.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Whether the host may send it again when it cannot know what became of it.
    pub repeatable: bool,
    /// Deadline for one attempt in milliseconds; `None` = the connection's.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// Headers and address are left out, because both may hold what must not be printed.
impl std::fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestHead").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl Request {
    /// A request without body or headers that may be repeated.
    pub fn new(method: &str, url: impl Into<String>, operation: &str) -> Self {
        Self {
            head: RequestHead {
                method: method.to_owned(),
                url: url.into(),
                operation: operation.to_owned(),
                headers: Vec::new(),
                repeatable: true,
                timeout_ms: None,
            },
            body: Bytes::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.head.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    /// Forbids sending it again when its effect is unknown.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.head.repeatable = false;
        self
    }

    /// Sets the deadline for one attempt.
    #[must_use]
    pub fn timeout(mut self, wait: Duration) -> Self {
        self.head.timeout_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

/// An answer of any status. Statuses are for the connector to read; only the lack of an answer is an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Status and headers.
    pub head: ResponseHead,
    /// The whole body, decompressed, at most 16 MiB.
    pub body: Bytes,
}

/// Status and headers of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
    /// Names in lower case, and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

/// Without the body, which holds profiles.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("head", &self.head).field("body", &self.body.len()).finish()
    }
}

/// Status and length: what a destination says may repeat what it was sent.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.head.status)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Response {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Something that sends requests: the host's transport, or a script in a test.
#[async_trait]
pub trait HttpClient: Send + Sync + std::fmt::Debug {
    /// Sends `request` and returns the answer, whatever its status.
    ///
    /// # Errors
    /// Only when no usable answer came: `unavailable` (could not be sent, or the connection broke), `timeout`, `cancelled`,
    /// `config_invalid` (egress policy), or what the transport gave up on after its retries. The fact `sent = "no"` is set
    /// when it is certain that the destination did nothing: nothing of the request reached it, or it turned each attempt away
    /// with 429. So is `recalled = "yes"`, beside it, when somebody in a call under way was suppressed: the host begins calls
    /// anew, so that further requests of this one are pointless.
    ///
    /// Once the destination has answered one request of a connection 401 or 403, those that wait end unsent as `unauthenticated` or
    /// `permission_denied`.
    async fn send(&self, request: Request) -> Result<Response>;
}
