//! Contact endpoints.

use std::collections::HashSet;

use super::account::{NoContact, PERSON};
use super::document::{render, string};
use super::email::EmailKey;
use super::identity::Identity;
use super::incoming::{self, Batch, Write};
use super::list::Slot;
use super::{Autopilot, errors, paging};
use crate::destination::{Destination, Reply};
use crate::fault::Rules;

/// What became of each contact of a write, in order; none was not stored.
struct Stored {
    slots: Vec<Option<Slot>>,
    ids: Identity,
}

impl Autopilot {
    /// `POST /contact`.
    pub(super) fn write_one(&self, body: &[u8], rules: &Rules) -> Reply {
        let document = match incoming::document(body) {
            Ok(document) => document,
            Err(error) => return errors::unusable(&error),
        };
        let batch = match incoming::single(&document) {
            Ok(batch) => batch,
            Err(error) => return errors::unusable(&error),
        };
        let emails = addresses(&batch);
        if let Some(refusal) = self.refusal(&emails, rules) {
            return refusal;
        }
        // A lost contact is acknowledged all the same, with an id that leads nowhere.
        let lost = !rules.dropped(&emails).is_empty();
        let stored = if lost { None } else { Some(self.store(&batch, &[], true)) };
        let id = match stored.map(|stored| (stored.slots.first().copied().flatten(), stored.ids)) {
            None => Identity::fresh().text(PERSON, 0),
            Some((Some(slot), ids)) => ids.text(PERSON, slot as u64),
            Some((None, _)) => return errors::address_taken(),
        };
        Reply::json(200, format!(r#"{{"contact_id":"{id}"}}"#))
    }

    /// `POST /contacts`.
    pub(super) fn write_many(&self, body: &[u8], rules: &Rules) -> Reply {
        let document = match incoming::document(body) {
            Ok(document) => document,
            Err(error) => return errors::unusable(&error),
        };
        let batch = match incoming::bulk(&document) {
            Ok(batch) => batch,
            Err(error) => return errors::unusable(&error),
        };
        let emails = addresses(&batch);
        if let Some(refusal) = self.refusal(&emails, rules) {
            return refusal;
        }
        let stored = self.store(&batch, &rules.dropped(&emails), rules.bulk_lists.unwrap_or(self.bulk_lists));
        Reply::json(200, bulk_answer(&emails, &stored, rules.partial_map))
    }

    fn refusal(&self, emails: &[Option<&str>], rules: &Rules) -> Option<Reply> {
        rules.refusal(emails).map(|answer| self.failure(answer.status).scripted(&answer))
    }

    /// Stores the contacts of a write, except those dropped.
    ///
    /// Duplicate addresses inside one batch are written one after the other; the real behaviour is unknown.
    fn store(&self, batch: &Batch<'_>, dropped: &[bool], lists: bool) -> Stored {
        let now = self.clock.epoch_millis();
        let key = |write: &Write<'_>| write.email.as_deref().map(EmailKey::of);
        let keys: Vec<Option<EmailKey>> = batch.writes.iter().map(key).collect();
        let mut slots = Vec::with_capacity(batch.writes.len());
        let mut account = self.account();
        for (key, value) in &batch.custom {
            account.definitions.note(key, value, now, self.ids);
        }
        for (at, (write, key)) in batch.writes.iter().zip(keys).enumerate() {
            let lost = dropped.get(at).copied().unwrap_or_default();
            let slot = if lost { None } else { account.write(write, key, now).ok() };
            if let Some(slot) = slot {
                account.join(slot, write.list.as_ref(), lists);
            }
            slots.push(slot);
        }
        Stored { slots, ids: account.contact_ids }
    }

    /// `GET /contact/{contact}`.
    pub(super) fn read(&self, contact: &str) -> Reply {
        let account = self.account();
        match account.find(contact) {
            Ok(slot) => {
                let mut out = Vec::new();
                if let Some(record) = account.record(slot) {
                    render(&mut out, &record);
                }
                Reply::json(200, out)
            }
            Err(missing) => missing.reply(),
        }
    }

    /// `DELETE /contact/{contact}`. The later text of 404 is used, which was seen live; the draft has a longer one.
    pub(super) fn delete(&self, contact: &str) -> Reply {
        let mut account = self.account();
        match account.find(contact) {
            Ok(slot) => {
                account.delete(slot);
                Reply::json(200, "{}")
            }
            Err(missing) => missing.reply(),
        }
    }

    /// `POST /contact/{contact}/unsubscribe`.
    pub(super) fn unsubscribe(&self, contact: &str) -> Reply {
        let mut account = self.account();
        match account.find(contact) {
            Ok(slot) => {
                account.unsubscribe(slot, self.clock.epoch_millis());
                Reply::json(200, "{}")
            }
            Err(missing) => missing.reply(),
        }
    }

    /// `GET /contacts`.
    pub(super) fn contact_page(&self, bookmark: Option<&str>) -> Reply {
        let account = self.account();
        let start = paging::start(&account, bookmark);
        paging::page(&account, account.slots_from(start), account.live())
    }

    /// `GET /contacts/custom_fields`.
    pub(super) fn custom_fields(&self) -> Reply {
        Reply::value(200, &self.account().definitions.list())
    }
}

impl NoContact {
    /// The answer to a path that names no contact.
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::Invalid => errors::invalid_contact(),
            Self::Unknown => errors::no_contact(),
        }
    }
}

fn addresses<'b>(batch: &'b Batch<'_>) -> Vec<Option<&'b str>> {
    batch.writes.iter().map(|write| write.email.as_deref()).collect()
}

/// The ids in the order of the request, and a map from each address as sent to its id.
fn bulk_answer(emails: &[Option<&str>], stored: &Stored, left_out: usize) -> Vec<u8> {
    let length: usize = emails.iter().map(|email| email.map_or(0, str::len) + 104).sum();
    let mut ids = Vec::with_capacity(64 + length);
    let mut map = Vec::with_capacity(length);
    // One address twice in a batch must not give the same key twice.
    let mut seen = repeated(&stored.slots).then(HashSet::new);
    let mut skip = left_out;
    ids.extend_from_slice(b"{\"contact_ids\":[");
    for (email, slot) in emails.iter().zip(&stored.slots) {
        let Some(slot) = slot else { continue };
        let uuid = stored.ids.uuid(*slot as u64);
        quoted_id(&mut ids, &uuid);
        ids.push(b',');
        let Some(email) = email else { continue };
        if seen.as_mut().is_some_and(|seen| !seen.insert(*email)) {
            continue;
        }
        if skip > 0 {
            skip -= 1;
            continue;
        }
        string(&mut map, email);
        map.push(b':');
        quoted_id(&mut map, &uuid);
        map.push(b',');
    }
    ids.pop_if(|last| *last == b',');
    map.pop_if(|last| *last == b',');
    ids.extend_from_slice(b"],\"email_contact_map\":{");
    ids.append(&mut map);
    // What the service has leaked since 2017; clients ignore it.
    ids.extend_from_slice(b"},\"_removeResultKeys\":[\"proposedContacts\"]}");
    ids
}

fn repeated(slots: &[Option<Slot>]) -> bool {
    let mut sorted: Vec<Slot> = slots.iter().flatten().copied().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

fn quoted_id(out: &mut Vec<u8>, uuid: &[u8; 36]) {
    out.extend_from_slice(b"\"person_");
    out.extend_from_slice(uuid);
    out.push(b'"');
}
