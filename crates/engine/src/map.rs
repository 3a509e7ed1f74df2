//! From a source's columns to the payload a destination will see: names, types, transforms, nulls.

mod convert;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use segport_core::{Error, ErrorKind, FieldType, MappedField, Result};
use segport_manifest::{FieldMapping, WhenNull};

use self::convert::{as_text, convert};
use crate::check;
use crate::numbered::Numbered;

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
    /// Columns `f0`, `f1` and so on, of the types of [`Mapping::schema`], or with their texts numbered ([`Numbered`]).
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
    /// A transform that reads dates cannot read it.
    NoDate,
    TooLong,
    SkippedWhenNull,
}

impl FlawKind {
    /// Short stable code for `rows`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NoKey | Self::Missing => "missing",
            Self::MalformedEmail => "malformed_email",
            Self::WrongType | Self::NoDate => "wrong_type",
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

    /// The columns of a mapped page with its texts written out.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The columns of the source that it makes use of, each once.
    pub(crate) fn columns(&self) -> Vec<String> {
        let columns = self.key.iter().chain(self.fields.iter().map(|field| &field.column));
        columns.collect::<BTreeSet<_>>().into_iter().cloned().collect()
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
            FlawKind::NoDate => {
                format!("the value of `{name}` is no date as the field's `transform` reads one (column `{column}`)")
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
        let named = self.schema.fields().iter().zip(&columns);
        let fields = named.map(|(field, values)| Field::new(field.name(), values.data_type().clone(), true));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)
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
        let limit = self.max_chars.get(position).copied().flatten().map_or(usize::MAX, |limit| limit as usize);
        let is_too_long = |value: &str| value.len() > limit && value.chars().count() > limit;
        if let Some(numbered) = Numbered::of(values) {
            let flaw = Flaw { kind: FlawKind::TooLong, field: position };
            numbered.rows_where(is_too_long).for_each(|row| flaws.add(row, flaw));
        }
        let Some(text) = values.as_string_opt::<i32>() else { return };
        if limit < usize::MAX {
            flag(text, position, FlawKind::TooLong, flaws, is_too_long);
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

#[cfg(test)]
mod tests {
    use arrow_array::{Date32Array, Float64Array, Int64Array, TimestampMillisecondArray};
    use segport_manifest::Transform;

    use super::*;
    use crate::numbered::numbered;

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

    /// Texts are checked as they are and numbered.
    fn check(field: FieldMapping, values: ArrayRef, expected: &[&str]) {
        if *values.data_type() == DataType::Utf8 {
            check_column(field.clone(), numbered(&values), expected);
        }
        check_column(field, values, expected);
    }

    fn check_column(field: FieldMapping, values: ArrayRef, expected: &[&str]) {
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
        let mapping = Mapping::new(
            &[with(vec![Transform::DateIn { date: "%d.%m.%Y".into() }])],
            vec![None],
            9,
            &["c".to_owned()],
        );
        let page = RecordBatch::try_from_iter_with_nullable([("c", text(&["32.1.2026"]), true)]).unwrap();
        let flaw = mapping.map(&page).unwrap().flaws[0].unwrap();
        assert_eq!(
            mapping.explain(flaw),
            "the value of `x` is no date as the field's `transform` reads one (column `c`)"
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
