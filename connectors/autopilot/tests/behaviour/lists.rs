//! `begin`: finding the list of each segment, or making it once.

use std::collections::HashSet;

use segport_sdk::test::{Script, json, status};
use segport_sdk::{Error, ErrorKind, ExportSpec, Members, OccupiedList, Result, Session, http::Response};
use serde_json::{Value, json as value};

use crate::{block_on, export, looks_around, open};

fn lists(of: &[(&str, &str)]) -> Result<Response> {
    let lists: Vec<Value> = of.iter().map(|(id, title)| value!({ "list_id": id, "title": title })).collect();
    json(200, value!({ "lists": lists, "_rev": "1" }).to_string())
}

fn account(id: &str) -> Result<Response> {
    json(200, value!({ "instanceId": id }).to_string())
}

/// An export of which nothing was delivered yet.
fn first_run(segments: &[&str]) -> ExportSpec {
    let mut export = export(segments);
    export.segments.iter_mut().for_each(|segment| segment.first_run = true);
    export
}

fn ids(session: &Session) -> Vec<String> {
    let lists = session.state["lists"].as_array().unwrap();
    lists.iter().map(|list| list["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lists_are_found_by_their_exact_title() {
    let http = Script::new();
    looks_around(&http, lists(&[("1", "vip "), ("2", "VIP"), ("3", "Vip"), ("4", "News"), ("5", "Vip")]));
    let session = block_on(open(value!({}), &http).begin(&export(&["Vip", "News"]))).unwrap();
    assert_eq!(ids(&session), ["3", "4"]);
    assert_eq!(session.notes.len(), 1, "{:?}", session.notes);
    assert!(session.notes[0].contains("several lists named `Vip`"));
    http.assert_done();
}

#[test]
fn a_missing_list_is_made_with_the_name_byte_for_byte() {
    for name in ["Spring \"sale\", 50 %", "👋 קהל", "a\u{1}b\\c", " padded "] {
        let http = Script::new();
        looks_around(&http, lists(&[]));
        http.expect("POST", "/list", json(200, value!({ "list_id": "L1", "name": name }).to_string()));
        let session = block_on(open(value!({}), &http).begin(&first_run(&[name]))).unwrap();
        assert_eq!(ids(&session), ["L1"]);
        assert!(session.notes.is_empty());
        let create = &http.requests()[2];
        assert_eq!(serde_json::from_slice::<Value>(&create.body).unwrap(), value!({ "name": name }));
        assert!(!create.head.repeatable, "a list must not be made twice");
        http.assert_done();
    }
}

#[test]
fn a_list_that_is_gone_although_people_were_put_on_it_is_reported() {
    let http = Script::new();
    looks_around(&http, lists(&[("1", "Vip")])).expect("POST", "/list", json(200, r#"{"list_id":"L1"}"#));
    let session = block_on(open(value!({}), &http).begin(&export(&["Vip", "News"]))).unwrap();
    assert_eq!(ids(&session), ["1", "L1"]);
    assert_eq!(session.notes.len(), 1, "{:?}", session.notes);
    assert!(session.notes[0].contains("`News` was gone and was made anew"), "{:?}", session.notes);
}

/// An export whose segments had these lists before.
fn later_run(segments: &[(&str, Option<&str>)]) -> ExportSpec {
    let mut export = export(&segments.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (segment, (_, list)) in export.segments.iter_mut().zip(segments) {
        segment.list = list.map(str::to_owned);
    }
    export
}

#[test]
fn a_list_is_known_again_by_its_id() {
    let check = |there: &[(&str, &str)], segments: &[(&str, Option<&str>)], expected: &[&str], note: &str| {
        let http = Script::new();
        match segments.iter().all(|(_, list)| list.is_some()) {
            true => http.expect("GET", "/lists", lists(there)),
            false => looks_around(&http, lists(there)),
        };
        let session = block_on(open(value!({}), &http).begin(&later_run(segments))).unwrap();
        assert_eq!((ids(&session), &session.lists), (session.lists.clone(), &session.lists));
        assert_eq!(session.lists, expected, "{there:?}");
        assert_eq!(session.notes.join("; "), note, "{there:?}");
        http.assert_done();
    };
    let news = [("News", Some("1"))];
    check(&[("1", "News")], &news, &["1"], "");
    // Another one of its title is told first.
    check(&[("2", "News"), ("1", "News")], &news, &["1"], "");
    let renamed =
        "the list of segment `news` is named `Old` now; it is used all the same, since the export knows it by its id";
    check(&[("2", "News"), ("1", "Old")], &news, &["1"], renamed);
    // The list of one segment is never that of another one.
    let swapped =
        "the list of segment `news` is named `Vip` now; it is used all the same, since the export knows it by its id";
    check(&[("1", "Vip"), ("2", "Vip")], &[("News", Some("1")), ("Vip", None)], &["1", "2"], swapped);
    check(&[("1", "Vip"), ("2", "Vip")], &[("Vip", None), ("News", Some("1"))], &["2", "1"], swapped);
}

/// As where one segment was taken out of the export, and its list renamed to what the other one is called.
#[test]
fn two_segments_never_keep_one_list() {
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("1", "Vip"), ("2", "Vip")]));
    let export = later_run(&[("News", Some("1")), ("Vip", Some("1"))]);
    http.expect("GET", "/list/2/contacts", json(200, r#"{"contacts":[{}],"total_contacts":7}"#));
    let session = block_on(open(value!({}), &http).begin(&export)).unwrap();
    assert_eq!(session.lists, ["1", "2"]);
    // A list that is new to the export is looked at.
    let seven = OccupiedList { segment: 1, list: "Vip".to_owned(), members: Members::Exactly(7) };
    assert_eq!(session.occupied, [seven]);
    http.assert_done();
}

#[test]
fn a_list_that_is_gone_makes_room_for_another() {
    let page = |status: u16, body: &str| json(status, body.to_owned());
    let gone =
        [page(404, "{}"), page(404, ""), page(404, r#"{"error":"Not Found"}"#), page(400, "{}"), page(410, "{}")];
    let named =
        ["List does not exist.", "no such list"].map(|message| page(404, &value!({ "message": message }).to_string()));
    for answer in gone.into_iter().chain(named) {
        let http = Script::new();
        looks_around(&http, lists(&[("2", "News")]));
        http.expect("GET", "/list/1/contacts", answer.clone());
        http.expect("GET", "/list/2/contacts", json(200, r#"{"contacts":[]}"#));
        let session = block_on(open(value!({}), &http).begin(&later_run(&[("News", Some("1"))]))).unwrap();
        assert_eq!((&*session.lists, session.notes.len()), (&["2".to_owned()][..], 0), "{answer:?}");
        http.assert_done();

        let http = Script::new();
        looks_around(&http, lists(&[]));
        http.expect("GET", "/list/1/contacts", answer.clone());
        http.expect("POST", "/list", json(200, r#"{"list_id":"3"}"#));
        let session = block_on(open(value!({}), &http).begin(&later_run(&[("News", Some("1"))]))).unwrap();
        // That it is gone is the host's to tell.
        assert_eq!((&*session.lists, session.notes.len()), (&["3".to_owned()][..], 0), "{answer:?}");
        http.assert_done();
    }
}

/// An answer that lacks the list must not send everybody to another one.
#[test]
fn a_list_that_may_be_there_is_not_replaced() {
    let http = Script::new();
    looks_around(&http, lists(&[("2", "News")]));
    http.expect("GET", "/list/1/contacts", json(200, r#"{"contacts":[]}"#));
    let session = block_on(open(value!({}), &http).begin(&later_run(&[("News", Some("1"))]))).unwrap();
    assert_eq!(session.lists, ["1"]);
    http.assert_done();

    let lost = Err(Error::new(ErrorKind::Timeout, "no answer"));
    let odd = json(400, r#"{"message":"bad page"}"#);
    let empty = [json(200, "<html>"), json(200, "{}"), json(200, ""), json(404, "<html>")];
    for answer in empty.into_iter().chain([odd, status(401), status(429), status(500), lost]) {
        let http = Script::new();
        looks_around(&http, lists(&[("2", "News")]));
        http.expect("GET", "/list/1/contacts", answer.clone());
        let error = block_on(open(value!({}), &http).begin(&later_run(&[("News", Some("1"))]))).unwrap_err();
        assert_eq!(error.fact("list"), Some("1"), "{answer:?}");
        http.assert_done();
    }
}

/// At another account every list is missing. Nothing is made there, unless the user lets the export go there.
#[test]
fn at_another_account_no_list_is_found_or_made() {
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("2", "News")])).expect("GET", "/account", account("other"));
    let session = block_on(open(value!({}), &http).begin(&later_run(&[("News", Some("1"))]))).unwrap();
    assert_eq!((session.account.as_deref(), session.lists.len()), (Some("other"), 0));
    http.assert_done();

    // Whether this is another account cannot be told, and it may be.
    for answer in [status(404), status(500), json(200, "{}"), status(401), Err(Error::new(ErrorKind::Timeout, "late"))]
    {
        let http = Script::new();
        http.expect("GET", "/lists", lists(&[("2", "News")])).expect("GET", "/account", answer);
        block_on(open(value!({}), &http).begin(&later_run(&[("News", Some("1"))]))).unwrap_err();
        http.assert_done();
    }

    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("2", "News")])).expect("GET", "/account", account("other"));
    http.expect("GET", "/list/2/contacts", json(200, r#"{"contacts":[]}"#));
    let moving = || ExportSpec { may_move: true, ..later_run(&[("News", Some("1"))]) };
    let session = block_on(open(value!({}), &http).begin(&moving())).unwrap();
    assert_eq!((session.account.as_deref(), &*session.lists), (Some("other"), &["2".to_owned()][..]));
    http.assert_done();

    // A move to an account that cannot be told would leave the former one on record.
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("2", "News")])).expect("GET", "/account", status(500));
    block_on(open(value!({}), &http).begin(&moving())).unwrap_err();
    http.assert_done();

    // Nobody asks where the list is there.
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("1", "News")]));
    assert_eq!(block_on(open(value!({}), &http).begin(&moving())).unwrap().lists, ["1"]);
    http.assert_done();
}

#[test]
fn an_account_is_asked_for_until_it_is_known() {
    let unknown = || ExportSpec { account: None, ..later_run(&[("News", Some("1"))]) };
    let check = |answer: Result<Response>, told: Option<&str>| {
        let http = Script::new();
        http.expect("GET", "/lists", lists(&[("1", "News")])).expect("GET", "/account", answer);
        let session = block_on(open(value!({}), &http).begin(&unknown())).unwrap();
        assert_eq!((session.account.as_deref(), &*session.lists), (told, &["1".to_owned()][..]));
        http.assert_done();
    };
    check(account("acme"), Some("acme"));
    // Nothing depends on it yet.
    check(status(404), None);
    check(status(500), None);
    check(json(200, "<html>"), None);
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("1", "News")])).expect("GET", "/account", status(401));
    assert_eq!(block_on(open(value!({}), &http).begin(&unknown())).unwrap_err().kind(), ErrorKind::Unauthenticated);

    // A list that is named by its id is of one account.
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("1", "News")]));
    block_on(open(value!({ "list_id": "1" }), &http).begin(&unknown())).unwrap();
    http.assert_done();
}

