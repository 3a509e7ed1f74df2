//! Rows as the JSON of a bulk call.
//!
//! Written by hand into one buffer: the keys of an export are rendered once per run, and a batch of 100 rows costs
//! microseconds instead of a tree of values per contact.

use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use segport_sdk::{Error, ErrorKind, FieldType, MappedField, Result, RowOutcome};
use serde_json::{Map, Value};

use crate::fields::{EMAIL, Key};

/// Where the columns of an export's batches go.
#[derive(Debug)]
pub(crate) struct Layout {
    email: usize,
    /// The address's key, with the brace that opens the contact.
    email_key: JsonKey,
    standard: Vec<Column>,
    custom: Vec<Column>,
    width: usize,
}

#[derive(Debug)]
struct Column {
    /// Position in the batch.
    index: usize,
    /// The key, with the comma before it.
    key: JsonKey,
    field_type: FieldType,
    clear_null: bool,
}

impl Column {
    /// Appends the key and a value; the unit is a null.
    fn write(&self, value: &impl serde::Serialize, out: &mut Vec<u8>) {
        self.key.write(out);
        write_json(value, out);
    }
}

/// A key as JSON, with what stands before it and the colon after it.
#[derive(Debug)]
struct JsonKey {
    /// All of that, then the quotation mark that opens a text, then zeros up to the length of a [`STRIDE`].
    bytes: Vec<u8>,
    /// Of what ends with the colon.
    length: usize,
}

impl JsonKey {
    fn new(before: u8, name: &str) -> Self {
        let mut bytes = vec![before];
        write_json(name, &mut bytes);
        bytes.push(b':');
        let length = bytes.len();
        bytes.push(b'"');
        bytes.resize(bytes.len().max(STRIDE), 0);
        Self { bytes, length }
    }

    fn write(&self, out: &mut Vec<u8>) {
        append(&self.bytes, self.length, out);
    }

    /// With the quotation mark that opens a text.
    fn write_for_text(&self, out: &mut Vec<u8>) {
        append(&self.bytes, self.length + 1, out);
    }
}

impl Layout {
    /// The layout for these fields, which are the batch's columns in this order.
    ///
    /// # Errors
    /// `config_invalid` for a field that cannot be written, or without the address.
    pub(crate) fn new(fields: &[MappedField]) -> Result<Self> {
        let mut email = None;
        let (mut standard, mut custom) = (Vec::new(), Vec::new());
        for (index, field) in fields.iter().enumerate() {
            let column = |name: &str| {
                let key = JsonKey::new(b',', name);
                Column { index, key, field_type: field.field_type, clear_null: field.clear_null }
            };
            match Key::of(field)? {
                Key::Email => email = Some(index),
                Key::Standard(key) => standard.push(column(key)),
                Key::Custom(key) => custom.push(column(&key)),
            }
        }
        let email = email.ok_or_else(|| {
            Error::new(
                ErrorKind::ConfigInvalid,
                format!("field `{}` must be mapped: contacts are matched on it", EMAIL.name),
            )
        })?;
        let email_key = JsonKey::new(b'{', EMAIL.wire);
        Ok(Self { email, email_key, standard, custom, width: fields.len() })
    }

    /// Reads `rows` by this layout, and sets aside what must not be sent.
    ///
    /// # Errors
    /// `contract` if the columns are not the ones of the export.
    pub(crate) fn contacts<'a>(&'a self, rows: &'a RecordBatch) -> Result<Contacts<'a>> {
        if rows.num_columns() != self.width {
            let found = rows.num_columns();
            return Err(Error::new(
                ErrorKind::Contract,
                format!("a batch has {found} columns, the export has {} fields", self.width),
            ));
        }
        let emails = Texts::read(rows, self.email)?;
        let read = |columns: &'a [Column]| {
            columns.iter().map(|column| Ok((column, Cells::read(rows, column)?))).collect::<Result<Vec<_>>>()
        };
        let (standard, custom) = (read(&self.standard)?, read(&self.custom)?);
        let (sent, outcomes) = (Vec::with_capacity(rows.num_rows()), Vec::with_capacity(rows.num_rows()));
        let mut contacts = Contacts { emails, email_key: &self.email_key, standard, custom, sent, outcomes };
        for row in 0..rows.num_rows() {
            let refusal = contacts.refusal(row);
            if refusal.is_none() {
                contacts.sent.push(row);
            }
            contacts.outcomes.push(refusal);
        }
        Ok(contacts)
    }
}

