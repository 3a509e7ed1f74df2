//! Whether a value may be sent: the rules that hold at every destination.

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use jiff::fmt::temporal::Pieces;

/// Longest e-mail address in bytes (RFC 5321, 4.5.3.1.3, less the angle brackets).
const MAX_EMAIL_BYTES: usize = 254;
/// Longest part before the `@` in bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// Longest part of a domain between dots in bytes (RFC 1035, 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Whether `address`, already trimmed and lower-cased, has the form of an e-mail address.
///
/// Quoted local parts and address literals are refused: marketing tools do not take them. Letters of all scripts pass (RFC 6531),
/// in a domain as far as they make an international one (UTS #46). What cannot be seen does not: two addresses that look
/// alike would be two people.
pub(crate) fn is_email(address: &str) -> bool {
    if address.len() > MAX_EMAIL_BYTES {
        return false;
    }
    // Addresses are too short for a search that needs a run-up.
    let Some(at) = address.bytes().rposition(|byte| byte == b'@') else { return false };
    let (Some(local), Some(domain)) = (address.get(..at), address.get(at + 1..)) else { return false };
    is_local(local) && is_domain(domain)
}

fn is_local(local: &str) -> bool {
    let look = Look::at(local);
    look.common & LOCAL != 0
        && look.touching & DOT == 0
        && local.len() <= MAX_LOCAL_BYTES
        && (look.any & FOREIGN == 0 || !local.chars().any(|c| c.is_whitespace() || c.is_control() || is_unseen(c)))
}

fn is_domain(domain: &str) -> bool {
    let look = Look::at(domain);
    look.common & DOMAIN != 0
        && look.any & DOT != 0
        && look.touching == 0
        && (domain.len() <= MAX_LABEL_BYTES || domain.split('.').all(|label| label.len() <= MAX_LABEL_BYTES))
        && (look.any & FOREIGN == 0 || is_international(domain))
}

/// Whether a domain with letters of other scripts is one that the domain name system can hold (UTS #46). What is mapped to an
/// ASCII sign there, such as the full stop of Chinese or a space of another width, is none: it would be a trick or a mistake.
fn is_international(domain: &str) -> bool {
    let wire =
        Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    let dots = |domain: &str| domain.bytes().filter(|&byte| byte == b'.').count();
    !domain.chars().any(is_unseen) && wire.is_ok_and(|wire| dots(&wire) == dots(domain))
}

/// Whether nothing is shown of a character, such as the zero width space.
fn is_unseen(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// What is to be seen in one pass over one side of the `@`, without a branch for each byte.
struct Look {
    /// The classes that all bytes are in.
    common: u16,
    /// The classes that some byte is in.
    any: u16,
    /// [`DOT`] where one stands beside a dot or an end, [`NOT_AFTER_DOT`] where a label begins with a hyphen, and
    /// [`NOT_AFTER_HYPHEN`] where one ends with it.
    touching: u16,
}

impl Look {
    fn at(side: &str) -> Self {
        let (mut common, mut any, mut touching, mut last) = (u16::MAX, 0, 0, OUTSIDE);
        for byte in side.bytes() {
            // The table has an entry for every byte.
            let classes = CLASSES[usize::from(byte)];
            common &= classes;
            any |= classes;
            touching |= classes & (last >> FORBIDS);
            last = classes;
        }
        touching |= OUTSIDE & (last >> FORBIDS);
        Self { common, any, touching: touching & (DOT | NOT_AFTER_DOT | NOT_AFTER_HYPHEN) }
    }
}

/// The class of bytes that may stand before the `@`.
const LOCAL: u16 = 1;
/// The class of bytes that may stand after it.
const DOMAIN: u16 = 2;
/// The class of bytes of other scripts, which are looked at as letters.
const FOREIGN: u16 = 4;
/// The class of the dot.
const DOT: u16 = 8;
/// The class of what may not follow a dot after the `@`, other than a dot: the hyphen.
const NOT_AFTER_DOT: u16 = 16;
/// The class of what may not follow a hyphen after the `@`: the dot.
const NOT_AFTER_HYPHEN: u16 = 32;
/// So many bits above a class is what says that none of it may follow.
const FORBIDS: u32 = 8;

/// What is outside counts as a dot: none may stand at either end.
const OUTSIDE: u16 = DOT | NOT_AFTER_HYPHEN | (DOT | NOT_AFTER_DOT) << FORBIDS;

/// What each byte is, and what may not follow it.
const CLASSES: [u16; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        let ascii = byte as u8;
        if ascii.is_ascii_alphanumeric() {
            classes[byte] = LOCAL | DOMAIN;
        } else if !ascii.is_ascii() {
            classes[byte] = LOCAL | DOMAIN | FOREIGN;
        }
        byte += 1;
    }
    let signs = b"_+!#$%&'*/=?^`{|}~";
    let mut at = 0;
    while at < signs.len() {
        classes[signs[at] as usize] = LOCAL;
        at += 1;
    }
    classes[b'.' as usize] = LOCAL | DOMAIN | OUTSIDE;
    classes[b'-' as usize] = LOCAL | DOMAIN | NOT_AFTER_DOT | NOT_AFTER_HYPHEN << FORBIDS;
    classes
};

