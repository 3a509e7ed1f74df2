//! What a connector takes and can do, in words.

use std::time::Duration;

use crate::Descriptor;

impl Descriptor {
    /// Limits and capabilities of a connector, unless the settings say otherwise: what each is called, and what it is.
    pub fn terms(&self) -> Vec<(&'static str, String)> {
        let (limits, can) = (self.limits, self.capabilities);
        let count = |number: u64| grouped(number, ",");
        let yes = |can: bool| if can { "yes" } else { "no" }.to_owned();
        let no_limit = || "no limit".to_owned();
        let rate = limits.requests_per_second;
        let wait = Duration::from_millis(limits.request_timeout_ms);
        vec![
            ("rows in one call", count(limits.rows_per_batch.into())),
            ("bytes of values in one call", count(limits.bytes_per_batch.into())),
            ("rows sent by one run", limits.rows_per_export.map_or_else(no_limit, count)),
            ("calls a second", if rate > 0.0 { rate.to_string() } else { no_limit() }),
            ("calls under way at once", count(limits.max_in_flight.into())),
            ("longest wait for an answer", format!("{} seconds", wait.as_secs_f64())),
            ("several segments in one export", yes(can.several_segments)),
            ("takes leavers off their list", yes(can.remove)),
            ("a row may be sent twice without harm", yes(can.repeatable)),
            ("a row in doubt is looked up before it is sent again", yes(can.settle)),
        ]
    }
}

/// A number with its thousands apart.
pub fn grouped(number: u64, separator: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push_str(separator);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::Limits;

    use super::*;

    #[test]
    fn terms_say_what_has_no_limit() {
        let check = |limits: Limits, name: &str, expected: &str| {
            let descriptor = Descriptor { limits, ..Descriptor::new("Mailgrid", "") };
            let told = descriptor.terms().into_iter().find(|(known, _)| *known == name);
            assert_eq!(told.map(|(_, value)| value).as_deref(), Some(expected), "{limits:?}");
        };
        let limits = Limits::default();
        check(limits, "rows sent by one run", "no limit");
        check(Limits { rows_per_export: Some(100_000), ..limits }, "rows sent by one run", "100,000");
        check(limits, "calls a second", "no limit");
        check(Limits { requests_per_second: 2.5, ..limits }, "calls a second", "2.5");
        check(limits, "longest wait for an answer", "30 seconds");
        check(Limits { request_timeout_ms: 1500, ..limits }, "longest wait for an answer", "1.5 seconds");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(grouped(999, ","), "999");
        assert_eq!(grouped(10_000_000, ","), "10,000,000");
        assert_eq!(grouped(100_000, "_"), "100_000");
    }
}
