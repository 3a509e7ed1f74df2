//! Records as bytes.
//!
//! A page's body is a run of chunks, each written by one call. A chunk starts with [`CHUNK`]; then come records, a tag each.
//! Numbers are LEB128, hashes are little-endian. Within a chunk a text is written once and then referred to.

use std::collections::HashMap;
use std::str;

use crate::destination_id::DestinationId;
use crate::standing::Standing;
use crate::{Change, Fingerprint, Identity, Intent, KeyHash, Memberships, Record, Row, Undelivered, Untried};

/// The fewest bytes that a record of a row takes: its tag, its identity and one byte of memberships.
pub(crate) const LEAST_BYTES: i64 = 18;

const CHUNK: u8 = 0;
const INTEND_DELIVERY: u8 = 1;
const INTEND_REMOVAL: u8 = 2;
const DONE_ADDED: u8 = 3;
const DONE_CHANGED: u8 = 4;
const LEFT: u8 = 5;
const ROW: u8 = 6;
const ROW_OF_NOBODY: u8 = 7;
const STAYED: u8 = 8;
const STAYED_OF_NOBODY: u8 = 9;
const PAST_ADDED: u8 = 10;
const PAST_CHANGED: u8 = 11;
const HELD: u8 = 12;

const NO_ID: u8 = 0;
const TEXT_ID: u8 = 1;
const LOWER_UUID: u8 = 2;
const UPPER_UUID: u8 = 3;

const FLAG_HELD: u8 = 1;
const FLAG_INTENDED: u8 = 2;
const FLAG_DOUBTFUL: u8 = 4;

/// A record as it is read back; texts are borrowed from the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    Intent(Intent),
    Done {
        identity: Identity,
        value: Acknowledged,
        memberships: Memberships,
        id: DestinationId<'a>,
        change: Change,
    },
    Left {
        identity: Identity,
        memberships: Memberships,
    },
    Row(StoredRow<'a>),
    Stayed(StoredRow<'a>),
    /// What is left of a [`Stored::Done`] whose state was folded.
    Past {
        identity: Identity,
        memberships: Memberships,
        change: Change,
    },
    /// Where a row stands, in a folded page.
    Held {
        identity: Identity,
        value: Acknowledged,
        standing: Standing,
        id: DestinationId<'a>,
    },
}

impl Stored<'_> {
    /// Whose record it is.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self {
            Stored::Intent(Intent::Deliver { identity, .. } | Intent::Remove { identity, .. })
            | Stored::Done { identity, .. }
            | Stored::Left { identity, .. }
            | Stored::Past { identity, .. }
            | Stored::Held { identity, .. } => Some(*identity),
            Stored::Row(row) | Stored::Stayed(row) => row.identity,
        }
    }
}

/// What was acknowledged of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) key: KeyHash,
    pub(crate) fingerprint: Fingerprint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRow<'a> {
    pub(crate) outcome: Undelivered,
    pub(crate) identity: Option<Identity>,
    pub(crate) memberships: Memberships,
    pub(crate) code: &'a str,
    pub(crate) reason: &'a str,
}

/// Writes one chunk.
#[derive(Debug)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    texts: HashMap<String, u64>,
    /// The texts met last, with their numbers: most records repeat the code and the reason of the one before.
    recent: [(String, u64); 2],
    rows: u32,
}

impl Chunk {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(bytes + 1);
        buffer.push(CHUNK);
        Self { bytes: buffer, texts: HashMap::new(), recent: Default::default(), rows: 0 }
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

    pub(crate) fn record(&mut self, record: &Record) {
        match record {
            Record::Done(done) => {
                let value = Acknowledged { key: done.key, fingerprint: done.fingerprint };
                let id = DestinationId::new(done.destination_id.as_deref());
                self.done(done.change, done.identity, value, done.memberships, id);
            }
            Record::Row(row) => self.row(ROW, ROW_OF_NOBODY, &borrow(row)),
            Record::Stayed(row) => self.row(STAYED, STAYED_OF_NOBODY, &borrow(row)),
            Record::Left { identity, memberships } => self.head(LEFT, *identity, *memberships),
        }
    }

    pub(crate) fn untried(&mut self, untried: &Untried) {
        match untried {
            Untried::Row(row) => self.row(ROW, ROW_OF_NOBODY, &borrow(row)),
            Untried::Leaver(row) => self.row(STAYED, STAYED_OF_NOBODY, &borrow(row)),
        }
    }

    /// Writes a record as it was read.
    pub(crate) fn again(&mut self, stored: &Stored<'_>) {
        match stored {
            Stored::Intent(intent) => self.intent(intent),
            Stored::Done { identity, value, memberships, id, change } => {
                self.done(*change, *identity, *value, *memberships, *id);
            }
            Stored::Past { identity, memberships, change } => {
                let tag = match change {
                    Change::Added => PAST_ADDED,
                    Change::Changed => PAST_CHANGED,
                };
                self.head(tag, *identity, *memberships);
            }
            Stored::Held { identity, value, standing, id } => self.held(*identity, *value, standing, *id),
            Stored::Left { identity, memberships } => self.head(LEFT, *identity, *memberships),
            Stored::Row(row) => self.row(ROW, ROW_OF_NOBODY, row),
            Stored::Stayed(row) => self.row(STAYED, STAYED_OF_NOBODY, row),
        }
    }

