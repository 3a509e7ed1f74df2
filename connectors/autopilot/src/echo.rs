//! The values that a call carried, to be taken out of what the destination says to it.
//!
//! A call may carry a megabyte of them and the answer is short, so only what may show in it is kept.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::path::segment;

/// A shorter word of a value says little of anybody, and the destination's own texts are full of such.
const SHORTEST_WORD: usize = 4;
/// A shorter one stands inside of words that have nothing to do with it.
const SHORTEST_PART: usize = 6;

/// What was sent, in capitals, as far as it may show in one text.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    /// The text.
    said: String,
    /// Values of at least two characters, by their first letter and the longest first.
    values: HashMap<char, Vec<String>>,
    /// The longer words of those that stand in a field.
    words: BTreeSet<String>,
    /// What the fields are called.
    fields: BTreeSet<String>,
}

impl Echo {
    /// The texts and numbers of what was sent, as far as they may show in `said`; what an object calls them does not count.
    pub(crate) fn of(sent: impl IntoIterator<Item = Value>, said: &str) -> Self {
        let mut echo = Self { said: capitals(said), ..Self::default() };
        sent.into_iter().for_each(|value| echo.add(&value));
        for values in echo.values.values_mut() {
            values.sort_unstable_by_key(|value| Reverse(value.len()));
            values.dedup();
        }
        echo
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                if self.has_room_for(text) {
                    self.insert(text);
                    self.insert(&segment(text).to_string());
                    let json = value.to_string();
                    self.insert(json.get(1..json.len() - 1).unwrap_or_default());
                }
            }
            // A float without its zero, which `3.0` begins with too.
            Value::Number(number) if number.is_f64() => self.insert(&number.as_f64().unwrap_or_default().to_string()),
            Value::Number(number) => self.insert(&number.to_string()),
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(members) => {
                self.fields.extend(members.keys().map(|name| capitals(name)));
                for value in members.values() {
                    self.add(value);
                    let words = words(value.as_str().unwrap_or_default()).map(capitals);
                    self.words.extend(words.filter(|word| self.said.contains(beginning(word))));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn insert(&mut self, text: &str) {
        let value = capitals(&on_one_line(text));
        // An address has a sign of its own, and is shown as one.
        let is_address = value.contains('@') && !value.contains(' ');
        if let (Some(first), Some(_), false) = (value.chars().next(), value.chars().nth(1), is_address)
            && self.said.contains(&value)
        {
            self.values.entry(first).or_default().push(value);
        }
    }

    /// Whether a value is not too long to show.
    fn has_room_for(&self, value: &str) -> bool {
        // Of what is said there may be fewer blanks, and a capital letter may take fewer bytes; nothing else is shorter there.
        let mut room = 4 * self.said.len();
        value.split(is_blank).all(|word| {
            let rest = room.checked_sub(word.len());
            room = rest.unwrap_or(0);
            rest.is_some()
        })
    }

    /// The text with `[value]` for each of the values that stands in it as a whole word or words, and for each word that is one of
    /// theirs, begins one, or has one in it, in whatever letter case.
    pub(crate) fn mask(&self, text: &str) -> String {
        let text = self.without_values(text);
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for word in words(&text) {
            // Each is a part of the text, further on than the one before.
            let at = done + text.get(done..).and_then(|rest| rest.find(word)).unwrap_or_default();
            out.push_str(text.get(done..at).unwrap_or_default());
            out.push_str(if self.shows(word) { "[value]" } else { word });
            done = at + word.len();
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// Whether a word of the destination shows one that was sent: whole, cut off, or with something beside it. The name of a
    /// field shows nothing, or an answer that refuses `Company` would say nothing any more.
    fn shows(&self, word: &str) -> bool {
        let word = capitals(word);
        !self.fields.contains(&word) && self.words.iter().any(|sent| is_shown(sent, &word))
    }

    fn without_values(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut done, mut rest) = ("", text);
        while let Some(letter) = rest.chars().next() {
            let value = self.longest(rest).filter(|_| !is_inside_word(done, rest));
            match value {
                Some(_) => out.push_str("[value]"),
                None => out.push(letter),
            }
            (done, rest) = rest.split_at(value.unwrap_or(letter.len_utf8()));
        }
        out
    }

    /// How many bytes of `text` are the longest of the values that it begins with.
    fn longest(&self, text: &str) -> Option<usize> {
        let values = self.values.get(&text.chars().next()?.to_uppercase().next()?)?;
        let is_whole = |length: &usize| text.split_at_checked(*length).is_some_and(|(a, b)| !is_inside_word(a, b));
        values.iter().filter_map(|value| length_of(value, text)).find(is_whole)
    }
}

/// Whether a word that was sent shows in one that is said, both in capitals: that is cut off, or has something beside it.
fn is_shown(sent: &str, said: &str) -> bool {
    sent.starts_with(said) || (sent.chars().nth(SHORTEST_PART - 1).is_some() && said.contains(sent))
}

/// What any word has in it that shows this one.
fn beginning(word: &str) -> &str {
    let end = word.char_indices().nth(SHORTEST_WORD).map_or(word.len(), |(end, _)| end);
    word.get(..end).unwrap_or(word)
}

fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}

fn capitals(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).collect()
}

/// The words of a text that are not too short.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| word.chars().nth(SHORTEST_WORD - 1).is_some())
}

