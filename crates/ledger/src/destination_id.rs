//! A destination's own ids, packed.

/// The destination's own id of a row. Ids that are a prefix and a UUID, as is common, take 18 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DestinationId<'a> {
    None,
    Text(&'a str),
    Uuid { prefix: &'a str, uuid: [u8; 16], upper_case: bool },
}

impl<'a> DestinationId<'a> {
    const UUID_LENGTH: usize = 36;

    pub(crate) fn new(id: Option<&'a str>) -> Self {
        id.map_or(Self::None, |id| Self::with_uuid(id).unwrap_or(Self::Text(id)))
    }

    /// Packs an id whose text [`DestinationId::to_text`] gives back exactly.
    fn with_uuid(id: &'a str) -> Option<Self> {
        let (prefix, text) = id.split_at_checked(id.len().checked_sub(Self::UUID_LENGTH)?)?;
        // Of the forms that are read, only the one with hyphens has this length.
        let uuid = uuid::Uuid::try_parse_ascii(text.as_bytes()).ok()?;
        // Without a branch, so that all of it is looked at at once.
        let (small, capital) = text.bytes().fold((false, false), |(small, capital), byte| {
            (small | byte.is_ascii_lowercase(), capital | byte.is_ascii_uppercase())
        });
        // Letters of both kinds do not come back.
        (!(small && capital)).then(|| Self::Uuid { prefix, uuid: uuid.into_bytes(), upper_case: capital })
    }

    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(crate) fn to_text(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Text(text) => Some(text.to_owned()),
            Self::Uuid { prefix, uuid, upper_case } => {
                let uuid = uuid::Uuid::from_bytes(uuid).hyphenated();
                let mut buffer = uuid::Uuid::encode_buffer();
                let text = if upper_case { uuid.encode_upper(&mut buffer) } else { uuid.encode_lower(&mut buffer) };
                Some(format!("{prefix}{text}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destination_ids_come_back_as_they_were() {
        #[track_caller]
        fn check(id: &str, packed: bool) {
            let compact = DestinationId::new(Some(id));
            assert_eq!(compact.to_text().as_deref(), Some(id));
            assert_eq!(matches!(compact, DestinationId::Uuid { .. }), packed, "{id}");
        }
        check("person_9EAF39E4-9AEC-4134-964A-D9D8D54162E7", true);
        check("person_9eaf39e4-9aec-4134-964a-d9d8d54162e7", true);
        check("00000000-0000-0000-0000-000000000000", true);
        check("person_9Eaf39e4-9aec-4134-964a-d9d8d54162e7", false);
        check("person_9eaf39e49aec4134964ad9d8d54162e7", false);
        check("9eaf39e4-9aec-4134-964a-d9d8d54162g7", false);
        check("9eaf39e4-9aec-4134-964ad-9d8d54162e7", false);
        check("9eaf39e-49aec-4134-964a-d9d8d54162e7", false);
        check("héé-héé-héé-héé-héé-héé-héé-héé-héé-héé-héé-héé", false);
        check("", false);
        assert_eq!(DestinationId::new(None).to_text(), None);
    }
}
