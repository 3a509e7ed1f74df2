//! From a source's columns to the payload a destination will see: names, types, transforms, nulls.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::nullif::nullif;
use segport_core::{Error, ErrorKind, FieldType, MappedField, Result};
use segport_manifest::{FieldMapping, Transform, WhenNull};
use sha2::{Digest, Sha256};

use crate::{address, check};

/// The compiled mapping of an export onto one segment's columns.
#[derive(Debug)]
pub(crate) struct Mapping {
    fields: Vec<FieldMapping>,
    max_chars: Vec<Option<u32>>,
    identity: usize,
    key: Vec<String>,
    schema: SchemaRef,
}

/// A page whose columns are the destination's fields, in the order of the mapping.
#[derive(Debug)]
pub(crate) struct MappedPage {
    /// Columns `f0`, `f1` and so on.
    pub(crate) rows: RecordBatch,
    /// The key columns of the segment, as text.
    pub(crate) keys: Vec<StringArray>,
    /// Per row, why it cannot be sent; the first flaw counts.
    pub(crate) flaws: Vec<Option<Flaw>>,
}

/// Why a row cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Which rule it breaks.
    pub(crate) kind: FlawKind,
    /// Position of the field in the mapping; of a key it says nothing.
    pub(crate) field: usize,
}

/// The rules a value can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlawKind {
    NoKey,
    Missing,
    MalformedEmail,
    WrongType,
    TooLong,
    SkippedWhenNull,
}

impl FlawKind {
    /// Short stable code for `rows`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NoKey | Self::Missing => "missing",
            Self::MalformedEmail => "malformed_email",
            Self::WrongType => "wrong_type",
            Self::TooLong => "too_long",
            Self::SkippedWhenNull => "skipped_when_null",
        }
    }
}

impl Mapping {
    /// Compiles the fields of an export for a segment with these key columns. `max_chars` and `identity` go by position.
    pub(crate) fn new(fields: &[FieldMapping], max_chars: Vec<Option<u32>>, identity: usize, key: &[String]) -> Self {
        let columns: Vec<Field> = fields
            .iter()
            .enumerate()
            .map(|(position, field)| Field::new(format!("f{position}"), arrow_type(field.field_type), true))
            .collect();
        Self { fields: fields.to_vec(), max_chars, identity, key: key.to_vec(), schema: Arc::new(Schema::new(columns)) }
    }

    /// The columns of a mapped page.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The position of the field that says who a row is.
    pub(crate) fn identity(&self) -> usize {
        self.identity
    }

    /// The fields as the connector is told of them.
    pub(crate) fn described(fields: &[FieldMapping]) -> Vec<MappedField> {
        fields
            .iter()
            .map(|field| MappedField {
                name: field.name.clone(),
                field_type: field.field_type,
                custom: field.custom,
                clear_null: field.when_null == WhenNull::Clear,
            })
            .collect()
    }

    /// Why a row cannot be sent, as a sentence without its data.
    pub(crate) fn explain(&self, flaw: Flaw) -> String {
        let no_key = || "the row has no key".to_owned();
        let Some(field) = self.fields.get(flaw.field) else { return no_key() };
        let (name, column) = (&field.name, &field.column);
        match flaw.kind {
            FlawKind::NoKey => no_key(),
            FlawKind::Missing => format!("no value for the required field `{name}` (column `{column}`)"),
            FlawKind::MalformedEmail => format!("`{name}` is not an e-mail address (column `{column}`)"),
            FlawKind::WrongType => {
                format!("the value of `{name}` is not of type {} (column `{column}`)", field.field_type.as_str())
            }
            FlawKind::TooLong => {
                format!("the value of `{name}` is longer than the destination takes (column `{column}`)")
            }
            FlawKind::SkippedWhenNull => format!("`{name}` is empty and `when_null` is `skip_row` (column `{column}`)"),
        }
    }

    /// Maps one page.
    ///
    /// # Errors
    /// `contract` if the page lacks a column that the segment's schema promised.
    pub(crate) fn map(&self, page: &RecordBatch) -> Result<MappedPage> {
        let mut flaws = Flaws(vec![None; page.num_rows()]);
        // A value that has no text is none here, and so no key.
        let key = |name: &String| as_text(column(page, name)?, name, |_| {});
        let keys = self.key.iter().map(key).collect::<Result<Vec<StringArray>>>()?;
        let no_key = Flaw { kind: FlawKind::NoKey, field: 0 };
        for key in keys.iter().filter(|key| key.null_count() > 0) {
            (0..key.len()).filter(|&row| key.is_null(row)).for_each(|row| flaws.add(row, no_key));
        }
        let mut columns = Vec::with_capacity(self.fields.len());
        for (position, field) in self.fields.iter().enumerate() {
            let values = convert(column(page, &field.column)?, field, position, &mut flaws)?;
            self.judge(&values, position, field, &mut flaws);
            columns.push(values);
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| Error::new(ErrorKind::Internal, "mapped columns do not form a batch").because(&error))?;
        Ok(MappedPage { rows, keys, flaws: flaws.0 })
    }