/// Whether `text` is an ISO 8601 date (`2026-11-23`) or date and time, with or without an offset, whose hours and minutes need no
/// colon between them.
pub(crate) fn is_iso_date(text: &str) -> bool {
    let Some(date) = text.get(..10) else { return false };
    if date.parse::<jiff::civil::Date>().is_err() || !date.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    match text.as_bytes().get(10) {
        None => true,
        // A time zone's name in brackets is no part of ISO 8601, and neither is `T1000` behind a date with hyphens.
        Some(b'T' | b' ') if !text.contains('[') && !text.as_bytes().get(13).is_some_and(u8::is_ascii_digit) => {
            // In parts, since an instant of the last day that a calendar has may be out of a clock's range.
            let is_read = Pieces::parse(text).is_ok_and(|pieces| pieces.time().is_some());
            is_read && text.is_ascii() && offset(text).is_none_or(is_offset)
        }
        Some(_) => false,
    }
}

/// What stands behind the sign of a date's offset from UTC, such as `02:00`.
pub(crate) fn offset(date: &str) -> Option<&str> {
    let (_, offset) = date.get(11..)?.rsplit_once(['+', '-'])?;
    Some(offset)
}

/// Whether hours and minutes are those of a day; their digits were read already.
fn is_offset(offset: &str) -> bool {
    matches!(offset.len(), 2 | 4 | 5) && offset.get(..2).is_some_and(|hours| hours < "24")
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
            "उदाहरण@परीक्षा.भारत",
            "müller@bücher.example",
            "mu\u{308}ller@bu\u{308}cher.example",
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
            "an\u{200b}na@example.com",
            "\u{feff}anna@example.com",
            "anna@exa\u{ad}mple.com",
            "anna@exa\u{2028}mple.com",
            "anna@exa\u{3000}mple.com",
            "anna@example.com\u{a0}ben",
            "anna@пример .рф",
            "anna@foo＠example.com",
            "anna@example.com。",
            "anna@a。。b.com",
            "anna@a。b.com",
            "anna@example.com；",
            "anna@example.com）",
            "anna@℀.com",
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
                && idna::domain_to_ascii(label).is_ok_and(|wire| wire.len() <= 63)
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
        for date in [
            "2026-11-23",
            "2026-11-23T10:00:00Z",
            "2026-11-23T10:00:00+02:00",
            "2026-11-23T10:00:00",
            "2024-02-29",
            "2026-11-23 10:00",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59+00:00",
            "9999-12-31T23:59:59.5-12:00",
            "9999-12-31",
            "2026-11-23 10:00:00.5+0200",
            "2026-11-23 10:00:00-02",
            "2026-11-23T10:00:00+23:59",
        ] {
            assert!(is_iso_date(date), "{date}");
        }
        for date in
            ["", "23.11.2026", "2026-13-01", "2025-02-29", "2026-11-23x", "2026-11-23T", "+002026-11", "20261123"]
        {
            assert!(!is_iso_date(date), "{date}");
        }
        for more_than_iso in [
            "2026-11-23T10:00:00+01:00[Europe/Oslo]",
            "2026-11-23T10:00:00Z[Europe/Oslo]",
            "2026-11-23T10:00:00Z[u-ca=hebrew]",
            "2026-11-23T10:00:00[Europe/Oslo]",
            "2026-11-23T100000Z",
            "2026-11-23T1000",
            "2026-11-23T10:00:00 Europe/Oslo",
            "2026-11-23T10:00:00+02:00:00:00",
            "2026-11-23T25:00:00Z",
            "2026-11-23T10:00:00+99:00",
            "2026-11-23T10:00:00+24:00",
            "2026-11-23T10:00:00+2500",
            "2026-11-23T10:00:00+2",
            "2026-11-23T10:00:00+02:0",
            "2026-11-23T10:00:00+02:60",
            "2026-11-23T10:00:00+02:00:30",
            "2026-11-23T10:00:00+020030",
            "2026-11-23T10:00:00\u{2212}02:00",
        ] {
            assert!(!is_iso_date(more_than_iso), "{more_than_iso}");
        }
    }
}
