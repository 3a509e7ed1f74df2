//! Words that reports hold and this program knows the meaning of.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use segport_ledger::OutcomeKind;
use segport_manifest::Code;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::guard::Guard;

/// Something that stands in reports as a word.
pub trait Term: Copy + 'static {
    /// Everything of its kind.
    const ALL: &'static [Self];

    /// The word.
    fn as_str(self) -> &'static str;
}

impl Term for Code {
    const ALL: &'static [Self] = Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

impl Term for Guard {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

impl Term for OutcomeKind {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

/// A word of a report, which another version of Segport may have written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<T> {
    /// What this version means by it.
    Known(T),
    /// One that this version does not know.
    Other(String),
}

impl<T: Term> Word<T> {
    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(term) => term.as_str(),
            Self::Other(word) => word,
        }
    }
}

impl<T: Term> From<T> for Word<T> {
    fn from(term: T) -> Self {
        Self::Known(term)
    }
}

impl<T: PartialEq> PartialEq<T> for Word<T> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Self::Known(term) if term == other)
    }
}

impl<T: Term> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T: Term> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Term> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known = T::ALL.iter().copied().find(|term| term.as_str() == word);
        Ok(known.map_or(Self::Other(word), Self::Known))
    }
}

/// Any word: the schema of today would refuse the reports of tomorrow.
impl<T> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_not_known_is_kept_as_it_is() {
        let check = |json: &str, expected: &Word<Code>| {
            let word: Word<Code> = serde_json::from_str(json).unwrap();
            assert_eq!(word, *expected);
            assert_eq!(serde_json::to_string(&word).unwrap(), json);
        };
        check("\"SP0602\"", &Word::Known(Code::LedgerUnavailable));
        for other in ["SP9999", "sp0602", ""] {
            check(&format!("\"{other}\""), &Word::Other(other.to_owned()));
        }
    }
}