    fn judge(&self, values: &ArrayRef, position: usize, field: &FieldMapping, flaws: &mut Flaws) {
        let null_flaw = if position == self.identity {
            Some(FlawKind::Missing)
        } else {
            (field.when_null == WhenNull::SkipRow).then_some(FlawKind::SkippedWhenNull)
        };
        if let Some(kind) = null_flaw.filter(|_| values.null_count() > 0) {
            (0..values.len())
                .filter(|&row| values.is_null(row))
                .for_each(|row| flaws.add(row, Flaw { kind, field: position }));
        }
        let Some(text) = values.as_string_opt::<i32>() else { return };
        if let Some(limit) = self.max_chars.get(position).copied().flatten() {
            flag(text, position, FlawKind::TooLong, flaws, |value| {
                value.len() > limit as usize && value.chars().count() > limit as usize
            });
        }
        if field.field_type == FieldType::Email {
            flag(text, position, FlawKind::MalformedEmail, flaws, |value| !check::is_email(value));
        }
    }
}

/// Collects the first flaw of each row.
#[derive(Debug)]
struct Flaws(Vec<Option<Flaw>>);

impl Flaws {
    fn add(&mut self, row: usize, flaw: Flaw) {
        if let Some(slot @ None) = self.0.get_mut(row) {
            *slot = Some(flaw);
        }
    }
}

fn flag(text: &StringArray, field: usize, kind: FlawKind, flaws: &mut Flaws, is_flawed: impl Fn(&str) -> bool) {
    for (row, value) in text.iter().enumerate() {
        if value.is_some_and(&is_flawed) {
            flaws.add(row, Flaw { kind, field });
        }
    }
}

fn arrow_type(field_type: FieldType) -> DataType {
    match field_type {
        FieldType::String | FieldType::Email | FieldType::Date => DataType::Utf8,
        FieldType::Integer => DataType::Int64,
        FieldType::Float => DataType::Float64,
        FieldType::Boolean => DataType::Boolean,
    }
}

fn column<'a>(page: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    page.column_by_name(name).ok_or_else(|| {
        Error::new(ErrorKind::ConfigInvalid, "the segment has no such column; `segport check` finds the nearest name")
            .with("column", name)
    })
}

