//! Who is on a list already, so that nobody is added who is there.
//!
//! A list that somebody else filled, or a ledger that was lost, would cost one call for each contact that is there. A page of
//! the list shows a hundred contacts for one call, but pages come in an order of their own and only one after the other, so
//! that to read a long list for a few contacts would cost more than it saves. So pages are read as contacts are found to be
//! there, one for every ten of them, and once the whole list is read nobody on it costs a call.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use segport_sdk::{Context, Result};
use tokio::sync::Semaphore;

use crate::client::{Client, Listed, Page};

/// How many contacts found on a list pay for one of its pages.
pub(crate) const FOUND_PER_PAGE: usize = 10;
/// Most pages read at a time, so that a batch ends within the time it has.
const PAGES_AT_A_TIME: usize = 50;
/// Most contacts remembered of one list, some 70 bytes each.
const LONGEST: usize = 500_000;

/// What was read so far of one list.
#[derive(Debug)]
pub(crate) struct Roll {
    /// Held while a page is under way: each page names the next one.
    turn: Semaphore,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// Ids and addresses are kept as two hashes with keys of their own: together 128 bits, so that no two are taken for one.
    hashers: [RandomState; 2],
    ids: HashSet<[u64; 2]>,
    addresses: HashSet<[u64; 2]>,
    next: Next,
    /// Contacts found on the list that have not paid for a page yet.
    found: usize,
}

/// The page that is to be read next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Next {
    #[default]
    First,
    After(String),
    None,
}

impl Default for Roll {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), read: Mutex::default() }
    }
}

impl Roll {
    /// Whether the contact with this id was seen on the list.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.read().has(id)
    }

    /// Whether a contact with this address was seen on the list, as far as addresses tell: upper and lower case may be two.
    pub(crate) fn has_address(&self, address: &str) -> bool {
        self.read().has_address(address)
    }

    /// Tells that this many contacts turned out to be on the list already.
    pub(crate) fn found(&self, contacts: usize) {
        let mut read = self.read();
        read.found = read.found.saturating_add(contacts);
    }

    /// Forgets all of it.
    pub(crate) fn forget(&self) {
        *self.read() = Read::default();
    }

    /// Reads as many more pages as were paid for, unless another batch is about it. A page that cannot be read is the last one of
    /// this run: the destination may not have it at all.
    ///
    /// # Errors
    /// If a page could not be read. What was read before stays.
    pub(crate) async fn read_on(&self, client: &Client, cx: &Context, list: &str) -> Result<()> {
        let Ok(_turn) = self.turn.try_acquire() else { return Ok(()) };
        for _ in 0..PAGES_AT_A_TIME {
            let next = self.read().pay();
            let bookmark = match &next {
                Next::First => None,
                Next::After(bookmark) => Some(bookmark.as_str()),
                Next::None => break,
            };
            match client.page(cx, list, bookmark).await {
                Ok(page) => self.read().take(page, &next),
                Err(error) => {
                    if !error.is_recalled() {
                        self.read().next = Next::None;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn key(&self, text: &str) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(text))
    }

    fn has(&self, id: &str) -> bool {
        !self.ids.is_empty() && self.ids.contains(&self.key(id))
    }

    fn has_address(&self, address: &str) -> bool {
        !self.addresses.is_empty() && self.addresses.contains(&self.key(&address.to_lowercase()))
    }

    /// The next page, if it is paid for.
    fn pay(&mut self) -> Next {
        if self.next == Next::None || self.found < FOUND_PER_PAGE || self.ids.len() >= LONGEST {
            return Next::None;
        }
        self.found -= FOUND_PER_PAGE;
        self.next.clone()
    }

    fn take(&mut self, page: Page, read: &Next) {
        for Listed { contact_id, email } in page.contacts {
            let Some(id) = contact_id else { continue };
            let id = self.key(&id);
            self.ids.insert(id);
            if let Some(address) = email {
                let address = self.key(&address.to_lowercase());
                self.addresses.insert(address);
            }
        }
        // A page that names itself as the next one would be read for ever.
        let next = page.bookmark.map_or(Next::None, Next::After);
        self.next = if next == *read { Next::None } else { next };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(names: &[&str], bookmark: Option<&str>) -> Page {
        let listed =
            |name: &&str| Listed { contact_id: Some(format!("p-{name}")), email: Some(format!("{name}@Example.com")) };
        Page { contacts: names.iter().map(listed).collect(), bookmark: bookmark.map(str::to_owned) }
    }

    #[test]
    fn ten_contacts_that_are_there_pay_for_a_page() {
        let mut read = Read::default();
        assert_eq!(read.pay(), Next::None);
        read.found = 21;
        assert_eq!(read.pay(), Next::First);
        read.take(page(&["a"], Some("b1")), &Next::First);
        let second = read.pay();
        assert_eq!(second, Next::After("b1".to_owned()));
        assert_eq!(read.pay(), Next::None, "one is left over");
        read.found += 9;
        assert_eq!(read.pay(), second, "a page that failed is read again");
        read.take(page(&[], None), &second);
        read.found = 100;
        assert_eq!(read.pay(), Next::None, "the list is read");
    }

    #[test]
    fn a_list_that_leads_back_to_the_same_page_is_read_once() {
        let mut read = Read { found: 100, ..Read::default() };
        let after = Next::After("b1".to_owned());
        read.take(page(&["a"], Some("b1")), &Next::First);
        read.take(page(&["b"], Some("b1")), &after);
        assert_eq!(read.pay(), Next::None);
    }

    #[test]
    fn ids_are_compared_as_they_are_and_addresses_without_case() {
        let mut read = Read::default();
        assert!(!read.has("p-Anna") && !read.has_address("anna@example.com"));
        read.take(page(&["Anna"], None), &Next::First);
        assert!(read.has("p-Anna") && !read.has("p-anna") && !read.has("Anna@Example.com"));
        assert!(read.has_address("anna@example.com") && read.has_address("ANNA@example.com"));
        assert!(!read.has_address("hanna@example.com") && !read.has_address("p-Anna"));
    }

    #[test]
    fn a_contact_without_an_id_is_nobody() {
        let mut read = Read::default();
        let nobody = Listed { contact_id: None, email: Some("anna@example.com".to_owned()) };
        read.take(Page { contacts: vec![nobody], bookmark: None }, &Next::First);
        assert!(!read.has_address("anna@example.com"));
    }
}
