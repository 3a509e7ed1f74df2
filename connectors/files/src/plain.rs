//! From Arrow's many types to the few that pages are made of, without altering a value.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_json::EncoderOptions;
use arrow_json::writer::make_encoder;
use arrow_schema::{ArrowError, DataType, Field, TimeUnit, extension};
use arrow_select::nullif::nullif;
use uuid::Uuid;

use crate::page::flaw;

/// How often the texts of a page are repeated at least, on average, where they stay numbered: the page holds all of them.
const FEWEST_REPEATS: usize = 4;
/// Bytes of a text up to which it stays numbered: whoever writes it out in every row of a page needs room for that.
const LONGEST_NUMBERED: usize = 512;

/// The type that a column has in pages; `None` if it has none.
pub(crate) fn plain_column(column: &Field) -> Option<DataType> {
    if is_uuid(column) { Some(DataType::Utf8) } else { plain_type(column.data_type()) }
}

/// Whether the bytes of a column are said to be UUIDs.
fn is_uuid(column: &Field) -> bool {
    *column.data_type() == DataType::FixedSizeBinary(16) && column.has_valid_extension_type::<extension::Uuid>()
}

fn plain_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.as_ref().map(|_| Arc::from("UTC")))
        }
        DataType::Dictionary(_, values) => return plain_type(values),
        DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => DataType::Utf8,
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..) => DataType::Utf8,
        _ => return None,
    })
}

/// The type of columns whose texts are numbered.
pub(crate) fn numbered_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// How messages call a type that pages have.
pub(crate) fn type_name(plain: &DataType) -> &'static str {
    match plain {
        DataType::Int64 => "integer",
        DataType::Float64 => "float",
        DataType::Boolean => "boolean",
        DataType::Date32 => "date",
        DataType::Timestamp(_, None) => "time without a time zone",
        DataType::Timestamp(_, Some(_)) => "time with a time zone",
        _ => "string",
    }
}

/// How messages call the values of a type that has no plain one.
pub(crate) fn strange(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Duration(_) => "durations",
        DataType::Interval(_) => "intervals",
        DataType::Dictionary(_, values) => strange(values),
        _ => "values of a kind of its own",
    }
}

