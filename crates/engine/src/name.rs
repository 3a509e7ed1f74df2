//! Naming rows: the keyed hashes of who a row is, which row of the source it is, and what the destination will be told.

use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use segport_core::{Error, ErrorKind, MappedField, Result};
use segport_ledger::{Fingerprint, Hasher, Identity, KeyHash, Whose};
use sha2::{Digest, Sha256};

use crate::map::{Flaw, FlawKind, MappedPage};
use crate::payload::{Payload, Tag, Values};

/// How a row is named in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) identity: Identity,
    pub(crate) key: KeyHash,
    pub(crate) fingerprint: Fingerprint,
}

/// A row that was read, by name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Candidate {
    /// It can be sent.
    Sound(Name),
    /// It cannot.
    Flawed { flaw: Flaw, identity: Option<Identity>, key: Option<KeyHash> },
}

impl Candidate {
    /// Who the row is, where that can be told.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.whose().identity()
    }

    /// Whose row it is, as far as that can be told.
    pub(crate) fn whose(&self) -> Whose {
        match *self {
            Self::Sound(Name { identity, .. }) | Self::Flawed { identity: Some(identity), .. } => identity.into(),
            Self::Flawed { identity: None, key: Some(key), .. } => Whose::Key(key),
            Self::Flawed { identity: None, key: None, .. } => Whose::Nobody,
        }
    }
}

/// Names the rows of one segment.
#[derive(Debug)]
pub(crate) struct Namer {
    hasher: Hasher,
    /// Where the rows go. What was acknowledged at one address says nothing of another.
    address: Tag,
    /// In the order of their tags, whatever their order in the mapping.
    fields: Vec<PayloadField>,
    /// Position of the field that says who a row is.
    identity: usize,
}

#[derive(Debug)]
struct PayloadField {
    /// In the mapping.
    position: usize,
    /// Stands before a value: for the field's name and type.
    tag: Tag,
    /// Stands for a null that is sent; `None` if nulls are left out.
    cleared: Option<Tag>,
}

impl Namer {
    /// For rows of these fields, of which the one at `identity` says who a row is, that go to this address.
    pub(crate) fn new(hasher: &Hasher, fields: &[MappedField], identity: usize, address: &str) -> Self {
        let mut fields: Vec<_> = (0..)
            .zip(fields)
            .map(|(position, field)| {
                let name = format!("{}\0{}\0{}", u8::from(field.custom), field.name, field.field_type.as_str());
                let cleared = field.clear_null.then(|| tag(&format!("{name}\0cleared")));
                PayloadField { position, tag: tag(&name), cleared }
            })
            .collect();
        fields.sort_by_key(|field| field.tag);
        Self { hasher: hasher.clone(), address: tag(address), fields, identity }
    }

    /// Names every row of a page, in order.
    ///
    /// # Errors
    /// `internal` if a column has a type that mapping never makes.
    pub(crate) fn name(&self, page: &MappedPage) -> Result<Vec<Candidate>> {
        let broken = || Error::new(ErrorKind::Internal, "a mapped page has a column of an unexpected type");
        let columns = page.rows.columns();
        let values = columns.iter().map(Values::of).collect::<Option<Vec<_>>>().ok_or_else(broken)?;
        let identities = columns.get(self.identity).and_then(|column| column.as_string_opt::<i32>());
        let identities = identities.ok_or_else(broken)?;
        let (mut joined, mut payload) = (Vec::new(), Payload::default());
        let candidates = page.flaws.iter().zip(identities).enumerate().map(|(row, (flaw, identity))| {
            let key = key_of(&self.hasher, &page.keys, row, &mut joined);
            let identity = identity.map(|identity| self.hasher.identity(identity.as_bytes()));
            match (*flaw, identity) {
                (None, Some(identity)) => {
                    let fingerprint = self.fingerprint(&values, row, &mut payload);
                    Ok(Candidate::Sound(Name { identity, key, fingerprint }))
                }
                (Some(flaw), identity) => {
                    let key = (flaw.kind != FlawKind::NoKey).then_some(key);
                    Ok(Candidate::Flawed { flaw, identity, key })
                }
                (None, None) => {
                    Err(Error::new(ErrorKind::Internal, "a row without an identity passed for one that can be sent"))
                }
            }
        });
        candidates.collect()
    }

