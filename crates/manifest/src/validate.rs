//! Files against their schemas: each violation becomes a finding at the bytes that cause it.

use std::collections::BTreeSet;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use segport_core::Secret;
use serde_json::{Value, json};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Location};
use crate::document::Document;
use crate::schema::{OFFERED, known_keys};
use crate::secret::{IN_PLACE_OF_ITS_NAME, SecretRef, WRITE_ITS_NAME, names_a_secret, secret_pointers};
use crate::walk::subschemas;
use crate::{pointer, suggest};

/// Tables that may hold secrets; if one of them is something else, that may be one.
pub(crate) const PLUGIN_TABLES: [&str; 2] = ["/settings", "/read"];

/// A schema with its compiled form.
#[derive(Debug)]
pub(crate) struct Compiled {
    schema: Value,
    validator: Validator,
    marks_secrets: bool,
}

impl Compiled {
    /// # Errors
    /// A sentence on what is wrong with the schema.
    pub(crate) fn new(schema: Value) -> Result<Self, String> {
        let validator = jsonschema::draft7::options()
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|error| error.to_string())?;
        let marks_secrets = schema.to_string().contains(Secret::MARK);
        Ok(Self { schema, validator, marks_secrets })
    }

    /// Adds what is wrong with `document` to `findings` and masks what should not be in it; returns the pointers of
    /// everything that is wrong.
    pub(crate) fn check(&self, document: &mut Document, findings: &mut Vec<Diagnostic>) -> Vec<String> {
        let value = document.value().clone();
        let secrets = if self.marks_secrets { secret_pointers(&value, &self.schema) } else { BTreeSet::new() };
        if secrets.is_empty() && self.validator.is_valid(&value) {
            return Vec::new();
        }
        let in_secret = |at: &str| secrets.iter().any(|secret| at == secret || at.starts_with(&format!("{secret}/")));

        let mut violations = Vec::new();
        for error in self.validator.iter_errors(&value) {
            self.translate(&value, &error, &mut violations);
        }
        violations.retain(|violation| !in_secret(&violation.pointer));
        violations.extend(secrets.iter().filter_map(|secret| broken_secret(&value, secret)));
        // What has the wrong type breaks most other rules as well.
        let of_type = violations.iter().filter(|violation| violation.code == Code::WrongType);
        let mistyped: BTreeSet<_> = of_type.map(|violation| violation.pointer.clone()).collect();
        violations.retain(|violation| violation.code == Code::WrongType || !mistyped.contains(&violation.pointer));
        violations.dedup_by(|a, b| a.pointer == b.pointer && a.code == b.code && a.message == b.message);

        // What is not known may be a secret in the wrong place, or even in the wrong kind of file.
        let hidden = |violation: &&Violation| {
            let misplaced = violation.code == Code::UnknownKey || PLUGIN_TABLES.contains(&violation.pointer.as_str());
            misplaced || in_secret(&violation.pointer)
        };
        let mut hidden: Vec<_> = violations.iter().filter(hidden).map(|violation| violation.pointer.clone()).collect();
        // A secret in the place of its name is told of later, by whoever does not find what it names.
        hidden.extend(secrets.into_iter().filter(|at| value.pointer(at).is_some_and(names_a_secret)));
        document.mask(&hidden);
        findings.extend(violations.iter().map(|violation| violation.report(document)));
        violations.into_iter().map(|violation| violation.pointer).collect()
    }

    fn translate(&self, value: &Value, error: &ValidationError<'_>, violations: &mut Vec<Violation>) {
        let at = error.instance_path().as_str().to_owned();
        let mut add = |code, message: String, help: Option<String>| {
            let code = self.own_code(value, &at).unwrap_or(code);
            violations.push(Violation { pointer: at.clone(), code, message, help, mark: Mark::Value });
        };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let applying = subschemas(value, &self.schema, &at);
                let known = applying.iter().flat_map(|schema| known_keys(schema));
                let known: Vec<_> = known.collect();
                for key in unexpected {
                    violations.push(Violation {
                        pointer: pointer::join(&at, key),
                        code: Code::UnknownKey,
                        message: format!("unknown key `{key}`"),
                        help: self.under_table(&at, key).or_else(|| suggest::among(key, known.iter().copied())),
                        mark: Mark::Key,
                    });
                }
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                violations.push(Violation {
                    pointer: at.clone(),
                    code: Code::MissingKey,
                    message: format!("missing key `{key}`"),
                    help: self.describe(value, &at, key).map(|help| match elsewhere(value, &at, key) {
                        Some(table) => format!("{help}; there is one under `[{table}]`, but {ABOVE_TABLES}"),
                        None => help,
                    }),
                    mark: Mark::Key,
                });
            }
            ValidationErrorKind::Type { kind } => add(Code::WrongType, format!("expected {}", expected(kind)), None),
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.translate_alternatives(value, &at, context, violations);
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<_> = options.as_array().into_iter().flatten().map(text_of).collect();
                violations.push(self.not_among(&at, value, options));
            }
            ValidationErrorKind::Constant { expected_value } => {
                violations.push(self.not_among(&at, value, vec![text_of(expected_value)]));
            }
            ValidationErrorKind::Minimum { limit } => {
                add(Code::OutOfRange, format!("at least {limit} is needed"), None)
            }
            ValidationErrorKind::Maximum { limit } => {
                add(Code::OutOfRange, format!("at most {limit} is possible"), None)
            }
            ValidationErrorKind::ExclusiveMinimum { limit } => {
                add(Code::OutOfRange, format!("more than {limit} is needed"), None);
            }
            ValidationErrorKind::ExclusiveMaximum { limit } => {
                add(Code::OutOfRange, format!("less than {limit} is needed"), None);
            }
            ValidationErrorKind::MinLength { limit: 1 } => add(Code::OutOfRange, "this text is empty".to_owned(), None),
            ValidationErrorKind::MinLength { limit } => {
                add(Code::OutOfRange, format!("at least {limit} characters are needed"), None);
            }
            ValidationErrorKind::MaxLength { limit } => {
                add(Code::OutOfRange, format!("at most {limit} characters are possible"), None);
            }
            ValidationErrorKind::MinItems { limit: 1 } => {
                add(Code::OutOfRange, "at least one entry is needed".to_owned(), None);
            }
            ValidationErrorKind::MinItems { limit } | ValidationErrorKind::MinProperties { limit } => {
                add(Code::OutOfRange, format!("at least {limit} entries are needed"), None);
            }
            ValidationErrorKind::MaxItems { limit } | ValidationErrorKind::MaxProperties { limit } => {
                add(Code::OutOfRange, format!("at most {limit} entries are possible"), None);
            }
            ValidationErrorKind::UniqueItems => {
                add(Code::DuplicateEntry, "the same entry stands here twice".to_owned(), None);
            }
            ValidationErrorKind::Pattern { .. } if self.own_code(value, &at) == Some(Code::BadThreshold) => {
                let help = "write a share such as \"10%\" (0 to 100), or a number of rows such as 500 without quotes";
                add(Code::BadThreshold, "neither a share nor a number of rows".to_owned(), Some(help.to_owned()));
            }
            ValidationErrorKind::Pattern { pattern } => {
                let help = self.description(value, &at);
                add(Code::BadValue, format!("this text must match `{pattern}`"), help);
            }
            ValidationErrorKind::Format { format } if format == "date-time" => {
                let help = "write a date and time with its offset from UTC, such as 2026-11-23T10:00:00Z";
                add(Code::BadValue, "this is no point in time".to_owned(), Some(help.to_owned()));
            }
            ValidationErrorKind::Format { format } => add(Code::BadValue, format!("this is no `{format}`"), None),
            ValidationErrorKind::FalseSchema => add(Code::UnknownKey, "nothing can stand here".to_owned(), None),
            // The other messages of the validator quote the value; these keywords are rare enough to go without.
            _ => add(Code::BadValue, format!("this value breaks the rule `{}`", error.kind().keyword()), None),
        }
    }

    /// Of several alternatives the one counts that was meant: where the value itself has the right type or is the right text.
    fn translate_alternatives(
        &self,
        value: &Value,
        at: &str,
        context: &[Vec<ValidationError<'static>>],
        violations: &mut Vec<Violation>,
    ) {
        let mut kinds = Vec::new();
        let mut options = Vec::new();
        let mut meant: Option<&Vec<ValidationError<'static>>> = None;
        for branch in context {
            let mut fits = true;
            for error in branch.iter().filter(|error| error.instance_path().as_str() == at) {
                match error.kind() {
                    ValidationErrorKind::Type { kind } => {
                        kinds.push(expected(kind));
                        fits = false;
                    }
                    ValidationErrorKind::Enum { options: more } => {
                        options.extend(more.as_array().into_iter().flatten().map(text_of));
                        fits = false;
                    }
                    ValidationErrorKind::Constant { expected_value } => {
                        options.push(text_of(expected_value));
                        fits = false;
                    }
                    _ => {}
                }
            }
            if fits && meant.is_none_or(|best| branch.len() < best.len()) {
                meant = Some(branch);
            }
        }
        if let Some(branch) = meant {
            for error in branch {
                self.translate(value, error, violations);
            }
            return;
        }
        let is_text = value.pointer(at).is_some_and(Value::is_string);
        if is_text && !options.is_empty() {
            violations.push(self.not_among(at, value, options));
            return;
        }
        if !options.is_empty() {
            kinds.insert(0, "a text".to_owned());
        }
        kinds.dedup();
        let kinds = if kinds.is_empty() { vec!["something else".to_owned()] } else { kinds };
        violations.push(Violation {
            pointer: at.to_owned(),
            code: Code::WrongType,
            message: format!("expected {}", kinds.join(" or ")),
            help: None,
            mark: Mark::Value,
        });
    }

    /// Whether the plugin's own table has the key that stands outside of it.
    fn under_table(&self, at: &str, key: &str) -> Option<String> {
        let knows = |table: &&&str| {
            let moved = json!({ table.trim_start_matches('/'): { key: null } });
            subschemas(&moved, &self.schema, &pointer::join(table, key)).iter().any(Value::is_object)
        };
        let table = PLUGIN_TABLES.iter().filter(|_| at.is_empty()).find(knows)?;
        Some(format!("`{key}` stands under `[{}]`", table.trim_start_matches('/')))
    }

    /// A text that is none of `options`, of which those are told that the plugin offers.
    fn not_among(&self, at: &str, value: &Value, options: Vec<String>) -> Violation {
        let found = value.pointer(at).map(text_of).unwrap_or_default();
        let schemas = subschemas(value, &self.schema, at);
        let offered = schemas.iter().find_map(|schema| schema.get(OFFERED)?.as_array());
        let options = offered.map_or(options, |offered| offered.iter().map(text_of).collect());
        Violation {
            pointer: at.to_owned(),
            code: Code::UnknownValue,
            message: "this value is not possible here".to_owned(),
            help: suggest::among(&found, options.iter().map(String::as_str)),
            mark: Mark::Value,
        }
    }

    fn own_code(&self, value: &Value, at: &str) -> Option<Code> {
        let schemas = subschemas(value, &self.schema, at);
        schemas.iter().find_map(|schema| Code::parse(schema.get("x-segport-code")?.as_str()?))
    }

    fn description(&self, value: &Value, at: &str) -> Option<String> {
        let schemas = subschemas(value, &self.schema, at);
        Some(schemas.first()?.get("description")?.as_str()?.replace('\n', " "))
    }

    /// What the schema says of a key that is not there.
    fn describe(&self, value: &Value, at: &str, key: &str) -> Option<String> {
        let schemas = subschemas(value, &self.schema, at);
        let of_key = schemas.iter().find_map(|schema| schema.get("properties")?.get(key));
        let text = of_key?.get("description")?.as_str()?;
        let sentence = text.split_inclusive(". ").next().unwrap_or(text).trim().trim_end_matches('.');
        Some(format!("`{key}`: {}", sentence.replace('\n', " ")))
    }
}

