//! What stands under `[settings]` of an Autopilot connection.

use schemars::JsonSchema;
use segport_sdk::{Error, ErrorKind, Limits, Result, Secret};
use serde::Deserialize;

/// The address of the vendor's service.
pub const VENDOR_BASE_URL: &str = "https://api2.autopilothq.com/v1";

/// Hosts for which the vendor's own rules hold: this domain and everything below it.
const VENDOR_DOMAIN: &str = "autopilothq.com";

/// The account and the pace of one connection.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AutopilotSettings")]
pub struct Settings {
    /// The account's API key, sent with every call. An account has one; making a new one ends the old one at once.
    pub api_key: Secret,

    /// Address of the API without a trailing slash. Change it only for a stand-in or a proxy.
    #[serde(default = "default_base_url")]
    #[schemars(example = VENDOR_BASE_URL, extend("x-segport-destination" = true))]
    pub base_url: String,

    /// Most calls a second. At the vendor's host 1 to 20; with another `base_url` any number, and 0 for no limit.
    ///
    /// The vendor once stated 5 and its clients use up to 20. More than the account is granted makes calls wait, not fail.
    #[serde(default = "default_requests_per_second")]
    #[schemars(range(min = 0.0))]
    pub requests_per_second: f64,

    /// Longest wait for one answer, in seconds. After it the rows of that call are reported as unknown, not as failed.
    #[serde(default = "default_request_timeout_secs")]
    #[schemars(range(min = 1, max = 600))]
    pub request_timeout_secs: u32,

    /// Most calls under way at once, and so most batches too. Default: 10; 20 where `requests_per_second` is 0, since nothing
    /// else sets the pace then. Raise it when answers take longer than `max_in_flight / requests_per_second` seconds, since the rate
    /// is not reached otherwise.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub max_in_flight: Option<u32>,

    /// How contacts get on the list of their segment. Default: `"probe"`.
    #[serde(default)]
    pub list_membership: ListMembership,

    /// Id of an existing list to use instead of the one named after the segment. Only for exports of one segment.
    #[serde(default)]
    #[schemars(length(min = 1), example = "contactlist_5B8A47AC-2F53-4C1B-9E0A-9C2C5C5C9B3F")]
    pub list_id: Option<String>,

    /// `false` keeps the writes of an export from firing the account's own `contact_added` and `contact_updated` hooks;
    /// left out, Autopilot decides, which means that they fire. Hooks on list changes fire regardless, as far as is known.
    #[serde(default)]
    pub notify: Option<bool>,

    /// Most contacts in one call. Autopilot refuses more than 100.
    #[serde(default = "default_rows_per_batch")]
    #[schemars(range(min = 1, max = 100))]
    pub rows_per_batch: u32,

    /// Most profiles sent by one run of an export; the next run takes the rest.
    #[serde(default = "default_rows_per_export")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub rows_per_export: u64,
}

/// How contacts get on the list of their segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListMembership {
    /// Name the list inside the first bulk call and look whether that took effect; if so go on that way, else add one by one.
    #[default]
    Probe,
    /// One further call per contact. Slow, works everywhere.
    Single,
    /// Name the list inside every bulk call and trust that it takes effect.
    Bulk,
}

fn default_base_url() -> String {
    VENDOR_BASE_URL.to_owned()
}

fn default_requests_per_second() -> f64 {
    5.0
}

fn default_request_timeout_secs() -> u32 {
    60
}

/// One public client has 20 calls under way at once.
fn default_max_in_flight(requests_per_second: f64) -> u32 {
    if requests_per_second == 0.0 { 20 } else { 10 }
}

fn default_rows_per_batch() -> u32 {
    100
}

fn default_rows_per_export() -> u64 {
    100_000
}

impl Settings {
    /// The limits of a connection whose settings are all left at their defaults.
    pub(crate) fn default_limits() -> Limits {
        Limits {
            rows_per_batch: default_rows_per_batch(),
            requests_per_second: default_requests_per_second(),
            rows_per_export: Some(default_rows_per_export()),
            max_in_flight: default_max_in_flight(default_requests_per_second()),
            request_timeout_ms: u64::from(default_request_timeout_secs()) * 1000,
            ..Limits::default()
        }
    }

    /// Most calls under way at once.
    pub(crate) fn max_in_flight(&self) -> u32 {
        self.max_in_flight.unwrap_or_else(|| default_max_in_flight(self.requests_per_second))
    }

