//! A stand-in for the Autopilot (Autopilot Journeys) REST API, version 1.
//!
//! All 22 endpoints of the project's API page, with its statuses, error texts and oddities. Where that page says
//! *unknown* or *inferred*, the comment beside the code names the choice made here.
//!
//! | module | holds |
//! | --- | --- |
//! | `routes` | paths and what they name |
//! | `incoming` | request bodies, read once and borrowed |
//! | `document` | contact texts: merging, and the form they are read in |
//! | `account` | what is stored |
//! | `contacts`, `lists`, `segments`, `triggers`, `hooks` | the endpoints |
//! | `inspect` | what tests see |
//!
//! All keys share one account.

mod account;
mod contacts;
mod document;
mod email;
mod errors;
mod fields;
mod hooks;
mod identity;
mod incoming;
mod inspect;
mod list;
mod lists;
mod paging;
mod routes;
mod segments;
mod triggers;

use std::borrow::Cow;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::{HeaderMap, Method};
use serde_json::{Map, Value, json};

pub use account::Tallies;
pub use inspect::{Counts, ListCount};

use account::Account;
use identity::Identity;
use routes::Resource;

use crate::clock::Clock;
use crate::destination::{Destination, Reply, Request};
use crate::fault::Rules;
use crate::options::Options;

/// The header that carries the key; header names have no letter case.
const KEY_HEADER: &str = "autopilotapikey";

/// A stand-in Autopilot account.
///
/// Reached through [`Sandbox::autopilot`](crate::Sandbox::autopilot); its methods look at and prepare what is stored
/// without a request.
#[derive(Debug)]
pub struct Autopilot {
    account: Mutex<Account>,
    clock: Clock,
    key: Option<String>,
    bulk_lists: bool,
    /// For ids of hooks and custom fields.
    ids: Identity,
}

impl Autopilot {
    /// An empty account.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            account: Mutex::new(Account::new(options.account.clone())),
            clock: options.clock.clone(),
            key: options.key.clone(),
            bulk_lists: options.bulk_lists,
            ids: Identity::fresh(),
        }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `GET /account`. Only `instanceId` is known to be read by anybody.
    fn account_data(&self) -> Reply {
        Reply::value(200, &json!({ "instanceId": self.account().instance, "name": "Segport sandbox" }))
    }

    fn is_good(&self, key: &str) -> bool {
        match &self.key {
            Some(only) => only == key,
            None => key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()),
        }
    }
}

impl Destination for Autopilot {
    fn base_path(&self) -> &'static str {
        routes::BASE
    }

    fn endpoint(&self, method: &Method, path: &str) -> &'static str {
        Resource::parse(path).map_or("unknown path", |resource| resource.endpoint(method.as_str()))
    }

    /// The key comes before the path: whether the real service tells unknown paths to strangers is not known.
    fn authenticate<'a>(&self, headers: &'a HeaderMap, query: Option<&'a str>) -> Result<Cow<'a, str>, Reply> {
        let header = headers.get(KEY_HEADER).map(|key| String::from_utf8_lossy(key.as_bytes()));
        let key = header.filter(|key| !key.is_empty()).or_else(|| {
            let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
            pairs.find(|(name, _)| name == "apikey").map(|(_, key)| key)
        });
        match key.filter(|key| !key.is_empty()) {
            None => Err(errors::missing_key()),
            Some(key) if self.is_good(&key) => Ok(key),
            Some(_) => Err(errors::unknown_key()),
        }
    }

    fn throttled(&self, rate: u32) -> Reply {
        errors::throttled(&format!("The limit is {rate} requests per second."))
    }

    fn failure(&self, status: u16) -> Reply {
        errors::failure(status)
    }

    fn answer(&self, request: &Request<'_>, rules: &Rules) -> Reply {
        // The service gives the time of the answer, whatever was asked.
        Reply { last_modified: Some(self.clock.epoch_millis()), ..self.dispatch(request, rules) }
    }

    fn state(&self) -> Map<String, Value> {
        self.everything()
    }

    fn counts(&self) -> Map<String, Value> {
        match serde_json::to_value(Autopilot::counts(self)) {
            Ok(Value::Object(counts)) => counts,
            _ => Map::new(),
        }
    }

    fn reset(&self) {
        let mut account = self.account();
        *account = Account::new(mem::take(&mut account.instance));
    }
}

impl Autopilot {
    /// Gives a request to its endpoint.
    fn dispatch(&self, request: &Request<'_>, rules: &Rules) -> Reply {
        use Resource as At;
        let Some(resource) = At::parse(request.path) else { return errors::not_found("The requested resource") };
        match (request.method.as_str(), &resource) {
            ("POST", At::NewContact) => self.write_one(request.body, rules),
            ("POST", At::Contacts { bookmark: None }) => self.write_many(request.body, rules),
            ("GET", At::Contact(contact)) => self.read(contact),
            ("DELETE", At::Contact(contact)) => self.delete(contact),
            ("POST", At::Unsubscribe(contact)) => self.unsubscribe(contact),
            ("GET", At::Contacts { bookmark }) => self.contact_page(bookmark.as_deref()),
            ("GET", At::CustomFields) => self.custom_fields(),
            ("GET", At::Lists) => self.lists(),
            ("POST", At::NewList) => self.new_list(request.body),
            ("GET", At::ListContacts { list, bookmark }) => self.list_contacts(list, bookmark.as_deref()),
            ("GET", At::Membership { list, contact }) => self.is_member(list, contact),
            ("POST", At::Membership { list, contact }) => self.add_member(list, contact),
            ("DELETE", At::Membership { list, contact }) => self.remove_member(list, contact),
            ("GET", At::Segments) => self.segments(),
            ("GET", At::SegmentContacts { segment, bookmark }) => self.segment_contacts(segment, bookmark.as_deref()),
            ("GET", At::Triggers) => self.triggers(),
            ("POST", At::Trigger { trigger, contact }) => self.trigger(trigger, contact),
            ("GET", At::Account) => self.account_data(),
            ("GET", At::Hooks) => self.hooks(),
            ("DELETE", At::Hooks) => self.delete_hooks(),
            ("POST", At::NewHook) => self.new_hook(request.body),
            ("DELETE", At::Hook(hook)) => self.delete_hook(hook),
            _ => errors::wrong_method(),
        }
    }
}
