//! REST hooks: registered and listed, never called.

use serde_json::{Value, json};

use super::{Autopilot, errors, incoming};
use crate::destination::Reply;

/// The events a hook can be for; the last is the spelling of the draft.
const EVENTS: [&str; 8] = [
    "contact_added",
    "contact_updated",
    "contact_unsubscribed",
    "contact_added_to_list",
    "contact_removed_from_list",
    "contact_entered_segment",
    "contact_left_segment",
    "contact_unsubscribes",
];

/// A registered hook.
#[derive(Debug)]
pub(super) struct Hook {
    id: String,
    event: String,
    target_url: String,
    created: i64,
}

impl Hook {
    /// The form it is listed in.
    pub(super) fn entry(&self) -> Value {
        json!({ "hook_id": self.id, "event": self.event, "target_url": self.target_url, "created_at": self.created })
    }
}

impl Autopilot {
    /// `GET /hooks`.
    pub(super) fn hooks(&self) -> Reply {
        let account = self.account();
        Reply::value(200, &json!({ "hooks": account.hooks.iter().map(Hook::entry).collect::<Vec<_>>() }))
    }

    /// `POST /hook`. The id is named `hook_id`, which two clients read; the draft has `id`.
    pub(super) fn new_hook(&self, body: &[u8]) -> Reply {
        let invalid = |what| errors::bad_request(&format!("Invalid {what} provided to register REST Hook."));
        let Ok(Value::Object(hook)) = incoming::document(body).and_then(|text| incoming::parse(&text)) else {
            return invalid("data");
        };
        let text = |name| hook.get(name).and_then(Value::as_str).unwrap_or_default();
        let (event, target_url) = (text("event"), text("target_url"));
        if !EVENTS.contains(&event) {
            return invalid("event");
        }
        if !url::Url::parse(target_url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return invalid("target_url");
        }
        let created = self.clock.epoch_millis();
        let mut account = self.account();
        if account.hooks.iter().any(|hook| hook.target_url == target_url) {
            return errors::hook_taken();
        }
        let id = self.ids.text("hook_", account.hooks_made);
        account.hooks_made += 1;
        let hook = Hook { id: id.clone(), event: event.to_owned(), target_url: target_url.to_owned(), created };
        account.hooks.push(hook);
        Reply::value(201, &json!({ "hook_id": id }))
    }

    /// `DELETE /hook/{hook}`. For an unknown hook, 400: the draft names no other refusal.
    pub(super) fn delete_hook(&self, id: &str) -> Reply {
        let mut account = self.account();
        let before = account.hooks.len();
        account.hooks.retain(|hook| hook.id != id);
        if account.hooks.len() == before {
            return errors::bad_request("Invalid data provided to unregister REST Hook.");
        }
        Reply::json(200, "{}")
    }

    /// `DELETE /hooks`.
    pub(super) fn delete_hooks(&self) -> Reply {
        self.account().hooks.clear();
        Reply::json(200, "{}")
    }
}
