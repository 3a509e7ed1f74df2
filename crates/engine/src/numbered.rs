//! Columns whose texts are numbered: each text stands once, and every row has the number of its own.
//!
//! A source gives them where texts repeat, as countries do. What is the same for equal texts is then done once for each of them,
//! and the rows of an unchanged segment are never written out.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use segport_core::{Error, ErrorKind, Result};

/// A column whose texts are numbered.
#[derive(Clone, Copy)]
pub(crate) struct Numbered<'a> {
    /// The number of each row's text; null where it has none.
    pub(crate) numbers: &'a Int32Array,
    /// The texts, none of which is null.
    pub(crate) texts: &'a StringArray,
}

impl<'a> Numbered<'a> {
    /// `None` for any other column.
    pub(crate) fn of(column: &'a ArrayRef) -> Option<Self> {
        let column = column.as_dictionary_opt::<Int32Type>()?;
        let texts = column.values().as_string_opt()?;
        (texts.null_count() == 0).then_some(Self { numbers: column.keys(), texts })
    }

    /// The rows with a text that is so.
    pub(crate) fn rows_where(self, is_so: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
        let are_so: Vec<bool> = self.texts.iter().map(|text| text.is_some_and(&is_so)).collect();
        // Most often it is none.
        let rows = if are_so.contains(&true) { self.numbers.len() } else { 0 };
        (0..rows).filter(move |&row| {
            let number = usize::try_from(self.numbers.value(row)).ok().filter(|_| self.numbers.is_valid(row));
            number.and_then(|number| are_so.get(number)) == Some(&true)
        })
    }
}

/// These rows with columns of this schema's types: texts that were numbered stand in every row.
///
/// # Errors
/// `internal` if these are no rows of the schema.
pub(crate) fn written_out(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let wrong = |error| Error::new(ErrorKind::Internal, "mapped pages do not fit together").because(&error);
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow_cast::cast(column, field.data_type()));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(wrong)?;
    RecordBatch::try_new(SchemaRef::clone(schema), columns).map_err(wrong)
}

/// A column with its texts numbered.
#[cfg(test)]
pub(crate) fn numbered(column: &ArrayRef) -> ArrayRef {
    use arrow_schema::DataType;

    let data_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    arrow_cast::cast(column, &data_type).unwrap()
}
