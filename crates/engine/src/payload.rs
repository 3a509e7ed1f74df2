//! The canonical form of a row's payload, of which its fingerprint is the hash.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;

use crate::numbered::Numbered;

/// Length of what stands for a name in a payload.
const TAG_BYTES: usize = 8;

/// Stands for a name.
pub(crate) type Tag = [u8; TAG_BYTES];

/// Length of what stands before a text: its tag and its length.
const HEAD: usize = TAG_BYTES + size_of::<u32>();

/// Text up to this length is copied as if it were this long: a copy of known length takes a few instructions, any other a
/// call, and a row has a dozen.
const STRIDE: usize = 32;

/// The bytes of one row's payload. Profile data, so its `Debug` does not show them.
#[derive(Default)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
    length: usize,
}

impl Payload {
    /// Forgets the row before.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        // So much was written.
        &self.bytes[..self.length]
    }

    /// Appends what stands for a name.
    pub(crate) fn tag(&mut self, tag: &Tag) {
        self.put(tag);
    }

    /// Appends `tag` and the value of `row`, in a form that two different values never share; nothing for null, and then it is
    /// false.
    #[inline]
    pub(crate) fn value(&mut self, tag: &Tag, values: &Values<'_>, row: usize) -> bool {
        match values {
            Values::Text(texts) => texts.get(row).map(|text| self.text(tag, &text)).is_some(),
            Values::Numbered(texts) => texts.get(row).map(|text| self.text(tag, &text)).is_some(),
            others => self.scalar(tag, others, row),
        }
    }

    /// Apart, so that what most values need stays small enough to be put into the caller's loop.
    #[inline(never)]
    fn scalar(&mut self, tag: &Tag, values: &Values<'_>, row: usize) -> bool {
        match values {
            Values::Integer(values) if values.is_valid(row) => self.fixed(tag, &values.value(row).to_le_bytes()),
            Values::Float(values) if values.is_valid(row) => {
                self.fixed(tag, &values.value(row).to_bits().to_le_bytes())
            }
            Values::Boolean(values) if values.is_valid(row) => self.fixed(tag, &[u8::from(values.value(row))]),
            _ => return false,
        }
        true
    }

    #[inline]
    fn text(&mut self, tag: &Tag, text: &Text<'_>) {
        match text.ahead.first_chunk::<STRIDE>() {
            Some(stride) if text.length <= STRIDE => {
                let room = self.room::<{ HEAD + STRIDE }>();
                // Constant ranges of an array of that length.
                room[..TAG_BYTES].copy_from_slice(tag);
                room[TAG_BYTES..HEAD].copy_from_slice(&text.head());
                // What is copied too much is written over by what follows.
                room[HEAD..].copy_from_slice(stride);
                self.length += HEAD + text.length;
            }
            _ => self.long_text(tag, text),
        }
    }

    /// Apart, as [`Payload::scalar`].
    #[inline(never)]
    fn long_text(&mut self, tag: &Tag, text: &Text<'_>) {
        self.fixed(tag, &text.head());
        let end = self.length + text.length;
        self.make_room(end);
        // There is room now.
        self.bytes[self.length..end].copy_from_slice(text.whole());
        self.length = end;
    }

    fn fixed<const N: usize>(&mut self, tag: &Tag, value: &[u8; N]) {
        self.put(tag);
        self.put(value);
    }

    fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        *self.room() = *bytes;
        self.length += N;
    }

    /// Room for so many bytes behind what was written.
    #[expect(clippy::expect_used, reason = "there is room once it was made")]
    fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        self.make_room(self.length + N);
        self.bytes[self.length..].first_chunk_mut().expect("there is room")
    }

    fn make_room(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.grow(end);
        }
    }

    #[cold]
    fn grow(&mut self, end: usize) {
        self.bytes.resize(end.next_power_of_two(), 0);
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload(..)")
    }
}