/// The values as text. A value that has none, such as a day in the year six million, is left out, and `refuse` told of its row.
fn as_text(values: &ArrayRef, name: &str, refuse: impl FnMut(usize)) -> Result<StringArray> {
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

fn convert(values: &ArrayRef, field: &FieldMapping, position: usize, flaws: &mut Flaws) -> Result<ArrayRef> {
    let wrong = Flaw { kind: FlawKind::WrongType, field: position };
    if field.transform.is_empty() {
        match (field.field_type, values.data_type()) {
            (FieldType::Integer, DataType::Int64) | (FieldType::Boolean, DataType::Boolean) => {
                return Ok(Arc::clone(values));
            }
            (FieldType::Float, DataType::Float64) => return Ok(finite(values, wrong, flaws)),
            _ => {}
        }
    }
    let mut text = as_text(values, &field.column, |row| flaws.add(row, wrong))?;
    for transform in &field.transform {
        text = apply(transform, &text, wrong, flaws);
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

fn iso_date(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim();
    if !check::is_iso_date(value) {
        return None;
    }
    match value.as_bytes().get(10) {
        Some(b' ') => Some(Cow::Owned(value.replacen(' ', "T", 1))),
        _ => Some(Cow::Borrowed(value)),
    }
}

fn apply(transform: &Transform, text: &StringArray, wrong: Flaw, flaws: &mut Flaws) -> StringArray {
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
        Transform::Date => dated(text, wrong, flaws, iso_date),
        Transform::DateIn { date: format } => dated(text, wrong, flaws, |value| date_in(format, value)),
    }
}

/// Each value as `read` has it; a value that it cannot read is of the wrong type.
fn dated<'a>(
    text: &'a StringArray,
    wrong: Flaw,
    flaws: &mut Flaws,
    read: impl Fn(&'a str) -> Option<Cow<'a, str>>,
) -> StringArray {
    rewritten(text, |value| read(value.trim()).map(Some).ok_or(wrong), flaws)
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
    use arrow_array::{Date32Array, TimestampMillisecondArray};
    use proptest::prelude::*;

    use super::*;

    fn field(name: &str, field_type: FieldType, transform: Vec<Transform>, when_null: WhenNull) -> FieldMapping {
        FieldMapping {
            name: name.into(),
            custom: false,
            field_type,
            column: "c".into(),
            transform,
            when_null,
            span: 0..0,
        }
    }

    fn check(field: FieldMapping, values: ArrayRef, expected: &[&str]) {
        let page = RecordBatch::try_from_iter_with_nullable([("c", values, true)]).unwrap();
        let mapping = Mapping::new(&[field], vec![Some(20)], 9, &[]);
        let mapped = mapping.map(&page).unwrap();
        let text = arrow_cast::cast(mapped.rows.column(0), &DataType::Utf8).unwrap();
        let seen: Vec<String> = (0..page.num_rows())
            .map(|row| match mapped.flaws[row] {
                Some(flaw) => format!("!{}", flaw.kind.code()),
                None if text.is_null(row) => "null".to_owned(),
                None => text.as_string::<i32>().value(row).to_owned(),
            })
            .collect();
        assert_eq!(seen, expected);
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

    fn text(values: &[&str]) -> ArrayRef {
        Arc::new(values.iter().map(|value| (*value != "null").then_some(*value)).collect::<StringArray>())
    }

    #[test]
    fn values_take_the_type_of_their_field() {
        use FieldType::{Boolean, Date, Email, Float, Integer, String};
        let plain = |field_type| field("x", field_type, vec![], WhenNull::Omit);
        check(
            plain(String),
            text(&[" Zoë ", "", "null", "0012", "more than twenty chars"]),
            &[" Zoë ", "", "null", "0012", "!too_long"],
        );
        check(
            plain(Email),
            text(&[" Anna@Example.COM ", "x", "null", " "]),
            &["anna@example.com", "!malformed_email", "null", "null"],
        );
        check(
            plain(Integer),
            text(&["12", " -3 ", "3.00", "3.5", "", "1e3"]),
            &["12", "-3", "3", "!wrong_type", "!wrong_type", "!wrong_type"],
        );
        check(plain(Float), text(&["1.5", "-2", "NaN", "x"]), &["1.5", "-2.0", "!wrong_type", "!wrong_type"]);
        let numbers = vec![Some(1.5), Some(f64::NAN), None, Some(f64::INFINITY)];
        check(plain(Float), Arc::new(Float64Array::from(numbers)), &["1.5", "!wrong_type", "null", "!wrong_type"]);
        check(plain(Boolean), text(&["true", "No", "1", "maybe"]), &["true", "false", "true", "!wrong_type"]);
        check(plain(Date), text(&["2026-11-23", "23.11.2026"]), &["2026-11-23", "!wrong_type"]);
        check(plain(String), Arc::new(Int64Array::from(vec![7])), &["7"]);
        check(plain(Integer), Arc::new(Float64Array::from(vec![7.0, 7.5])), &["7", "!wrong_type"]);
    }

    #[test]
    fn a_value_that_has_no_text_costs_its_row_and_no_other() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(20_780), Some(i32::MAX), None]));
        let times = TimestampMillisecondArray::from(vec![Some(1_795_428_000_000), Some(i64::MAX), None]);
        let zoned: ArrayRef = Arc::new(times.clone().with_timezone("UTC"));
        for field_type in [FieldType::Date, FieldType::String] {
            let plain = || field("x", field_type, vec![], WhenNull::Omit);
            check(plain(), Arc::clone(&days), &["2026-11-23", "!wrong_type", "null"]);
            check(plain(), Arc::new(times.clone()), &["2026-11-23T10:00:00", "!wrong_type", "null"]);
            check(plain(), Arc::clone(&zoned), &["2026-11-23T10:00:00Z", "!wrong_type", "null"]);
        }
        let mapping =
            Mapping::new(&[field("x", FieldType::Date, vec![], WhenNull::Omit)], vec![None], 9, &["c".to_owned()]);
        let page = RecordBatch::try_from_iter_with_nullable([("c", days, true)]).unwrap();
        let no_key = Flaw { kind: FlawKind::NoKey, field: 0 };
        assert_eq!(mapping.map(&page).unwrap().flaws, [None, Some(no_key), Some(no_key)]);
    }

    #[test]
    fn transforms_apply_in_order() {
        let with = |transform| field("x", FieldType::String, transform, WhenNull::Omit);
        check(with(vec![Transform::Trim, Transform::Upper]), text(&[" zoë ", "  "]), &["ZOË", "null"]);
        check(
            with(vec![Transform::DateIn { date: "%d.%m.%Y".into() }]),
            text(&["23.11.2026", "x"]),
            &["2026-11-23", "!wrong_type"],
        );
        let mapping = Mapping::new(&[with(vec![Transform::Sha256])], vec![None], 9, &[]);
        let page = RecordBatch::try_from_iter_with_nullable([("c", text(&["abc"]), true)]).unwrap();
        let mapped = mapping.map(&page).unwrap();
        assert_eq!(
            mapped.rows.column(0).as_string::<i32>().value(0),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_plain_date_transform_takes_iso_8601() {
        let date = field("x", FieldType::Date, vec![Transform::Date], WhenNull::Omit);
        check(date, text(&["2026-11-23 10:00:00", "x"]), &["2026-11-23T10:00:00", "!wrong_type"]);
    }

    #[test]
    fn a_null_skips_the_row_only_when_told_to() {
        check(
            field("x", FieldType::String, vec![], WhenNull::SkipRow),
            text(&["null", "a"]),
            &["!skipped_when_null", "a"],
        );
        check(field("x", FieldType::String, vec![], WhenNull::Clear), text(&["null", "a"]), &["null", "a"]);
    }
}
