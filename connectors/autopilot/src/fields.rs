//! Autopilot's fields: their names in manifests and on the wire.

use segport_sdk::{CustomFields, Error, ErrorKind, Field, FieldType, MappedField, Result};

/// A standard field of a contact.
#[derive(Debug)]
pub(crate) struct Standard {
    pub(crate) name: &'static str,
    pub(crate) wire: &'static str,
    pub(crate) field_type: FieldType,
    pub(crate) description: &'static str,
}

const fn text(name: &'static str, wire: &'static str, description: &'static str) -> Standard {
    Standard { name, wire, field_type: FieldType::String, description }
}

/// The field that contacts are matched on.
pub(crate) const EMAIL: Standard = Standard {
    name: "email",
    wire: "Email",
    field_type: FieldType::Email,
    description: "The address that contacts are matched on",
};

/// Every writable standard field but [`EMAIL`], in the order of the reference.
///
/// No document states a longest length for any of them, so the descriptor has none. `Name` is left out: Autopilot builds it.
pub(crate) const STANDARD: [Standard; 22] = [
    text("first_name", "FirstName", "First name"),
    text("last_name", "LastName", "Last name"),
    text("salutation", "Salutation", "Salutation, such as Dr"),
    text("title", "Title", "Job title"),
    text("twitter", "Twitter", "Twitter name"),
    text("linkedin", "LinkedIn", "LinkedIn page"),
    text("website", "Website", "Website"),
    text("company", "Company", "Company"),
    text("industry", "Industry", "Industry"),
    // Clients write it as text or as a number, and it reads back as text: text is the form seen on both sides.
    text("number_of_employees", "NumberOfEmployees", "Number of employees, as text"),
    text("phone", "Phone", "Phone, as free text"),
    text("mobile_phone", "MobilePhone", "Mobile phone, as free text"),
    text("fax", "Fax", "Fax, as free text"),
    text("mailing_street", "MailingStreet", "Street of the postal address"),
    text("mailing_city", "MailingCity", "City of the postal address"),
    text("mailing_state", "MailingState", "State of the postal address"),
    text("mailing_postal_code", "MailingPostalCode", "Postal code of the postal address"),
    text("mailing_country", "MailingCountry", "Country of the postal address"),
    text("lead_source", "LeadSource", "Where the contact came from"),
    text("status", "Status", "Status, as free text"),
    // Two public clients write it and one treats it as read-only; nothing says what Autopilot does with an unknown owner.
    text("owner_name", "owner_name", "Name of the contact's owner; some clients take it for read-only"),
    Standard {
        name: "unsubscribed",
        wire: UNSUBSCRIBED,
        field_type: FieldType::Boolean,
        description: "True unsubscribes the contact, false subscribes it again; never sent unless mapped, cannot be cleared",
    },
];

/// The one field whose wrong value reaches people's inboxes.
const UNSUBSCRIBED: &str = "unsubscribed";

/// What the descriptor says of the standard fields.
pub(crate) fn standard() -> Vec<Field> {
    let identity = Field::identity(EMAIL.name, EMAIL.field_type, EMAIL.description);
    let others = STANDARD.iter().map(|field| Field::optional(field.name, field.field_type, field.description));
    std::iter::once(identity).chain(others).collect()
}

/// What the descriptor says of custom fields.
pub(crate) fn custom() -> CustomFields {
    CustomFields {
        types: vec![FieldType::String, FieldType::Integer, FieldType::Float, FieldType::Boolean, FieldType::Date],
        forbidden: ["--", " -", "- "].map(str::to_owned).to_vec(),
        outer_spaces: false,
        help: "Autopilot's wire format writes each space of a name as two hyphens, so a hyphen that comes first or stands \
               beside a hyphen or a space, and a space at either end, would not arrive as written"
            .to_owned(),
    }
}

/// Where a mapped field stands in a contact, and under which key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// The address; every contact begins with it.
    Email,
    /// Beside the address.
    Standard(&'static str),
    /// Inside `custom`.
    Custom(String),
}

impl Key {
    /// The key of a mapped field.
    ///
    /// # Errors
    /// `config_invalid` for a field that Autopilot does not have, or that cannot be written as mapped.
    pub(crate) fn of(field: &MappedField) -> Result<Self> {
        if field.custom { Self::of_custom(field) } else { Self::of_standard(field) }
    }