/// A page's values by field, for reading row by row.
pub(crate) enum Values<'a> {
    Text(Texts<'a>),
    Numbered(NumberedTexts<'a>),
    Integer(&'a Int64Array),
    Float(&'a Float64Array),
    Boolean(&'a BooleanArray),
}

impl<'a> Values<'a> {
    /// The values of a mapped column; `None` for a type that mapping never makes.
    pub(crate) fn of(column: &'a ArrayRef) -> Option<Self> {
        match column.data_type() {
            DataType::Utf8 => column.as_string_opt::<i32>().map(Texts::of).map(Self::Text),
            DataType::Dictionary(..) => Numbered::of(column).map(NumberedTexts::of).map(Self::Numbered),
            DataType::Int64 => column.as_primitive_opt::<Int64Type>().map(Self::Integer),
            DataType::Float64 => column.as_primitive_opt::<Float64Type>().map(Self::Float),
            DataType::Boolean => column.as_boolean_opt().map(Self::Boolean),
            _ => None,
        }
    }
}

/// A column of texts.
pub(crate) struct Texts<'a> {
    bytes: &'a [u8],
    /// Where each text begins and the last one ends.
    offsets: &'a [i32],
    nulls: Option<&'a NullBuffer>,
}

/// A column of texts that are numbered.
pub(crate) struct NumberedTexts<'a> {
    numbers: &'a [i32],
    nulls: Option<&'a NullBuffer>,
    /// Where each text begins and the last one ends.
    offsets: &'a [i32],
    /// The texts, and a stride more: there are few, and otherwise the last ones would be the long way in most rows.
    bytes: Vec<u8>,
}

/// One of them.
struct Text<'a> {
    /// The column's bytes from where it begins, which may go on after it.
    ahead: &'a [u8],
    length: usize,
}

impl<'a> Text<'a> {
    /// The text with this number in a column.
    #[inline]
    fn at(bytes: &'a [u8], offsets: &[i32], number: usize) -> Self {
        // A column has an offset more than texts, none is negative or less than the one before, and all are within its bytes:
        // so it was checked when it was made.
        let [start, end] = [offsets[number], offsets[number + 1]].map(|offset| offset as usize);
        Self { ahead: &bytes[start..], length: end - start }
    }

    fn whole(&self) -> &[u8] {
        // A column ends where its last text does, or behind it.
        &self.ahead[..self.length]
    }

    /// Its length, as it stands before it. Offsets of a column are 31 bits, so every length fits.
    fn head(&self) -> [u8; size_of::<u32>()] {
        u32::try_from(self.length).unwrap_or(u32::MAX).to_le_bytes()
    }
}

impl<'a> Texts<'a> {
    fn of(column: &'a StringArray) -> Self {
        Self { bytes: column.value_data(), offsets: column.value_offsets(), nulls: column.nulls() }
    }

    /// The text of a row; `None` for null.
    ///
    /// # Panics
    /// If there is no such row.
    // A call would hand the text over in memory, to be read back in other pieces than it was written, and wait for that: half of
    // what naming a row takes.
    #[inline]
    fn get(&self, row: usize) -> Option<Text<'a>> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        Some(Text::at(self.bytes, self.offsets, row))
    }
}

impl<'a> NumberedTexts<'a> {
    fn of(Numbered { numbers, texts }: Numbered<'a>) -> Self {
        let bytes = [texts.value_data(), &[0; STRIDE]].concat();
        Self { numbers: numbers.values(), nulls: numbers.nulls(), offsets: texts.value_offsets(), bytes }
    }

    /// The text of a row; `None` for null.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    fn get(&self, row: usize) -> Option<Text<'_>> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        // Where there is a number it is that of a text: so it was checked when the column was made.
        Some(Text::at(&self.bytes, self.offsets, self.numbers[row] as usize))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::numbered::numbered;

    const TAG: Tag = *b"tag of f";

    /// What is appended for each row of a column, one after the other.
    fn appended(column: ArrayRef) -> Vec<Option<Vec<u8>>> {
        let values = Values::of(&column).unwrap();
        let mut payload = Payload::default();
        let rows = (0..column.len()).map(|row| {
            let before = payload.as_bytes().len();
            payload.value(&TAG, &values, row).then(|| payload.as_bytes()[before..].to_vec())
        });
        rows.collect()
    }

    fn tagged(bytes: &[u8]) -> Option<Vec<u8>> {
        Some([&TAG, bytes].concat())
    }

    proptest! {
        #[test]
        fn a_text_is_its_tag_its_length_and_itself(
            texts in proptest::collection::vec(proptest::option::of(".{0,40}"), 0..30),
            skipped in 0_usize..30,
        ) {
            let skipped = skipped.min(texts.len());
            let column: StringArray = texts.iter().cloned().collect();
            let expected: Vec<_> = texts[skipped..]
                .iter()
                .map(|text| {
                    let text = text.as_ref()?;
                    tagged(&[&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat())
                })
                .collect();
            let column: ArrayRef = Arc::new(column.slice(skipped, texts.len() - skipped));
            prop_assert_eq!(&appended(numbered(&column)), &expected);
            prop_assert_eq!(appended(column), expected);
        }
    }

    #[test]
    fn other_values_are_their_tag_and_their_bytes() {
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![Some(-2), None]));
        assert_eq!(appended(integers), [tagged(&(-2_i64).to_le_bytes()), None]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(0.5)]));
        assert_eq!(appended(floats), [None, tagged(&0.5_f64.to_bits().to_le_bytes())]);
        let truths: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        assert_eq!(appended(truths), [tagged(&[1]), None, tagged(&[0])]);
    }

    #[test]
    fn nothing_of_the_row_before_is_left() {
        let mut payload = Payload::default();
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a text that is longer than a stride of it is", "b"]));
        let values = Values::of(&column).unwrap();
        payload.value(&TAG, &values, 0);
        payload.clear();
        payload.tag(&TAG);
        payload.value(&TAG, &values, 1);
        assert_eq!(payload.as_bytes(), b"tag of ftag of f\x01\0\0\0b");
        assert_eq!(format!("{payload:?}"), "Payload(..)");
    }
}
