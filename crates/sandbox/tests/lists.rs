//! Lists, membership and pages.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use client::{Client, bulk, start};
use segport_sandbox::Options;
use serde_json::{Value, json};

/// Follows bookmarks from the first page on; returns the addresses and the size of each page.
fn pages(client: &mut Client, path: &str) -> (Vec<String>, Vec<usize>) {
    let (mut emails, mut sizes, mut next) = (Vec::new(), Vec::new(), path.to_owned());
    loop {
        let page = client.expect(200, &format!("GET {next}"), "");
        let contacts = page["contacts"].as_array().unwrap();
        emails.extend(contacts.iter().map(|contact| contact["Email"].as_str().unwrap().to_owned()));
        sizes.push(contacts.len());
        match page.get("bookmark") {
            Some(bookmark) => next = format!("{path}/{}", bookmark.as_str().unwrap()),
            None => return (emails, sizes),
        }
    }
}

fn fill(client: &mut Client, count: usize) -> Vec<String> {
    let emails: Vec<String> = (0..count).map(|n| format!("n{n}@x.y")).collect();
    for chunk in emails.chunks(100) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        client.expect(200, "POST /contacts", &bulk(&chunk));
    }
    emails
}

#[test]
fn titles_are_not_unique() {
    let (_sandbox, mut client) = start(Options::default());
    let made = client.expect(200, "POST /list", r#"{"name":"VIP \"é\" 😀"}"#);
    assert_eq!(made["name"], "VIP \"é\" 😀");
    let second = client.list("VIP \\\"é\\\" 😀");
    assert_ne!(made["list_id"], second);
    let lists = client.expect(200, "GET /lists", "");
    let title = "VIP \"é\" 😀";
    assert_eq!(
        lists,
        json!({"lists": [{"list_id": made["list_id"], "title": title}, {"list_id": second, "title": title}]})
    );
    for body in ["", "{}", r#"{"name":""}"#, r#"{"name":7}"#] {
        client.expect(400, "POST /list", body);
    }
}

#[test]
fn lists_are_not_paged() {
    let (sandbox, mut client) = start(Options::default());
    (0..150).for_each(|n| _ = sandbox.autopilot().add_list(&format!("L{n}")));
    let lists = client.expect(200, "GET /lists", "");
    assert_eq!((lists["lists"].as_array().unwrap().len(), lists.get("bookmark")), (150, None));
}

#[test]
fn membership_changes_once() {
    let (_sandbox, mut client) = start(Options::default());
    let (id, list) = (client.contact("a@b.c"), client.list("L"));
    let path = |contact: &str| format!("/list/{list}/contact/{contact}");
    assert_eq!(client.expect(404, &format!("GET {}", path("a@b.c")), ""), json!({}));
    assert_eq!(client.expect(200, &format!("POST {}", path("a%40b.c")), ""), json!({}));
    assert_eq!(client.expect(200, &format!("POST {}", path(&id)), "{}"), json!({"not_modified": true}));
    client.expect(200, &format!("GET {}", path(&id)), "");
    assert_eq!(client.expect(200, "GET /contact/a@b.c", "")["lists"], json!([list]));
    assert_eq!(client.expect(200, &format!("DELETE {}", path("a@b.c")), ""), json!({}));
    assert_eq!(client.expect(200, &format!("DELETE {}", path("a@b.c")), ""), json!({"not_modified": true}));
    assert_eq!(client.expect(200, "GET /contact/a@b.c", "").get("lists"), None);
}

#[test]
fn what_is_not_found_is_said_as_the_service_says_it() {
    let (_sandbox, mut client) = start(Options::default());
    let (list, no_list) = (client.list("L"), "contactlist_nope");
    let _ = client.contact("a@b.c");
    let (no_contact_text, no_list_text) = (json!("Contact could not be found."), json!("List does not exist."));
    let member = |method: &str, list: &str, contact: &str| format!("{method} /list/{list}/contact/{contact}");
    for (line, message) in [
        ("GET /contact/x@b.c".to_owned(), &no_contact_text),
        ("GET /contact/person_AP2-00000000-0000-4000-8000-000000000000".to_owned(), &no_contact_text),
        ("DELETE /contact/x@b.c".to_owned(), &no_contact_text),
        ("POST /contact/x@b.c/unsubscribe".to_owned(), &no_contact_text),
        (member("GET", no_list, "a@b.c"), &no_list_text),
        (member("POST", no_list, "a@b.c"), &no_list_text),
        (member("DELETE", no_list, "a@b.c"), &no_list_text),
        (member("GET", &list, "x@b.c"), &no_contact_text),
        (member("POST", &list, "x@b.c"), &no_contact_text),
        (member("DELETE", &list, "x@b.c"), &no_contact_text),
        (member("GET", &list, "a@b.c"), &Value::Null),
        (format!("GET /list/{no_list}/contacts"), &Value::Null),
        ("GET /smart_segments/contactlist_sseg0/contacts".to_owned(), &Value::Null),
    ] {
        let answer = client.expect(404, &line, "");
        assert_eq!(answer["message"], *message, "{line}");
        assert_eq!(answer["error"], if message.is_null() { Value::Null } else { json!("Not Found") }, "{line}");
    }
    let answer = client.expect(400, "GET /contact/nobody", "");
    assert_eq!(answer["message"], "Invalid contact_id_or_email value provided.");
}

#[test]
fn a_single_write_puts_a_new_or_known_contact_on_a_list() {
    let (sandbox, mut client) = start(Options { bulk_lists: false, ..Options::default() });
    let list = client.list("L");
    let write = |inside: &str, beside: &str| {
        format!(r#"{{"contact":{{"Email":"a@b.c","_autopilot_list":"{inside}"}},"_autopilot_list":"{beside}"}}"#)
    };
    client.expect(200, "POST /contact", &write("contactlist_unknown", &list));
    assert_eq!(sandbox.autopilot().list_members("L").unwrap(), Vec::<String>::new());
    client.expect(200, "POST /contact", &write(&list, ""));
    client.expect(200, "POST /contact", &write(&list, ""));
    assert_eq!(sandbox.autopilot().list_members("L").unwrap(), ["a@b.c"]);
    let read = client.expect(200, "GET /contact/a@b.c", "");
    assert_eq!((&read["lists"], read.get("_autopilot_list")), (&json!([list]), None));
}

#[test]
fn bulk_puts_contacts_on_a_list_unless_told_not_to() {
    for (bulk_lists, members, ignored) in [(true, 2, 0), (false, 0, 2)] {
        let (sandbox, mut client) = start(Options { bulk_lists, ..Options::default() });
        let list = client.list("L");
        let item = |email: &str| json!({"Email": email, "_autopilot_list": list});
        let body = json!({"contacts": [item("a@b.c"), item("d@e.f"), {"Email": "g@h.i"}]}).to_string();
        client.expect(200, "POST /contacts", &body);
        assert_eq!(sandbox.autopilot().list_members("L").unwrap().len(), members);
        assert_eq!(sandbox.autopilot().counts().tallies.list_ids_ignored, ignored);
    }
}

#[test]
fn contacts_come_in_pages_of_a_hundred() {
    let (_sandbox, mut client) = start(Options::default());
    assert_eq!(client.expect(200, "GET /contacts", ""), json!({"contacts": [], "total_contacts": 0}));
    let emails = fill(&mut client, 250);
    assert_eq!(pages(&mut client, "/contacts"), (emails.clone(), vec![100, 100, 50]));
    assert_eq!(client.expect(200, "GET /contacts", "")["total_contacts"], 250);
    for word in ["void", "bookmark", "person_00000000-0000-4000-8000-000000000000", "%20"] {
        let page = client.expect(200, &format!("GET /contacts/{word}"), "");
        assert_eq!(page["contacts"][0]["Email"], *emails[0], "an unknown bookmark gives the first page: {word}");
    }
    assert_eq!(pages(&mut client, "/smart_segments/contactlist_sseg1500000000001/contacts").0, emails);
}

#[test]
fn a_full_last_page_has_no_bookmark() {
    let (_sandbox, mut client) = start(Options::default());
    fill(&mut client, 200);
    assert_eq!(pages(&mut client, "/contacts").1, [100, 100]);
}

#[test]
fn list_members_are_paged_even_while_they_leave() {
    let (_sandbox, mut client) = start(Options::default());
    let (list, emails) = (client.list("L"), fill(&mut client, 250));
    for email in emails.iter().step_by(2) {
        client.expect(200, &format!("POST /list/{list}/contact/{email}"), "");
    }
    let path = format!("/list/{list}/contacts");
    let (members, sizes) = pages(&mut client, &path);
    assert_eq!((members.len(), sizes), (125, vec![100, 25]));
    let page = client.expect(200, &format!("GET {path}"), "");
    assert_eq!(page["total_contacts"], 125);
    // The contact the bookmark was made from may be gone by the time it is used.
    let last = page["contacts"][99]["Email"].as_str().unwrap();
    client.expect(200, &format!("DELETE /contact/{last}"), "");
    let rest = client.expect(200, &format!("GET {path}/{}", page["bookmark"].as_str().unwrap()), "");
    assert_eq!(rest["contacts"].as_array().unwrap().len(), 25);
}