/// The contacts of one batch.
#[derive(Debug)]
pub(crate) struct Contacts<'a> {
    emails: Texts<'a>,
    email_key: &'a JsonKey,
    standard: Vec<(&'a Column, Cells<'a>)>,
    custom: Vec<(&'a Column, Cells<'a>)>,
    sent: Vec<usize>,
    outcomes: Vec<Option<RowOutcome>>,
}

impl Contacts<'_> {
    /// Why a row must not be sent.
    fn refusal(&self, row: usize) -> Option<RowOutcome> {
        let refused =
            |code: &str, reason: &str| Some(RowOutcome::Refused { code: code.to_owned(), reason: reason.to_owned() });
        // Without an address every call makes a new contact, and nothing could ever find it again.
        let emails = self.emails.values;
        if emails.is_null(row) || emails.value(row).is_empty() {
            return refused("no_email", "the row has no e-mail address");
        }
        // JSON has no such numbers, and the null that would stand for one clears the field.
        let endless = |(_, cells): &(&Column, Cells<'_>)| match cells {
            Cells::Float(values) => values.is_valid(row) && !values.value(row).is_finite(),
            _ => false,
        };
        if self.standard.iter().chain(&self.custom).any(endless) {
            return refused("not_a_number", "a value is no finite number");
        }
        None
    }

    /// The addresses that are sent, in the order of the request.
    pub(crate) fn sent(&self) -> Vec<&str> {
        self.sent.iter().map(|&row| self.emails.values.value(row)).collect()
    }

    /// The outcomes of all rows: the given ones for the rows that were sent, in the order of the request.
    pub(crate) fn outcomes(&self, sent: Vec<RowOutcome>) -> Vec<RowOutcome> {
        let mut sent = sent.into_iter();
        let outcome = |own: &Option<RowOutcome>| {
            own.clone()
                .or_else(|| sent.next())
                .unwrap_or_else(|| RowOutcome::Unknown { reason: "no outcome".to_owned() })
        };
        self.outcomes.iter().map(outcome).collect()
    }

    /// The address of a row that was sent.
    pub(crate) fn email(&self, row: usize) -> Option<&str> {
        self.sent.binary_search(&row).ok().map(|_| self.emails.values.value(row))
    }

    /// The rows that are sent, in the order of the request.
    pub(crate) fn rows(&self) -> &[usize] {
        &self.sent
    }

    /// The body of the bulk call. `list` puts each contact on that list, `notify` goes into each contact.
    pub(crate) fn body(&self, list: Option<&str>, notify: Option<bool>) -> Vec<u8> {
        let mut tail = Vec::new();
        if let Some(list) = list {
            tail.extend_from_slice(b",\"_autopilot_list\":");
            write_json(list, &mut tail);
        }
        if let Some(notify) = notify {
            tail.extend_from_slice(if notify { b",\"notify\":true" } else { b",\"notify\":false" });
        }
        let columns = 1 + self.standard.len() + self.custom.len();
        let mut out = Vec::with_capacity(64 + self.sent.len() * (32 + columns * 40 + tail.len()));
        out.extend_from_slice(b"{\"contacts\":[");
        for (nth, &row) in self.sent.iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            self.write(row, &tail, &mut out);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// Appends the contact of one row; `tail` stands behind its last field.
    fn write(&self, row: usize, tail: &[u8], out: &mut Vec<u8>) {
        self.emails.write(row, self.email_key, out);
        for (column, cells) in &self.standard {
            cells.write(row, column, out);
        }
        if !self.custom.is_empty() {
            self.write_custom(row, out);
        }
        out.extend_from_slice(tail);
        out.push(b'}');
    }

    fn write_custom(&self, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(b",\"custom\":");
        let open = out.len();
        for (column, cells) in &self.custom {
            cells.write(row, column, out);
        }
        // The first key's comma stands where the object opens.
        match out.get_mut(open) {
            Some(comma) => {
                *comma = b'{';
                out.push(b'}');
            }
            None => out.truncate(start),
        }
    }

    /// How many rows there are, those that are not sent included.
    pub(crate) fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// The contacts that would be sent, each with its row: what the destination must hold to have been sent them.
    pub(crate) fn as_sent(&self) -> impl Iterator<Item = (usize, Map<String, Value>)> {
        self.sent.iter().filter_map(|&row| Some((row, self.contact(row)?)))
    }

    /// The contact of a row as it would be sent.
    fn contact(&self, row: usize) -> Option<Map<String, Value>> {
        let mut json = Vec::new();
        self.write(row, b"", &mut json);
        // What was written is an object.
        serde_json::from_slice(&json).ok()
    }
}

