//! Who the hashes of the ledger are, as long as the source still knows: the segments are read again.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::{Array, StringArray};
use segport_core::{Error, ErrorKind, Result};
use segport_ledger::{Hasher, Identity, KeyHash, OutcomeKind, RowRecord, Whose};

use crate::engine::Engine;
use crate::map::MappedPage;
use crate::name::key_of;
use crate::open_export::OpenSegment;
use crate::progress::{Progress, Stage};
use crate::start_error::StartError;

/// Rows of a run, to be found again in the source. Memory grows with the rows that were asked for, not with the source.
///
/// It holds profile data, so its `Debug` shows none of it.
#[derive(Default)]
pub struct Revealed {
    people: HashMap<Identity, Person>,
    /// Keys of rows that have no identity, once they are found.
    keys: HashMap<KeyHash, Option<Vec<String>>>,
    /// Position of the segment that a key was first found unfit in: a profile that is in several is listed once.
    unfit_in: HashMap<Vec<String>, usize>,
}

/// What the source says of one row. Profile data.
#[derive(Clone, PartialEq, Eq)]
pub struct Named {
    /// The values of the segment's key columns.
    pub key: Vec<String>,
    /// Who it is at the destination, such as a normalised e-mail address; `None` if the row had none that could be read.
    pub identity: Option<String>,
}

/// Everybody in the source who has one identity. A run lists the rows in the order in which they are read.
#[derive(Default)]
struct Person {
    identity: String,
    /// The key of the row that counts, and the segment it was last seen in.
    first: Option<(Vec<String>, usize)>,
    /// Keys of further rows with this identity.
    duplicates: Keys,
    /// Keys of rows that cannot be sent as they are.
    unfit: Keys,
}

/// Keys that wait to be shown, no more than rows were listed.
#[derive(Default)]
struct Keys {
    listed: usize,
    waiting: VecDeque<Vec<String>>,
}

impl Keys {
    fn have_room(&self) -> bool {
        self.waiting.len() < self.listed.max(1)
    }
}

impl Revealed {
    /// Asks for a row. One that has neither an identity nor a key cannot be found.
    pub fn ask(&mut self, row: &RowRecord) {
        let identity = match row.whose {
            Whose::Identity(identity) => identity,
            Whose::Key(key) => {
                self.keys.entry(key).or_default();
                return;
            }
            Whose::Nobody => return,
        };
        let person = self.people.entry(identity).or_default();
        match row.outcome {
            OutcomeKind::Duplicate => person.duplicates.listed += 1,
            OutcomeKind::Invalid => person.unfit.listed += 1,
            _ => {}
        }
    }

    /// What was found of a row; `None` if the source has nobody like that any more. To be called once for each row that was
    /// asked for, in the same order: the second duplicate of somebody is the second one in the source.
    pub fn take(&mut self, row: &RowRecord) -> Option<Named> {
        let identity = match row.whose {
            Whose::Identity(identity) => identity,
            Whose::Key(key) => return Some(Named { key: self.keys.get(&key)?.clone()?, identity: None }),
            Whose::Nobody => return None,
        };
        let person = self.people.get_mut(&identity)?;
        let first = person.first.as_ref().map(|(key, _)| key);
        let key = match row.outcome {
            OutcomeKind::Duplicate => person.duplicates.waiting.pop_front().or_else(|| first.cloned()),
            OutcomeKind::Invalid => person.unfit.waiting.pop_front().or_else(|| first.cloned()),
            _ => first.or_else(|| person.unfit.waiting.front()).cloned(),
        };
        Some(Named { key: key?, identity: Some(person.identity.clone()) })
    }

    async fn read(&mut self, segments: &[OpenSegment], hasher: &Hasher, advance: impl Fn(u64)) -> Result<()> {
        for (position, segment) in segments.iter().enumerate() {
            let read = read(segment, |identities, page| {
                self.page(position, hasher, identities, page);
                advance(identities.len() as u64);
            });
            read.await.map_err(|error| error.with("segment", &*segment.reader.id))?;
        }
        Ok(())
    }

    /// Finds rows by their keys, whatever address they have by now.
    fn find_keys(&mut self, hasher: &Hasher, page: &MappedPage) {
        let mut joined = Vec::new();
        for row in 0..page.rows.num_rows() {
            if let Some(found) = self.keys.get_mut(&key_of(hasher, &page.keys, row, &mut joined)) {
                found.get_or_insert_with(|| key_in(page, row));
            }
        }
    }

    fn page(&mut self, position: usize, hasher: &Hasher, identities: &StringArray, page: &MappedPage) {
        if !self.keys.is_empty() {
            self.find_keys(hasher, page);
        }
        for row in (0..identities.len()).filter(|&row| identities.is_valid(row)) {
            let identity = identities.value(row);
            let Some(person) = self.people.get_mut(&hasher.identity(identity.as_bytes())) else { continue };
            if person.identity.is_empty() {
                identity.clone_into(&mut person.identity);
            }
            let key = key_in(page, row);
            if page.flaws.get(row).is_some_and(Option::is_some) {
                if person.unfit.have_room() && *self.unfit_in.entry(key.clone()).or_insert(position) == position {
                    person.unfit.waiting.push_back(key);
                }
                continue;
            }
            match &mut person.first {
                None => person.first = Some((key, position)),
                // The same profile in another segment.
                Some((first, last_seen)) if *first == key && *last_seen != position => *last_seen = position,
                Some(_) if person.duplicates.have_room() => person.duplicates.waiting.push_back(key),
                Some(_) => {}
            }
        }
    }
}

/// The values of a row's key columns.
fn key_in(page: &MappedPage, row: usize) -> Vec<String> {
    page.keys.iter().map(|key| if key.is_valid(row) { key.value(row).to_owned() } else { String::new() }).collect()
}

impl Engine {
    /// Reads the segments of `export` again and finds the rows that were asked for. `hasher` is that of the ledger they are
    /// from. No destination is called, and the connection's secrets are not needed.
    ///
    /// # Errors
    /// If there is no such export any more, or a segment cannot be read.
    pub async fn reveal(
        &self,
        export: &str,
        hasher: &Hasher,
        rows: &mut Revealed,
        progress: &dyn Progress,
    ) -> Result<(), StartError> {
        let segments = self.segments(export)?;
        progress.stage(export, Stage::Reading);
        let read = rows.read(&segments, hasher, |read| progress.advance(export, read)).await;
        progress.finished(export);
        read.map_err(StartError::Source)
    }
}

/// Hands each mapped page to `take`, with the column that says who its rows are.
async fn read(segment: &OpenSegment, mut take: impl FnMut(&StringArray, &MappedPage)) -> Result<()> {
    let mut pages = segment.reader.pages("", &segment.mapping);
    while let Some(page) = pages.next().await {
        let mapped = segment.mapping.map(&page?.rows)?;
        let identities = mapped.rows.columns().get(segment.mapping.identity());
        let identities = identities.and_then(|column| column.as_string_opt::<i32>()).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "a mapped page has no text column that says who its rows are")
        })?;
        take(identities, &mapped);
    }
    Ok(())
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revealed({} rows)", self.people.len() + self.keys.len())
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Named(..)")
    }
}