    /// What remains of a record once its state is folded; intents are kept for a run that has no outcomes for all of them.
    pub(crate) fn past(&mut self, stored: &Stored<'_>, intents: Intents) {
        match *stored {
            Stored::Intent(_) if intents == Intents::Dropped => {}
            Stored::Held { .. } => {}
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
                | flag(standing.doubtful, FLAG_DOUBTFUL),
        );
        self.value(value);
        self.id(id);
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

    fn row(&mut self, of_somebody: u8, of_nobody: u8, row: &StoredRow<'_>) {
        match row.identity {
            Some(identity) => self.head(of_somebody, identity, row.memberships),
            None => {
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
        identity: row.identity,
        memberships: row.memberships,
        code: &row.code,
        reason: &row.reason,
    }
}

/// The bytes are not records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotRecords;

/// Reads the records of a page's body.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    texts: Vec<&'a str>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body, texts: Vec::new() }
    }

    fn record(&mut self, tag: u8) -> Result<Stored<'a>, NotRecords> {
        if matches!(tag, ROW_OF_NOBODY | STAYED_OF_NOBODY) {
            let memberships = self.memberships()?;
            let row = self.row(None, memberships)?;
            return Ok(if tag == ROW_OF_NOBODY { Stored::Row(row) } else { Stored::Stayed(row) });
        }
        let identity = Identity::from_bits(u128::from_le_bytes(self.array()?));
        let memberships = self.memberships()?;
        Ok(match tag {
            INTEND_DELIVERY => Stored::Intent(Intent::Deliver { identity, memberships }),
            INTEND_REMOVAL => Stored::Intent(Intent::Remove { identity, memberships }),
            DONE_ADDED => self.done(identity, memberships, Change::Added)?,
            DONE_CHANGED => self.done(identity, memberships, Change::Changed)?,
            LEFT => Stored::Left { identity, memberships },
            ROW => Stored::Row(self.row(Some(identity), memberships)?),
            STAYED => Stored::Stayed(self.row(Some(identity), memberships)?),
            PAST_ADDED => Stored::Past { identity, memberships, change: Change::Added },
            PAST_CHANGED => Stored::Past { identity, memberships, change: Change::Changed },
            HELD => self.held(identity, memberships)?,
            _ => return Err(NotRecords),
        })
    }

