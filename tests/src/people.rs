//! Profiles, as the tests write them into segments.

use std::ops::RangeInclusive;

/// One profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The column `customer_id`, which is the key.
    pub id: String,
    /// The column `email_address`.
    pub email: String,
    /// The column `given_name`.
    pub given_name: String,
    /// The column `employer`.
    pub employer: String,
}

impl Person {
    /// The person of that number: `p7@example.com` and so on.
    pub fn new(number: u32) -> Self {
        Self {
            id: format!("c{number}"),
            email: format!("p{number}@example.com"),
            given_name: format!("Given {number}"),
            employer: "Fjord AS".to_owned(),
        }
    }

    /// With another address.
    #[must_use]
    pub fn email(self, email: &str) -> Self {
        Self { email: email.to_owned(), ..self }
    }

    /// With another given name.
    #[must_use]
    pub fn given_name(self, given_name: &str) -> Self {
        Self { given_name: given_name.to_owned(), ..self }
    }
}

/// The people of these numbers.
pub fn people(numbers: RangeInclusive<u32>) -> Vec<Person> {
    numbers.map(Person::new).collect()
}

/// People as a CSV file in which every field is quoted.
pub fn csv(people: &[Person]) -> String {
    let mut text = "customer_id,email_address,given_name,employer\n".to_owned();
    for Person { id, email, given_name, employer } in people {
        let fields = [id, email, given_name, employer].map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}