/// How many bytes of `text` are `value`, which is in capitals, if it begins with that.
fn length_of(value: &str, text: &str) -> Option<usize> {
    let mut value = value.chars();
    for (at, letter) in text.char_indices() {
        if value.as_str().is_empty() {
            return Some(at);
        }
        if !letter.to_uppercase().all(|capital| value.next() == Some(capital)) {
            return None;
        }
    }
    value.as_str().is_empty().then_some(text.len())
}

/// Whether one word goes on from `before` to `after`. Scripts without capitals may write words without blanks between them,
/// or join short ones to the next, so their letters are taken for words of their own.
fn is_inside_word(before: &str, after: &str) -> bool {
    let joins = |letter: char| letter.is_lowercase() || letter.is_uppercase() || letter.is_numeric();
    before.chars().next_back().is_some_and(joins) && after.chars().next().is_some_and(joins)
}

/// `text` with one blank for each run of blanks and control characters.
pub(crate) fn on_one_line(text: &str) -> String {
    text.split(is_blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_values_are_taken_out_in_every_form() {
        let sent = [
            json!({"Email": "anna@example.com", "FirstName": "Anna", "LastName": "Anna Berg", "Company": "Berg & Sønn", "LeadSource": "Company fair"}),
            json!({"LastName": "X", "Industry": "Numbatina works", "Title": "O\"Brien\n(Dr)", "Salutation": "Straße", "MailingCity": "東京", "Title2": "横浜港南区"}),
            json!({"unsubscribed": true, "LeadSource": null, "custom": {"float--Value": 12.0, "integer--Score": -42}}),
        ];
        let check =
            |text: &str, expected: &str| assert_eq!(Echo::of(sent.clone(), text).mask(text), expected, "{text}");
        check("Invalid value Anna Berg for FirstName", "Invalid value [value] for FirstName");
        check("anna, ANNA: (Anna)", "[value], [value]: ([value])");
        check("Hannah, Annabel, Anna2, Joanna", "Hannah, Annabel, Anna2, Joanna");
        check("Anna Bergman", "[value] Bergman");
        check("berg & SØNN of Berg %26 S%C3%B8nn", "[value] of [value] %26 S%C3%B8nn");
        check("Sønn is no Company: Berg, at the Fair", "[value] is no Company: [value], at the [value]");
        check("Numbat… is %22Numbatina%22, xnumbatina", "[value]… is %[value]%22, [value]");
        check("berg%20%26%20s%c3%b8nn", "[value]");
        check(r#"O"Brien (Dr) or O\"Brien\n(Dr)"#, "[value] or [value]");
        check("STRASSE straße Strasse", "[value] [value] [value]");
        check("値東京は無効", "値[value]は無効");
        // What is left of a word once a value is out of it shows one too.
        check("値東京横浜港南", "値[value][value]");
        check("12.0, 12.00, 12, -42, 120, 0.12, X", "[value].0, [value].00, [value], [value], 120, 0.[value], X");
        check("anna@example.com is true or null", "[value]@[value].com is true or null");
        check("FirstName float--Value", "FirstName float--Value");
        check("", "");
        assert_eq!(Echo::default().mask("Anna\u{0} Berg"), "Anna\u{0} Berg");
    }
}