    /// Hashes a row's payload in a canonical form: where it goes, then fields by name, those that are not sent left out. So a
    /// changed mapping changes just the fingerprints of rows whose payload it changes.
    fn fingerprint(&self, values: &[Values<'_>], row: usize, payload: &mut Payload) -> Fingerprint {
        payload.clear();
        payload.tag(&self.address);
        for field in &self.fields {
            let Some(values) = values.get(field.position) else { continue };
            if !payload.value(&field.tag, values, row)
                && let Some(cleared) = &field.cleared
            {
                payload.tag(cleared);
            }
        }
        self.hasher.fingerprint(payload.as_bytes())
    }
}

/// Hashes a row's key; one of several columns is put together in `joined`.
pub(crate) fn key_of(hasher: &Hasher, keys: &[StringArray], row: usize, joined: &mut Vec<u8>) -> KeyHash {
    if let [key] = keys {
        return hasher.key(key.value(row).as_bytes());
    }
    joined.clear();
    for key in keys {
        let text = key.value(row);
        joined.extend_from_slice(&(text.len() as u64).to_le_bytes());
        joined.extend_from_slice(text.as_bytes());
    }
    hasher.key(joined)
}

fn tag(text: &str) -> Tag {
    let mut tag = Tag::default();
    tag.iter_mut().zip(Sha256::digest(text)).for_each(|(to, from)| *to = from);
    tag
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch};
    use segport_core::{FieldType, Secret};
    use segport_ledger::StateKey;

    use super::*;

    fn field(name: &str, clear_null: bool) -> MappedField {
        MappedField { name: name.to_owned(), field_type: FieldType::String, custom: false, clear_null }
    }

    /// The fingerprint of one row whose fields have these names and values, the first one being its identity.
    fn fingerprint(target: &str, row: &[(&str, Option<&str>)], clear_null: bool) -> Fingerprint {
        let hasher = Hasher::new(&StateKey::from_secret(&Secret::new("correct horse battery staple")).unwrap());
        let fields: Vec<MappedField> = row.iter().map(|(name, _)| field(name, clear_null)).collect();
        let columns = row.iter().enumerate().map(|(position, (_, value))| {
            let column: ArrayRef = Arc::new(StringArray::from(vec![*value]));
            (format!("f{position}"), column, true)
        });
        let page = MappedPage {
            rows: RecordBatch::try_from_iter_with_nullable(columns).unwrap(),
            keys: vec![StringArray::from(vec!["1"])],
            flaws: vec![None],
        };
        match Namer::new(&hasher, &fields, 0, target).name(&page).unwrap()[..] {
            [Candidate::Sound(name)] => name.fingerprint,
            ref other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fingerprint_is_the_same_in_every_version() {
        let row = &[("email", Some("a@x.no")), ("city", Some("Oslo")), ("fax", None)];
        let seen = [fingerprint("list", row, false), fingerprint("list", row, true)];
        let seen = seen.map(|fingerprint| fingerprint.to_string());
        assert_eq!(
            seen,
            ["80ba70b229e4bac64d059577218379fd", "a0ae18a57e7098e19a8b85c268bee9d4"],
            "every ledger there is would take its rows for changed"
        );
    }

    #[test]
    fn equal_payloads_have_equal_fingerprints() {
        let one = fingerprint("list", &[("email", Some("a@x.no")), ("city", Some("Oslo")), ("fax", None)], false);
        let other = fingerprint("list", &[("email", Some("a@x.no")), ("city", Some("Oslo"))], false);
        assert_eq!(one, other, "a field that is not sent is no part of the payload");
    }

    #[test]
    fn payloads_that_differ_anywhere_have_different_fingerprints() {
        let oslo = &[("email", Some("a@x.no")), ("city", Some("Oslo"))][..];
        let seen = [
            fingerprint("list", oslo, false),
            fingerprint("other", oslo, false),
            fingerprint("list", &[("email", Some("a@x.no")), ("state", Some("Oslo"))], false),
            fingerprint("list", &[("email", Some("a@x.no")), ("city", Some("Bergen"))], false),
            fingerprint("list", &[("email", Some("a@x.no")), ("city", Some(""))], false),
            fingerprint("list", &[("email", Some("a@x.no")), ("city", None)], false),
            fingerprint("list", &[("email", Some("a@x.no")), ("city", None)], true),
        ];
        let distinct: HashSet<u128> = seen.iter().map(|fingerprint| fingerprint.bits()).collect();
        assert_eq!(distinct.len(), seen.len());
    }
}
