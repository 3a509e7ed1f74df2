//! Pages of contacts.

use serde_json::json;

use super::account::Account;
use super::document::{render, separate, string};
use super::list::Slot;
use crate::destination::Reply;

/// Contacts on one page; fixed.
const PAGE: usize = 100;

/// Where a page begins. A bookmark is the id of the last contact of the page before; one that is not recognised gives
/// the first page, as two real clients rely on.
pub(super) fn start(account: &Account, bookmark: Option<&str>) -> Slot {
    bookmark.and_then(|bookmark| account.slot_of_id(bookmark)).map_or(0, |slot| slot + 1)
}

/// A page of the contacts that follow; the last page has no bookmark.
pub(super) fn page(account: &Account, following: impl Iterator<Item = Slot>, total: usize) -> Reply {
    let mut following = following.peekable();
    let mut out = b"{\"contacts\":[".to_vec();
    let mut last = None;
    for slot in following.by_ref().take(PAGE) {
        if let Some(record) = account.record(slot) {
            separate(&mut out);
            render(&mut out, &record);
            last = Some(slot);
        }
    }
    out.extend_from_slice(b"],\"total_contacts\":");
    out.extend_from_slice(json!(total).to_string().as_bytes());
    if let Some(last) = last.filter(|_| following.peek().is_some()) {
        out.extend_from_slice(b",\"bookmark\":");
        string(&mut out, &account.id(last));
    }
    out.push(b'}');
    Reply::json(200, out)
}
