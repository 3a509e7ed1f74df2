//! Reading records.

use std::str;

use super::{
    AT, Acknowledged, CHUNK, DONE_ADDED, DONE_CHANGED, FLAG_ALL_AGAIN, FLAG_DOUBTFUL, FLAG_HELD, FLAG_INTENDED,
    FLAG_VALUES_AGAIN, HELD, INTEND_DELIVERY, INTEND_REMOVAL, LEFT, LOWER_UUID, MOVED, NO_ID, PAST_ADDED, PAST_CHANGED,
    RENEWED, ROW, ROW_OF_KEY, ROW_OF_NOBODY, STAYED, STAYED_OF_KEY, STAYED_OF_NOBODY, Stored, StoredRow, TEXT_ID,
    UPPER_UUID, VACATED,
};
use crate::destination_id::DestinationId;
use crate::standing::{Again, Standing};
use crate::{Change, Fingerprint, Identity, Intent, KeyHash, Memberships, Undelivered, Whose};

/// The bytes are not records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotRecords;

/// Reads the records of a page's body.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    texts: Vec<&'a str>,
    at: Option<Memberships>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body, texts: Vec::new(), at: None }
    }

    fn record(&mut self, tag: u8) -> Result<Stored<'a>, NotRecords> {
        match tag {
            RENEWED => return Ok(Stored::Renewed),
            VACATED => return self.memberships().map(Stored::Vacated),
            MOVED => return self.memberships().map(Stored::Moved),
            ROW_OF_KEY => return self.row_of_key().map(Stored::Row),
            STAYED_OF_KEY => return self.row_of_key().map(Stored::Stayed),
            ROW_OF_NOBODY => return self.row(Whose::Nobody).map(Stored::Row),
            STAYED_OF_NOBODY => return self.row(Whose::Nobody).map(Stored::Stayed),
            _ => {}
        }
        let identity = Identity::from_bits(u128::from_le_bytes(self.array()?));
        match tag {
            ROW => return self.row(identity.into()).map(Stored::Row),
            STAYED => return self.row(identity.into()).map(Stored::Stayed),
            _ => {}
        }
        let memberships = self.memberships()?;
        Ok(match tag {
            INTEND_DELIVERY => Stored::Intent(Intent::Deliver { identity, memberships }),
            INTEND_REMOVAL => Stored::Intent(Intent::Remove { identity, memberships }),
            DONE_ADDED => self.done(identity, memberships, Change::Added)?,
            DONE_CHANGED => self.done(identity, memberships, Change::Changed)?,
            LEFT => Stored::Left { identity, memberships },
            PAST_ADDED => Stored::Past { identity, memberships, change: Change::Added },
            PAST_CHANGED => Stored::Past { identity, memberships, change: Change::Changed },
            HELD => self.held(identity, memberships)?,
            _ => return Err(NotRecords),
        })
    }

    fn done(&mut self, identity: Identity, memberships: Memberships, change: Change) -> Result<Stored<'a>, NotRecords> {
        let at = self.at.unwrap_or(memberships);
        Ok(Stored::Done { identity, value: self.value()?, memberships, id: self.id()?, change, at })
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
            again: match (flags & FLAG_ALL_AGAIN, flags & FLAG_VALUES_AGAIN) {
                (0, 0) => Again::Nothing,
                (0, _) => Again::Values,
                _ => Again::All,
            },
            has_destination_id: id.is_some(),
            ..Standing::default()
        };
        let at = self.at.unwrap_or(acknowledged.union(possible));
        Ok(Stored::Held { identity, value, standing, id, at })
    }

    fn row_of_key(&mut self) -> Result<StoredRow<'a>, NotRecords> {
        let key = KeyHash::from_bits(u64::from_le_bytes(self.array()?));
        self.row(Whose::Key(key))
    }

    fn row(&mut self, whose: Whose) -> Result<StoredRow<'a>, NotRecords> {
        let memberships = self.memberships()?;
        let outcome = match self.byte()? {
            0 => Undelivered::Invalid,
            1 => Undelivered::Duplicate,
            2 => Undelivered::Suppressed,
            3 => Undelivered::Deferred,
            4 => Undelivered::Refused,
            5 => Undelivered::Unknown,
            _ => return Err(NotRecords),
        };
        Ok(StoredRow { outcome, whose, memberships, code: self.text()?, reason: self.text()? })
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
            let record = match *tag {
                CHUNK => {
                    self.texts.clear();
                    self.at = None;
                    continue;
                }
                AT => match self.memberships() {
                    Ok(segments) => {
                        self.at = Some(segments);
                        continue;
                    }
                    Err(error) => Err(error),
                },
                tag => self.record(tag),
            };
            if record.is_err() {
                self.rest = &[];
            }
            return Some(record);
        }
    }
}
