//! The endpoints of lists.

use serde_json::json;

use super::account::{Account, NoContact};
use super::incoming;
use super::list::{List, Slot};
use super::{Autopilot, errors, paging};
use crate::destination::Reply;

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
