//! A model of the service, as far as the connector uses it, that can hang at any call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};

use segport_autopilot::Autopilot;
use segport_sdk::http::{HttpClient, Request, Response};
use segport_sdk::test::{json, status};
use segport_sdk::{Connector, Context, Result, async_trait};
use serde_json::{Value, json as value};

use crate::{ACCOUNT, BASE, settings};

/// Contacts on a page, fewer than on the service's so that a test need not make many.
pub(crate) const PAGE: usize = 20;

/// Where a call hangs: before the service does the work, or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hang {
    Before(usize),
    After(usize),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) lists: Vec<(String, String)>,
    pub(crate) contacts: BTreeMap<String, String>,
    pub(crate) members: BTreeSet<(String, String)>,
    pub(crate) bulk_joins: bool,
    pub(crate) hang: Option<Hang>,
    /// Calls as `METHOD /path`, a bulk call as `POST /contacts COUNT LIST`.
    pub(crate) calls: Vec<String>,
}

#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Model")
    }
}

impl Model {
    pub(crate) fn new(bulk_joins: bool) -> Self {
        let model = Self::default();
        model.state().bulk_joins = bulk_joins;
        model
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn context(&self) -> Context {
        Context::new("run", Arc::new(self.clone()))
    }

    pub(crate) fn connect(&self, overrides: Value) -> Autopilot {
        let settings = serde_json::from_value(settings(overrides)).unwrap();
        Autopilot::open(settings, &self.context()).unwrap()
    }

    pub(crate) fn add_list(&self, title: &str) -> String {
        self.state().add_list(title)
    }

    /// Puts contacts on a list, as somebody else did.
    pub(crate) fn fill(&self, list: &str, names: impl IntoIterator<Item = impl fmt::Display>) {
        let mut state = self.state();
        for name in names {
            state.contacts.insert(format!("{name}@example.com"), format!("p-{name}"));
            state.members.insert((list.to_owned(), format!("p-{name}")));
        }
    }

    /// How many calls began with this.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.state().calls.iter().filter(|call| call.starts_with(prefix)).count()
    }
}

impl State {
    fn add_list(&mut self, title: &str) -> String {
        let id = format!("contactlist_{}", self.lists.len() + 1);
        self.lists.push((id.clone(), title.to_owned()));
        id
    }

    fn answer(&mut self, request: &Request) -> Result<Response> {
        let path = request.head.url.strip_prefix(BASE).unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (request.head.method.as_str(), parts.as_slice()) {
            ("GET", ["account"]) => json(200, value!({ "instanceId": ACCOUNT }).to_string()),
            ("GET", ["lists"]) => {
                let lists: Vec<Value> =
                    self.lists.iter().map(|(id, title)| value!({ "list_id": id, "title": title })).collect();
                json(200, value!({ "lists": lists }).to_string())
            }
            ("POST", ["list"]) => {
                let name = body["name"].as_str().unwrap();
                let id = self.add_list(name);
                json(200, value!({ "list_id": id, "name": name }).to_string())
            }
            ("POST", ["contacts"]) => {
                let mut map = serde_json::Map::new();
                for contact in body["contacts"].as_array().unwrap() {
                    let email = contact["Email"].as_str().unwrap();
                    let id = format!("p-{}", email.split('@').next().unwrap());
                    self.contacts.insert(email.to_owned(), id.clone());
                    if let (true, Some(list)) = (self.bulk_joins, contact["_autopilot_list"].as_str()) {
                        self.members.insert((list.to_owned(), id.clone()));
                    }
                    map.insert(email.to_owned(), id.into());
                }
                json(200, value!({ "email_contact_map": map }).to_string())
            }
            ("GET", ["list", list, "contacts", bookmark @ ..]) => {
                let on = self.members.iter().filter(|(of, _)| of == list).map(|(_, id)| id);
                let mut after = on.filter(|id| bookmark.first().is_none_or(|bookmark| id.as_str() > *bookmark));
                let email = |id: &str| self.contacts.iter().find(|(_, known)| *known == id).map(|(email, _)| email);
                let contacts: Vec<Value> = after
                    .by_ref()
                    .take(PAGE)
                    .map(|id| value!({ "contact_id": id, "Email": email(id).map(|email| email.to_uppercase()) }))
                    .collect();
                let mut page = value!({ "contacts": contacts });
                if after.next().is_some() {
                    page["bookmark"] = contacts[PAGE - 1]["contact_id"].clone();
                }
                json(200, page.to_string())
            }
            (method, ["list", list, "contact", contact]) => {
                let contact = contact.replace("%40", "@");
                let id = self.contacts.get(&contact).cloned().unwrap_or(contact);
                if !self.contacts.values().any(|known| *known == id) {
                    return json(404, r#"{"error":"Not Found","message":"Contact could not be found."}"#);
                }
                let place = ((*list).to_owned(), id);
                match method {
                    "GET" if self.members.contains(&place) => status(200),
                    "GET" => json(404, "{}"),
                    "POST" if self.members.insert(place.clone()) => json(200, "{}"),
                    "DELETE" if self.members.remove(&place) => json(200, "{}"),
                    _ => json(200, r#"{"not_modified":true}"#),
                }
            }
            _ => json(405, "{}"),
        }
    }
}

#[async_trait]
impl HttpClient for Model {
    async fn send(&self, request: Request) -> Result<Response> {
        let (nth, hang) = {
            let mut state = self.state();
            let mut call = format!("{} {}", request.head.method, request.head.url.strip_prefix(BASE).unwrap());
            if call == "POST /contacts" {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                let contacts = body["contacts"].as_array().unwrap();
                let list = contacts[0]["_autopilot_list"].as_str().unwrap_or("-");
                call = format!("{call} {} {list}", contacts.len());
            }
            state.calls.push(call);
            (state.calls.len() - 1, state.hang)
        };
        if hang == Some(Hang::Before(nth)) {
            pending::<()>().await;
        }
        let answer = self.state().answer(&request);
        if hang == Some(Hang::After(nth)) {
            pending::<()>().await;
        }
        answer
    }
}