    fn done(&mut self, identity: Identity, memberships: Memberships, change: Change) -> Result<Stored<'a>, NotRecords> {
        Ok(Stored::Done { identity, value: self.value()?, memberships, id: self.id()?, change })
    }

    fn held(&mut self, identity: Identity, acknowledged: Memberships) -> Result<Stored<'a>, NotRecords> {
        let possible = self.memberships()?;
        let flags = self.byte()?;
        let value = self.value()?;
        let id = self.id()?;
        let standing = Standing {
            acknowledged,
            possible,
            held: flags & FLAG_HELD != 0,
            intended: flags & FLAG_INTENDED != 0,
            doubtful: flags & FLAG_DOUBTFUL != 0,
            has_destination_id: id.is_some(),
            ..Standing::default()
        };
        Ok(Stored::Held { identity, value, standing, id })
    }

    fn row(&mut self, identity: Option<Identity>, memberships: Memberships) -> Result<StoredRow<'a>, NotRecords> {
        let outcome = match self.byte()? {
            0 => Undelivered::Invalid,
            1 => Undelivered::Duplicate,
            2 => Undelivered::Suppressed,
            3 => Undelivered::Deferred,
            4 => Undelivered::Refused,
            5 => Undelivered::Unknown,
            _ => return Err(NotRecords),
        };
        Ok(StoredRow { outcome, identity, memberships, code: self.text()?, reason: self.text()? })
    }

    fn value(&mut self) -> Result<Acknowledged, NotRecords> {
        Ok(Acknowledged {
            key: KeyHash::from_bits(u64::from_le_bytes(self.array()?)),
            fingerprint: Fingerprint::from_bits(u128::from_le_bytes(self.array()?)),
        })
    }

    fn id(&mut self) -> Result<DestinationId<'a>, NotRecords> {
        Ok(match self.byte()? {
            NO_ID => DestinationId::None,
            TEXT_ID => DestinationId::Text(self.raw()?),
            kind @ (LOWER_UUID | UPPER_UUID) => {
                DestinationId::Uuid { prefix: self.text()?, uuid: self.array()?, upper_case: kind == UPPER_UUID }
            }
            _ => return Err(NotRecords),
        })
    }

    fn memberships(&mut self) -> Result<Memberships, NotRecords> {
        self.number().map(Memberships::from_bits)
    }

    fn text(&mut self) -> Result<&'a str, NotRecords> {
        match self.number()?.checked_sub(1) {
            None => {
                let text = self.raw()?;
                self.texts.push(text);
                Ok(text)
            }
            Some(number) => {
                let number = usize::try_from(number).map_err(|_| NotRecords)?;
                self.texts.get(number).copied().ok_or(NotRecords)
            }
        }
    }

    fn raw(&mut self) -> Result<&'a str, NotRecords> {
        let length = usize::try_from(self.number()?).map_err(|_| NotRecords)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(NotRecords)?;
        self.rest = rest;
        str::from_utf8(text).map_err(|_| NotRecords)
    }

    fn number(&mut self) -> Result<u64, NotRecords> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(NotRecords)
    }

    fn byte(&mut self) -> Result<u8, NotRecords> {
        let (byte, rest) = self.rest.split_first().ok_or(NotRecords)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotRecords> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(NotRecords)?;
        self.rest = rest;
        Ok(*array)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Stored<'a>, NotRecords>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (tag, rest) = self.rest.split_first()?;
            self.rest = rest;
            if *tag != CHUNK {
                let record = self.record(*tag);
                if record.is_err() {
                    self.rest = &[];
                }
                return Some(record);
            }
            self.texts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::Done;

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let text = prop_oneof![Just(String::new()), "[a-c]{1,2}", "\\PC{0,40}"];
        let id =
            prop::option::of(prop_oneof![Just("person_9EAF39E4-9AEC-4134-964A-D9D8D54162E7".to_owned()), "\\PC{0,50}"]);
        let masks = any::<u64>().prop_map(Memberships::from_bits);
        let identities = any::<u128>().prop_map(Identity::from_bits);
        let outcome = prop::sample::select(vec![
            Undelivered::Invalid,
            Undelivered::Duplicate,
            Undelivered::Suppressed,
            Undelivered::Deferred,
            Undelivered::Refused,
            Undelivered::Unknown,
        ]);
        let row = (outcome, prop::option::of(identities.clone()), masks.clone(), text.clone(), text).prop_map(
            |(outcome, identity, memberships, code, reason)| Row {
                outcome,
                identity,
                memberships,
                code: Cow::Owned(code),
                reason: reason.into(),
            },
        );
        let done = (identities.clone(), any::<u64>(), any::<u128>(), masks.clone(), id, any::<bool>()).prop_map(
            |(identity, key, fingerprint, memberships, destination_id, added)| Done {
                identity,
                key: KeyHash::from_bits(key),
                fingerprint: Fingerprint::from_bits(fingerprint),
                memberships,
                destination_id,
                change: if added { Change::Added } else { Change::Changed },
            },
        );
        let record = prop_oneof![
            done.prop_map(Record::Done),
            row.clone().prop_map(Record::Row),
            row.prop_map(Record::Stayed),
            (identities, masks).prop_map(|(identity, memberships)| Record::Left { identity, memberships }),
        ];
        prop::collection::vec(record, 0..20)
    }

    fn owned(stored: Stored<'_>) -> Record {
        let row = |row: StoredRow<'_>| Row {
            outcome: row.outcome,
            identity: row.identity,
            memberships: row.memberships,
            code: Cow::Owned(row.code.to_owned()),
            reason: row.reason.into(),
        };
        match stored {
            Stored::Done { identity, value, memberships, id, change } => Record::Done(Done {
                identity,
                key: value.key,
                fingerprint: value.fingerprint,
                memberships,
                destination_id: id.to_text(),
                change,
            }),
            Stored::Row(stored) => Record::Row(row(stored)),
            Stored::Stayed(stored) => Record::Stayed(row(stored)),
            Stored::Left { identity, memberships } => Record::Left { identity, memberships },
            other => panic!("not an outcome: {other:?}"),
        }
    }

    proptest! {
        #[test]
        fn records_survive(chunks in prop::collection::vec(records(), 0..4)) {
            let mut body = Vec::new();
            for records in &chunks {
                let mut chunk = Chunk::with_capacity(0);
                records.iter().for_each(|record| chunk.record(record));
                prop_assert_eq!(chunk.rows() as usize, records.len());
                body.extend(chunk.into_bytes());
            }
            let read: Vec<Record> = Records::new(&body).map(|stored| owned(stored.unwrap())).collect();
            prop_assert_eq!(&read, &chunks.concat());
            let mut again = Chunk::with_capacity(0);
            Records::new(&body).for_each(|stored| again.again(&stored.unwrap()));
            let read_again: Vec<Record> =
                Records::new(&again.into_bytes()).map(|stored| owned(stored.unwrap())).collect();
            prop_assert_eq!(read_again, read);
        }

        #[test]
        fn any_bytes_are_records_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Records::new(&bytes).count() <= bytes.len());
        }
    }
}