    fn of_standard(field: &MappedField) -> Result<Self> {
        if field.name == EMAIL.name {
            return Ok(Self::Email);
        }
        let known = STANDARD.iter().find(|known| known.name == field.name).ok_or_else(|| {
            invalid(format!(
                "Autopilot has no standard field `{}`; write it under [fields.custom] if it is a field of your own",
                field.name
            ))
        })?;
        // What a null does to the subscription is not known, and the wrong guess sends mail to people who said no.
        if known.wire == UNSUBSCRIBED && field.clear_null {
            return Err(invalid(
                "field `unsubscribed` cannot have when_null = \"clear\": Autopilot could take it as a new subscription; \
                 use \"omit\" or \"skip_row\""
                    .to_owned(),
            ));
        }
        Ok(Self::Standard(known.wire))
    }

    fn of_custom(field: &MappedField) -> Result<Self> {
        let rules = custom();
        let name = field.name.as_str();
        // A leading hyphen would touch the two that end the type.
        let lost = rules.forbidden.iter().any(|part| name.contains(part.as_str()))
            || name.starts_with([' ', '-'])
            || name.ends_with(' ');
        if name.is_empty() || lost {
            return Err(invalid(format!("custom field `{name}` cannot be written to Autopilot: {}", rules.help)));
        }
        if !rules.types.contains(&field.field_type) {
            return Err(invalid(format!(
                "custom field `{name}` has type `{}`; Autopilot's custom fields are string, integer, float, boolean or date",
                field.field_type.as_str()
            )));
        }
        Ok(Self::Custom(format!("{}--{}", field.field_type.as_str(), name.replace(' ', "--"))))
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::ConfigInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(name: &str, field_type: FieldType, custom: bool) -> MappedField {
        MappedField { name: name.to_owned(), field_type, custom, clear_null: false }
    }

    #[test]
    fn every_standard_field_has_its_wire_name() {
        let expected = [
            ("email", "Email"),
            ("first_name", "FirstName"),
            ("last_name", "LastName"),
            ("salutation", "Salutation"),
            ("title", "Title"),
            ("twitter", "Twitter"),
            ("linkedin", "LinkedIn"),
            ("website", "Website"),
            ("company", "Company"),
            ("industry", "Industry"),
            ("number_of_employees", "NumberOfEmployees"),
            ("phone", "Phone"),
            ("mobile_phone", "MobilePhone"),
            ("fax", "Fax"),
            ("mailing_street", "MailingStreet"),
            ("mailing_city", "MailingCity"),
            ("mailing_state", "MailingState"),
            ("mailing_postal_code", "MailingPostalCode"),
            ("mailing_country", "MailingCountry"),
            ("lead_source", "LeadSource"),
            ("status", "Status"),
            ("owner_name", "owner_name"),
            ("unsubscribed", "unsubscribed"),
        ];
        let fields = standard();
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), expected.map(|(name, _)| name));
        for (name, wire) in expected.into_iter().skip(1) {
            let field = fields.iter().find(|field| field.name == name).unwrap();
            assert_eq!(Key::of(&mapped(name, field.field_type, false)).unwrap(), Key::Standard(wire));
            let boolean = name == "unsubscribed";
            assert_eq!(field.field_type, if boolean { FieldType::Boolean } else { FieldType::String });
            assert!(!field.required && !field.identity);
        }
        assert_eq!(Key::of(&mapped("email", FieldType::Email, false)).unwrap(), Key::Email);
        assert!(fields[0].required && fields[0].identity && fields[0].field_type == FieldType::Email);
    }

    #[test]
    fn custom_keys_carry_the_type_and_the_name() {
        let check = |name: &str, field_type, expected: Option<&str>| {
            let found = Key::of(&mapped(name, field_type, true));
            match expected {
                Some(key) => assert_eq!(found.unwrap(), Key::Custom(key.to_owned())),
                None => assert_eq!(found.unwrap_err().kind(), ErrorKind::ConfigInvalid, "{name}"),
            }
        };
        check("Lifetime Value", FieldType::Float, Some("float--Lifetime--Value"));
        check("NPS Rating", FieldType::Integer, Some("integer--NPS--Rating"));
        check("Is VIP", FieldType::Boolean, Some("boolean--Is--VIP"));
        check("Born", FieldType::Date, Some("date--Born"));
        check("a  b", FieldType::String, Some("string--a----b"));
        check("e-mail/fax \"x\"", FieldType::String, Some("string--e-mail/fax--\"x\""));
        check("שם 🎉", FieldType::String, Some("string--שם--🎉"));
        for lossy in ["", " x", "x ", "a--b", "a -b", "a- b", "-x"] {
            check(lossy, FieldType::String, None);
        }
        check("Second address", FieldType::Email, None);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let unknown = Key::of(&mapped("FirstName", FieldType::String, false)).unwrap_err();
        assert!(unknown.message().contains("[fields.custom]"));
        let cleared = MappedField { clear_null: true, ..mapped("unsubscribed", FieldType::Boolean, false) };
        assert!(Key::of(&cleared).unwrap_err().message().contains("skip_row"));
    }
}