/// A column by the type of its values, looked at once per batch.
#[derive(Debug)]
enum Cells<'a> {
    Text(Texts<'a>),
    Integer(&'a Int64Array),
    Float(&'a Float64Array),
    Boolean(&'a BooleanArray),
}

impl<'a> Cells<'a> {
    fn read(rows: &'a RecordBatch, column: &Column) -> Result<Self> {
        match column.field_type {
            FieldType::String | FieldType::Email | FieldType::Date => Texts::read(rows, column.index).map(Self::Text),
            FieldType::Integer => downcast(rows, column.index).map(Self::Integer),
            FieldType::Float => downcast(rows, column.index).map(Self::Float),
            FieldType::Boolean => downcast(rows, column.index).map(Self::Boolean),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(texts) => texts.values.is_null(row),
            Self::Integer(values) => values.is_null(row),
            Self::Float(values) => values.is_null(row),
            Self::Boolean(values) => values.is_null(row),
        }
    }

    /// Appends a comma, the key and the value, if there is something to append.
    fn write(&self, row: usize, column: &Column, out: &mut Vec<u8>) {
        match self {
            _ if self.is_null(row) => {
                if column.clear_null {
                    column.write(&(), out);
                }
            }
            Self::Text(texts) => texts.write(row, &column.key, out),
            Self::Integer(values) => column.write(&values.value(row), out),
            Self::Float(values) => column.write(&values.value(row), out),
            Self::Boolean(values) => column.write(&values.value(row), out),
        }
    }
}

/// A column of texts.
#[derive(Debug)]
struct Texts<'a> {
    values: &'a StringArray,
    /// Whether none of them has anything that JSON must escape. To look at them all at once and copy each whole is several
    /// times faster than to look at each.
    are_plain: bool,
}

impl<'a> Texts<'a> {
    fn read(rows: &'a RecordBatch, index: usize) -> Result<Self> {
        let values = downcast::<StringArray>(rows, index)?;
        let offsets = values.value_offsets().first().zip(values.value_offsets().last());
        let range = offsets.and_then(|(&start, &end)| Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?));
        let all = range.and_then(|range| values.value_data().get(range));
        Ok(Self { values, are_plain: all.is_some_and(is_plain) })
    }

    /// Appends the key and the text.
    fn write(&self, row: usize, key: &JsonKey, out: &mut Vec<u8>) {
        let text = self.values.value(row);
        if self.are_plain {
            key.write_for_text(out);
            append(self.ahead(row), text.len(), out);
            out.push(b'"');
        } else {
            key.write(out);
            write_json(text, out);
        }
    }

    /// The bytes of the column from this row's on.
    fn ahead(&self, row: usize) -> &[u8] {
        let from = self.values.value_offsets().get(row).and_then(|offset| usize::try_from(*offset).ok());
        from.and_then(|from| self.values.value_data().get(from..)).unwrap_or_default()
    }
}

/// What is up to this long is copied as if it were this long: a copy of known length takes a few instructions, any other a call,
/// and a contact has two dozen.
const STRIDE: usize = 32;

/// Appends the first `length` of these bytes.
fn append(bytes: &[u8], length: usize, out: &mut Vec<u8>) {
    match bytes.first_chunk::<STRIDE>() {
        Some(stride) if length <= STRIDE => {
            let end = out.len() + length;
            out.extend_from_slice(stride);
            out.truncate(end);
        }
        _ => out.extend_from_slice(bytes.get(..length).unwrap_or(bytes)),
    }
}

fn downcast<A: Array + 'static>(rows: &RecordBatch, index: usize) -> Result<&A> {
    rows.columns().get(index).and_then(|column| column.as_any().downcast_ref()).ok_or_else(|| {
        Error::new(ErrorKind::Contract, format!("column f{index} of a batch has another type than its field"))
    })
}

/// Whether text has nothing that JSON must escape.
fn is_plain(text: &[u8]) -> bool {
    // Without an early end, so that it is done in vectors.
    !text.iter().fold(false, |found, &byte| found | (byte < 0x20) | (byte == b'"') | (byte == b'\\'))
}

