//! What a stand-in destination offers to the server.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::fault::{Rules, ScriptedAnswer};

/// A destination the server can stand in for.
///
/// Everything here is synchronous and quick: a destination lives in memory.
pub(crate) trait Destination: Send + Sync + 'static {
    /// The path all endpoints are below, such as `/v1`; fault patterns may leave it out.
    fn base_path(&self) -> &'static str;

    /// The endpoint's name for the counts, such as `GET /contact/{contact}`.
    fn endpoint(&self, method: &Method, path: &str) -> &'static str;

    /// The caller's key, or the answer to a request without a good one.
    fn authenticate<'a>(&self, headers: &'a HeaderMap, query: Option<&'a str>) -> Result<Cow<'a, str>, Reply>;

    /// The answer to a request above the rate.
    fn throttled(&self, rate: u32) -> Reply;

    /// An answer with this status in the destination's usual shape, for faults.
    fn failure(&self, status: u16) -> Reply;

    /// Does what the request asks and answers it.
    fn answer(&self, request: &Request<'_>, rules: &Rules) -> Reply;

    /// Everything stored, in a form that is easy to compare.
    fn state(&self) -> Map<String, Value>;

    /// The destination's own numbers.
    fn counts(&self) -> Map<String, Value>;

    /// Makes everything as it was at the start.
    fn reset(&self);
}

/// One request, read in full.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The method.
    pub(crate) method: &'a Method,
    /// The path as sent, percent-encoding and all.
    pub(crate) path: &'a str,
    /// The body; empty if there is none.
    pub(crate) body: &'a [u8],
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Bytes,
    /// The `Content-Type`.
    pub(crate) content_type: &'static str,
    /// Seconds for `Retry-After`.
    pub(crate) retry_after: Option<u32>,
    /// Milliseconds since 1970 for `Last-Modified`.
    pub(crate) last_modified: Option<i64>,
}

impl Reply {
    /// A JSON answer.
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), content_type: "application/json", retry_after: None, last_modified: None }
    }

    /// A JSON answer from a value.
    pub(crate) fn value(status: u16, value: &Value) -> Self {
        Self::json(status, value.to_string())
    }

    /// This answer with the body and the headers a fault asks for, where it does.
    pub(crate) fn scripted(mut self, answer: &ScriptedAnswer) -> Self {
        if let Some(body) = &answer.body {
            self.content_type = match body.trim_start().chars().next() {
                Some('{' | '[') => "application/json",
                Some('<') => "text/html",
                _ => "text/plain",
            };
            self.body = Bytes::from(body.clone());
        }
        self.retry_after = answer.retry_after;
        self
    }
}
