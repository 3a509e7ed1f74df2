//! What the installed plugins say of themselves.

use std::collections::BTreeMap;

use segport_core::Descriptor;

/// The descriptors of the plugins that manifests are checked against.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    descriptors: BTreeMap<String, Descriptor>,
}

impl Catalog {
    /// A catalog of these plugins; of two with the same id the later one counts.
    pub fn new(descriptors: Vec<Descriptor>) -> Self {
        Self { descriptors: descriptors.into_iter().map(|it| (it.id.clone(), it)).collect() }
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
