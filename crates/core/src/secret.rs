//! A value that is never printed.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// A resolved secret, such as an API key: readable only through [`Secret::expose`], wiped when dropped.
///
/// In a manifest a secret is always a reference (`{ env = "NAME" }`, `{ file = "PATH" }` or `{ credential = "NAME" }`);
/// the host resolves it before it opens a plugin, so a plugin sees the text itself.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The schema keyword that marks a field as secret (`x-segport-secret: true`).
    pub const MARK: &'static str = "x-segport-secret";

    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself. For the request only: never for a log, an error or a file.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The schema is the one of a *reference*, since that is what a manifest holds.
impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "SecretReference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a secret is kept. A literal is refused.",
            "type": "object",
            "x-segport-secret": true,
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
            "properties": {
                "env": { "description": "The name of an environment variable.", "type": "string", "minLength": 1 },
                "file": { "description": "The path of a file, relative to the project; one trailing line break is dropped.", "type": "string", "minLength": 1 },
                "credential": { "description": "The name of a file in systemd's credentials directory ($CREDENTIALS_DIRECTORY).", "type": "string", "minLength": 1 }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