fn write_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "text and numbers are always JSON, and a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::ArrayRef;

    use super::*;

    fn field(name: &str, field_type: FieldType, custom: bool, clear_null: bool) -> MappedField {
        MappedField { name: name.to_owned(), field_type, custom, clear_null }
    }

    fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
        let named = columns.into_iter().enumerate().map(|(nth, column)| (format!("f{nth}"), column, true));
        RecordBatch::try_from_iter_with_nullable(named).unwrap()
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn each_type_is_written_as_the_wire_wants_it() {
        use FieldType::*;
        let fields = [
            field("Lifetime Value", Float, true, false),
            field("first_name", String, false, false),
            field("email", Email, false, false),
            field("NPS Rating", Integer, true, true),
            field("unsubscribed", Boolean, false, false),
            field("number_of_employees", String, false, true),
            field("Born", Date, true, false),
            field("Is VIP", Boolean, true, false),
        ];
        let layout = Layout::new(&fields).unwrap();
        let rows = batch(vec![
            Arc::new(Float64Array::from(vec![Some(12.5), None, Some(3.0)])),
            texts(&[Some("Anna"), None, Some("")]),
            texts(&[Some("a@example.com"), Some("b@example.com"), Some("c@example.com")]),
            Arc::new(Int64Array::from(vec![Some(-9), None, Some(i64::MAX)])),
            Arc::new(BooleanArray::from(vec![Some(false), None, Some(true)])),
            texts(&[Some("10001"), None, None]),
            texts(&[Some("1990-02-28"), None, Some("2017-01-14T11:58:42Z")]),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ]);
        let contacts = layout.contacts(&rows).unwrap();
        let body = std::string::String::from_utf8(contacts.body(None, None)).unwrap();
        let expected = concat!(
            r#"{"contacts":[{"Email":"a@example.com","FirstName":"Anna","unsubscribed":false,"NumberOfEmployees":"10001","#,
            r#""custom":{"float--Lifetime--Value":12.5,"integer--NPS--Rating":-9,"date--Born":"1990-02-28","boolean--Is--VIP":true}},"#,
            r#"{"Email":"b@example.com","NumberOfEmployees":null,"custom":{"integer--NPS--Rating":null}},"#,
            r#"{"Email":"c@example.com","FirstName":"","unsubscribed":true,"NumberOfEmployees":null,"#,
            r#""custom":{"float--Lifetime--Value":3.0,"integer--NPS--Rating":9223372036854775807,"#,
            r#""date--Born":"2017-01-14T11:58:42Z","boolean--Is--VIP":false}}]}"#,
        );
        assert_eq!(body, expected);
    }

    #[test]
    fn whatever_needs_an_escape_is_seen_at_every_place() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let escaped = byte < 0x20 || byte == b'"' || byte == b'\\';
                    assert_eq!(is_plain(&text), !escaped, "byte {byte} at {at} of {length}");
                }
            }
        }
        assert!(is_plain("e\u{301} 👋 \u{7f}\u{80}\u{2028} !#[]".as_bytes()));
    }

    #[test]
    fn pieces_around_the_length_of_a_stride_are_copied_whole() {
        let lengths = [0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE];
        // What stands behind a text is another one, or nothing.
        for (length, behind) in lengths.into_iter().flat_map(|length| lengths.map(|behind| (length, behind))) {
            let name = "n".repeat(length + 1);
            let layout = Layout::new(&[
                field("email", FieldType::Email, false, false),
                field(&name, FieldType::String, true, false),
            ]);
            let (text, other) = ("x".repeat(length), "y".repeat(behind));
            let rows = batch(vec![
                texts(&[Some("z@x.no"), Some("a@x.no"), Some("b@x.no")]),
                texts(&[Some("before"), Some(&text), Some(&other)]),
            ]);
            let layout = layout.unwrap();
            for rows in [rows.slice(1, 2), rows.slice(1, 1)] {
                let contacts = layout.contacts(&rows).unwrap();
                let body: Value = serde_json::from_slice(&contacts.body(None, None)).unwrap();
                let expected = [("a@x.no", &text), ("b@x.no", &other)];
                for (nth, (email, value)) in expected.into_iter().enumerate().take(rows.num_rows()) {
                    let (_, fields) = contacts.as_sent().nth(nth).unwrap();
                    assert_eq!(body["contacts"][nth], Value::Object(fields.clone()));
                    assert_eq!(fields["Email"], email);
                    assert_eq!(fields["custom"].as_object().unwrap().values().collect::<Vec<_>>(), [value]);
                }
            }
        }
    }

    #[test]
    fn control_fields_stand_inside_each_contact_and_only_when_asked_for() {
        let layout = Layout::new(&[field("email", FieldType::Email, false, false)]).unwrap();
        let rows = batch(vec![texts(&[Some("a@x.no"), Some("b@x.no")])]);
        let contacts = layout.contacts(&rows).unwrap();
        let check = |list: Option<&str>, notify, expected: &str| {
            assert_eq!(String::from_utf8(contacts.body(list, notify)).unwrap(), expected);
        };
        check(None, None, r#"{"contacts":[{"Email":"a@x.no"},{"Email":"b@x.no"}]}"#);
        check(
            Some("contactlist_\"1\""),
            Some(false),
            concat!(
                r#"{"contacts":[{"Email":"a@x.no","_autopilot_list":"contactlist_\"1\"","notify":false},"#,
                r#"{"Email":"b@x.no","_autopilot_list":"contactlist_\"1\"","notify":false}]}"#
            ),
        );
        check(None, Some(true), r#"{"contacts":[{"Email":"a@x.no","notify":true},{"Email":"b@x.no","notify":true}]}"#);
    }

    #[test]
    fn hostile_texts_arrive_byte_for_byte() {
        let layout = Layout::new(&[
            field("email", FieldType::Email, false, false),
            field("last_name", FieldType::String, false, false),
            field("Nick \"name\"", FieldType::String, true, false),
        ])
        .unwrap();
        let check = |text: &str, json: &str| {
            let rows = batch(vec![texts(&[Some("a@x.no")]), texts(&[Some(text)]), texts(&[Some(text)])]);
            let body = layout.contacts(&rows).unwrap().body(None, None);
            let expected = format!(
                r#"{{"contacts":[{{"Email":"a@x.no","LastName":{json},"custom":{{"string--Nick--\"name\"":{json}}}}}]}}"#
            );
            assert_eq!(String::from_utf8(body.clone()).unwrap(), expected);
            let back: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(back["contacts"][0]["LastName"], text);
        };
        check("O'Brien, \"Bob\"", r#""O'Brien, \"Bob\"""#);
        check("a\\b/c", r#""a\\b/c""#);
        check("👩‍👩‍👧 Zoë", "\"👩‍👩‍👧 Zoë\"");
        check("\u{202e}שלום\u{202c}", "\"\u{202e}שלום\u{202c}\"");
        check("\0\u{1}\t\r\n\u{8}\u{c}\u{1f}\u{7f}", "\"\\u0000\\u0001\\t\\r\\n\\b\\f\\u001f\u{7f}\"");
        check("\u{feff}\u{2028}", "\"\u{feff}\u{2028}\"");
        check("</script>,{\"Email\":\"x\"}", r#""</script>,{\"Email\":\"x\"}""#);
        check("", "\"\"");
    }

    #[test]
    fn rows_that_must_not_be_sent_are_set_aside() {
        let layout = Layout::new(&[
            field("email", FieldType::Email, false, false),
            field("Score", FieldType::Float, true, true),
        ])
        .unwrap();
        let rows = batch(vec![
            texts(&[None, Some("b@x.no"), Some(""), Some("d@x.no"), Some("e@x.no")]),
            Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None, Some(f64::INFINITY), None])),
        ]);
        let contacts = layout.contacts(&rows).unwrap();
        assert_eq!(contacts.sent(), ["e@x.no"]);
        assert_eq!((contacts.email(4), contacts.email(0)), (Some("e@x.no"), None));
        let body = String::from_utf8(contacts.body(None, None)).unwrap();
        assert_eq!(body, r#"{"contacts":[{"Email":"e@x.no","custom":{"float--Score":null}}]}"#);
        let codes: Vec<_> = contacts
            .outcomes(vec![RowOutcome::Done(None)])
            .into_iter()
            .map(|outcome| match outcome {
                RowOutcome::Refused { code, .. } => code,
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(codes, ["no_email", "not_a_number", "no_email", "not_a_number", "Done(None)"]);
    }

    #[test]
    fn columns_that_are_not_the_exports_are_an_error() {
        let layout = Layout::new(&[
            field("email", FieldType::Email, false, false),
            field("Score", FieldType::Integer, true, false),
        ])
        .unwrap();
        let email = || texts(&[Some("a@x.no")]);
        for rows in [batch(vec![email()]), batch(vec![email(), email()]), batch(vec![email(), email(), email()])] {
            assert_eq!(layout.contacts(&rows).unwrap_err().kind(), ErrorKind::Contract);
        }
        let missing = Layout::new(&[field("company", FieldType::String, false, false)]).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::ConfigInvalid);
    }
}
