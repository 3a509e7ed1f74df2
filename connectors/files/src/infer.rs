//! Which type a column gets: declared by the user, or seen in a sample without altering a single value.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use segport_sdk::Result;

use crate::settings::{ColumnType, TextOptions, invalid};
use crate::values::{canonical_boolean, canonical_float, canonical_integer};

/// How many rows inference looks at.
pub(crate) const SAMPLE_ROWS: usize = 1_000;

/// Why a column has its type, which decides what happens to a value that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typing {
    /// The row is unreadable.
    Declared(ColumnType),
    /// The column becomes text for that page.
    Inferred(ColumnType),
}

/// A column of CSV or JSON lines.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) typing: Typing,
}

/// The columns of a segment and the schema that follows from them.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) columns: Vec<Column>,
    pub(crate) schema: SchemaRef,
}

impl Layout {
    /// Columns that are all text, as they stand in the file.
    pub(crate) fn text(names: &[String]) -> Self {
        Self::new(names.iter().map(|name| Column { name: name.clone(), typing: Typing::Inferred(ColumnType::String) }))
    }

    /// Columns with declared types where `options` has them, and otherwise what was seen.
    ///
    /// # Errors
    /// `config_invalid` for a declared type of a column that does not exist.
    pub(crate) fn typed(names: &[String], guesses: &[Guess], options: &TextOptions, place: &str) -> Result<Self> {
        for declared in options.types.keys() {
            if !names.contains(declared) {
                let hint = options.nearest(declared, names);
                return Err(invalid(format!(
                    "`types` names the column `{declared}`, which `{place}` does not have{hint}"
                )));
            }
        }
        let guessed = guesses.iter().map(Guess::column_type).chain(std::iter::repeat(ColumnType::String));
        Ok(Self::new(names.iter().zip(guessed).map(|(name, guess)| {
            let typing = match options.types.get(name) {
                Some(declared) => Typing::Declared(*declared),
                None if options.infer => Typing::Inferred(guess),
                None => Typing::Inferred(ColumnType::String),
            };
            Column { name: name.clone(), typing }
        })))
    }

    fn new(columns: impl Iterator<Item = Column>) -> Self {
        let columns: Vec<Column> = columns.collect();
        let fields: Vec<Field> =
            columns.iter().map(|column| Field::new(&column.name, column.typing.data_type(), true)).collect();
        Self { columns, schema: Arc::new(Schema::new(fields)) }
    }
}

impl Typing {
    fn data_type(self) -> DataType {
        let (Self::Declared(column_type) | Self::Inferred(column_type)) = self;
        match column_type {
            ColumnType::String => DataType::Utf8,
            ColumnType::Integer => DataType::Int64,
            ColumnType::Float => DataType::Float64,
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Date => DataType::Date32,
        }
    }
}

/// What the values of one column seen so far have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guess {
    seen: bool,
    integer: bool,
    float: bool,
    boolean: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self { seen: false, integer: true, float: true, boolean: true }
    }
}

impl Guess {
    /// Takes note of a value of which only the text is known.
    pub(crate) fn observe(&mut self, text: &[u8]) {
        self.seen = true;
        self.integer = self.integer && canonical_integer(text).is_some();
        self.float = self.float && canonical_float(text).is_some();
        self.boolean = self.boolean && canonical_boolean(text).is_some();
    }

    /// Takes note of a value that is text even if it looks like a number.
    pub(crate) fn observe_text(&mut self) {
        *self = Self { seen: true, integer: false, float: false, boolean: false };
    }

    fn column_type(&self) -> ColumnType {
        match self {
            Self { seen: false, .. } => ColumnType::String,
            Self { integer: true, .. } => ColumnType::Integer,
            Self { float: true, .. } => ColumnType::Float,
            Self { boolean: true, .. } => ColumnType::Boolean,
            _ => ColumnType::String,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_that_would_change_makes_the_column_text() {
        for (values, expected) in [
            (&["1", "2", "-3"][..], ColumnType::Integer),
            (&["1", "02"], ColumnType::String),
            (&["1.5", "2.25"], ColumnType::Float),
            (&["1.5", "2.50"], ColumnType::String),
            (&["1.5", "2"], ColumnType::String),
            (&["true", "false"], ColumnType::Boolean),
            (&["true", "TRUE"], ColumnType::String),
            (&["12345678901234567890"], ColumnType::String),
            (&[], ColumnType::String),
        ] {
            let mut guess = Guess::default();
            values.iter().for_each(|value| guess.observe(value.as_bytes()));
            assert_eq!(guess.column_type(), expected, "{values:?}");
        }
    }
}
