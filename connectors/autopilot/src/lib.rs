#![doc = include_str!("../README.md")]
//!
//! # For developers
//!
//! [`Autopilot`] is the connector; the host opens one instance per connection. Errors and row outcomes keep these rules:
//!
//! * A batch that Autopilot refuses as a whole is `Err` of kind `rejected`; the engine halves it until the refused row is alone.
//! * A bulk call without a usable answer is passed on as the host's error (`timeout`, `unavailable`, with the fact
//!   `sent = "no"` if nothing reached Autopilot) or, if an answer came that says nothing, as rows that are *unknown*.
//! * Once a bulk call is acknowledged there is an outcome for every row: a contact that did not get on its list is not done,
//!   so the next run tries again. That is safe, because writes are keyed by address and adding a member again does nothing.
//! * 401 and 403 stop the connection: as the error of the call, or as `stop` beside the outcomes.

#![deny(missing_docs)]

mod answer;
mod client;
mod contact;
mod delivery;
mod error;
mod estimate;
mod fields;
mod lists;
mod lookup;
mod membership;
mod path;
mod roll;
mod session;
mod settings;
mod singles;
mod wording;

use segport_sdk::{
    Account, Batch, BatchKind, Capabilities, Connector, Context, Descriptor, Error, ErrorKind, Estimate, ExportSpec,
    FoundRows, Limits, Outcomes, Result, Session, Workload, async_trait, export_connector,
};

use client::Client;
use contact::Layout;
use delivery::Delivery;
use membership::{Lists, Membership};
use session::{Plans, State};
pub use settings::{ListMembership, Settings, VENDOR_BASE_URL};

/// Writes segments to the lists of one Autopilot account.
#[derive(Debug)]
pub struct Autopilot {
    settings: Settings,
    client: Client,
    membership: Membership,
    plans: Plans,
}

export_connector!(Autopilot, "autopilot");

const CONSENT: &str = "\
With this connection Segport sends profiles to Autopilot (Autopilot Journeys), a marketing service run by a third party on \
servers outside your control. For every profile of the exported segments it sends the e-mail address and the fields that the \
export maps, and it puts the contact on a list named after the segment. Fields that are not mapped are not sent. A contact \
stays in Autopilot after it has left a segment: Segport takes it off the list but never deletes it.

You decide which data is sent, and you are responsible for it: that you may pass it on, that the people concerned know, that \
your agreement with Autopilot covers it, and that requests to see, correct or delete data are carried out in Autopilot too. \
Mapping `unsubscribed` changes who receives mail. Segport keeps no copy of the profiles, and has no control over what \
Autopilot does with what it was sent.";

#[async_trait]
impl Connector for Autopilot {
    type Settings = Settings;

    fn descriptor() -> Descriptor {
        Descriptor {
            fields: fields::standard(),
            custom_fields: Some(fields::custom()),
            limits: Settings::default_limits(),
            capabilities: Capabilities { remove: true, repeatable: true, several_segments: true, settle: true },
            consent: CONSENT.to_owned(),
            ..Descriptor::new("Autopilot", "Writes profiles to Autopilot contacts and keeps one list per segment.")
        }
    }

    fn open(settings: Settings, _: &Context) -> Result<Self> {
        let base = settings.validate()?;
        Ok(Self {
            client: Client::new(base, settings.api_key.clone(), settings.max_in_flight()),
            membership: Membership::new(settings.list_membership),
            plans: Plans::default(),
            settings,
        })
    }

    fn limits(&self) -> Limits {
        self.settings.limits()
    }

    async fn check(&self, cx: &Context) -> Result<Account> {
        let id = self.client.account(cx).await?;
        // An export begins with this call, so a key that may not make it is found out here.
        let lists = self.client.lists(cx).await?;
        if let Some(list) = &self.settings.list_id {
            lists::with_id(&lists, list)?;
        }
        Ok(Account { id, name: None, facts: vec![("lists".to_owned(), lists.len().to_string())] })
    }

    fn estimate(&self, workload: &Workload) -> Estimate {
        estimate::estimate(workload, self.settings.list_membership, self.settings.list_id.is_some())
    }

