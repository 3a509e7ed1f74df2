//! Smart segments: read-only, their members follow from the contacts.

use serde_json::json;

use super::{Autopilot, errors, paging};
use crate::destination::Reply;

/// The segments every account has here. Real accounts define their own, which the API cannot do.
const SEGMENTS: [(&str, &str, bool); 2] = [
    ("contactlist_sseg1500000000001", "All contacts", false),
    ("contactlist_sseg1500000000002", "Unsubscribed contacts", true),
];

impl Autopilot {
    /// `GET /smart_segments`: all at once, not paged.
    pub(super) fn segments(&self) -> Reply {
        let entry = |(id, title, _): &(&str, &str, bool)| json!({ "segment_id": id, "title": title });
        Reply::value(200, &json!({ "segments": SEGMENTS.iter().map(entry).collect::<Vec<_>>() }))
    }

    /// `GET /smart_segments/{segment}/contacts`. An unknown segment is answered like an unknown list; inferred.
    pub(super) fn segment_contacts(&self, segment: &str, bookmark: Option<&str>) -> Reply {
        let Some((_, _, unsubscribed)) = SEGMENTS.iter().find(|(id, ..)| *id == segment) else {
            return errors::silent_not_found();
        };
        let account = self.account();
        let start = paging::start(&account, bookmark);
        if !unsubscribed {
            return paging::page(&account, account.slots_from(start), account.live());
        }
        let total = account.slots_from(0).filter(|slot| account.unsubscribed(*slot)).count();
        let members = account.slots_from(start).filter(|slot| account.unsubscribed(*slot));
        paging::page(&account, members, total)
    }
}
