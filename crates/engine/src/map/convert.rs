//! Values as their field has them: its type, after its transforms.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_schema::{ArrowError, DataType};
use arrow_select::nullif::nullif;
use segport_core::{Error, ErrorKind, FieldType, Result};
use segport_manifest::{FieldMapping, Transform};
use sha2::{Digest, Sha256};

use super::{Flaw, FlawKind, Flaws};
use crate::numbered::Numbered;
use crate::{address, check};

/// The values as text. A value that has none, such as a day in the year six million, is left out, and `refuse` told of its row.
pub(super) fn as_text(values: &ArrayRef, name: &str, refuse: impl FnMut(usize)) -> Result<StringArray> {
    if let Some(text) = values.as_string_opt::<i32>() {
        return Ok(text.clone());
    }
    let values = &utc(values)?;
    let text = written(values).or_else(|_| {
        let has_none: BooleanArray =
            (0..values.len()).map(|row| Some(written(&values.slice(row, 1)).is_err())).collect();
        let text = nullif(values, &has_none).and_then(|others| written(&others))?;
        has_none.values().set_indices().for_each(refuse);
        Ok(text)
    });
    // What Arrow says of a value repeats it.
    let text = text.map_err(|_: ArrowError| {
        Error::new(ErrorKind::Contract, "the source gave a column that cannot be read as text").with("column", name)
    })?;
    Ok(text.as_string::<i32>().clone())
}

/// The values as Arrow writes them.
fn written(values: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    match values.data_type() {
        DataType::Timestamp(_, _) => {
            let format = arrow_cast::CastOptions {
                safe: false,
                format_options: arrow_cast::display::FormatOptions::new()
                    .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
                    .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ")),
            };
            arrow_cast::cast_with_options(values, &DataType::Utf8, &format)
        }
        _ => arrow_cast::cast(values, &DataType::Utf8),
    }
}

/// A zoned timestamp as the same instant in UTC, so that its text can end in `Z`.
fn utc(values: &ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            arrow_cast::cast(values, &DataType::Timestamp(*unit, Some("+00:00".into())))
                .map_err(|error| Error::new(ErrorKind::Contract, "a time stamp's zone is not known").because(&error))
        }
        _ => Ok(Arc::clone(values)),
    }
}

/// The values of a column as those of `field`, which is at `position`; what is wrong with them goes to `flaws`. Texts that are
/// numbered may stay so.
pub(super) fn convert(values: &ArrayRef, field: &FieldMapping, position: usize, flaws: &mut Flaws) -> Result<ArrayRef> {
    let wrong = Flaw { kind: FlawKind::WrongType, field: position };
    if field.transform.is_empty() {
        match (field.field_type, values.data_type()) {
            (FieldType::Integer, DataType::Int64) | (FieldType::Boolean, DataType::Boolean) => {
                return Ok(Arc::clone(values));
            }
            (FieldType::Float, DataType::Float64) => return Ok(finite(values, wrong, flaws)),
            (FieldType::String, _) if Numbered::of(values).is_some() => return Ok(Arc::clone(values)),
            _ => {}
        }
    }
    let mut text = as_text(values, &field.column, |row| flaws.add(row, wrong))?;
    for transform in &field.transform {
        text = apply(transform, &text, position, flaws);
    }
    Ok(match field.field_type {
        FieldType::String => Arc::new(text),
        FieldType::Email => Arc::new(normalised_email(text)),
        FieldType::Integer => Arc::new(parsed::<Int64Array, _>(&text, wrong, flaws, integer)),
        FieldType::Float => Arc::new(parsed::<Float64Array, _>(&text, wrong, flaws, float)),
        FieldType::Boolean => Arc::new(parsed::<BooleanArray, _>(&text, wrong, flaws, boolean)),
        FieldType::Date => Arc::new(dated(&text, wrong, flaws, iso_date)),
    })
}

/// Numbers as they are; what is none, such as infinity, is no value of the type.
fn finite(values: &ArrayRef, wrong: Flaw, flaws: &mut Flaws) -> ArrayRef {
    match values.as_primitive_opt::<Float64Type>() {
        Some(numbers) if !numbers.values().iter().all(|number| number.is_finite()) => {
            let finite = numbers.iter().enumerate().map(|(row, number)| {
                let finite = number.filter(|number| number.is_finite());
                if finite != number {
                    flaws.add(row, wrong);
                }
                finite
            });
            Arc::new(finite.collect::<Float64Array>())
        }
        _ => Arc::clone(values),
    }
}

fn parsed<A: FromIterator<Option<T>>, T>(
    text: &StringArray,
    wrong: Flaw,
    flaws: &mut Flaws,
    parse: impl Fn(&str) -> Option<T>,
) -> A {
    text.iter()
        .enumerate()
        .map(|(row, value)| {
            let value = value?;
            let parsed = parse(value.trim());
            if parsed.is_none() {
                flaws.add(row, wrong);
            }
            parsed
        })
        .collect()
}

fn integer(text: &str) -> Option<i64> {
    // A number column of a file may hold `3.0` where `3` was meant; only a whole value passes.
    text.parse().ok().or_else(|| {
        let (whole, fraction) = text.split_once('.')?;
        fraction.bytes().all(|digit| digit == b'0').then(|| whole.parse().ok())?
    })
}

