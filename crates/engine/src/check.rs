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
    // From the end, so that the last `@` comes first. Addresses are short, and so nothing here needs a run-up or a branch for
    // each byte but that one.
    let mut bytes = address.as_bytes().iter().rev();
    let (mut domain, mut is_split) = (Side::default(), false);
    for byte in bytes.by_ref() {
        if *byte == b'@' {
            is_split = true;
            break;
        }
        domain.take(*byte);
    }
    let mut local = Side::default();
    bytes.for_each(|byte| local.take(*byte));
    is_split && local.is_local() && domain.is_domain() && is_spelled_out(address, &domain)
}

/// The bytes before or after the `@`, as they come from the end.
#[derive(Debug)]
struct Side {
    /// The classes that all of them are in.
    common: u8,
    /// Those of the last one taken.
    last: u8,
    /// Has [`DOT`] where dots touch, and [`EDGE`] where a label begins or ends with a hyphen.
    touching: u8,
    dots: usize,
    length: usize,
}

impl Default for Side {
    fn default() -> Self {
        Self { common: u8::MAX, last: OUTSIDE, touching: 0, dots: 0, length: 0 }
    }
}

impl Side {
    fn take(&mut self, byte: u8) {
        let classes = classes(byte);
        self.touching |= touching_of(classes, self.last);
        self.last = classes;
        self.common &= classes;
        self.dots += usize::from(byte == b'.');
        self.length += 1;
    }

    /// Whether nothing of that kind touches, its left end included.
    fn is_free_of(&self, touching: u8) -> bool {
        (self.touching | touching_of(OUTSIDE, self.last)) & touching == 0
    }

    fn is_local(&self) -> bool {
        self.common & LOCAL != 0 && self.is_free_of(DOT) && self.length <= MAX_LOCAL_BYTES
    }

    fn is_domain(&self) -> bool {
        self.common & DOMAIN != 0 && self.is_free_of(DOT | EDGE) && self.dots > 0
    }
}

/// Has [`DOT`] if two bytes of these classes are dots, and [`EDGE`] if one is a dot, and the other one or a hyphen.
fn touching_of(left: u8, right: u8) -> u8 {
    (left & right & DOT) | (((left << 1) & right) | ((right << 1) & left)) & EDGE
}

/// Looks at what few addresses have: letters of other scripts, and long labels.
fn is_spelled_out(address: &str, domain: &Side) -> bool {
    if address.is_ascii() && domain.length <= MAX_LABEL_BYTES {
        return true;
    }
    let (local, domain) = address.split_at(address.len() - domain.length);
    domain.split('.').all(|label| label.len() <= MAX_LABEL_BYTES)
        && domain.chars().all(|c| c.is_ascii() || c.is_alphanumeric())
        && (local.is_ascii() || !local.chars().any(|c| c.is_whitespace() || c.is_control()))
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
    classes[b'.' as usize] |= DOMAIN | DOT | EDGE;
    classes[b'-' as usize] |= DOMAIN | EDGE;
    classes
};

/// The class of bytes that may stand before the `@`.
const LOCAL: u8 = 1;
/// The class of bytes that may stand after it.
const DOMAIN: u8 = 2;
/// The class of the dot.
const DOT: u8 = 4;
/// The class of bytes that may not stand beside a dot after the `@`.
const EDGE: u8 = DOT << 1;

/// What is outside counts as a dot: none may stand at either end.
const OUTSIDE: u8 = DOT | EDGE;

/// The classes that a byte is in.
fn classes(byte: u8) -> u8 {
    // The table has an entry for every byte.
    CLASSES[usize::from(byte)]
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
    use proptest::prelude::*;

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

    /// The rules of an address, one after the other.
    fn is_email_by_rule(address: &str) -> bool {
        let Some((local, domain)) = address.rsplit_once('@') else { return false };
        let is_atom = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "-_+!#$%&'*/=?^`{|}~".contains(c);
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        address.len() <= 254
            && local.len() <= 64
            && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom))
            && !local.chars().any(|c| c.is_whitespace() || c.is_control())
            && domain.contains('.')
            && domain.split('.').all(is_label)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn an_address_follows_the_rules(address in "[a.@+é\\- ]{0,9}(@[a.\\-é_]{1,5})?", long in 0_usize..300) {
            let lengthened = [address.clone(), address.replacen('a', &"a".repeat(long), 1)];
            for address in lengthened {
                prop_assert_eq!(is_email(&address), is_email_by_rule(&address), "{}", address);
            }
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