    /// All accounts have one address. A list that is named by its id tells more: it is of one account.
    fn address(&self) -> Option<String> {
        let base = self.settings.base_url.trim_end_matches('/');
        Some(match &self.settings.list_id {
            Some(id) => format!("{base} id {id}"),
            None => base.to_owned(),
        })
    }

    fn targets(&self, export: &ExportSpec) -> Vec<String> {
        let base = self.settings.base_url.trim_end_matches('/');
        let list = |display_name: &String| match &self.settings.list_id {
            Some(id) => format!("{base} id {id}"),
            None => format!("{base} title {display_name}"),
        };
        export.segments.iter().map(|segment| list(&segment.display_name)).collect()
    }

    fn accepts(&self, export: &ExportSpec) -> Result<()> {
        Layout::new(&export.fields)?;
        let invalid = |message: String| Err(Error::new(ErrorKind::ConfigInvalid, message));
        if self.settings.list_id.is_some() {
            return match export.segments.len() {
                0 | 1 => Ok(()),
                count => invalid(format!(
                    "this export has {count} segments, but its connection sets `list_id`, which is one list; remove `list_id`, \
                     or export one segment"
                )),
            };
        }
        for (nth, segment) in export.segments.iter().enumerate() {
            if segment.display_name.trim().is_empty() {
                return invalid(format!("segment `{}` needs a display_name: its list is named after it", segment.id));
            }
            // One list for both would lose members of one segment whenever they leave the other.
            let earlier = export.segments.iter().take(nth).find(|other| other.display_name == segment.display_name);
            if let Some(other) = earlier {
                return invalid(format!(
                    "segments `{}` and `{}` are both named `{}`, and lists are found by name; change one display_name",
                    other.id, segment.id, segment.display_name
                ));
            }
        }
        Ok(())
    }

    async fn begin(&self, cx: &Context, export: &ExportSpec) -> Result<Session> {
        self.accepts(export)?;
        let found = lists::prepare(&self.client, cx, export, self.settings.list_id.as_deref()).await?;
        let lists = found.lists.iter().map(|list| list.id.clone()).collect();
        let state = State { lists: found.lists, fields: export.fields.clone() }.to_json()?;
        Ok(Session { state, account: found.account, lists, notes: found.notes, occupied: found.occupied })
    }

    async fn write(&self, cx: &Context, batch: &Batch) -> Result<Outcomes> {
        let plan = self.plans.get(&batch.session.state)?;
        match &batch.kind {
            BatchKind::Upsert { join, rejoin } => {
                let lists = Lists { join: plan.lists(join)?, rejoin: plan.lists(rejoin)? };
                let contacts = plan.layout.contacts(&batch.rows)?;
                let notify = self.settings.notify;
                self.membership.deliver(&Delivery { client: &self.client, cx, contacts, notify }, &lists).await
            }
            BatchKind::Remove { segment } => {
                let ids = batch.destination_ids().ok_or_else(|| {
                    let column = Batch::DESTINATION_ID;
                    Error::new(ErrorKind::Contract, format!("a removal has no text column `{column}`"))
                })?;
                Ok(singles::leave(&self.client, cx, plan.list(*segment)?, ids.iter()).await)
            }
        }
    }

    async fn settle(&self, cx: &Context, batch: &Batch) -> Result<FoundRows> {
        let plan = self.plans.get(&batch.session.state)?;
        let BatchKind::Upsert { join, rejoin } = &batch.kind else {
            return Err(Error::new(ErrorKind::Unsupported, "only rows that are written are looked up"));
        };
        let lists = [plan.lists(join)?, plan.lists(rejoin)?].concat();
        let contacts = plan.layout.contacts(&batch.rows)?;
        Ok(FoundRows { rows: lookup::look_up(&self.client, cx, &contacts, &lists).await? })
    }

    async fn finish(&self, _: &Context, session: &Session) -> Result<()> {
        for list in self.plans.get(&session.state)?.all() {
            self.membership.forget(list);
        }
        self.plans.forget(&session.state);
        Ok(())
    }
}
