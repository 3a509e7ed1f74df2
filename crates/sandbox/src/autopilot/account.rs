//! The account: what is stored, and the operations on it.

use std::borrow::Cow;

use serde::Serialize;

use super::document::{Pairs, Record, merge, string};
use super::email::{EmailIndex, EmailKey};
use super::fields::Definitions;
use super::hooks::Hook;
use super::identity::Identity;
use super::incoming::Write;
use super::list::{Lists, Slot};

/// The prefix of contact ids.
pub(super) const PERSON: &str = "person_";

/// Everything the account holds.
#[derive(Debug)]
pub(super) struct Account {
    /// What tells it from other accounts.
    pub(super) instance: String,
    pub(super) contact_ids: Identity,
    contacts: Vec<Option<Contact>>,
    live: usize,
    by_email: EmailIndex,
    pub(super) lists: Lists,
    pub(super) definitions: Definitions,
    pub(super) hooks: Vec<Hook>,
    pub(super) hooks_made: u64,
    pub(super) triggers: Vec<Trigger>,
    pub(super) tallies: Tallies,
}

/// A journey that contacts can be put on.
#[derive(Debug)]
pub(super) struct Trigger {
    /// Four digits, as text.
    pub(super) id: String,
    pub(super) journey: String,
    /// Who was put on it, in order; a contact may be there twice.
    pub(super) entered: Vec<Slot>,
}

impl Trigger {
    /// The triggers every account has here. Real accounts define their own, which the API cannot do.
    pub(super) fn at_start() -> Vec<Self> {
        let trigger =
            |(id, journey): (&str, &str)| Self { id: id.to_owned(), journey: journey.to_owned(), entered: Vec::new() };
        [("0001", "Welcome"), ("0003", "Win back")].map(trigger).into()
    }
}

/// What was written, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tallies {
    /// Contacts written, new and known ones, by single and bulk calls.
    pub contact_writes: u64,
    /// Contacts that did not exist before.
    pub contacts_created: u64,
    /// Writes of a contact beyond its first.
    pub duplicate_writes: u64,
    /// Contacts that were written more than once.
    pub contacts_written_again: u64,
    /// List ids inside contacts that were not honoured: unknown lists, or bulk lists turned off.
    pub list_ids_ignored: u64,
}

/// A contact as it is kept: the text it was written with, decoded only when it is read.
#[derive(Debug)]
pub(super) struct Contact {
    text: Box<str>,
    created: i64,
    /// 0 is never.
    updated: i64,
    writes: u32,
}

/// Why a contact in a path cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoContact {
    /// It is neither an address nor a contact id.
    Invalid,
    /// There is no such contact.
    Unknown,
}

/// A new address belongs to another contact already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddressTaken;

impl Account {
    /// An account without contacts and with what every account has at the start.
    pub(super) fn new(instance: String) -> Self {
        Self {
            instance,
            contact_ids: Identity::fresh(),
            contacts: Vec::new(),
            live: 0,
            by_email: EmailIndex::default(),
            lists: Lists::default(),
            definitions: Definitions::default(),
            hooks: Vec::new(),
            hooks_made: 0,
            triggers: Trigger::at_start(),
            tallies: Tallies::default(),
        }
    }

    /// How many contacts there are.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The contacts from a place on, oldest first.
    pub(super) fn slots_from(&self, start: Slot) -> impl Iterator<Item = Slot> {
        let start = start.min(self.contacts.len());
        self.contacts[start..].iter().enumerate().filter_map(move |(at, kept)| kept.as_ref().map(|_| start + at))
    }

    /// Writes one contact: onto the one with its address, or as a new one.
    ///
    /// `key` is the key of the address it is matched on, worked out before the account is locked.
    pub(super) fn write(&mut self, write: &Write<'_>, key: Option<EmailKey>, now: i64) -> Result<Slot, AddressTaken> {
        let slot = if let Some(new_email) = &write.new_email {
            self.write_with_new_address(write, key, new_email, now)?
        } else {
            match key.and_then(|key| self.by_email.get(&key).copied()) {
                Some(slot) => {
                    self.update(slot, write.text, now);
                    slot
                }
                None => self.insert(Box::from(write.text), key, now),
            }
        };
        self.tallies.contact_writes += 1;
        Ok(slot)
    }

