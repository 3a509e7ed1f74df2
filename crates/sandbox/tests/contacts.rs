//! Writing, reading and deleting contacts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use client::{bulk, start};
use segport_sandbox::{Clock, Options};
use serde_json::{Value, json};
use std::time::Duration;

fn fresh() -> (segport_sandbox::Sandbox, client::Client) {
    start(Options::default())
}

fn without(mut contact: Value, keys: &[&str]) -> Value {
    for key in keys {
        contact.as_object_mut().unwrap().remove(*key);
    }
    contact
}

#[test]
fn a_contact_is_written_and_read_back() {
    let clock = Clock::manual(1_484_448_799_000);
    let (_sandbox, mut client) = start(Options { clock: clock.clone(), ..Options::default() });
    let body = r#"{"contact": {"Email": "Ann@example.com", "FirstName": "Ann", "LastName": "Lee",
        "NumberOfEmployees": "10001", "unsubscribed": false, "notify": false,
        "custom": {"string--Job--Title": "CTO", "date--Since": "2017-01-14T12:58:42+01:00", "boolean--VIP": true}}}"#;
    let id = client.expect(200, "POST /contact", body)["contact_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("person_") && id.len() == 43, "{id}");
    let expected = json!({
        "contact_id": id, "Email": "Ann@example.com", "FirstName": "Ann", "LastName": "Lee", "Name": "Ann Lee",
        "NumberOfEmployees": "10001", "unsubscribed": false, "api_originated": true,
        "created_at": "2017-01-15T02:53:19.000Z",
        "custom_fields": [
            {"kind": "Job Title", "value": "CTO", "fieldType": "string", "deleted": false},
            {"kind": "Since", "value": "2017-01-14T11:58:42.000Z", "fieldType": "date", "deleted": false},
            {"kind": "VIP", "value": true, "fieldType": "boolean", "deleted": false},
        ],
    });
    assert_eq!(client.expect(200, "GET /contact/ann@example.com", ""), expected);

    clock.advance(Duration::from_secs(1));
    client.expect(200, "POST /contact", r#"{"contact":{"Email":"ann@EXAMPLE.com","FirstName":"Anna"}}"#);
    let updated = client.expect(200, &format!("GET /contact/{id}"), "");
    assert_eq!(updated["updated_at"], "2017-01-15T02:53:20.000Z");
    assert_eq!((&updated["FirstName"], &updated["LastName"]), (&json!("Anna"), &json!("Lee")));
    assert_eq!(updated["created_at"], expected["created_at"]);
}

#[test]
fn a_contact_is_found_by_every_form_of_its_name() {
    let (_sandbox, mut client) = fresh();
    let id = client.contact("ann+tag@example.com");
    for path in [
        "ann+tag@example.com",
        "ann%2Btag%40example.com",
        "ANN%2btag@Example.com",
        &id,
        &id.to_uppercase().replace("PERSON_", "person_"),
        &id.replace('_', "%5F"),
    ] {
        assert_eq!(client.expect(200, &format!("GET /contact/{path}"), "")["contact_id"], *id, "{path}");
    }
}

#[test]
fn names_of_all_alphabets_and_control_characters_come_back_byte_for_byte() {
    let (sandbox, mut client) = fresh();
    let names = [
        "O'Brien \"Bob\" \\ / </script>",
        "王小明",
        "Ωμέγα",
        "محمد",
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "\u{0}\u{1}\t\r\n\u{7f}\u{2028}",
        " spaced ",
    ];
    for (at, name) in names.iter().enumerate() {
        let email = format!("n{at}@example.com");
        let contact = json!({"Email": email, "FirstName": name, "custom": {format!("string--{}", name.trim()): name}});
        client.expect(200, "POST /contact", &json!({ "contact": contact }).to_string());
        let bulk = json!({"contacts": [{"Email": email, "Company": name}]}).to_string();
        client.expect(200, "POST /contacts", &bulk);
        let read = client.expect(200, &format!("GET /contact/{email}"), "");
        assert_eq!((&read["FirstName"], &read["Company"]), (&json!(name), &json!(name)));
        assert_eq!(read["custom_fields"][0]["value"], *name);
        assert_eq!(read["custom_fields"][0]["kind"], name.trim());
    }
    // Escapes are kept as they were sent, too.
    client.expect(200, "POST /contact", r#"{"contact":{"Email":"esc@example.com","Title":"\u00e9\ud83d\ude00\/"}}"#);
    let answer = client.call("GET /contact/esc@example.com", "");
    assert!(answer.text().contains(r#""Title":"\u00e9\ud83d\ude00\/""#), "{}", answer.text());
    assert_eq!(sandbox.autopilot().contact_count(), names.len() + 1);
}

#[test]
fn international_addresses_work_raw_and_encoded() {
    let (_sandbox, mut client) = fresh();
    let id = client.contact("jörg@bücher.example");
    for path in ["j%C3%B6rg@b%C3%BCcher.example", "J%C3%96RG%40B%C3%9CCHER.example", "jörg@bücher.example"] {
        assert_eq!(client.expect(200, &format!("GET /contact/{path}"), "")["contact_id"], *id, "{path}");
    }
}

#[test]
fn null_clears_and_unsent_fields_stay() {
    let (_sandbox, mut client) = fresh();
    for contact in [
        r#"{"Email":"a@b.c","Company":"X","Phone":"1","custom":{"integer--N":1,"string--S":"s"}}"#,
        r#"{"Email":"a@b.c","Company":null,"Fax":"2","custom":{"integer--N":null,"float--F":1.5}}"#,
    ] {
        client.expect(200, "POST /contact", &format!(r#"{{"contact":{contact}}}"#));
    }
    let read = client.expect(200, "GET /contact/a@b.c", "");
    assert_eq!(
        without(read, &["contact_id", "created_at", "updated_at"]),
        json!({"Email": "a@b.c", "Phone": "1", "Fax": "2", "api_originated": true, "custom_fields": [
            {"kind": "S", "value": "s", "fieldType": "string", "deleted": false},
            {"kind": "F", "value": 1.5, "fieldType": "float", "deleted": false},
        ]})
    );
}

#[test]
fn an_address_is_changed_with_new_email_and_the_id_stays() {
    let (_sandbox, mut client) = fresh();
    let id = client.contact("old@example.com");
    client.contact("other@example.com");
    let change = |from: &str, to: &str| json!({"contact": {"Email": from, "_NewEmail": to}}).to_string();
    for _ in 0..2 {
        // Sending it again, as after a lost answer, is harmless.
        let answer = client.expect(200, "POST /contact", &change("old@example.com", "New@example.com"));
        assert_eq!(answer["contact_id"], *id);
    }
    assert_eq!(client.expect(200, "GET /contact/new@example.com", "")["Email"], "New@example.com");
    client.expect(404, "GET /contact/old@example.com", "");
    client.expect(409, "POST /contact", &change("new@example.com", "other@example.com"));
    let answer = client.expect(200, "POST /contact", &change("nobody@example.com", "fresh@example.com"));
    assert_eq!(client.expect(200, "GET /contact/fresh@example.com", "")["contact_id"], answer["contact_id"]);
}

#[test]
fn contacts_without_an_address_are_always_new() {
    let (sandbox, mut client) = fresh();
    for contact in
        [r#"{"FirstName":"A"}"#, r#"{"FirstName":"A"}"#, r#"{"Email":null,"FirstName":"A"}"#, r#"{"Email":"","X":1}"#]
    {
        let body = format!(r#"{{"contact":{contact}}}"#);
        let id = client.expect(200, "POST /contact", &body)["contact_id"].as_str().unwrap().to_owned();
        client.expect(200, &format!("GET /contact/{id}"), "");
    }
    let answer = client.expect(200, "POST /contacts", r#"{"contacts":[{"FirstName":"B"},{"Email":"b@x.y"}]}"#);
    assert_eq!(answer["contact_ids"].as_array().unwrap().len(), 2);
    assert_eq!(answer["email_contact_map"], json!({"b@x.y": answer["contact_ids"][1]}));
    assert_eq!(sandbox.autopilot().contact_count(), 6);
}

#[test]
fn a_contact_id_in_a_body_selects_nothing() {
    let (sandbox, mut client) = fresh();
    let id = client.contact("a@b.c");
    let body = format!(r#"{{"contact":{{"contact_id":"{id}","Email":"d@e.f","lists":["x"],"Name":"No"}}}}"#);
    let other = client.expect(200, "POST /contact", &body)["contact_id"].clone();
    assert_ne!(other, *id);
    let read = sandbox.autopilot().contact("d@e.f").unwrap();
    assert_eq!((&read["contact_id"], read.get("lists"), read.get("Name")), (&other, None, None));
}

#[test]
fn bulk_answers_in_request_order_and_by_address_as_sent() {
    let (sandbox, mut client) = fresh();
    let known = client.contact("b@x.y");
    let answer = client.expect(200, "POST /contacts", &bulk(&["a@x.y", "B@X.y", "c\"\\@x.y", "a@x.y"]));
    let ids = answer["contact_ids"].as_array().unwrap();
    assert_eq!((ids.len(), &ids[1], &ids[3]), (4, &json!(known), &ids[0]));
    assert_eq!(answer["email_contact_map"], json!({"a@x.y": ids[0], "B@X.y": known, "c\"\\@x.y": ids[2]}));
    let text = client.call("POST /contacts", &bulk(&["q@x.y", "q@x.y"])).text().to_owned();
    assert_eq!(text.matches("\"q@x.y\"").count(), 1, "a key occurs once: {text}");
    assert_eq!(sandbox.autopilot().contact_count(), 4);
}

#[test]
fn bulk_takes_a_hundred_contacts_and_refuses_more() {
    let (sandbox, mut client) = fresh();
    let emails: Vec<String> = (0..101).map(|n| format!("n{n}@x.y")).collect();
    let emails: Vec<&str> = emails.iter().map(String::as_str).collect();
    let refused = client.expect(400, "POST /contacts", &bulk(&emails));
    assert_eq!(refused["error"], "Bad Request");
    assert_eq!(sandbox.autopilot().contact_count(), 0);
    let answer = client.expect(200, "POST /contacts", &bulk(&emails[..100]));
    assert_eq!(answer["email_contact_map"].as_object().unwrap().len(), 100);
}

#[test]
fn bulk_without_contacts_is_answered_with_none() {
    let (sandbox, mut client) = fresh();
    let answer = client.expect(200, "POST /contacts", r#"{"contacts":[]}"#);
    let internal = json!(["proposedContacts"]);
    assert_eq!(answer, json!({"contact_ids": [], "email_contact_map": {}, "_removeResultKeys": internal}));
    assert_eq!(sandbox.autopilot().contact_count(), 0);
}

#[test]
fn bodies_are_read_as_json_whatever_they_claim_to_be() {
    let (sandbox, mut client) = fresh();
    let key = format!("AutoPilotApiKey: {}", client::KEY);
    let plain = r#"{"contact":{"Email":"a@b.c"}}"#;
    let double = serde_json::to_string(plain).unwrap();
    for (kind, body) in [
        ("application/json", plain),
        ("application/x-www-form-urlencoded", plain),
        ("text/plain; charset=utf-8", plain),
        ("application/json", &double),
        ("application/json", &format!(" \n{double}\n")),
    ] {
        let kind = format!("Content-Type: {kind}");
        let answer = client.send("POST /v1/contact", &[&key, &kind], body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{kind} {body}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let bulk = serde_json::to_string(&bulk(&["d@e.f"])).unwrap();
    client.expect(200, "POST /contacts", &bulk);
    assert_eq!(sandbox.autopilot().contact_count(), 2);
}

#[test]
fn a_chunked_body_is_read() {
    let (_sandbox, mut client) = fresh();
    let body = bulk(&["a@b.c"]);
    let (one, two) = body.split_at(7);
    let chunks = format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
    let key = format!("autopilotapikey: {}", client::KEY);
    let answer =
        client.send_raw("POST /v1/contacts", &[&key, "Transfer-Encoding: chunked"], chunks.as_bytes()).unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn empty_and_malformed_writes_are_refused() {
    let (sandbox, mut client) = fresh();
    for (line, body, message) in [
        ("POST /contact", "{}", "No contact details provided."),
        ("POST /contact", r#"{"contact":{}}"#, "No contact details provided."),
        ("POST /contact", r#"{"contact":[]}"#, "No contact details provided."),
        ("POST /contacts", "{}", "No contact details provided."),
        ("POST /contacts", r#"{"contacts":[{"Email":"a@b.c"},{}]}"#, "No contact details provided."),
        ("POST /contact", "", "Invalid JSON"),
        ("POST /contact", "Email=a@b.c", "Invalid JSON"),
        ("POST /contacts", r#"{"contacts":[{"Email":"a@b.c"},7]}"#, "Invalid JSON"),
        ("POST /contacts", r#"{"contacts":[{"Email":"a@b.c","custom":"x"}]}"#, "Invalid JSON"),
    ] {
        let answer = client.expect(400, line, body);
        assert_eq!(answer["error"], "Bad Request");
        assert!(answer["message"].as_str().unwrap().starts_with(message), "{body}: {answer}");
    }
    assert_eq!(sandbox.autopilot().contact_count(), 0);
}

#[test]
fn empty_php_arrays_stand_for_empty_objects() {
    let (sandbox, mut client) = fresh();
    client.expect(200, "POST /contact", r#"{"contact":{"Email":"a@b.c","custom":[]}}"#);
    client.expect(200, "POST /contacts", r#"{"contacts":[{"Email":"a@b.c","custom":[]}]}"#);
    assert!(sandbox.autopilot().contact("a@b.c").unwrap().get("custom_fields").is_none());
}

#[test]
fn delete_and_unsubscribe_take_address_or_id() {
    let (sandbox, mut client) = fresh();
    let (one, list) = (client.contact("one@x.y"), client.list("L"));
    client.contact("two@x.y");
    client.expect(200, &format!("POST /list/{list}/contact/{one}"), "");
    assert_eq!(client.expect(200, "POST /contact/one@x.y/unsubscribe", ""), json!({}));
    assert_eq!(client.expect(200, "GET /contact/one@x.y", "")["unsubscribed"], true);
    client.expect(200, &format!("POST /contact/{one}/unsubscribe"), "{}");
    client.expect(200, "POST /contact", r#"{"contact":{"Email":"one@x.y","unsubscribed":false}}"#);
    assert_eq!(client.expect(200, "GET /contact/one@x.y", "")["unsubscribed"], false);

    assert_eq!(client.expect(200, &format!("DELETE /contact/{one}"), ""), json!({}));
    client.expect(200, "DELETE /contact/TWO%40x.y", "");
    assert_eq!(sandbox.autopilot().contact_count(), 0);
    assert_eq!(sandbox.autopilot().list_members("L").unwrap(), Vec::<String>::new());
    client.expect(404, &format!("DELETE /contact/{one}"), "");
    assert_ne!(client.contact("one@x.y"), one, "a deleted contact does not come back under its id");
}

#[test]
fn custom_field_definitions_are_a_bare_array() {
    let (_sandbox, mut client) = fresh();
    assert_eq!(client.expect(200, "GET /contacts/custom_fields", ""), json!([]));
    let nothing = r#"{"contact":{"Email":"a@b.c","custom":{"age":null,"NULL--Gone":null}}}"#;
    client.expect(200, "POST /contact", nothing);
    assert_eq!(client.expect(200, "GET /contacts/custom_fields", ""), json!([]), "null makes no field");
    let contact = r#"{"Email":"a@b.c","custom":{"string--Visited--Cities":"x","integer--NPS":1,"age":23}}"#;
    client.expect(200, "POST /contact", &format!(r#"{{"contact":{contact}}}"#));
    client.expect(200, "POST /contacts", &format!(r#"{{"contacts":[{contact}]}}"#));
    let fields = client.expect(200, "GET /contacts/custom_fields", "");
    let fields: Vec<Value> = fields.as_array().unwrap().iter().map(|f| without(f.clone(), &["key"])).collect();
    assert_eq!(
        fields,
        [
            json!({"name": "Visited Cities", "fieldType": "string"}),
            json!({"name": "NPS", "fieldType": "integer"}),
            json!({"name": "age", "fieldType": "integer"}),
        ]
    );
}
