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

/// Which bytes may stand before the `@`; those of other scripts are looked at as letters.
const LOCAL: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < allowed.len() {
        let ascii = byte as u8;
        allowed[byte] = ascii.is_ascii_alphanumeric() || !ascii.is_ascii();
        byte += 1;
    }
    let signs = b"._-+!#$%&'*/=?^`{|}~";
    let mut at = 0;
    while at < signs.len() {
        allowed[signs[at] as usize] = true;
        at += 1;
    }
    allowed
};

fn is_local(local: &str) -> bool {
    let mut last = b'.';
    for byte in local.bytes() {
        // The table has an entry for every byte.
        if !LOCAL[usize::from(byte)] || (byte == b'.' && last == b'.') {
            return false;
        }
        last = byte;
    }
    last != b'.'
        && local.len() <= MAX_LOCAL_BYTES
        && (local.is_ascii() || !local.chars().any(|c| c.is_whitespace() || c.is_control()))
}

fn is_domain(domain: &str) -> bool {
    let (mut labels, mut length, mut last) = (1, 0, b'.');
    for byte in domain.bytes() {
        match byte {
            b'.' if length == 0 || last == b'-' => return false,
            b'.' => (labels, length) = (labels + 1, 0),
            b'-' if length == 0 => return false,
            _ if byte.is_ascii_alphanumeric() || byte == b'-' || !byte.is_ascii() => length += 1,
            _ => return false,
        }
        if length > MAX_LABEL_BYTES {
            return false;
        }
        last = byte;
    }
    let is_whole = length > 0 && last != b'-' && labels > 1;
    is_whole && (domain.is_ascii() || domain.chars().all(|c| c.is_ascii() || c.is_alphanumeric()))
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
        ];
        for address in good {
            assert!(is_email(address), "{address}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        let bad = [
            "",
            "@",
            "a@",
            "@b.co",
            "a@b",
            "a b@c.de",
            "a@b..co",
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