    /// Writes a contact that changes its address; its id stays.
    ///
    /// Where the old address is unknown, the contact is made with the new one. Both that and the refusal of an address
    /// that another contact has are choices: the real behaviour is unknown.
    fn write_with_new_address(
        &mut self,
        write: &Write<'_>,
        key: Option<EmailKey>,
        new_email: &str,
        now: i64,
    ) -> Result<Slot, AddressTaken> {
        let new_key = EmailKey::of(new_email);
        let known = key.and_then(|key| self.by_email.get(&key).copied());
        let holder = self.by_email.get(&new_key).copied();
        if known.is_some() && holder.is_some() && holder != known {
            return Err(AddressTaken);
        }
        let mut address = b"{\"Email\":".to_vec();
        string(&mut address, new_email);
        address.push(b'}');
        let text = merge(write.text, &String::from_utf8_lossy(&address));
        Ok(match (known.or(holder), key) {
            (Some(slot), key) => {
                self.update(slot, &text, now);
                if let Some(key) = key.filter(|_| known.is_some()) {
                    self.by_email.remove(&key);
                }
                self.by_email.insert(new_key, slot);
                slot
            }
            (None, _) => self.insert(text.into_boxed_str(), Some(new_key), now),
        })
    }

    fn insert(&mut self, text: Box<str>, key: Option<EmailKey>, now: i64) -> Slot {
        let slot = self.contacts.len();
        self.contacts.push(Some(Contact { text, created: now, updated: 0, writes: 1 }));
        self.live += 1;
        self.tallies.contacts_created += 1;
        if let Some(key) = key {
            self.by_email.insert(key, slot);
        }
        slot
    }

    fn update(&mut self, slot: Slot, sent: &str, now: i64) {
        let Some(contact) = self.contacts.get_mut(slot).and_then(Option::as_mut) else { return };
        if *contact.text != *sent {
            contact.text = merge(&contact.text, sent).into_boxed_str();
        }
        contact.updated = now;
        contact.writes = contact.writes.saturating_add(1);
        self.tallies.duplicate_writes += 1;
        self.tallies.contacts_written_again += u64::from(contact.writes == 2);
    }

    /// Sets `unsubscribed` on a contact; not counted as a write.
    pub(super) fn unsubscribe(&mut self, slot: Slot, now: i64) {
        if let Some(contact) = self.contacts.get_mut(slot).and_then(Option::as_mut) {
            contact.text = merge(&contact.text, r#"{"unsubscribed":true}"#).into_boxed_str();
            contact.updated = now;
        }
    }

    /// Deletes a contact; it leaves every list.
    pub(super) fn delete(&mut self, slot: Slot) {
        let Some(contact) = self.contacts.get_mut(slot).and_then(Option::take) else { return };
        self.live -= 1;
        if let Some(email) = Pairs::of(&merge(&contact.text, "{}")).text("Email") {
            let key = EmailKey::of(&email);
            if self.by_email.get(&key) == Some(&slot) {
                self.by_email.remove(&key);
            }
        }
        self.lists.forget(slot);
    }

    /// The contact a path names, by address or by id.
    pub(super) fn find(&self, contact: &str) -> Result<Slot, NoContact> {
        let slot = if contact.contains('@') {
            self.by_email.get(&EmailKey::of(contact)).copied()
        } else if contact.starts_with(PERSON) {
            self.slot_of_id(contact)
        } else {
            return Err(NoContact::Invalid);
        };
        slot.filter(|slot| self.contacts.get(*slot).is_some_and(Option::is_some)).ok_or(NoContact::Unknown)
    }

    /// The place an id stands for, whether or not a contact is still there; none if this account never gave it out.
    pub(super) fn slot_of_id(&self, id: &str) -> Option<Slot> {
        let number = self.contact_ids.number(id.strip_prefix(PERSON)?)?;
        Slot::try_from(number).ok().filter(|slot| *slot < self.contacts.len())
    }

    /// The id of the contact at a place.
    pub(super) fn id(&self, slot: Slot) -> String {
        self.contact_ids.text(PERSON, slot as u64)
    }

    /// What is known about a contact.
    pub(super) fn record(&self, slot: Slot) -> Option<Record<'_>> {
        let contact = self.contacts.get(slot)?.as_ref()?;
        Some(Record {
            id: self.id(slot),
            text: &contact.text,
            created: contact.created,
            updated: (contact.updated != 0).then_some(contact.updated),
            lists: self.lists.of(slot),
        })
    }

    /// A contact's address as it was last sent.
    pub(super) fn email(&self, slot: Slot) -> Option<String> {
        let record = self.record(slot)?;
        Pairs::of(&merge(record.text, "{}")).text("Email")
    }

    /// Whether a contact is unsubscribed.
    pub(super) fn unsubscribed(&self, slot: Slot) -> bool {
        self.record(slot).is_some_and(|record| {
            record.text.contains("unsubscribed")
                && Pairs::of(&merge(record.text, "{}")).get("unsubscribed") == Some("true")
        })
    }

    /// Puts a contact on the list it names, if there is one; what the real service does otherwise is unknown.
    pub(super) fn join(&mut self, slot: Slot, list: Option<&Cow<'_, str>>, honoured: bool) {
        let Some(list) = list else { return };
        match self.lists.find(list) {
            Some(list) if honoured => {
                self.lists.add(list, slot);
            }
            _ => self.tallies.list_ids_ignored += 1,
        }
    }
}