const ABOVE_TABLES: &str = "keys of the file itself stand above the first `[table]`";

/// The table that has a key which is missing at the top of the file: TOML takes all that follows a `[table]` for a part of it.
fn elsewhere(value: &Value, at: &str, key: &str) -> Option<String> {
    if at.is_empty() { table_with(value, at, key).map(|table| pointer::dotted(&table)) } else { None }
}

fn table_with(value: &Value, at: &str, key: &str) -> Option<String> {
    value.as_object()?.iter().find_map(|(name, inner)| {
        let at = pointer::join(at, name);
        if inner.get(key).is_some() { Some(at) } else { table_with(inner, &at, key) }
    })
}

fn broken_secret(value: &Value, at: &str) -> Option<Violation> {
    let there = value.pointer(at)?;
    let error = SecretRef::try_from(there).err()?;
    let literal = !there.is_object();
    let misplaced = names_a_secret(there);
    Some(Violation {
        pointer: at.to_owned(),
        code: if literal || misplaced { Code::SecretLiteral } else { Code::BadSecretReference },
        message: if literal {
            format!("the secret `{}` is written into the file", pointer::last(at))
        } else if misplaced {
            IN_PLACE_OF_ITS_NAME.to_owned()
        } else {
            error.to_string()
        },
        help: Some(if misplaced {
            WRITE_ITS_NAME.to_owned()
        } else {
            "write where it is kept: `{ env = \"NAME\" }`, `{ file = \"PATH\" }` or `{ credential = \"NAME\" }`"
                .to_owned()
                + if literal { "; if the file was ever shared or committed, replace the secret" } else { "" }
        }),
        mark: Mark::Value,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Key,
    Value,
}

#[derive(Debug)]
struct Violation {
    pointer: String,
    code: Code,
    message: String,
    help: Option<String>,
    mark: Mark,
}

impl Violation {
    fn report(&self, document: &Document) -> Diagnostic {
        let location: Location = match self.mark {
            Mark::Key => document.at_key(&self.pointer),
            Mark::Value => document.at_value(&self.pointer),
        };
        let place = document.name_of(&self.pointer);
        let (message, label) = match self.code {
            Code::UnknownKey => (self.message.clone(), "not known here".to_owned()),
            Code::MissingKey if place.is_empty() => (self.message.clone(), "in this file".to_owned()),
            Code::MissingKey => (self.message.clone(), format!("in `{place}`")),
            Code::SecretLiteral | Code::BadSecretReference => {
                (self.message.clone(), "a secret reference is needed".to_owned())
            }
            _ => (format!("`{place}` cannot be {}", described(&document.shown(&self.pointer))), self.message.clone()),
        };
        let finding = Diagnostic::error(self.code, message).at(location, label);
        match &self.help {
            Some(help) => finding.help(help),
            None => finding,
        }
    }
}

fn described(shown: &str) -> String {
    match shown {
        "" => "empty".to_owned(),
        shown => format!("`{shown}`"),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn expected(kind: &TypeKind) -> String {
    let name = |kind: jsonschema::JsonType| match kind.as_str() {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "an array",
        "object" => "a table",
        _ => "nothing",
    };
    match kind {
        TypeKind::Single(kind) => name(*kind).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(name).collect::<Vec<_>>().join(" or "),
    }
}
