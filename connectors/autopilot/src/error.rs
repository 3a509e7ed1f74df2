//! An answer that is no success, as a [`segport_sdk::Error`] that is safe to print.
//!
//! | status | kind | what follows |
//! | --- | --- | --- |
//! | 401, and 400 for a missing key | `unauthenticated` | every run of the connection stops |
//! | 403 | `permission_denied` | every run of the connection stops |
//! | 408 | `timeout` | the rows are unknown: the vendor says the work may complete all the same |
//! | 429 | `rate_limited` | the host gave up after its own retries |
//! | 5xx | `unavailable` | the same; the rows are unknown |
//! | 3xx, 405 | `config_invalid` | `base_url` leads somewhere else |
//! | 404 of a read | `not_found` | |
//! | every other 4xx | `rejected` | a batch is halved until the refused row is alone |

use std::time::Duration;

use segport_sdk::{Error, ErrorKind, RowOutcome};
use serde::Deserialize;
use serde_json::Value;

use crate::wording::shown;

/// What an error answer says, in whichever of its shapes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The `message`.
    pub(crate) message: Option<String>,
    /// The `error` or `code`: a reason phrase.
    phrase: Option<String>,
    /// Beside a success: there was nothing to change.
    pub(crate) is_unmodified: bool,
}

impl Said {
    /// Whether it says nothing: a success, or that a contact is not on a list.
    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_none() && self.phrase.is_none()
    }

    /// Whether it says that there is no such contact.
    pub(crate) fn is_no_contact(&self) -> bool {
        self.mentions("contact could not be found")
    }

    /// Whether it says that there is no such list.
    pub(crate) fn is_no_list(&self) -> bool {
        self.mentions("list does not exist")
    }

    fn mentions(&self, words: &str) -> bool {
        self.message.as_ref().is_some_and(|message| message.to_ascii_lowercase().contains(words))
    }

    /// Reads an error body, or `None` where it is neither empty nor a JSON object.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Shape {
            #[serde(default)]
            message: Value,
            #[serde(default)]
            error: Value,
            #[serde(default)]
            code: Value,
            #[serde(default)]
            not_modified: Value,
        }
        if body.trim_ascii().is_empty() {
            return Some(Self::default());
        }
        // Serde would take an array for a struct too.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        let shape: Shape = serde_json::from_slice(body).ok()?;
        let nested = |name: &str| shape.error.get(name).and_then(text);
        Some(Self {
            message: text(&shape.message).or_else(|| nested("message")),
            phrase: text(&shape.error).or_else(|| text(&shape.code)).or_else(|| nested("code")),
            is_unmodified: shape.not_modified == Value::Bool(true),
        })
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The error for an answer of `status` to `operation`. `method` decides what a 404 means.
pub(crate) fn refused(operation: &str, method: &str, status: u16, body: &[u8]) -> Error {
    let said = Said::read(body);
    let said_text = match &said {
        None => format!("an answer of {} bytes that is not JSON", body.len()),
        Some(said) if said.is_silent() => "no reason given".to_owned(),
        Some(Said { message, phrase, .. }) => {
            let parts: Vec<&str> = [phrase, message].into_iter().flatten().map(String::as_str).collect();
            shown(&parts.join(": "))
        }
    };
    let no_key = status == 400
        && said
            .and_then(|said| said.message)
            .is_some_and(|message| message.to_ascii_lowercase().contains("no autopilotapikey header"));
    let (kind, advice) = match status {
        _ if no_key => (ErrorKind::Unauthenticated, "; check `api_key`"),
        401 => (ErrorKind::Unauthenticated, "; check `api_key`: making a new key ends the old one"),
        403 => (ErrorKind::PermissionDenied, "; the account may not do this"),
        408 => (ErrorKind::Timeout, ""),
        429 => (ErrorKind::RateLimited, "; lower `requests_per_second`"),
        500..=599 => (ErrorKind::Unavailable, ""),
        300..=399 | 405 => (ErrorKind::ConfigInvalid, "; check `base_url`"),
        404 if method == "GET" => (ErrorKind::NotFound, "; check `base_url`"),
        _ => (ErrorKind::Rejected, ""),
    };
    let error = Error::new(kind, format!("Autopilot answered {operation} with {status}: {said_text}{advice}"))
        .with("status", status.to_string());
    match kind {
        // No answer of Autopilot says how long to wait, and the host has already backed off.
        ErrorKind::Timeout | ErrorKind::RateLimited | ErrorKind::Unavailable => {
            error.retry_after(Duration::from_secs(1))
        }
        _ => error,
    }
}