/// `array` in its plain type, or as text where a value would not survive in that type.
///
/// Rows that cannot be values get no value and are added to `bad`, with what is wrong with theirs.
///
/// # Errors
/// What Arrow says of a conversion that is impossible.
pub(crate) fn plain(
    field: &Field,
    array: &ArrayRef,
    bad: &mut Vec<(usize, String)>,
    max_bytes: usize,
) -> Result<ArrayRef, ArrowError> {
    if let DataType::Dictionary(_, values) = array.data_type() {
        if is_worth_numbering(array, max_bytes) {
            return Ok(Arc::clone(array));
        }
        let unpacked = convert(array, values)?;
        return plain(field, &unpacked, bad, max_bytes);
    }
    match array.data_type() {
        DataType::UInt64 => {
            let fits = array.as_primitive::<UInt64Type>().iter().flatten().all(|value| i64::try_from(value).is_ok());
            convert(array, if fits { &DataType::Int64 } else { &DataType::Utf8 })
        }
        DataType::Float16 => plain(field, &convert(array, &DataType::Float32)?, bad, max_bytes),
        DataType::Float32 => Ok(Arc::new(widened(array.as_primitive::<Float32Type>()))),
        DataType::Timestamp(unit, zone) => {
            within_range(field, array, bad, |array| timestamp(array, *unit, zone.is_some()))
        }
        DataType::Time32(unit) | DataType::Time64(unit) => {
            within_range(field, array, bad, |array| time_of_day(array, *unit))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let bytes = convert(array, &DataType::LargeBinary)?;
            Ok(Arc::new(checked(field, bytes.as_binary::<i64>().iter(), bad, max_bytes)))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = convert(array, &DataType::Utf8)?;
            let strings = text.as_string::<i32>();
            let offsets = strings.value_offsets();
            // A loop without branches looks at several at once, and a page has a hundred thousand.
            let longest =
                offsets.iter().zip(offsets.iter().skip(1)).fold(0, |longest, (from, to)| longest.max(to - from));
            let is_too_long = usize::try_from(longest).is_ok_and(|longest| longest > max_bytes);
            if is_too_long || memchr::memchr(0, strings.value_data()).is_some() {
                return Ok(Arc::new(checked(
                    field,
                    strings.iter().map(|value| value.map(str::as_bytes)),
                    bad,
                    max_bytes,
                )));
            }
            Ok(text)
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..) => {
            let json = json(field, array)?;
            Ok(Arc::new(checked(field, json.iter().map(|value| value.map(str::as_bytes)), bad, max_bytes)))
        }
        DataType::FixedSizeBinary(_) if is_uuid(field) => {
            let texts = array.as_fixed_size_binary().iter().map(|uuid| {
                let uuid = uuid.and_then(|bytes| Uuid::from_slice(bytes).ok());
                uuid.map(|uuid| uuid.hyphenated().to_string())
            });
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        other => match plain_type(other) {
            Some(wanted) => within_range(field, array, bad, |array| convert(array, &wanted)),
            None => Err(ArrowError::NotYetImplemented(format!("columns of type {other}"))),
        },
    }
}

/// Whether texts are numbered that are few and short and all of them sound, so that the rows need not be looked at.
fn is_worth_numbering(array: &ArrayRef, max_bytes: usize) -> bool {
    let numbered = array.as_dictionary_opt::<Int32Type>();
    let Some(texts) = numbered.and_then(|numbered| numbered.values().as_string_opt::<i32>()) else { return false };
    let are_few = texts.len().saturating_mul(FEWEST_REPEATS) <= array.len() && texts.null_count() == 0;
    let most_bytes = max_bytes.min(LONGEST_NUMBERED);
    are_few && texts.iter().flatten().all(|text| text.len() <= most_bytes && flaw(text.as_bytes()).is_none())
}

fn convert(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    // A value that does not fit is an error, never a silent null.
    cast_with_options(array, wanted, &CastOptions { safe: false, ..CastOptions::default() })
}

/// What `conversion` makes of the values it takes; the rows of the others are added to `bad`.
///
/// What it says of a value is not passed on, because it repeats the value.
fn within_range(
    field: &Field,
    array: &ArrayRef,
    bad: &mut Vec<(usize, String)>,
    conversion: impl Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    if let Ok(converted) = conversion(array) {
        return Ok(converted);
    }
    let beyond: BooleanArray = (0..array.len()).map(|row| Some(conversion(&array.slice(row, 1)).is_err())).collect();
    let rows = beyond.values().set_indices();
    bad.extend(rows.map(|row| (row, format!("the value of column `{}` is out of range", field.name()))));
    conversion(&nullif(array, &beyond)?)
}

/// Through the shortest text, because 0.1 should stay 0.1 and not become 0.10000000149011612.
fn widened(array: &PrimitiveArray<Float32Type>) -> PrimitiveArray<Float64Type> {
    array.unary(|value| value.to_string().parse().unwrap_or(f64::from(value)))
}

/// Milliseconds, or text if a value is finer than that or out of range.
fn timestamp(array: &ArrayRef, unit: TimeUnit, zoned: bool) -> Result<ArrayRef, ArrowError> {
    // Only the label of the zone changes: what is stored counts from 1970 in UTC either way.
    let labelled = |unit, zone: &str| DataType::Timestamp(unit, zoned.then(|| Arc::from(zone)));
    let array = convert(array, &labelled(unit, "UTC"))?;
    if let Ok(millis) = convert(&array, &labelled(TimeUnit::Millisecond, "UTC")) {
        let back = convert(&millis, array.data_type());
        if back.is_ok_and(|back| *back == *array) && in_calendar(millis.as_primitive::<TimestampMillisecondType>()) {
            return Ok(millis);
        }
    }
    // Arrow writes times of offsets only; this one becomes `Z`.
    convert(&convert(&array, &labelled(unit, "+00:00"))?, &DataType::Utf8)
}

/// Times of a day as text.
fn time_of_day(array: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, ArrowError> {
    let a_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let counts = convert(array, &DataType::Int64)?;
    let a_day = 0..86_400 * a_second;
    // Arrow takes some counts that are far beyond a day for others within it.
    if counts.as_primitive::<Int64Type>().iter().flatten().all(|count| a_day.contains(&count)) {
        convert(array, &DataType::Utf8)
    } else {
        Err(ArrowError::CastError("a time beyond the end of the day".to_owned()))
    }
}

/// Whether every time is in the years 1 to 9999, which is where ISO 8601 is unambiguous.
fn in_calendar(array: &PrimitiveArray<TimestampMillisecondType>) -> bool {
    array.iter().flatten().all(|value| (-62_135_596_800_000..253_402_300_800_000).contains(&value))
}

fn checked<'a>(
    field: &Field,
    values: impl Iterator<Item = Option<&'a [u8]>>,
    bad: &mut Vec<(usize, String)>,
    max_bytes: usize,
) -> StringArray {
    let mut text = StringBuilder::new();
    for (row, value) in values.enumerate() {
        let Some(value) = value else {
            text.append_null();
            continue;
        };
        let wrong = if value.len() > max_bytes {
            Some(format!("the field of column `{}` is longer than {max_bytes} bytes (`max_field_bytes`)", field.name()))
        } else {
            flaw(value).map(|flaw| format!("the value of column `{}` {flaw}", field.name()))
        };
        match (wrong, std::str::from_utf8(value)) {
            (None, Ok(value)) => text.append_value(value),
            (wrong, _) => {
                bad.push((row, wrong.unwrap_or_default()));
                text.append_null();
            }
        }
    }
    text.finish()
}

fn json(field: &Field, array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let field = Arc::new(field.clone());
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(&field, array.as_ref(), &options)?;
    let mut text = StringBuilder::new();
    let mut buffer = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            text.append_null();
            continue;
        }
        buffer.clear();
        encoder.encode(row, &mut buffer);
        text.append_value(String::from_utf8_lossy(&buffer));
    }
    Ok(text.finish())
}
