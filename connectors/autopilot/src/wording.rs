//! What of the destination's texts is shown.
//!
//! An error may tell of anybody: of the contact that was sent, in whatever spelling, or of another one that it conflicts with. So
//! nothing of a text is shown but words that are about requests in general, and the names of fields.

use crate::fields::{EMAIL, STANDARD};

/// What stands for whatever is not shown.
const HIDDEN: &str = "[...]";
/// Most words of a text that are looked at.
const MOST_WORDS: usize = 40;
/// Longest of them that is shown, in bytes, with what stands around it.
const LONGEST_WORD: usize = 60;
/// What may stand around words.
const SIGNS: &str = ".,:;!?()[]{}<>\"'`|/_-=*";
/// What Autopilot calls things in its texts and answers, in order.
const NAMES: &[&str] = &["contact_id", "contact_id_or_email", "list_id", "rate-limit"];

/// Words that are shown, in small letters and in order: those of the texts that the reference knows, and what else such texts of
/// HTTP services are made of. Words that are also somebody's name are left out as far as we know of them.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "a", "accept", "accepted", "access", "account", "action", "active", "add", "added", "address", "addresses", "after",
    "again", "all", "allowed", "already", "and", "another", "any", "api", "apikey", "archived", "are", "aren't",
    "argument", "arguments", "array", "as", "at", "attempt", "attempts", "attribute", "attributes", "authenticated",
    "authentication", "authorization", "authorized", "autopilot", "autopilotapikey", "available", "backend", "bad",
    "be", "because", "been", "before", "being", "belongs", "blank", "blocked", "body", "boolean", "bounced", "bulk",
    "but", "by", "call", "calls", "can", "can't", "cannot", "change", "changed", "character", "characters", "check",
    "client", "closed", "code", "complete", "completed", "conflict", "conflicts", "connection", "contact", "contacts",
    "contain", "contains", "content", "correct", "could", "couldn't", "create", "created", "custom", "daily", "data",
    "database", "date", "delete", "deleted", "denied", "detail", "details", "did", "didn't", "different", "disabled",
    "does", "doesn't", "don't", "duplicate", "duplicated", "during", "each", "either", "email", "empty", "encoding",
    "endpoint", "enough", "entity", "entries", "entry", "error", "errors", "exceed", "exceeded", "exceeds", "exist",
    "existing", "exists", "expected", "expired", "fail", "failed", "fails", "failure", "field", "fields", "fit",
    "float", "for", "forbidden", "format", "found", "from", "gateway", "get", "given", "had", "has", "have", "header",
    "headers", "id", "identifier", "ids", "ignored", "in", "inactive", "incorrect", "input", "integer", "internal",
    "into", "invalid", "is", "isn't", "it", "item", "items", "its", "json", "key", "keys", "large", "later", "least",
    "length", "less", "limit", "limited", "limits", "list", "lists", "locked", "maintenance", "malformed", "many",
    "match", "matches", "maximum", "media", "member", "members", "message", "method", "minimum", "minute", "minutes",
    "missing", "modified", "more", "most", "multiple", "must", "name", "named", "names", "need", "needs", "negative",
    "no", "none", "nor", "not", "null", "number", "numbers", "object", "occurred", "of", "on", "once", "one", "only",
    "operation", "or", "other", "our", "out", "over", "parameter", "parameters", "parse", "parsed", "parsing", "path",
    "payload", "payment", "permission", "permissions", "permitted", "please", "policy", "positive", "problem",
    "process", "processed", "processing", "property", "protected", "provide", "provided", "proxy", "put", "query",
    "queue", "quota", "range", "rate", "reached", "reason", "received", "record", "records", "refused", "rejected",
    "remove", "removed", "request", "requested", "requests", "required", "requires", "resource", "response", "retry",
    "row", "rows", "same", "schema", "second", "seconds", "send", "sent", "server", "service", "should", "size", "so",
    "some", "something", "specified", "status", "still", "stopped", "string", "subscription", "such", "support",
    "supported", "suppressed", "syntax", "system", "taken", "temporarily", "temporary", "text", "than", "that", "the",
    "there", "this", "throttled", "time", "timed", "timeout", "times", "to", "token", "too", "try", "type", "types",
    "unable", "unauthorized", "unavailable", "under", "unexpected", "unique", "unknown", "unprocessable", "unsupported",
    "until", "update", "updated", "upgrade", "url", "use", "used", "user", "users", "valid", "validation", "value",
    "values", "version", "wait", "was", "wasn't", "we", "welcome", "went", "were", "when", "which", "while", "with",
    "within", "without", "wrong", "you", "your",
];

