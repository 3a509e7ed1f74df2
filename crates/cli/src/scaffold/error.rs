//! What an answer that is no success means.

use segport_sdk::{Error, ErrorKind};

/// The error for an answer of `status` to `operation`.
///
/// The body is left out: it may repeat a profile's data.
pub(crate) fn refused(operation: &str, status: u16) -> Error {
    let (kind, advice) = match status {
        401 => (ErrorKind::Unauthenticated, "; check `api_key`"),
        403 => (ErrorKind::PermissionDenied, "; the key may not do this"),
        404 => (ErrorKind::NotFound, "; check `base_url`"),
        // The host has tried again before it passes these on.
        408 => (ErrorKind::Timeout, ""),
        429 => (ErrorKind::RateLimited, "; lower `requests_per_second`"),
        500..=599 => (ErrorKind::Unavailable, ""),
        // The host halves a rejected batch until the row that caused it is alone.
        _ => (ErrorKind::Rejected, ""),
    };
    Error::new(kind, format!("{{name}} answered {operation} with {status}{advice}")).with("status", status.to_string())
}

/// The error for an answer of success whose body cannot be used.
pub(crate) fn unusable(operation: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{{name}} answered {operation} with something that cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_kind() {
        let check = |status, kind| assert_eq!(refused("GET /account", status).kind(), kind, "{status}");
        check(400, ErrorKind::Rejected);
        check(401, ErrorKind::Unauthenticated);
        check(403, ErrorKind::PermissionDenied);
        check(404, ErrorKind::NotFound);
        check(408, ErrorKind::Timeout);
        check(429, ErrorKind::RateLimited);
        check(503, ErrorKind::Unavailable);
    }
}
