//! Bodies on the wire: every field under its name, every text byte for byte.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use segport_sdk::test::{Script, json};
use segport_sdk::{Batch, BatchKind, FieldType, MappedField};
use serde_json::{Value, json as value};

use crate::{block_on, export, field, looks_around, open};

/// The one contact that is sent for these fields and values.
fn sent(fields: Vec<MappedField>, columns: Vec<ArrayRef>) -> String {
    let http = Script::new();
    let harness = open(value!({}), &http);
    let export = segport_sdk::ExportSpec { fields, ..export(&["News"]) };
    looks_around(&http, json(200, r#"{"lists":[{"list_id":"L","title":"News"}]}"#));
    let session = block_on(harness.begin(&export)).unwrap();
    let named = columns.into_iter().enumerate().map(|(nth, column)| (format!("f{nth}"), column, true));
    let rows = RecordBatch::try_from_iter_with_nullable(named).unwrap();
    http.expect("POST", "/contacts", json(200, r#"{"email_contact_map":{"a@example.com":"1"}}"#));
    let batch =
        Batch { session: session.into(), kind: BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() }, rows };
    assert_eq!(crate::short(&block_on(harness.write(&batch)).unwrap().rows), ["done 1"]);
    let request = http.requests().pop().unwrap();
    assert!(request.head.headers.contains(&("content-type".to_owned(), "application/json".to_owned())));
    assert!(request.head.repeatable, "a write keyed by address may be repeated");
    String::from_utf8(request.body.to_vec()).unwrap()
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

#[test]
fn every_standard_field_goes_out_under_its_wire_name() {
    let wire = [
        "FirstName",
        "LastName",
        "Salutation",
        "Title",
        "Twitter",
        "LinkedIn",
        "Website",
        "Company",
        "Industry",
        "NumberOfEmployees",
        "Phone",
        "MobilePhone",
        "Fax",
        "MailingStreet",
        "MailingCity",
        "MailingState",
        "MailingPostalCode",
        "MailingCountry",
        "LeadSource",
        "Status",
        "owner_name",
    ];
    let description = open(value!({}), &Script::new()).descriptor();
    let fields: Vec<MappedField> =
        description.fields.iter().map(|known| field(&known.name, known.field_type, false)).collect();
    let columns = description
        .fields
        .iter()
        .map(|known| match known.field_type {
            FieldType::Boolean => Arc::new(BooleanArray::from(vec![true])) as ArrayRef,
            FieldType::Email => text("a@example.com"),
            _ => text(&known.name),
        })
        .collect();
    let mut expected = "{\"contacts\":[{\"Email\":\"a@example.com\"".to_owned();
    for (wire, known) in wire.iter().zip(&description.fields[1..]) {
        expected += &format!(",\"{wire}\":\"{}\"", known.name);
    }
    expected += ",\"unsubscribed\":true}]}";
    assert_eq!(sent(fields, columns), expected);
}

#[test]
fn unsubscribed_is_never_sent_unless_mapped() {
    let body = sent(
        vec![field("email", FieldType::Email, false), field("first_name", FieldType::String, false)],
        vec![text("a@example.com"), text("Anna")],
    );
    assert_eq!(body, r#"{"contacts":[{"Email":"a@example.com","FirstName":"Anna"}]}"#);
}

#[test]
fn custom_fields_carry_their_type() {
    let body = sent(
        vec![
            field("email", FieldType::Email, false),
            field("Home Town", FieldType::String, true),
            field("NPS Rating", FieldType::Integer, true),
            field("Lifetime Value", FieldType::Float, true),
            field("VIP", FieldType::Boolean, true),
            field("Member Since", FieldType::Date, true),
        ],
        vec![
            text("a@example.com"),
            text("Bergen"),
            Arc::new(Int64Array::from(vec![10])),
            Arc::new(Float64Array::from(vec![0.1])),
            Arc::new(BooleanArray::from(vec![false])),
            text("2017-01-14T11:58:42.000Z"),
        ],
    );
    let custom = concat!(
        r#"{"string--Home--Town":"Bergen","integer--NPS--Rating":10,"float--Lifetime--Value":0.1,"boolean--VIP":false,"#,
        r#""date--Member--Since":"2017-01-14T11:58:42.000Z"}"#
    );
    assert_eq!(body, format!(r#"{{"contacts":[{{"Email":"a@example.com","custom":{custom}}}]}}"#));
}

#[test]
fn hostile_names_arrive_byte_for_byte() {
    for name in [
        "O'Brien, \"Bob\"",
        "back\\slash",
        "👩‍👩‍👧‍👦 e\u{301}",
        "\u{202e}evil\u{202c} محمد",
        "nul\0 bell\u{7} esc\u{1b} del\u{7f}",
        "line\r\nbreak\u{2028}\u{2029}",
        "\"}],\"contacts\":[{\"Email\":\"x@example.com",
        "\u{feff}bom \u{fffd} \u{10ffff}",
    ] {
        let body = sent(
            vec![field("email", FieldType::Email, false), field("last_name", FieldType::String, false)],
            vec![text("a@example.com"), text(name)],
        );
        let back: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(back, value!({ "contacts": [{ "Email": "a@example.com", "LastName": name }] }));
    }
}