/// `text` with all hidden but the words that are shown.
pub(crate) fn shown(text: &str) -> String {
    let mut words = text.split_whitespace();
    let mut shown: Vec<&str> =
        words.by_ref().take(MOST_WORDS).map(|word| if is_shown(word) { word } else { HIDDEN }).collect();
    if words.next().is_some() {
        shown.push(HIDDEN);
    }
    shown.dedup_by(|word, before| *word == HIDDEN && *before == HIDDEN);
    shown.join(" ")
}

/// Whether a word is shown, with the signs before and behind it. Inside of one a sign makes it an address, a number or somebody's
/// handle, unless it is a name that Autopilot is known to use.
fn is_shown(word: &str) -> bool {
    let core = word.trim_matches(|letter| SIGNS.contains(letter));
    let is_listed = |words: &[&str]| words.binary_search(&core.to_ascii_lowercase().as_str()).is_ok();
    word.len() <= LONGEST_WORD && (core.is_empty() || is_field(core) || is_listed(WORDS) || is_listed(NAMES))
}

/// Whether this is what a field is called on the wire.
fn is_field(word: &str) -> bool {
    std::iter::once(&EMAIL).chain(&STANDARD).any(|field| field.wire == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_in_order_and_in_small_letters() {
        for words in [WORDS, NAMES] {
            assert!(words.is_sorted_by(|word, next| word < next), "each once");
        }
        for word in WORDS {
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'\''), "{word}");
        }
    }

    /// The texts of the reference for calls that are made, but for the numbers in them.
    #[test]
    fn known_texts_are_shown_as_they_are() {
        for text in [
            "Bad Request: No autopilotapikey header provided.",
            "No autopilotapikey header, or apikey query parameter provided.",
            "Invalid contact_id_or_email value provided.",
            "No contact details provided.",
            "Unauthorized: Provided autopilotapikey not valid.",
            "Forbidden: could not delete",
            "Not Found: Contact could not be found.",
            "List does not exist.",
            "Could not delete contact as contact could not be found.",
            "Conflict",
            "Too Many Requests: Your request was throttled.",
            "Internal Server Error",
            "Invalid value for FirstName, owner_name or `MailingPostalCode`: it isn't text",
            "rate-limit",
            "",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn whatever_else_is_hidden() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text), expected, "{text}");
        check("You have exceeded your request rate of 5 r/s.", "You have exceeded your request rate of [...]");
        check("Email (anna@example.com) is invalid", "Email [...] is invalid");
        check("email@list.list is not valid", "[...] is not valid");
        check("Contact Per Max Long is archived", "Contact [...] is archived");
        check("contact list_name, email.list or list/path", "contact [...] or [...]");
        check("no anna%40example.com here", "no [...]");
        check("conflicts with contact Jane Doe, of Doe & Sons", "conflicts with contact [...] of [...]");
        check("contact +list%name #list", "contact [...]");
        check("Åsa O&#x27;Brien, Kvist", "[...]");
        check("O'Brien isn't valid: 'Anna'", "[...] isn't valid: [...]");
        check("phone +47 912 34 567 is taken", "[...] is taken");
        check("the 値東京は無効", "the [...]");
        check("list\u{1b}[31m a\u{0}b\nc\u{1f512}", "[...]");
        check("name–less “name” ｎame", "[...]");
        check("list - & list", "list - [...] list");
        check(&format!("list {}", ".".repeat(1000)), "list [...]");
        check(&"bad ".repeat(100), &format!("{}[...]", "bad ".repeat(MOST_WORDS)));
        check(&"x".repeat(1 << 20), "[...]");
    }
}
