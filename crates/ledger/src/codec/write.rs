//! Writing records.

use std::collections::HashMap;

use super::{
    AT, Acknowledged, CHUNK, DONE_ADDED, DONE_CHANGED, FLAG_ALL_AGAIN, FLAG_DOUBTFUL, FLAG_HELD, FLAG_INTENDED,
    FLAG_VALUES_AGAIN, HELD, INTEND_DELIVERY, INTEND_REMOVAL, LEFT, LOWER_UUID, MOVED, NO_ID, PAST_ADDED, PAST_CHANGED,
    RENEWED, ROW, ROW_OF_KEY, ROW_OF_NOBODY, STAYED, STAYED_OF_KEY, STAYED_OF_NOBODY, Stored, StoredRow, TEXT_ID,
    UPPER_UUID, VACATED,
};
use crate::destination_id::DestinationId;
use crate::standing::{Again, Standing};
use crate::{Change, Identity, Intent, Memberships, Record, Row, Undelivered, Untried, Whose};

/// Tags of a row of somebody, of a key and of nobody.
const ROWS: [u8; 3] = [ROW, ROW_OF_KEY, ROW_OF_NOBODY];
/// The same of leavers.
const LEAVERS: [u8; 3] = [STAYED, STAYED_OF_KEY, STAYED_OF_NOBODY];

/// Writes one chunk.
#[derive(Debug)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    texts: HashMap<String, u64>,
    /// The texts met last, with their numbers: most records repeat the code and the reason of the one before.
    recent: [(String, u64); 2],
    at: Option<Memberships>,
    rows: u32,
}

