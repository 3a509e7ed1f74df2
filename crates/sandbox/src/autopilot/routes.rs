//! Paths below `/v1` and what they name.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The path all endpoints are below.
pub(super) const BASE: &str = "/v1";

/// What a path names, with its variable parts decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    NewContact,
    Contact(Cow<'a, str>),
    Unsubscribe(Cow<'a, str>),
    Contacts { bookmark: Option<Cow<'a, str>> },
    CustomFields,
    Lists,
    NewList,
    ListContacts { list: Cow<'a, str>, bookmark: Option<Cow<'a, str>> },
    Membership { list: Cow<'a, str>, contact: Cow<'a, str> },
    Segments,
    SegmentContacts { segment: Cow<'a, str>, bookmark: Option<Cow<'a, str>> },
    Triggers,
    Trigger { trigger: Cow<'a, str>, contact: Cow<'a, str> },
    Account,
    Hooks,
    NewHook,
    Hook(Cow<'a, str>),
}

impl<'a> Resource<'a> {
    /// What a path names; none if the service has no such path.
    ///
    /// One slash at the end is allowed, and more than one behind the base: some clients join their URLs that way.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let below = path.strip_prefix(BASE)?.strip_prefix('/')?.trim_start_matches('/');
        let below = below.strip_suffix('/').unwrap_or(below);
        let mut parts = [""; 6];
        let mut count = 0;
        for part in below.split('/') {
            *parts.get_mut(count)? = part;
            count += 1;
        }
        let resource = match parts[..count] {
            ["contact"] => Self::NewContact,
            ["contact", contact] => Self::Contact(decode(contact)),
            ["contact", contact, "unsubscribe"] => Self::Unsubscribe(decode(contact)),
            ["contacts"] => Self::Contacts { bookmark: None },
            ["contacts", "custom_fields"] => Self::CustomFields,
            ["contacts", bookmark] => Self::Contacts { bookmark: Some(decode(bookmark)) },
            ["lists"] => Self::Lists,
            ["list"] => Self::NewList,
            ["list", list, "contacts"] => Self::ListContacts { list: decode(list), bookmark: None },
            ["list", list, "contacts", bookmark] => {
                Self::ListContacts { list: decode(list), bookmark: Some(decode(bookmark)) }
            }
            ["list", list, "contact", contact] => Self::Membership { list: decode(list), contact: decode(contact) },
            ["smart_segments"] => Self::Segments,
            ["smart_segments", segment, "contacts"] => {
                Self::SegmentContacts { segment: decode(segment), bookmark: None }
            }
            ["smart_segments", segment, "contacts", bookmark] => {
                Self::SegmentContacts { segment: decode(segment), bookmark: Some(decode(bookmark)) }
            }
            ["triggers"] => Self::Triggers,
            ["trigger", trigger, "contact", contact] => {
                Self::Trigger { trigger: decode(trigger), contact: decode(contact) }
            }
            ["account"] => Self::Account,
            ["hooks"] => Self::Hooks,
            ["hook"] => Self::NewHook,
            ["hook", hook] => Self::Hook(decode(hook)),
            _ => return None,
        };
        Some(resource)
    }

    /// The endpoint's name for the counts.
    pub(super) fn endpoint(&self, method: &str) -> &'static str {
        match (method, self) {
            ("POST", Self::NewContact) => "POST /contact",
            ("POST", Self::Contacts { bookmark: None }) => "POST /contacts",
            ("GET", Self::Contact(_)) => "GET /contact/{contact}",
            ("DELETE", Self::Contact(_)) => "DELETE /contact/{contact}",
            ("POST", Self::Unsubscribe(_)) => "POST /contact/{contact}/unsubscribe",
            ("GET", Self::Contacts { .. }) => "GET /contacts",
            ("GET", Self::CustomFields) => "GET /contacts/custom_fields",
            ("GET", Self::Lists) => "GET /lists",
            ("POST", Self::NewList) => "POST /list",
            ("GET", Self::ListContacts { .. }) => "GET /list/{list}/contacts",
            ("GET", Self::Membership { .. }) => "GET /list/{list}/contact/{contact}",
            ("POST", Self::Membership { .. }) => "POST /list/{list}/contact/{contact}",
            ("DELETE", Self::Membership { .. }) => "DELETE /list/{list}/contact/{contact}",
            ("GET", Self::Segments) => "GET /smart_segments",
            ("GET", Self::SegmentContacts { .. }) => "GET /smart_segments/{segment}/contacts",
            ("GET", Self::Triggers) => "GET /triggers",
            ("POST", Self::Trigger { .. }) => "POST /trigger/{trigger}/contact/{contact}",
            ("GET", Self::Account) => "GET /account",
            ("GET", Self::Hooks) => "GET /hooks",
            ("DELETE", Self::Hooks) => "DELETE /hooks",
            ("POST", Self::NewHook) => "POST /hook",
            ("DELETE", Self::Hook(_)) => "DELETE /hook/{hook}",
            _ => "wrong method",
        }
    }
}

/// A path part without its percent-encoding; an address works raw and encoded.
fn decode(part: &str) -> Cow<'_, str> {
    percent_decode_str(part).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::Resource;

    #[test]
    fn raw_and_encoded_values_are_the_same() {
        for path in [
            "/v1/contact/a+b@example.com",
            "/v1/contact/a%2Bb%40example.com",
            "/v1/contact/a+b@example.com/",
            "/v1//contact/a+b@example.com",
        ] {
            assert_eq!(Resource::parse(path), Some(Resource::Contact("a+b@example.com".into())), "{path}");
        }
    }

    #[test]
    fn custom_fields_are_not_a_bookmark() {
        assert_eq!(Resource::parse("/v1/contacts/custom_fields"), Some(Resource::CustomFields));
        assert_eq!(Resource::parse("/v1/contacts/void"), Some(Resource::Contacts { bookmark: Some("void".into()) }));
    }

    #[test]
    fn unknown_paths_are_none() {
        for path in
            ["/", "/v1", "/v1/", "/lists", "/v2/lists", "/v1/list/x", "/v1/journey/a/contact/b", "/v1/a/b/c/d/e/f/g"]
        {
            assert_eq!(Resource::parse(path), None, "{path}");
        }
    }
}
