//! What is kept of lists.

use std::collections::{BTreeSet, HashMap};

use super::identity::Identity;

/// A contact's place in the store; it is never given to another contact.
pub(super) type Slot = usize;

/// All lists, in the order they were made.
#[derive(Debug)]
pub(super) struct Lists {
    ids: Identity,
    by_id: HashMap<String, usize>,
    lists: Vec<List>,
    /// How many were ever made.
    made: u64,
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
        Self { ids: Identity::fresh(), by_id: HashMap::new(), lists: Vec::new(), made: 0 }
    }
}

impl Lists {
    /// Makes a list. Titles are not unique: a second list with the same title is made, as a later client states.
    pub(super) fn create(&mut self, title: &str) -> &List {
        let id = self.ids.text("contactlist_", self.made);
        self.made += 1;
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

    /// Deletes a list; false if there is no such list.
    pub(super) fn delete(&mut self, id: &str) -> bool {
        let Some(place) = self.by_id.remove(id) else { return false };
        self.lists.remove(place);
        self.by_id.values_mut().filter(|other| **other > place).for_each(|other| *other -= 1);
        true
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