fn float(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A date in the one form of ISO 8601 that is sent: with a `T` before the time, and a colon in its offset. Databases write a blank,
/// and `+02` or `+0200`.
fn iso_date(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim();
    if !check::is_iso_date(value) {
        return None;
    }
    let mut date = Cow::Borrowed(value);
    if value.as_bytes().get(10) == Some(&b' ') {
        date = Cow::Owned(value.replacen(' ', "T", 1));
    }
    if let Some(offset) = check::offset(value).filter(|offset| !offset.contains(':')) {
        let minutes = offset.get(2..).filter(|minutes| !minutes.is_empty()).unwrap_or("00");
        date = Cow::Owned(format!("{}:{minutes}", date.strip_suffix(offset.get(2..)?)?));
    }
    Some(date)
}

/// The values after a transform of the field at `position`.
fn apply(transform: &Transform, text: &StringArray, position: usize, flaws: &mut Flaws) -> StringArray {
    let no_date = Flaw { kind: FlawKind::NoDate, field: position };
    match transform {
        Transform::Trim => rewritten(
            text,
            |value| {
                let trimmed = value.trim();
                Ok((!trimmed.is_empty()).then_some(Cow::Borrowed(trimmed)))
            },
            flaws,
        ),
        Transform::Lower => rewritten(text, |value| Ok(Some(Cow::Owned(value.to_lowercase()))), flaws),
        Transform::Upper => rewritten(text, |value| Ok(Some(Cow::Owned(value.to_uppercase()))), flaws),
        Transform::Sha256 => {
            rewritten(text, |value| Ok(Some(Cow::Owned(hex::encode(Sha256::digest(value.as_bytes()))))), flaws)
        }
        Transform::Date => dated(text, no_date, flaws, iso_date),
        Transform::DateIn { date: format } => dated(text, no_date, flaws, |value| date_in(format, value)),
    }
}

/// Each value as `read` has it; one that it cannot read has this flaw.
fn dated<'a>(
    text: &'a StringArray,
    flaw: Flaw,
    flaws: &mut Flaws,
    read: impl Fn(&'a str) -> Option<Cow<'a, str>>,
) -> StringArray {
    rewritten(text, |value| read(value.trim()).map(Some).ok_or(flaw), flaws)
}

/// Reads a date in `format` (strptime) and writes it as ISO 8601.
fn date_in(format: &str, value: &str) -> Option<Cow<'static, str>> {
    let broken_down = jiff::fmt::strtime::parse(format, value).ok()?;
    // Without an hour in the format, the text says nothing about a time, and none is made up.
    let text = if broken_down.hour().is_none() {
        broken_down.to_date().ok()?.to_string()
    } else {
        let instant = broken_down.to_timestamp().map(|at| at.to_string());
        instant.or_else(|_| broken_down.to_datetime().map(|at| at.to_string())).ok()?
    };
    Some(Cow::Owned(text))
}

fn rewritten<'a>(
    text: &'a StringArray,
    rewrite: impl Fn(&'a str) -> std::result::Result<Option<Cow<'a, str>>, Flaw>,
    flaws: &mut Flaws,
) -> StringArray {
    text.iter()
        .enumerate()
        .map(|(row, value)| match rewrite(value?) {
            Ok(value) => value,
            Err(flaw) => {
                flaws.add(row, flaw);
                None
            }
        })
        .collect()
}

/// Trims and lower-cases addresses; hands the column through when nothing would change.
fn normalised_email(text: StringArray) -> StringArray {
    // If none is empty, all can be looked at in one go. Bytes under a null only make the look stricter.
    let offsets = text.value_offsets();
    let bytes = offsets
        .first()
        .zip(offsets.last())
        .and_then(|(from, to)| text.value_data().get(usize::try_from(*from).ok()?..usize::try_from(*to).ok()?));
    let is_normal = offsets.is_sorted_by(|from, to| from < to) && bytes.is_some_and(address::is_normal);
    if is_normal || text.iter().flatten().all(|address| address::is_normal(address.as_bytes())) {
        return text;
    }
    text.iter().map(|value| address::normalised(value?)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_sent_in_one_form() {
        let check = |value, expected: Option<&str>| assert_eq!(iso_date(value).as_deref(), expected, "{value}");
        check(" 2026-11-23 ", Some("2026-11-23"));
        check("2026-11-23 10:00", Some("2026-11-23T10:00"));
        check("2026-11-23T10:00:00Z", Some("2026-11-23T10:00:00Z"));
        check("2026-11-23T10:00:00-02:00", Some("2026-11-23T10:00:00-02:00"));
        check("2026-11-23 10:00:00.5+0200", Some("2026-11-23T10:00:00.5+02:00"));
        check("2026-11-23 10:00-02", Some("2026-11-23T10:00-02:00"));
        check("2026-11-23T10:00:00+0202", Some("2026-11-23T10:00:00+02:02"));
        check("2026-11-23T10:00:00+25:00", None);
    }

    proptest! {
        #[test]
        fn an_address_is_normal_wherever_it_stands(
            addresses in proptest::collection::vec(proptest::option::of("[ a@.\\x00Aé]{0,3}"), 0..6),
            cut in (0_usize..6, 0_usize..6),
        ) {
            let column: StringArray = addresses.iter().cloned().collect();
            let start = cut.0.min(column.len());
            let part = column.slice(start, cut.1.min(column.len() - start));
            let expected: StringArray = part.iter().map(|address| address::normalised(address?)).collect();
            prop_assert_eq!(normalised_email(part), expected);
        }
    }
}
