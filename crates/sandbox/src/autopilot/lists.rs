//! Lists: the store and the endpoints.

use std::collections::{BTreeSet, HashMap};

use serde_json::json;

use super::account::{Account, NoContact, Slot};
use super::identity::Identity;
use super::incoming;
use super::{Autopilot, errors, paging};
use crate::destination::Reply;

/// All lists, in the order they were made.
#[derive(Debug)]
pub(super) struct Lists {
    ids: Identity,
    by_id: HashMap<String, usize>,
    lists: Vec<List>,
}

/// One list.
#[derive(Debug)]
pub(super) struct List {
    pub(super) id: String,
    pub(super) title: String,
    /// In the order the contacts were made.
    pub(super) members: BTreeSet<Slot>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { ids: Identity::fresh(), by_id: HashMap::new(), lists: Vec::new() }
    }
}

impl Lists {
    /// Makes a list. Titles are not unique: a second list with the same title is made, as a later client states.
    pub(super) fn create(&mut self, title: &str) -> &List {
        let id = self.ids.text("contactlist_", self.lists.len() as u64);
        let place = self.lists.len();
        self.by_id.insert(id.clone(), place);
        self.lists.push(List { id, title: title.to_owned(), members: BTreeSet::new() });
        &self.lists[place]
    }

    /// Gives a list another title; false if there is no such list.
    pub(super) fn rename(&mut self, id: &str, title: &str) -> bool {
        let list = self.find(id).and_then(|place| self.lists.get_mut(place));
        list.map(|list| list.title = title.to_owned()).is_some()
    }

    /// The place of the list with this id.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// All lists.
    pub(super) fn all(&self) -> &[List] {
        &self.lists
    }

    /// Puts a contact on a list; false if it was on it.
    pub(super) fn add(&mut self, list: usize, slot: Slot) -> bool {
        self.lists.get_mut(list).is_some_and(|list| list.members.insert(slot))
    }

    /// Takes a contact off a list; false if it was not on it.
    pub(super) fn remove(&mut self, list: usize, slot: Slot) -> bool {
        self.lists.get_mut(list).is_some_and(|list| list.members.remove(&slot))
    }

    /// Takes a contact off every list.
    pub(super) fn forget(&mut self, slot: Slot) {
        for list in &mut self.lists {
            list.members.remove(&slot);
        }
    }

    /// The ids of the lists a contact is on.
    pub(super) fn of(&self, slot: Slot) -> Vec<&str> {
        self.lists.iter().filter(|list| list.members.contains(&slot)).map(|list| list.id.as_str()).collect()
    }
}

impl Autopilot {
    /// `GET /lists`: all at once, not paged.
    pub(super) fn lists(&self) -> Reply {
        let account = self.account();
        let entry = |list: &List| json!({ "list_id": list.id, "title": list.title });
        Reply::value(200, &json!({ "lists": account.lists.all().iter().map(entry).collect::<Vec<_>>() }))
    }

    /// `POST /list`.
    pub(super) fn new_list(&self, body: &[u8]) -> Reply {
        #[derive(serde::Deserialize)]
        struct Body {
            name: Option<String>,
        }
        // The answers to a body without a name are inferred.
        let name = match incoming::document(body).and_then(|text| incoming::parse::<Body>(&text)) {
            Ok(body) => body.name.filter(|name| !name.trim().is_empty()),
            Err(error) => return errors::unusable(&error),
        };
        let Some(name) = name else { return errors::bad_request("No list name provided.") };
        let mut account = self.account();
        let list = account.lists.create(&name);
        Reply::value(200, &json!({ "list_id": list.id, "name": list.title }))
    }

    /// `GET /list/{list}/contacts`.
    pub(super) fn list_contacts(&self, list: &str, bookmark: Option<&str>) -> Reply {
        let account = self.account();
        let Some(list) = account.lists.find(list).and_then(|list| account.lists.all().get(list)) else {
            return errors::silent_not_found();
        };
        let start = paging::start(&account, bookmark);
        paging::page(&account, list.members.range(start..).copied(), list.members.len())
    }

    /// `GET /list/{list}/contact/{contact}`: 404 without a message if the contact is not a member.
    pub(super) fn is_member(&self, list: &str, contact: &str) -> Reply {
        let account = self.account();
        match account.membership(list, contact) {
            Ok((list, slot)) if account.lists.all()[list].members.contains(&slot) => Reply::json(200, "{}"),
            Ok(_) => errors::silent_not_found(),
            Err(reply) => reply,
        }
    }

    /// `POST /list/{list}/contact/{contact}`.
    pub(super) fn add_member(&self, list: &str, contact: &str) -> Reply {
        let mut account = self.account();
        match account.membership(list, contact) {
            Ok((list, slot)) => modified(account.lists.add(list, slot)),
            Err(reply) => reply,
        }
    }

    /// `DELETE /list/{list}/contact/{contact}`.
    pub(super) fn remove_member(&self, list: &str, contact: &str) -> Reply {
        let mut account = self.account();
        match account.membership(list, contact) {
            Ok((list, slot)) => modified(account.lists.remove(list, slot)),
            Err(reply) => reply,
        }
    }
}

impl Account {
    /// The list and the contact of a path. With both unknown the list is reported; the real order is unknown.
    fn membership(&self, list: &str, contact: &str) -> Result<(usize, Slot), Reply> {
        let list = self.lists.find(list).ok_or_else(errors::no_list)?;
        let slot = self.find(contact).map_err(NoContact::reply)?;
        Ok((list, slot))
    }
}

fn modified(modified: bool) -> Reply {
    Reply::json(200, if modified { "{}" } else { r#"{"not_modified":true}"# })
}
