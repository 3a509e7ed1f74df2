//! Error answers, with the texts the real service uses where they are known.

use serde_json::json;

use super::incoming::{BULK_LIMIT, Unusable};
use crate::destination::Reply;

/// An error in the usual shape: `{"error", "message"}`.
fn error(status: u16, message: &str) -> Reply {
    Reply::value(status, &json!({ "error": reason(status), "message": message }))
}

/// The reason phrase the service puts into `error`.
fn reason(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

/// An answer with a status alone, for faults.
pub(super) fn failure(status: u16) -> Reply {
    match status {
        ..400 => Reply::json(status, "{}"),
        400 => bad_request("Invalid contact data provided."),
        401 => unknown_key(),
        429 => throttled("Please try again later."),
        _ => error(status, "The request could not be completed."),
    }
}

/// 400 with a message.
pub(super) fn bad_request(message: &str) -> Reply {
    error(400, message)
}

/// No key at all is 400, not 401. The later of the two known wordings, since the query parameter is accepted.
pub(super) fn missing_key() -> Reply {
    bad_request("No autopilotapikey header, or apikey query parameter provided.")
}

/// A key that is not the account's.
pub(super) fn unknown_key() -> Reply {
    error(401, "Provided autopilotapikey not valid.")
}

/// A request above the rate. Only the first sentence is known.
pub(super) fn throttled(hint: &str) -> Reply {
    error(429, &format!("Your request was throttled. {hint}"))
}

/// A path value that is neither an address nor a contact id.
pub(super) fn invalid_contact() -> Reply {
    bad_request("Invalid contact_id_or_email value provided.")
}

/// A write without any field.
pub(super) fn no_details() -> Reply {
    bad_request("No contact details provided.")
}

/// A body that cannot be used; the texts for malformed bodies and for too many contacts are not known.
pub(super) fn unusable(why: &Unusable) -> Reply {
    match why {
        Unusable::Malformed(reason) => bad_request(&format!("Invalid JSON provided: {reason}.")),
        Unusable::Empty => no_details(),
        Unusable::TooMany => bad_request(&format!("No more than {BULK_LIMIT} contacts can be provided.")),
    }
}

/// An unknown contact.
pub(super) fn no_contact() -> Reply {
    error(404, "Contact could not be found.")
}

/// An unknown list.
pub(super) fn no_list() -> Reply {
    error(404, "List does not exist.")
}

/// 404 without a message: not a member, or the members of an unknown list or segment.
///
/// "Empty or `{}`" is what is known; `{}` is the choice here.
pub(super) fn silent_not_found() -> Reply {
    Reply::json(404, "{}")
}

/// An unknown trigger or path; the real texts are unknown.
pub(super) fn not_found(what: &str) -> Reply {
    error(404, &format!("{what} could not be found."))
}

/// A new address that another contact has; what the real service does is unknown.
pub(super) fn address_taken() -> Reply {
    error(409, "A contact with that email already exists.")
}

/// A second hook for one target; the real text is unknown.
pub(super) fn hook_taken() -> Reply {
    error(409, "A hook with that target_url is already registered.")
}

/// A valid path with the wrong method; the real body is unknown.
pub(super) fn wrong_method() -> Reply {
    error(405, "Method not allowed on this path.")
}