/// The error for an answer of success whose body says nothing usable.
pub(crate) fn unusable(operation: &str, what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("Autopilot answered {operation} with {what}; check `base_url`"))
}

/// Whether an error makes it pointless to go on with the connection.
pub(crate) fn stops(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::PermissionDenied)
}

/// Whether Autopilot itself answered that it could not do what was asked. After a gateway's answer, or none, it may still be at it.
pub(crate) fn was_dropped(error: &Error) -> bool {
    matches!(error.fact("status"), Some("500" | "503"))
}

/// Whether an error of a call for one contact makes the same call for the others pointless: also where `base_url` leads
/// somewhere else, and where the host has recalled what it was asked.
pub(crate) fn ends_round(error: &Error) -> bool {
    stops(error) || error.kind() == ErrorKind::ConfigInvalid || error.is_recalled()
}

/// What an error of a call for one contact means for its row, which is tried again by the next run in every case.
pub(crate) fn row_outcome(error: &Error) -> RowOutcome {
    let reason = error.message().to_owned();
    match error.kind() {
        ErrorKind::Rejected | ErrorKind::NotFound => RowOutcome::Refused { code: "refused".to_owned(), reason },
        // A throttled call was turned away, one to another place did nothing, and after a refused key no call is made any more.
        ErrorKind::RateLimited
        | ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::ConfigInvalid => RowOutcome::Deferred { reason },
        _ if error.was_not_sent() => RowOutcome::Deferred { reason },
        _ => RowOutcome::Unknown { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_kind_and_its_text() {
        use ErrorKind::*;
        let check = |status: u16, method: &str, body: &str, kind: ErrorKind, part: &str| {
            let error = refused("POST /contacts", method, status, body.as_bytes());
            assert_eq!(error.kind(), kind, "{status} {body}");
            assert!(error.message().contains(part), "{status}: {}", error.message());
            assert_eq!(error.fact("status"), Some(status.to_string().as_str()));
        };
        let both = r#"{"error":"Bad Request","message":"No contact details provided."}"#;
        check(400, "POST", both, Rejected, "Bad Request: No contact details provided.");
        check(400, "POST", r#"{"error":"Bad Request"}"#, Rejected, "with 400: Bad Request");
        check(400, "POST", r#"{"message":"Not valid"}"#, Rejected, "with 400: Not valid");
        check(400, "POST", r#"{"code":"E7","message":"Not valid"}"#, Rejected, "with 400: [...] Not valid");
        check(
            400,
            "POST",
            r#"{"error":{"code":"conflict","message":"Not valid"}}"#,
            Rejected,
            "with 400: conflict: Not valid",
        );
        check(400, "POST", "<html>anna@example.com</html>", Rejected, "29 bytes that is not JSON");
        check(400, "POST", r#"["anna"]"#, Rejected, "not JSON");
        check(400, "POST", "", Rejected, "no reason given");
        check(400, "POST", "{}", Rejected, "no reason given");
        for text in
            ["No autopilotapikey header provided.", "No autopilotapikey header, or apikey query parameter provided."]
        {
            let body = format!(r#"{{"error":"Bad Request","message":"{text}"}}"#);
            check(400, "GET", &body, Unauthenticated, "`api_key`");
        }
        let wrong = r#"{"error":"Unauthorized","message":"Provided autopilotapikey not valid."}"#;
        check(401, "GET", wrong, Unauthenticated, "not valid");
        check(401, "GET", r#"{"message":"k3y is wrong"}"#, Unauthenticated, "[...] is wrong");
        check(403, "POST", "", PermissionDenied, "may not");
        for status in [402, 404, 406, 409, 413, 415, 422] {
            check(status, "POST", both, Rejected, "Bad Request");
        }
        check(404, "GET", "", NotFound, "`base_url`");
        check(405, "POST", "", ConfigInvalid, "`base_url`");
        check(302, "GET", "", ConfigInvalid, "`base_url`");
        check(408, "POST", "", Timeout, "408");
        check(429, "POST", r#"{"message":"Your request was throttled."}"#, RateLimited, "throttled");
        for status in [500, 502, 503, 504] {
            check(status, "POST", "oops", Unavailable, "not JSON");
        }
    }
}
