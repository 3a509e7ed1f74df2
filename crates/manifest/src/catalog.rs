//! What the installed plugins say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use segport_core::Descriptor;

/// The descriptors of the plugins that manifests are checked against.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    descriptors: BTreeMap<String, Descriptor>,
    /// Ids of plugins that are there and of which nothing else is known.
    others: BTreeSet<String>,
}

impl Catalog {
    /// A catalog of these plugins; of two with the same id the later one counts.
    pub fn new(descriptors: Vec<Descriptor>) -> Self {
        Self { descriptors: descriptors.into_iter().map(|it| (it.id.clone(), it)).collect(), others: BTreeSet::new() }
    }

    /// Adds plugins that are there but were not loaded, since nobody names them; one of them may have been meant.
    #[must_use]
    pub fn beside(mut self, ids: impl IntoIterator<Item = String>) -> Self {
        self.others = ids.into_iter().filter(|id| !self.descriptors.contains_key(id)).collect();
        self
    }

    /// Ids of the plugins that are there but were not loaded.
    pub(crate) fn others(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(String::as_str)
    }

    /// Whether there is any plugin at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.descriptors.is_empty() && self.others.is_empty()
    }

    /// The plugin of that id.
    pub fn get(&self, id: &str) -> Option<&Descriptor> {
        self.descriptors.get(id)
    }

    /// All plugins, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.descriptors.values()
    }
}
