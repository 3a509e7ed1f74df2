//! Journeys with an API trigger.

use serde_json::json;

use super::account::{NoContact, Trigger};
use super::{Autopilot, errors};
use crate::destination::Reply;

impl Autopilot {
    /// `GET /triggers`.
    pub(super) fn triggers(&self) -> Reply {
        let entry = |trigger: &Trigger| json!({ "trigger_id": trigger.id, "journey": trigger.journey, "trigger_type": "apiTrigger" });
        let account = self.account();
        Reply::value(200, &json!({ "triggers": account.triggers.iter().map(entry).collect::<Vec<_>>() }))
    }

    /// `POST /trigger/{trigger}/contact/{contact}`; a body is ignored. The answer to an unknown trigger is inferred.
    ///
    /// The service answers with a large internal object; a few of its keys are here for clients to ignore.
    pub(super) fn trigger(&self, id: &str, contact: &str) -> Reply {
        let mut account = self.account();
        let slot = account.find(contact).map_err(NoContact::reply);
        let Some(trigger) = account.triggers.iter_mut().find(|trigger| trigger.id == id) else {
            return errors::not_found("Trigger");
        };
        match slot {
            Ok(slot) => {
                trigger.entered.push(slot);
                Reply::value(
                    200,
                    &json!({
                        "bislr_identifier": "sandbox", "trigger_id": id, "contact_id_or_email": contact,
                        "rqType": "API", "terminated": false, "taskCounter": 0, "previousSteps": [],
                    }),
                )
            }
            Err(reply) => reply,
        }
    }
}
