//! What a destination holds, and how it may differ from what its undisturbed twin holds.

use std::collections::{BTreeMap, BTreeSet};

use segport_sandbox::Sandbox;
use serde_json::Value;

/// Contacts by address, and lists with their members.
#[derive(Debug, PartialEq)]
pub(super) struct Picture {
    contacts: BTreeMap<String, Value>,
    lists: BTreeMap<String, BTreeSet<String>>,
}

/// Somebody on a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Membership {
    pub(super) title: String,
    pub(super) email: String,
}

/// What differs for every account: ids and times.
const OF_THE_ACCOUNT: [&str; 4] = ["contact_id", "created_at", "updated_at", "lists"];

impl Picture {
    /// Looks at a stand-in.
    ///
    /// # Panics
    /// If two lists have the same title.
    pub(super) fn of(sandbox: &Sandbox) -> Self {
        let autopilot = sandbox.autopilot();
        let contacts = autopilot.contacts().into_iter().map(|mut contact| {
            let fields = contact.as_object_mut().expect("a contact is an object");
            OF_THE_ACCOUNT.iter().for_each(|name| drop(fields.remove(*name)));
            (contact["Email"].as_str().unwrap_or_default().to_owned(), contact)
        });
        let mut picture = Self { contacts: contacts.collect(), lists: BTreeMap::new() };
        for list in autopilot.counts().lists {
            let members = autopilot.list_members(&list.list_id).unwrap_or_default().into_iter().collect();
            let twice = picture.lists.insert(list.title.clone(), members);
            assert!(twice.is_none(), "the list `{}` was made twice", list.title);
        }
        picture
    }

    /// Everybody who is on a list.
    pub(super) fn members(&self) -> BTreeSet<Membership> {
        let on = |title: &String, email: &String| Membership { title: title.clone(), email: email.clone() };
        self.lists.iter().flat_map(|(title, emails)| emails.iter().map(move |email| on(title, email))).collect()
    }

    /// Compares this with the twin's. People of `doubtful` were in the source while a run was killed that no run saw through
    /// before the source changed again: they may have come here in passing, and if the ledger never heard of them, nobody can
    /// take them off a list again. Returns those.
    ///
    /// # Panics
    /// If anything else differs.
    pub(super) fn is_like(
        &self,
        twin: &Self,
        current: &BTreeSet<String>,
        doubtful: &BTreeSet<String>,
    ) -> BTreeSet<Membership> {
        let titles = |picture: &Self| picture.lists.keys().cloned().collect::<Vec<_>>();
        assert_eq!(titles(self), titles(twin), "lists");
        // Who is in the source with an address that cannot be used, or not as theirs, stays what earlier runs made of them, and
        // the twin did not have all of those.
        let may_differ = |email: &String| doubtful.contains(email) && !current.contains(email);
        let mut strays = BTreeSet::new();
        for (title, expected) in &twin.lists {
            let found = &self.lists[title];
            let lost: Vec<_> = expected.difference(found).filter(|email| !may_differ(email)).collect();
            assert!(lost.is_empty(), "missing on `{title}`: {lost:?}");
            let extra: BTreeSet<_> = found.difference(expected).cloned().collect();
            let wrong: Vec<_> = extra.difference(doubtful).collect();
            assert!(wrong.is_empty(), "wrongly on `{title}`: {wrong:?}");
            strays.extend(extra.into_iter().map(|email| Membership { title: title.clone(), email }));
        }
        for (email, expected) in &twin.contacts {
            let found = self.contacts.get(email).unwrap_or_else(|| panic!("the contact {email} is missing"));
            assert!(found == expected || may_differ(email), "the contact {email} is wrong: {found}, not {expected}");
        }
        let wrong: Vec<_> = self
            .contacts
            .keys()
            .filter(|email| !twin.contacts.contains_key(*email) && !doubtful.contains(*email))
            .collect();
        assert!(wrong.is_empty(), "contacts that should not be: {wrong:?}");
        strays
    }
}