    /// The limits that these settings put in force.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            rows_per_batch: self.rows_per_batch,
            requests_per_second: self.requests_per_second,
            rows_per_export: Some(self.rows_per_export),
            max_in_flight: self.max_in_flight(),
            request_timeout_ms: u64::from(self.request_timeout_secs) * 1000,
            ..Limits::default()
        }
    }

    /// Checks everything, and returns the base address without a trailing slash.
    ///
    /// # Errors
    /// `config_invalid` that names every setting which cannot work.
    pub(crate) fn validate(&self) -> Result<String> {
        let mut problems = Vec::new();
        // Only what would break the header is refused: that keys are 32 hexadecimal digits was seen, but is not documented.
        let key = self.api_key.expose();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.push("`api_key` must be one word of printable ASCII, as Autopilot shows it".to_owned());
        }
        let base = BaseUrl::parse(&self.base_url);
        match &base {
            Err(problem) => problems.push(format!("`base_url` {problem}")),
            Ok(base) if base.is_vendor() && !base.secure => {
                problems.push("`base_url` must begin with https:// at Autopilot's own host".to_owned());
            }
            Ok(_) => {}
        }
        let at_vendor = base.as_ref().is_ok_and(BaseUrl::is_vendor);
        let rate = self.requests_per_second;
        if !rate.is_finite() || rate < 0.0 {
            problems.push("`requests_per_second` must be 0 or more".to_owned());
        } else if at_vendor && !(1.0..=20.0).contains(&rate) {
            problems.push(format!("`requests_per_second` is {rate}; at Autopilot's own host it must be 1 to 20"));
        }
        let mut within = |name: &str, value: u64, most: u64| {
            if !(1..=most).contains(&value) {
                problems.push(format!("`{name}` is {value}; it must be 1 to {most}"));
            }
        };
        within("request_timeout_secs", self.request_timeout_secs.into(), 600);
        within("max_in_flight", self.max_in_flight().into(), 100);
        within("rows_per_batch", self.rows_per_batch.into(), 100);
        within("rows_per_export", self.rows_per_export, 10_000_000);
        if self.list_id.as_deref().is_some_and(|id| id.trim().is_empty()) {
            problems.push("`list_id` is empty; leave it out to use the list named after the segment".to_owned());
        }
        match base {
            Ok(base) if problems.is_empty() => Ok(base.text),
            _ => Err(Error::new(ErrorKind::ConfigInvalid, problems.join("; "))),
        }
    }
}

/// The parts of a base address that rules hang on.
///
/// Written by hand because only the plainest addresses are let through: no user, no query, no escapes and nothing beyond
/// ASCII before the path, so that the host read here is the host that any other parser reads.
struct BaseUrl {
    text: String,
    host: String,
    secure: bool,
}

