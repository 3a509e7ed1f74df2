//! The one error that crosses crates and the plugin boundary.

use std::time::Duration;
use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, independent of whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Settings or a manifest cannot work as written.
    ConfigInvalid,
    /// The destination does not know the credential.
    Unauthenticated,
    /// The credential is known but may not do this.
    PermissionDenied,
    /// The thing named does not exist.
    NotFound,
    /// The destination asks for fewer calls.
    RateLimited,
    /// The destination looked at the request and said no.
    Rejected,
    /// The destination cannot be reached or is broken for now.
    Unavailable,
    /// No answer came within the deadline.
    Timeout,
    /// The caller gave the call up.
    Cancelled,
    /// The plugin does not offer this operation.
    Unsupported,
    /// One side of the plugin boundary broke its rules.
    Contract,
    /// A defect in Segport or in a plugin.
    Internal,
}

impl ErrorKind {
    /// The kind as it stands in JSON and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigInvalid => "config_invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Unsupported => "unsupported",
            Self::Contract => "contract",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether and when the same call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same call would fail the same way.
    #[default]
    Never,
    /// The same call may succeed at once.
    Now,
    /// The same call may succeed after this many milliseconds.
    After(u64),
}

/// The facts that decide what becomes of rows, as they cross the boundary.
const SENT: &str = "sent";
const NO: &str = "no";
const RECALLED: &str = "recalled";

/// An error: kind, retry advice, one sentence for the user, where it happened, and the causes as text.
///
/// Everything is plain data, so an error crosses the plugin boundary unchanged. Messages say what was tried, with which
/// input and what to do; they never hold a secret or a profile's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    kind: ErrorKind,
    #[serde(default)]
    retry: Retry,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
}

impl Error {
    /// An error of `kind` with a one-sentence message, not worth retrying.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, retry: Retry::Never, message: message.into(), context: Vec::new(), causes: Vec::new() }
    }

    /// States that the same call may succeed at once.
    #[must_use]
    pub fn retry_now(mut self) -> Self {
        self.retry = Retry::Now;
        self
    }

    /// States that the same call may succeed after `wait`.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry = Retry::After(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Adds one named fact, such as `list = list_91`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.context.push((name.into(), value.into()));
        self
    }

    /// Adds the chain of causes of `source`, as text.
    #[must_use]
    pub fn because(mut self, source: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(source);
        while let Some(cause) = next {
            let text = cause.to_string();
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// States that nothing of what was asked reached the destination.
    #[must_use]
    pub fn not_sent(self) -> Self {
        self.with(SENT, NO)
    }

    /// States that nothing was sent, because the host took back what it was asked: a row of some call may not be sent any more.
    #[must_use]
    pub fn recalled(self) -> Self {
        self.not_sent().with(RECALLED, "yes")
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether and when the same call may be tried again.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// The sentence for the user.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The named facts, in the order they were added.
    pub fn context(&self) -> &[(String, String)] {
        &self.context
    }

    /// The value of the named fact.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.context.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether nothing of what was asked reached the destination, so that its rows are as they were.
    pub fn was_not_sent(&self) -> bool {
        self.fact(SENT) == Some(NO)
    }

    /// Whether the host took back what it was asked; it begins calls anew where that is safe.
    pub fn is_recalled(&self) -> bool {
        self.fact(RECALLED).is_some()
    }

    /// The causes, nearest first.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }
}

/// One line: the message, its facts, then each cause after a colon.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.context.is_empty() {
            let facts: Vec<String> = self.context.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            write!(f, " ({})", facts.join(", "))?;
        }
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// What the system said, without the path of a temporary file, of which nobody knows. The library that makes such files writes it
/// behind the reason and offers no other way to tell them apart.
pub fn without_temporary_path(error: &io::Error) -> String {
    let said = error.to_string();
    said.split_once(" at path \"").map_or(&*said, |(said, _)| said).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_boundary_and_reads_as_one_line() {
        let io = std::io::Error::other("connection reset");
        let error = Error::new(ErrorKind::Unavailable, "Mailgrid did not answer")
            .retry_after(Duration::from_millis(1500))
            .with("list", "list_91")
            .because(&io);
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<Error>(&json).unwrap(), error);
        assert_eq!(error.to_string(), "Mailgrid did not answer (list: list_91): connection reset");
        assert_eq!(error.retry(), Retry::After(1500));
    }

    #[test]
    fn what_decides_about_rows_crosses_the_boundary_as_facts() {
        let error = Error::new(ErrorKind::Cancelled, "no");
        assert!(!error.was_not_sent() && !error.is_recalled());
        let unsent = error.clone().not_sent();
        assert!(unsent.was_not_sent() && !unsent.is_recalled());
        assert_eq!(unsent.to_string(), "no (sent: no)");
        let recalled = error.recalled();
        assert!(recalled.was_not_sent() && recalled.is_recalled());
        assert_eq!(recalled.to_string(), "no (sent: no, recalled: yes)");
    }

    #[test]
    fn unknown_parts_default_to_the_cautious_choice() {
        let error: Error = serde_json::from_str(r#"{"kind":"rejected","message":"no"}"#).unwrap();
        assert_eq!(error.retry(), Retry::Never);
    }
}
