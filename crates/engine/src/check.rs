//! Whether a value may be sent: the rules that hold at every destination.

/// Longest e-mail address in bytes (RFC 5321, 4.5.3.1.3, less the angle brackets).
const MAX_EMAIL_BYTES: usize = 254;
/// Longest part before the `@` in bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// Longest part of a domain between dots in bytes (RFC 1035, 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Whether `address`, already trimmed and lower-cased, has the form of an e-mail address.
///
/// Quoted local parts and address literals are refused: marketing tools do not take them. Letters of all scripts pass (RFC 6531).
pub(crate) fn is_email(address: &str) -> bool {
    if address.len() > MAX_EMAIL_BYTES {
        return false;
    }
    // Addresses are too short for a search that needs a run-up.
    let Some(at) = address.bytes().rposition(|byte| byte == b'@') else { return false };
    let (Some(local), Some(domain)) = (address.get(..at), address.get(at + 1..)) else { return false };
    is_local(local) && is_domain(domain)
}

/// Where a byte may stand; those of other scripts are looked at as letters.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        let ascii = byte as u8;
        if ascii.is_ascii_alphanumeric() || !ascii.is_ascii() {
            classes[byte] = LOCAL | DOMAIN;
        }
        byte += 1;
    }
    let signs = b"._-+!#$%&'*/=?^`{|}~";
    let mut at = 0;
    while at < signs.len() {
        classes[signs[at] as usize] |= LOCAL;
        at += 1;
    }
    classes[b'.' as usize] |= DOMAIN;
    classes[b'-' as usize] |= DOMAIN;
    classes
};

/// The class of bytes that may stand before the `@`.
const LOCAL: u8 = 1;
/// The class of bytes that may stand after it.
const DOMAIN: u8 = 2;

/// The classes that a byte is in.
fn classes(byte: u8) -> u8 {
    // The table has an entry for every byte.
    CLASSES[usize::from(byte)]
}

fn is_local(local: &str) -> bool {
    let (mut common, mut is_doubled, mut last) = (LOCAL, false, b'.');
    for byte in local.bytes() {
        common &= classes(byte);
        is_doubled |= byte == b'.' && last == b'.';
        last = byte;
    }
    common != 0
        && !is_doubled
        && last != b'.'
        && local.len() <= MAX_LOCAL_BYTES
        && (local.is_ascii() || !local.chars().any(|c| c.is_whitespace() || c.is_control()))
}

fn is_domain(domain: &str) -> bool {
    let mut labels = 0;
    for label in domain.as_bytes().split(|byte| *byte == b'.') {
        let common = label.iter().fold(DOMAIN, |common, byte| common & classes(*byte));
        if common == 0 || label.len() > MAX_LABEL_BYTES || matches!(label, [] | [b'-', ..] | [.., b'-']) {
            return false;
        }
        labels += 1;
    }
    labels > 1 && (domain.is_ascii() || domain.chars().all(|c| c.is_ascii() || c.is_alphanumeric()))
}

/// Whether `text` is an ISO 8601 date (`2026-11-23`) or date and time, with or without an offset.
pub(crate) fn is_iso_date(text: &str) -> bool {
    let Some(date) = text.get(..10) else { return false };
    if date.parse::<jiff::civil::Date>().is_err() || !date.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    match text.as_bytes().get(10) {
        None => true,
        Some(b'T' | b' ') => {
            text.parse::<jiff::Timestamp>().is_ok()
                || text.parse::<jiff::civil::DateTime>().is_ok() && !text.contains('[')
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_form() {
        let good = [
            "a@b.co",
            "anna.berg+news@example.com",
            "o'neil@example.ie",
            "зоя@пример.рф",
            "x_1@sub.domain.example",
            "a@1.example",
            &format!("a@{}.example", "b".repeat(63)),
        ];
        for address in good {
            assert!(is_email(address), "{address}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        let long_label = format!("a@{}.example", "b".repeat(64));
        let bad = [
            "",
            "@",
            "a@",
            "@b.co",
            "a@b",
            "a b@c.de",
            "a@b..co",
            "a@.b.co",
            "a@.",
            ".a@b.co",
            "a.@b.co",
            "a..b@c.de",
            "a@-b.co",
            "a@b-.co",
            "a@b.co.",
            "a@b,co",
            "a,b@c.de",
            "a@@b.co",
            "\"a b\"@c.de",
            "a@[127.0.0.1]",
            "a\u{0}@b.co",
            "a\n@b.co",
            "<a@b.co>",
            "a;b@c.de",
            &long,
            &long_label,
        ];
        for address in bad {
            assert!(!is_email(address), "{address}");
        }
    }

    #[test]
    fn date_form() {
        for date in
            ["2026-11-23", "2026-11-23T10:00:00Z", "2026-11-23T10:00:00+02:00", "2026-11-23T10:00:00", "2024-02-29"]
        {
            assert!(is_iso_date(date), "{date}");
        }
        for date in
            ["", "23.11.2026", "2026-13-01", "2025-02-29", "2026-11-23x", "2026-11-23T", "+002026-11", "20261123"]
        {
            assert!(!is_iso_date(date), "{date}");
        }
    }
}