impl BaseUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let not_absolute = || "must be an absolute address such as https://api2.autopilothq.com/v1".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(not_absolute)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("must begin with https:// or http://".to_owned()),
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
            return Err("must be plain ASCII without spaces and backslashes".to_owned());
        }
        if text.contains(['?', '#']) {
            return Err("must not have a query or a fragment".to_owned());
        }
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err("must not hold a user name or a password".to_owned());
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((address, "")) => (address, None),
            Some((address, after)) => (address, Some(after.strip_prefix(':').ok_or_else(not_absolute)?)),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() || host.contains('%') {
            return Err(not_absolute());
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err("has a port that is no number from 0 to 65535".to_owned());
        }
        Ok(Self {
            text: text.trim_end_matches('/').to_owned(),
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            secure,
        })
    }

    fn is_vendor(&self) -> bool {
        self.host.strip_suffix(VENDOR_DOMAIN).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(overrides: Value) -> Settings {
        let mut all = json!({ "api_key": "0123456789abcdef0123456789abcdef" });
        for (name, value) in overrides.as_object().unwrap() {
            all[name] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let settings = settings(json!({}));
        assert_eq!(settings.validate().unwrap(), VENDOR_BASE_URL);
        assert_eq!(settings.list_membership, ListMembership::Probe);
        assert_eq!(settings.limits(), Settings::default_limits());
        assert_eq!(
            settings.limits(),
            Limits {
                rows_per_batch: 100,
                bytes_per_batch: 1 << 20,
                requests_per_second: 5.0,
                rows_per_export: Some(100_000),
                max_in_flight: 10,
                request_timeout_ms: 60_000,
            }
        );
    }

    #[test]
    fn more_calls_are_under_way_where_nothing_else_sets_the_pace() {
        let check = |overrides: Value, expected: u32| {
            assert_eq!(settings(overrides.clone()).limits().max_in_flight, expected, "{overrides}");
        };
        check(json!({ "requests_per_second": 20 }), 10);
        check(json!({ "requests_per_second": 0 }), 20);
        check(json!({ "requests_per_second": 0, "max_in_flight": 3 }), 3);
        check(json!({ "max_in_flight": 30 }), 30);
    }

    #[test]
    fn a_base_address_is_plain_and_absolute() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = settings(json!({ "base_url": text })).validate();
            match expected {
                Ok(base) => assert_eq!(found.unwrap(), base, "{text}"),
                Err(part) => {
                    let error = found.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{text}");
                    assert!(error.message().contains(part), "{text}: {}", error.message());
                }
            }
        };
        check("https://api2.autopilothq.com/v1/", Ok("https://api2.autopilothq.com/v1"));
        check("https://api2.autopilothq.com/v1///", Ok("https://api2.autopilothq.com/v1"));
        check("http://127.0.0.1:8080/v1", Ok("http://127.0.0.1:8080/v1"));
        check("http://[::1]:8080", Ok("http://[::1]:8080"));
        check("http://[::1]", Ok("http://[::1]"));
        check("HTTPS://proxy.example/autopilot", Ok("HTTPS://proxy.example/autopilot"));
        for relative in ["", "api2.autopilothq.com/v1", "/v1", "https://", "https:///v1", "https://%61pi.example"] {
            check(relative, Err("absolute"));
        }
        check("ftp://example.com", Err("https://"));
        check("file:///etc/passwd", Err("https://"));
        check("https://key:pass@example.com/v1", Err("password"));
        check("https://example.com/v1?apikey=1", Err("query"));
        check("https://example.com/#v1", Err("fragment"));
        check("https://example.com/v 1", Err("ASCII"));
        check("https://ex\u{ff41}mple.com", Err("ASCII"));
        check("https://example.com\\@evil.example", Err("ASCII"));
        check("https://example.com:99999/v1", Err("port"));
        check("http://api2.autopilothq.com/v1", Err("https://"));
    }

    #[test]
    fn the_rate_is_bound_by_the_vendor_only_at_its_host() {
        let check = |base: &str, rate: f64, good: bool| {
            let found = settings(json!({ "base_url": base, "requests_per_second": rate })).validate();
            assert_eq!(found.is_ok(), good, "{rate} at {base}");
        };
        for vendor in [VENDOR_BASE_URL, "https://API2.AutopilotHQ.com./v1", "https://api.autopilothq.com:443/v1"] {
            for (rate, good) in [(0.0, false), (0.5, false), (1.0, true), (20.0, true), (20.5, false), (-1.0, false)] {
                check(vendor, rate, good);
            }
        }
        for other in ["http://127.0.0.1:1/v1", "https://notautopilothq.com", "https://autopilothq.com.example"] {
            for (rate, good) in [(0.0, true), (0.5, true), (5000.0, true), (-1.0, false)] {
                check(other, rate, good);
            }
        }
    }

    #[test]
    fn every_number_is_checked_and_all_problems_are_told_at_once() {
        let wrong = json!({
            "api_key": "with space", "base_url": "nowhere", "requests_per_second": -1, "request_timeout_secs": 0,
            "max_in_flight": 101, "rows_per_batch": 101, "rows_per_export": 10_000_001, "list_id": " "
        });
        let error = settings(wrong.clone()).validate().unwrap_err();
        for name in wrong.as_object().unwrap().keys() {
            assert!(error.message().contains(&format!("`{name}`")), "{name} in {}", error.message());
        }
        assert!(!error.message().contains("with space"), "a key must not be printed");
        for key in ["", "a\nb", "é"] {
            assert!(settings(json!({ "api_key": key })).validate().is_err());
        }
    }

    #[test]
    fn unknown_settings_are_errors_and_the_key_is_not_printed() {
        let found = serde_json::from_value::<Settings>(json!({ "api_key": "k", "rate": 5 }));
        assert!(found.unwrap_err().to_string().contains("rate"));
        assert!(!format!("{:?}", settings(json!({}))).contains("0123456789abcdef"));
    }
}