#[test]
fn a_list_that_was_named_otherwise_is_reported() {
    let http = Script::new();
    looks_around(&http, lists(&[])).expect("POST", "/list", json(200, r#"{"list_id":"L1","name":"padded"}"#));
    let session = block_on(open(value!({}), &http).begin(&first_run(&[" padded "]))).unwrap();
    assert!(session.notes[0].contains("named the new list of ` padded ` `padded`"), "{:?}", session.notes);
}

/// After a failed creation the title is looked up; nothing is made a second time.
#[test]
fn a_creation_that_failed_is_looked_up_before_anything_else() {
    let lost = |kind| Err(Error::new(kind, "no answer"));
    let answers: Vec<Result<Response>> = vec![
        status(408),
        status(500),
        status(503),
        json(409, r#"{"error":"Conflict"}"#),
        json(200, "{}"),
        json(200, r#"{"list_id":""}"#),
        json(200, "<html>"),
        lost(ErrorKind::Timeout),
        lost(ErrorKind::Unavailable),
    ];
    for answer in answers {
        let http = Script::new();
        looks_around(&http, lists(&[])).expect("POST", "/list", answer.clone());
        http.expect("GET", "/lists", lists(&[("0", "Other"), ("7", "News")]));
        let session = block_on(open(value!({}), &http).begin(&export(&["News"]))).unwrap();
        assert_eq!(ids(&session), ["7"], "{answer:?}");
        http.assert_done();

        let http = Script::new();
        looks_around(&http, lists(&[]));
        // Made again only where nothing can come of it any more.
        let is_dropped = answer.as_ref().is_ok_and(|answer| matches!(answer.head.status, 500 | 503));
        for _ in 0..if is_dropped { 3 } else { 1 } {
            http.expect("POST", "/list", answer.clone()).expect("GET", "/lists", lists(&[]));
        }
        let error = block_on(open(value!({}), &http).begin(&export(&["News"]))).unwrap_err();
        assert_eq!(error.fact("list"), Some("News"), "{answer:?}");
        http.assert_done();
    }
}

#[test]
fn a_refused_key_ends_it_at_once() {
    for (code, kind) in [(401, ErrorKind::Unauthenticated), (403, ErrorKind::PermissionDenied)] {
        let http = Script::new();
        looks_around(&http, lists(&[])).expect("POST", "/list", status(code));
        assert_eq!(block_on(open(value!({}), &http).begin(&export(&["News"]))).unwrap_err().kind(), kind);
        http.assert_done();
    }
}

/// An answer that cannot be read must not be taken for "there are no lists", or one would be made.
#[test]
fn an_unreadable_listing_makes_no_list() {
    for body in
        ["", "{}", "<html>", r#"{"lists":null}"#, r#"{"lists":[{"title":"News"}]}"#, r#"{"lists":[{"list_id":"1""#]
    {
        let http = Script::new();
        http.expect("GET", "/lists", json(200, body));
        assert!(block_on(open(value!({}), &http).begin(&export(&["News"]))).is_err(), "{body}");
        http.assert_done();
    }
}

#[test]
fn a_chosen_list_must_exist_and_its_title_does_not_matter() {
    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("L1", "Other")]));
    let session = block_on(open(value!({ "list_id": "L1" }), &http).begin(&export(&["News"]))).unwrap();
    assert_eq!(ids(&session), ["L1"]);
    http.assert_done();

    let http = Script::new();
    http.expect("GET", "/lists", lists(&[("L1", "News")]));
    let error = block_on(open(value!({ "list_id": "L2" }), &http).begin(&export(&["News"]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    http.assert_done();
}

#[test]
fn a_mapping_that_cannot_work_begins_nothing() {
    let http = Script::new();
    let error = block_on(open(value!({}), &http).begin(&export(&["A", "A"]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert!(http.requests().is_empty());
}

/// What a run says of its list before it sends anything, where a first run finds it like this.
fn found(overrides: Value, page: Result<Response>) -> Result<Session> {
    let http = Script::new();
    if overrides.get("list_id").is_some() {
        http.expect("GET", "/lists", lists(&[("L 1", "News")]));
    } else {
        looks_around(&http, lists(&[("L 1", "News")]));
    }
    http.expect("GET", "/list/L%201/contacts", page);
    let begun = block_on(open(overrides, &http).begin(&first_run(&["News"])));
    http.assert_done();
    begun
}

#[test]
fn a_first_run_tells_of_members_that_are_there() {
    let check = |page: &str, expected: Option<Members>| {
        for overrides in [value!({}), value!({ "list_id": "L 1" })] {
            let session = found(overrides, json(200, page.to_owned())).unwrap();
            let expected = expected.map(|members| OccupiedList { segment: 0, list: "News".to_owned(), members });
            assert_eq!(session.occupied, expected.as_slice(), "{page}");
            assert!(session.notes.is_empty(), "{:?}", session.notes);
            assert!(!session.state.to_string().contains("anna"), "a contact is nobody's business");
        }
    };
    let anna = r#"{"contact_id":"person_1","Email":"anna@example.com"}"#;
    check(r#"{"contacts":[],"total_contacts":0}"#, None);
    check(r#"{"contacts":[]}"#, None);
    check(&format!(r#"{{"contacts":[{anna}],"total_contacts":1}}"#), Some(Members::Exactly(1)));
    check(
        &format!(r#"{{"contacts":[{anna}],"total_contacts":4711,"bookmark":"person_1"}}"#),
        Some(Members::Exactly(4711)),
    );
    // Without a total that can be right.
    check(&format!(r#"{{"contacts":[{anna},{anna}]}}"#), Some(Members::Exactly(2)));
    check(&format!(r#"{{"contacts":[{anna}],"total_contacts":0}}"#), Some(Members::Exactly(1)));
    check(&format!(r#"{{"contacts":[{anna}],"bookmark":"person_1"}}"#), Some(Members::AtLeast(1)));
}

/// To know it is worth a call, and not a run.
#[test]
fn a_list_that_cannot_be_looked_at_is_used_all_the_same() {
    let lost = Err(Error::new(ErrorKind::Timeout, "no answer"));
    for page in [json(200, "<html>"), json(200, "{}"), status(404), status(500), status(429), lost] {
        let session = found(value!({}), page.clone()).unwrap();
        assert_eq!(ids(&session), ["L 1"], "{page:?}");
        assert!(session.occupied.is_empty(), "{page:?}");
        assert!(
            session.notes[0].starts_with("whether list `News` has members already could not be told: "),
            "{page:?}"
        );
    }
    for (code, kind) in [(401, ErrorKind::Unauthenticated), (403, ErrorKind::PermissionDenied)] {
        assert_eq!(found(value!({}), status(code)).unwrap_err().kind(), kind);
    }
}

/// Each look may take minutes to fail.
#[test]
fn after_a_look_that_fails_no_further_list_is_looked_at() {
    let http = Script::new();
    looks_around(&http, lists(&[("1", "News"), ("2", "Vip")]));
    http.expect("GET", "/list/1/contacts", status(500));
    let session = block_on(open(value!({}), &http).begin(&first_run(&["News", "Vip"]))).unwrap();
    assert_eq!(ids(&session), ["1", "2"]);
    assert_eq!(session.notes[1], "whether list `Vip` has members already was not looked at either");
    http.assert_done();
}

#[test]
fn only_lists_of_first_runs_that_were_there_before_are_looked_at() {
    let http = Script::new();
    looks_around(&http, lists(&[("1", "Old"), ("2", "News"), ("3", "Vip")]));
    http.expect("GET", "/list/2/contacts", json(200, r#"{"contacts":[{}]}"#));
    http.expect("POST", "/list", json(200, r#"{"list_id":"4","name":"New"}"#));
    http.expect("GET", "/list/3/contacts", json(200, r#"{"contacts":[{}]}"#));
    let mut export = first_run(&["Old", "News", "New", "Vip"]);
    export.segments[0].first_run = false;
    let session = block_on(open(value!({}), &http).begin(&export)).unwrap();
    assert_eq!(ids(&session), ["1", "2", "4", "3"]);
    let occupied: Vec<_> = session.occupied.iter().map(|found| (found.segment, found.list.as_str())).collect();
    assert_eq!(occupied, [(1, "News"), (3, "Vip")]);
    http.assert_done();
}

#[test]
fn a_list_without_a_title_is_called_by_its_id() {
    for list in [r#"{"list_id":"L1"}"#, r#"{"list_id":"L1","title":null}"#] {
        let http = Script::new();
        http.expect("GET", "/lists", json(200, format!("{{\"lists\":[{list}]}}")));
        http.expect("GET", "/list/L1/contacts", json(200, r#"{"contacts":[{}]}"#));
        let session = block_on(open(value!({ "list_id": "L1" }), &http).begin(&first_run(&["News"]))).unwrap();
        assert_eq!(session.occupied[0].list, "L1");
    }
}

/// The id of a list is of one account, a title is not.
#[test]
fn a_list_that_is_named_by_its_id_tells_its_account() {
    let http = Script::new();
    let address = |overrides: Value| open(overrides, &http).address().unwrap();
    let [first, second] = ["L1", "L2"].map(|id| address(value!({ "list_id": id })));
    let all =
        HashSet::from([address(value!({})), first, second, address(value!({ "base_url": "https://other.example" }))]);
    assert_eq!(all.len(), 4);
}
