//! What tests see and prepare without the wire.

use std::mem;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::account::{Account, Tallies};
use super::document::render;
use super::list::Slot;
use super::{Autopilot, incoming};
use crate::fault::Rules;

/// What the account holds, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Contacts that exist.
    pub contacts: usize,
    /// Lists with the number of their members, in the order they were made.
    pub lists: Vec<ListCount>,
    /// What was written.
    #[serde(flatten)]
    pub tallies: Tallies,
}

/// A list and the number of its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListCount {
    /// The list's id.
    pub list_id: String,
    /// The list's title.
    pub title: String,
    /// How many contacts are on it.
    pub members: usize,
}

impl Autopilot {
    /// Changes places with another stand-in: from here on each answers with what the other one held, as to the other one's key.
    /// Neither may be in a call of this with the other at the same time.
    pub fn exchange(&self, other: &Self) {
        mem::swap(&mut *self.account(), &mut *other.account());
    }

    /// How many contacts there are.
    pub fn contact_count(&self) -> usize {
        self.account().live()
    }

    /// A contact by address or id, in the form `GET /contact/{contact}` gives.
    pub fn contact(&self, email_or_id: &str) -> Option<Value> {
        let account = self.account();
        account.find(email_or_id).ok().map(|slot| document(&account, slot))
    }

    /// All contacts in the form they are read in, sorted by address; those without one come first.
    pub fn contacts(&self) -> Vec<Value> {
        let account = self.account();
        let mut contacts: Vec<(String, Value)> = account
            .slots_from(0)
            .map(|slot| (account.email(slot).unwrap_or_default().to_lowercase(), document(&account, slot)))
            .collect();
        contacts.sort_by(|(one, _), (other, _)| one.cmp(other));
        contacts.into_iter().map(|(_, contact)| contact).collect()
    }

    /// The members of a list, given by title or id: their addresses, or ids where there is none, sorted.
    ///
    /// With several lists of that title, the first one made.
    pub fn list_members(&self, title_or_id: &str) -> Option<Vec<String>> {
        let account = self.account();
        let list = account.lists.all().iter().find(|list| list.title == title_or_id || list.id == title_or_id)?;
        Some(names(&account, list.members.iter().copied()))
    }

    /// What the account holds, in numbers.
    pub fn counts(&self) -> Counts {
        let account = self.account();
        let lists = account.lists.all().iter();
        Counts {
            contacts: account.live(),
            lists: lists
                .map(|list| ListCount {
                    list_id: list.id.clone(),
                    title: list.title.clone(),
                    members: list.members.len(),
                })
                .collect(),
            tallies: account.tallies,
        }
    }

    /// Makes a list and returns its id.
    pub fn add_list(&self, title: &str) -> String {
        self.account().lists.create(title).id.clone()
    }

    /// Takes a contact, given by address or id, off a list, as somebody at the destination would.
    ///
    /// Returns whether it was on it.
    pub fn take_off(&self, list: &str, contact: &str) -> bool {
        let was_on_it = self.is_member(list, contact).status == 200;
        self.remove_member(list, contact);
        was_on_it
    }

    /// Gives the list with this id another title, as somebody at the destination would.
    ///
    /// Returns whether there is one.
    pub fn rename_list(&self, id: &str, title: &str) -> bool {
        self.account().lists.rename(id, title)
    }

    /// Deletes the list with this id, as somebody at the destination would. Its members stay contacts.
    ///
    /// Returns whether there was one.
    pub fn delete_list(&self, id: &str) -> bool {
        self.account().lists.delete(id)
    }

    /// Writes a contact as `POST /contact` with `{"contact": contact}` would, past key, rate and faults.
    ///
    /// Returns its id, or nothing if the endpoint would refuse it.
    pub fn put_contact(&self, contact: &Value) -> Option<String> {
        let reply = self.write_one(json!({ "contact": contact }).to_string().as_bytes(), &Rules::default());
        let answer: Value = incoming::parse(std::str::from_utf8(&reply.body).ok()?).ok()?;
        answer.get("contact_id").and_then(Value::as_str).map(str::to_owned)
    }

    /// Everything stored, as `GET /_sandbox/state` shows it.
    pub(super) fn everything(&self) -> Map<String, Value> {
        let contacts = self.contacts();
        let account = self.account();
        let lists: Vec<Value> = account
            .lists
            .all()
            .iter()
            .map(|list| {
                let members = names(&account, list.members.iter().copied());
                json!({ "list_id": list.id, "title": list.title, "members": members })
            })
            .collect();
        let triggers: Vec<Value> = account
            .triggers
            .iter()
            .map(|trigger| {
                let entered: Vec<String> = trigger.entered.iter().map(|slot| name(&account, *slot)).collect();
                json!({ "trigger_id": trigger.id, "journey": trigger.journey, "entered": entered })
            })
            .collect();
        let hooks: Vec<Value> = account.hooks.iter().map(super::hooks::Hook::entry).collect();
        Map::from_iter([
            ("contacts".to_owned(), Value::Array(contacts)),
            ("lists".to_owned(), Value::Array(lists)),
            ("custom_fields".to_owned(), account.definitions.list()),
            ("triggers".to_owned(), Value::Array(triggers)),
            ("hooks".to_owned(), Value::Array(hooks)),
        ])
    }
}

fn document(account: &Account, slot: Slot) -> Value {
    let mut out = Vec::new();
    if let Some(record) = account.record(slot) {
        render(&mut out, &record);
    }
    // A text with half a surrogate pair cannot be decoded; it is shown undecoded.
    serde_json::from_slice(&out).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&out).into_owned()))
}

fn name(account: &Account, slot: Slot) -> String {
    account.email(slot).unwrap_or_else(|| account.id(slot))
}

fn names(account: &Account, slots: impl Iterator<Item = Slot>) -> Vec<String> {
    let mut names: Vec<String> = slots.map(|slot| name(account, slot)).collect();
    names.sort_unstable();
    names
}
