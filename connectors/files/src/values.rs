//! Reading single values: the strict forms that inference trusts, and the wider ones for declared types.

/// A whole number written the only way that gives the same text back: no sign but `-`, no leading zeros, no `-0`.
pub(crate) fn canonical_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        b"0" if digits.len() == text.len() => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Counting down reaches the smallest number, which has no positive counterpart.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if digits.len() == text.len() { value.checked_neg() } else { Some(value) }
}

/// A number with a fraction, written the only way that gives the same text back from a 64-bit float.
///
/// At most 15 significant digits, which such a float tells apart; no exponent; no zero at the end; and not so small that
/// writers of JSON would choose an exponent.
pub(crate) fn canonical_float(text: &[u8]) -> Option<f64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.len() > 17 {
        return None;
    }
    let point = digits.iter().position(|&byte| byte == b'.')?;
    let (whole, fraction) = (digits.get(..point)?, digits.get(point + 1..)?);
    let significant = match whole {
        b"0" if fraction.starts_with(b"000") => return None,
        b"0" => fraction.len(),
        [b'1'..=b'9', ..] => whole.len() + fraction.len(),
        _ => return None,
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if significant > 15 || !all_digits || fraction.last().is_none_or(|&last| last == b'0') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `true` or `false`, in small letters.
pub(crate) fn canonical_boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// A whole number as people write it: spaces around it, a plus sign and leading zeros are fine.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    trimmed(text)?.parse().ok()
}

/// A number as people write it, exponents included; infinities and not-a-number are no values.
pub(crate) fn float(text: &[u8]) -> Option<f64> {
    let value: f64 = trimmed(text)?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// A truth value as people write it.
pub(crate) fn boolean(text: &[u8]) -> Option<bool> {
    let text = trimmed(text)?;
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "yes", "1"]) {
        Some(true)
    } else if is(["false", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// Days from 1970-01-01 to a date written `2026-11-23`.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let text = trimmed(text)?;
    let [_, _, _, _, b'-', _, _, b'-', _, _] = text.as_bytes() else { return None };
    let number = |part: Option<&str>| -> Option<i32> {
        let part = part?;
        if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
    };
    let (year, month, day) = (number(text.get(..4))?, number(text.get(5..7))?, number(text.get(8..))?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    // Years that begin in March put the leap day last, which makes the day of the year a straight line.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

fn trimmed(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_texts_that_come_back_the_same_are_canonical() {
        for text in ["0", "1", "-1", "42", "9223372036854775807", "-9223372036854775808", "999999999999999999"] {
            assert_eq!(canonical_integer(text.as_bytes()).unwrap().to_string(), text);
        }
        for text in ["", "-", "-0", "00", "007", "+1", "1 ", " 1", "1.0", "1e3", "9223372036854775808", "1_000", "١"] {
            assert_eq!(canonical_integer(text.as_bytes()), None, "{text}");
        }
        for text in ["0.5", "-0.5", "1.25", "0.001", "123456789.123456", "-99999999999999.9", "0.123456789012345"] {
            assert_eq!(canonical_float(text.as_bytes()).unwrap().to_string(), text);
        }
        for text in [
            "",
            ".",
            "1",
            "1.",
            ".5",
            "1.50",
            "0.0",
            "-0.0",
            "01.5",
            "+1.5",
            "1.5e3",
            "0.0001",
            "1.2.3",
            "1.2345678901234567",
            "NaN",
        ] {
            assert_eq!(canonical_float(text.as_bytes()), None, "{text}");
        }
        assert_eq!(canonical_boolean(b"true"), Some(true));
        assert_eq!(canonical_boolean(b"True"), None);
    }

    #[test]
    fn declared_types_take_what_people_write() {
        assert_eq!(integer(b" +007 "), Some(7));
        assert_eq!(integer(b"7.0"), None);
        assert_eq!(float(b"1e3"), Some(1000.0));
        assert_eq!(float(b"inf"), None);
        assert_eq!(boolean(b"YES"), Some(true));
        assert_eq!(boolean(b"0"), Some(false));
        assert_eq!(boolean(b"maybe"), None);
    }

    #[test]
    fn dates_are_days_since_1970() {
        for (text, days) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("2026-11-23", Some(20_780)),
            ("0001-01-01", Some(-719_162)),
            ("9999-12-31", Some(2_932_896)),
            ("1900-02-29", None),
            ("2026-13-01", None),
            ("2026-04-31", None),
            ("2026-4-3", None),
            ("23.11.2026", None),
            ("2026-11-23T10:00", None),
            ("+026-11-23", None),
        ] {
            assert_eq!(date(text.as_bytes()), days, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_canonical_comes_back_the_same(
            text in prop_oneof!["-?[0-9]{0,19}(\\.[0-9]{0,16})?", "-?[1-9][0-9]{0,13}\\.[0-9]{0,2}[1-9]", "-?0\\.[0-9]{0,14}[1-9]"]
        ) {
            if let Some(value) = canonical_integer(text.as_bytes()) {
                prop_assert_eq!(value.to_string(), text.clone());
            }
            if let Some(value) = canonical_float(text.as_bytes()) {
                prop_assert_eq!(value.to_string(), text.clone());
                prop_assert_eq!(serde_json::to_string(&value).unwrap(), text.clone());
                let array = arrow_array::Float64Array::from(vec![value]);
                prop_assert_eq!(arrow_cast::display::array_value_to_string(&array, 0).unwrap(), text);
            }
        }
    }
}
