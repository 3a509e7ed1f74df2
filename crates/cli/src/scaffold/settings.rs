//! What stands under `[settings]` of a connection.

use schemars::JsonSchema;
use segport_sdk::{Error, ErrorKind, Result, Secret};
use serde::Deserialize;

/// The account of one connection. The comments become the help texts of the JSON schema.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "{{Type}}Settings")]
pub struct Settings {
    /// The account's API key.
    pub api_key: Secret,

    /// Address of the API without a trailing slash.
    #[schemars(extend("x-segport-destination" = true))]
    pub base_url: String,

    /// Most calls a second; 0 = no limit.
    #[serde(default = "default_requests_per_second")]
    #[schemars(range(min = 0.0))]
    pub requests_per_second: f64,
}

pub(crate) fn default_requests_per_second() -> f64 {
    5.0
}

impl Settings {
    /// Checks what a schema cannot say.
    ///
    /// # Errors
    /// `config_invalid` for settings that cannot work.
    pub(crate) fn validate(&self) -> Result<()> {
        if !self.base_url.starts_with("https://") && !self.base_url.starts_with("http://") {
            let message = format!("`base_url` is `{}`; it must begin with https://", self.base_url);
            return Err(Error::new(ErrorKind::ConfigInvalid, message));
        }
        Ok(())
    }
}
