//! Records as bytes.
//!
//! A page's body is a run of chunks, each written by one call. A chunk starts with [`CHUNK`]; then come records, a tag each.
//! Numbers are LEB128, hashes are little-endian. Within a chunk a text is written once and then referred to. Behind [`AT`] stand
//! the segments that the export had when what follows was acknowledged: to tell which account of the destination gave an id.

mod read;
mod write;

pub(crate) use self::read::Records;
pub(crate) use self::write::{Chunk, Intents};
use crate::destination_id::DestinationId;
use crate::standing::Standing;
use crate::{Change, Fingerprint, Identity, Intent, KeyHash, Memberships, Undelivered, Whose};

/// The fewest bytes that a record of somebody's row takes: its tag, its identity and one byte of memberships. Those of nobody's are in
/// pages that are not counted.
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
const RENEWED: u8 = 13;
const AT: u8 = 14;
const VACATED: u8 = 15;
const MOVED: u8 = 16;
const ROW_OF_KEY: u8 = 17;
const STAYED_OF_KEY: u8 = 18;

const NO_ID: u8 = 0;
const TEXT_ID: u8 = 1;
const LOWER_UUID: u8 = 2;
const UPPER_UUID: u8 = 3;

const FLAG_HELD: u8 = 1;
const FLAG_INTENDED: u8 = 2;
const FLAG_DOUBTFUL: u8 = 4;
const FLAG_VALUES_AGAIN: u8 = 8;
const FLAG_ALL_AGAIN: u8 = 16;

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
        /// Segments of the same account as the id, those of the record where no more is known.
        at: Memberships,
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
        /// As of [`Stored::Done`].
        at: Memberships,
    },
    /// Every row that is held by now, or may be, is to be sent again.
    Renewed,
    /// The lists of these segments are gone, and nobody is on them any more.
    Vacated(Memberships),
    /// The same, because these segments go to another account; and every row is to be sent again.
    Moved(Memberships),
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
            Stored::Row(row) | Stored::Stayed(row) => row.whose.identity(),
            Stored::Renewed | Stored::Vacated(_) | Stored::Moved(_) => None,
        }
    }

    /// Whether it is about every row.
    pub(crate) fn is_of_all(&self) -> bool {
        matches!(self, Stored::Renewed | Stored::Vacated(_) | Stored::Moved(_))
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
    pub(crate) whose: Whose,
    pub(crate) memberships: Memberships,
    pub(crate) code: &'a str,
    pub(crate) reason: &'a str,
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::{Done, Record, Row};

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
        let whose = prop_oneof![
            identities.clone().prop_map(Whose::Identity),
            any::<u64>().prop_map(|key| Whose::Key(KeyHash::from_bits(key))),
            Just(Whose::Nobody),
        ];
        let row = (outcome, whose, masks.clone(), text.clone(), text).prop_map(
            |(outcome, whose, memberships, code, reason)| Row {
                outcome,
                whose,
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
            whose: row.whose,
            memberships: row.memberships,
            code: Cow::Owned(row.code.to_owned()),
            reason: row.reason.into(),
        };
        match stored {
            Stored::Done { identity, value, memberships, id, change, .. } => Record::Done(Done {
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

    #[test]
    fn records_about_all_rows_survive() {
        let lists = Memberships::from_bits(1 << 63 | 5);
        let mut chunk = Chunk::with_capacity(0);
        chunk.vacated(lists);
        chunk.renewed();
        chunk.moved(lists);
        assert_eq!(chunk.rows(), 3);
        let body = chunk.into_bytes();
        let mut again = Chunk::with_capacity(0);
        Records::new(&body).for_each(|stored| again.again(&stored.unwrap()));
        let read: Vec<Stored<'_>> = Records::new(&body).map(Result::unwrap).collect();
        let expected = [Stored::Vacated(lists), Stored::Renewed, Stored::Moved(lists)];
        assert_eq!((&*read, again.into_bytes()), (&expected[..], body.clone()));
        assert!(read.iter().all(Stored::is_of_all));
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
