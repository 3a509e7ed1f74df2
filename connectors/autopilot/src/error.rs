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

use std::borrow::Cow;
use std::time::Duration;

use segport_sdk::{Error, ErrorKind, RowOutcome};
use serde::Deserialize;
use serde_json::Value;

use crate::echo::{Echo, on_one_line};

/// Longest text of the destination that is passed on, in characters.
const LONGEST_TEXT: usize = 200;
/// How much of it is read for that: comparing it with what was sent takes time.
const LONGEST_READ: usize = 1000;

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

/// What of a text may be profile data, so that it is taken out: put together when there is a text, since that takes long where
/// there are many values or long ones. Without it nothing of the text is shown.
pub(crate) type Sent<'a> = &'a (dyn Fn(&str) -> Option<Echo> + Sync);

/// Of a call that is about nobody.
pub(crate) const NOBODY: Sent<'static> = &|_| Some(Echo::default());

/// The error for an answer of `status` to `operation`. `method` decides what a 404 means; `secret` and the values that were sent
/// are taken out of the text, if there is one.
pub(crate) fn refused(operation: &str, method: &str, status: u16, body: &[u8], secret: &str, sent: Sent<'_>) -> Error {
    let said = Said::read(body);
    let said_text = match &said {
        None => format!("an answer of {} bytes that is not JSON", body.len()),
        Some(said) if said.is_silent() => "no reason given".to_owned(),
        Some(Said { message, phrase, .. }) => {
            let parts: Vec<&str> = [phrase, message].into_iter().flatten().map(String::as_str).collect();
            redact(&parts.join(": "), secret, sent)
                .unwrap_or_else(|| "its text may tell of the contact, and is not shown".to_owned())
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

/// Texts of the destination may repeat what it was sent: the key, the values of the call, addresses, whatever is quoted and long
/// numbers are taken out, control characters become spaces, and the rest is cut.
pub(crate) fn redact(text: &str, secret: &str, sent: Sent<'_>) -> Option<String> {
    let text = beginning(text);
    let text: Cow<'_, str> = if secret.is_empty() { text.into() } else { text.replace(secret, "[key]").into() };
    let text = on_one_line(&text);
    let unquoted = without_quotes(&sent(&text)?.mask(&text));
    let kept: Vec<Cow<'_, str>> = unquoted.split_whitespace().map(redact_word).collect();
    let kept = kept.join(" ");
    Some(match kept.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", kept.get(..end).unwrap_or_default()),
        None => kept,
    })
}

/// What is looked at of a text. A word at its end that is cut would not be known as one that was sent, so it goes too.
fn beginning(text: &str) -> &str {
    match text.char_indices().nth(LONGEST_READ) {
        Some((end, _)) => {
            let read = text.get(..end).unwrap_or_default();
            read.rfind(char::is_whitespace).and_then(|blank| read.get(..blank)).unwrap_or_default()
        }
        None => text,
    }
}

fn redact_word(word: &str) -> Cow<'_, str> {
    // `%40` is an address that went through a path; the full-width sign is what some systems normalise from.
    if word.contains(['@', '\u{ff20}', '\u{fe6b}']) || word.contains("%40") {
        return "[address]".into();
    }
    if word.chars().filter(|c| c.is_numeric()).count() >= 5 { "[number]".into() } else { word.into() }
}

/// Drops what stands in quotation marks: nothing else tells a quoted name from a quoted value.
fn without_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((open, quote)) = rest.char_indices().find(|&(at, c)| opens_quote(rest, at, c)) {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        let inside = from.get(quote.len_utf8()..).unwrap_or_default();
        let close = match quote {
            '\u{201c}' => '\u{201d}',
            '\u{2018}' => '\u{2019}',
            '«' => '»',
            same => same,
        };
        // An opening without an end hides everything after it: a value may hold any character, its own quotes included.
        let end = inside.rfind(close);
        out.push_str("[...]");
        rest = end.and_then(|end| inside.get(end + close.len_utf8()..)).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn opens_quote(text: &str, at: usize, c: char) -> bool {
    match c {
        '"' | '`' | '\u{201c}' | '\u{2018}' | '«' => true,
        // An apostrophe inside a word, as in "doesn't", opens nothing.
        '\'' => !text.get(..at).and_then(|before| before.chars().next_back()).is_some_and(char::is_alphanumeric),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_kind_and_its_text() {
        use ErrorKind::*;
        let check = |status: u16, method: &str, body: &str, kind: ErrorKind, part: &str| {
            let error = refused("POST /contacts", method, status, body.as_bytes(), "k3y", NOBODY);
            assert_eq!(error.kind(), kind, "{status} {body}");
            assert!(error.message().contains(part), "{status}: {}", error.message());
            assert_eq!(error.fact("status"), Some(status.to_string().as_str()));
        };
        let both = r#"{"error":"Bad Request","message":"No contact details provided."}"#;
        check(400, "POST", both, Rejected, "Bad Request: No contact details provided.");
        check(400, "POST", r#"{"error":"Bad Request"}"#, Rejected, "with 400: Bad Request");
        check(400, "POST", r#"{"message":"Nope"}"#, Rejected, "with 400: Nope");
        check(400, "POST", r#"{"code":"E7","message":"Nope"}"#, Rejected, "with 400: E7: Nope");
        check(400, "POST", r#"{"error":{"code":"x","message":"Nope"}}"#, Rejected, "with 400: x: Nope");
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
        check(401, "GET", r#"{"message":"k3y is wrong"}"#, Unauthenticated, "[key] is wrong");
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

    #[test]
    fn texts_are_stripped_of_what_was_sent() {
        let sent: Sent<'_> = &|text| Some(Echo::of(["Lovelace".into(), "Ada \"the\" King".into()], text));
        let check = |text: &str, expected: &str| assert_eq!(redact(text, "s3cret", sent).as_deref(), Some(expected));
        check("Contact could not be found.", "Contact could not be found.");
        check("Email anna@example.com is invalid", "Email [address] is invalid");
        check("Email (anna@example.com) is invalid", "Email [address] is invalid");
        check("no anna%40example.com here", "no [address] here");
        check(r#"Invalid value "Anna Berg" for FirstName"#, "Invalid value [...] for FirstName");
        check(r#"bad "An"na" Berg"#, "bad [...] Berg");
        check(r#"bad "Anna Berg"#, "bad [...]");
        check("value 'Anna' isn't right, doesn't fit", "value [...]t fit");
        check("it doesn't fit", "it doesn't fit");
        check("LOVELACE\nis no value for LastName", "[value] is no value for LastName");
        check(r#"no Ada "the" King here, nor "Lovelace""#, "no [value] here, nor [...]");
        check("phone +4791234567 is taken, limit 100", "phone [number] is taken, limit 100");
        check("key s3cret unknown", "key [key] unknown");
        check("a\u{0}b\nc\u{1b}[31md", "a b c [31md");
        assert_eq!(redact(&"ab ".repeat(300), "", sent).unwrap().chars().count(), LONGEST_TEXT + 1);
        assert_eq!(redact(&"é".repeat(300), "", sent).unwrap().chars().count(), LONGEST_TEXT + 1);
        check("", "");
    }
}