impl Chunk {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(bytes + 1);
        buffer.push(CHUNK);
        Self { bytes: buffer, texts: HashMap::new(), recent: Default::default(), at: None, rows: 0 }
    }

    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn intent(&mut self, intent: &Intent) {
        match *intent {
            Intent::Deliver { identity, memberships } => self.head(INTEND_DELIVERY, identity, memberships),
            Intent::Remove { identity, memberships } => self.head(INTEND_REMOVAL, identity, memberships),
        }
    }

    /// What is acknowledged from here on is so while the export has these segments.
    pub(crate) fn at(&mut self, segments: Memberships) {
        if self.at.replace(segments) != Some(segments) {
            self.bytes.push(AT);
            self.number(segments.bits());
        }
    }

    pub(crate) fn record(&mut self, record: &Record) {
        match record {
            Record::Done(done) => {
                let value = Acknowledged { key: done.key, fingerprint: done.fingerprint };
                let id = DestinationId::new(done.destination_id.as_deref());
                self.done(done.change, done.identity, value, done.memberships, id);
            }
            Record::Row(row) => self.row(ROWS, &borrow(row)),
            Record::Stayed(row) => self.row(LEAVERS, &borrow(row)),
            Record::Left { identity, memberships } => self.head(LEFT, *identity, *memberships),
        }
    }

    pub(crate) fn untried(&mut self, untried: &Untried) {
        match untried {
            Untried::Row(row) => self.row(ROWS, &borrow(row)),
            Untried::Leaver(row) => self.row(LEAVERS, &borrow(row)),
        }
    }

    /// Writes a record as it was read.
    pub(crate) fn again(&mut self, stored: &Stored<'_>) {
        match stored {
            Stored::Intent(intent) => self.intent(intent),
            Stored::Done { identity, value, memberships, id, change, at } => {
                self.at(*at);
                self.done(*change, *identity, *value, *memberships, *id);
            }
            Stored::Past { identity, memberships, change } => {
                let tag = match change {
                    Change::Added => PAST_ADDED,
                    Change::Changed => PAST_CHANGED,
                };
                self.head(tag, *identity, *memberships);
            }
            Stored::Held { identity, value, standing, id, at } => {
                self.at(*at);
                self.held(*identity, *value, standing, *id);
            }
            Stored::Left { identity, memberships } => self.head(LEFT, *identity, *memberships),
            Stored::Row(row) => self.row(ROWS, row),
            Stored::Stayed(row) => self.row(LEAVERS, row),
            Stored::Renewed => self.renewed(),
            Stored::Vacated(lists) => self.vacated(*lists),
            Stored::Moved(lists) => self.moved(*lists),
        }
    }

    /// What remains of a record once its state is folded; intents are kept for a run that has no outcomes for all of them.
    pub(crate) fn past(&mut self, stored: &Stored<'_>, intents: Intents) {
        match *stored {
            Stored::Intent(_) if intents == Intents::Dropped => {}
            Stored::Held { .. } | Stored::Renewed | Stored::Vacated(_) | Stored::Moved(_) => {}
            Stored::Done { identity, memberships, change, .. } => {
                self.again(&Stored::Past { identity, memberships, change });
            }
            ref other => self.again(other),
        }
    }

    pub(crate) fn held(&mut self, identity: Identity, value: Acknowledged, standing: &Standing, id: DestinationId<'_>) {
        self.head(HELD, identity, standing.acknowledged);
        self.number(standing.possible.bits());
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        self.bytes.push(
            flag(standing.held, FLAG_HELD)
                | flag(standing.intended, FLAG_INTENDED)
                | flag(standing.doubtful, FLAG_DOUBTFUL)
                | flag(standing.again == Again::Values, FLAG_VALUES_AGAIN)
                | flag(standing.again == Again::All, FLAG_ALL_AGAIN),
        );
        self.value(value);
        self.id(id);
    }

    pub(crate) fn renewed(&mut self) {
        self.rows += 1;
        self.bytes.push(RENEWED);
    }

    pub(crate) fn vacated(&mut self, lists: Memberships) {
        self.of_lists(VACATED, lists);
    }

    pub(crate) fn moved(&mut self, lists: Memberships) {
        self.of_lists(MOVED, lists);
    }

    fn of_lists(&mut self, tag: u8, lists: Memberships) {
        self.rows += 1;
        self.bytes.push(tag);
        self.number(lists.bits());
    }

    fn done(
        &mut self,
        change: Change,
        identity: Identity,
        value: Acknowledged,
        memberships: Memberships,
        id: DestinationId<'_>,
    ) {
        let tag = match change {
            Change::Added => DONE_ADDED,
            Change::Changed => DONE_CHANGED,
        };
        self.head(tag, identity, memberships);
        self.value(value);
        self.id(id);
    }

    fn row(&mut self, [of_somebody, of_key, of_nobody]: [u8; 3], row: &StoredRow<'_>) {
        match row.whose {
            Whose::Identity(identity) => self.head(of_somebody, identity, row.memberships),
            Whose::Key(key) => {
                self.rows += 1;
                self.bytes.push(of_key);
                self.bytes.extend_from_slice(&key.bits().to_le_bytes());
                self.number(row.memberships.bits());
            }
            Whose::Nobody => {
                self.rows += 1;
                self.bytes.push(of_nobody);
                self.number(row.memberships.bits());
            }
        }
        self.bytes.push(match row.outcome {
            Undelivered::Invalid => 0,
            Undelivered::Duplicate => 1,
            Undelivered::Suppressed => 2,
            Undelivered::Deferred => 3,
            Undelivered::Refused => 4,
            Undelivered::Unknown => 5,
        });
        self.text(row.code);
        self.text(row.reason);
    }

    fn head(&mut self, tag: u8, identity: Identity, memberships: Memberships) {
        self.rows += 1;
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&identity.bits().to_le_bytes());
        self.number(memberships.bits());
    }

    fn value(&mut self, value: Acknowledged) {
        self.bytes.extend_from_slice(&value.key.bits().to_le_bytes());
        self.bytes.extend_from_slice(&value.fingerprint.bits().to_le_bytes());
    }

    fn id(&mut self, id: DestinationId<'_>) {
        match id {
            DestinationId::None => self.bytes.push(NO_ID),
            DestinationId::Text(text) => {
                self.bytes.push(TEXT_ID);
                self.raw(text);
            }
            DestinationId::Uuid { prefix, uuid, upper_case } => {
                self.bytes.push(if upper_case { UPPER_UUID } else { LOWER_UUID });
                self.text(prefix);
                self.bytes.extend_from_slice(&uuid);
            }
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(&(_, number)) = self.recent.iter().find(|(recent, number)| *number > 0 && recent == text) {
            return self.number(number);
        }
        let number = match self.texts.get(text) {
            Some(&number) => {
                self.number(number);
                number
            }
            None => {
                let number = self.texts.len() as u64 + 1;
                self.texts.insert(text.to_owned(), number);
                self.number(0);
                self.raw(text);
                number
            }
        };
        let [latest, before] = &mut self.recent;
        std::mem::swap(latest, before);
        text.clone_into(&mut latest.0);
        latest.1 = number;
    }

    fn raw(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }
}

/// Whether intents are worth keeping for the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intents {
    Kept,
    Dropped,
}

fn borrow(row: &Row) -> StoredRow<'_> {
    StoredRow {
        outcome: row.outcome,
        whose: row.whose,
        memberships: row.memberships,
        code: &row.code,
        reason: &row.reason,
    }
}
