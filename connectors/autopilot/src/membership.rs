//! Getting contacts on the list of their segment, and off it.
//!
//! One call per contact is what makes a large export take hours. Clients name the list inside single writes; whether
//! Autopilot heeds it inside bulk writes is unknown (one public client says it does not), so by default the first bulk call
//! for a list is a test: it names the list, and then one of its contacts is looked up there. Whether a membership can be read
//! back at once is not known either. If it cannot, the test fails, which costs time and loses nothing.
//!
//! Contacts that were acknowledged as members before are named again in their bulk calls. If the first of them are still on
//! the list, that is enough; if one is not, the list has lost members, and they are treated like new ones.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use segport_sdk::{Context, Error, ErrorKind, Outcomes, Result, RowOutcome};
use tokio::sync::OnceCell;

use crate::answer::{Acknowledged, acknowledged, is_id};
use crate::client::{Client, OnList, Verb};
use crate::contact::Contacts;
use crate::error::{ends_round, is_recalled, row_outcome, stops};
use crate::lists::SegmentList;
use crate::settings::ListMembership;

/// Most contacts looked up to learn whether a bulk call put them on its list.
const SUBJECTS: usize = 3;

const FALLBACK: &str = "bulk calls do not put contacts on the list at this destination; adding them one call at a time";
const NO_VERDICT: &str = "whether bulk calls put contacts on the list could not be told from some batches; their contacts were added one call at a \
     time";

/// How contacts get on a list, once that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Bulk,
    Single,
}

/// The lists of a batch.
#[derive(Debug, Default)]
pub(crate) struct Lists<'a> {
    /// Those on which its contacts are not known to be yet.
    pub(crate) join: Vec<&'a SegmentList>,
    /// Those on which they were acknowledged before.
    pub(crate) rejoin: Vec<&'a SegmentList>,
}

/// What this instance knows of each list.
#[derive(Debug)]
pub(crate) struct Membership {
    mode: ListMembership,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// What was found out about one list.
#[derive(Debug, Default)]
struct Known {
    way: OnceCell<Way>,
    /// Whether those who were acknowledged as members before are still on it.
    is_intact: OnceCell<bool>,
}

/// Why a test ended without settling the way.
enum Unsettled {
    Failed(Error),
    NoVerdict,
}

impl Membership {
    pub(crate) fn new(mode: ListMembership) -> Self {
        Self { mode, known: Mutex::default() }
    }

    /// Writes the contacts and puts them on each of the lists. A row is done when it is written and on all of them.
    ///
    /// # Errors
    /// When the bulk call has no outcomes.
    pub(crate) async fn deliver(&self, delivery: &Delivery<'_>, lists: &Lists<'_>) -> Result<Outcomes> {
        // A contact takes one list in its body, so the others are single calls whatever the mode.
        let mut all = lists.join.iter().chain(&lists.rejoin).copied();
        let Some(first) = all.next() else { return delivery.put(None).await };
        let (mut outcomes, joined) = match self.mode {
            ListMembership::Single => (delivery.put(None).await?, false),
            ListMembership::Bulk => (delivery.put(Some(&first.id)).await?, true),
            ListMembership::Probe if lists.join.is_empty() => self.put_again(delivery, first).await?,
            ListMembership::Probe => self.put_as_tested(delivery, first).await?,
        };
        if !joined {
            delivery.join(first, &mut outcomes).await;
        }
        for list in all {
            delivery.join(list, &mut outcomes).await;
        }
        Ok(outcomes)
    }

    /// Writes contacts that were acknowledged as members of `list` before. Returns whether they count as members now.
    async fn put_again(&self, delivery: &Delivery<'_>, list: &SegmentList) -> Result<(Outcomes, bool)> {
        let known = self.known(&list.id);
        if known.way.get().is_some() || list.new {
            return self.put_as_tested(delivery, list).await;
        }
        let look = async || match delivery.look(list).await.map_err(Unsettled::Failed)? {
            Look::AllOn => Ok(true),
            Look::Missing(_) => Ok(false),
            Look::Unclear => Err(Unsettled::NoVerdict),
        };
        match known.is_intact.get_or_try_init(look).await {
            Ok(true) => Ok((delivery.put(Some(&list.id)).await?, true)),
            Ok(false) | Err(Unsettled::NoVerdict) => self.put_as_tested(delivery, list).await,
            Err(Unsettled::Failed(error)) => Err(error),
        }
    }

    /// Writes the contacts the way that is known to work for `list`, testing it if that is not known yet. Returns whether
    /// the contacts are on the list now.
    ///
    /// One batch tests, and those that come meanwhile wait for what it finds. If it fails, or its future is dropped, the
    /// next one takes over.
    async fn put_as_tested(&self, delivery: &Delivery<'_>, list: &SegmentList) -> Result<(Outcomes, bool)> {
        let known = self.known(&list.id);
        let mut delivered = None;
        let test = async {
            let (outcomes, verdict) = delivery.test(list).await.map_err(Unsettled::Failed)?;
            delivered = Some(outcomes);
            verdict.ok_or(Unsettled::NoVerdict)
        };
        let way = match known.way.get_or_try_init(|| test).await {
            Ok(way) => Some(*way),
            Err(Unsettled::NoVerdict) => None,
            Err(Unsettled::Failed(error)) => return Err(error),
        };
        let mut outcomes = match (delivered, way) {
            (Some(outcomes), _) => outcomes,
            (None, Some(Way::Bulk)) => delivery.put(Some(&list.id)).await?,
            (None, _) => delivery.put(None).await?,
        };
        match way {
            Some(Way::Bulk) => return Ok((outcomes, true)),
            // Every batch says it, because the one that found it out may never be heard; the host shows it once.
            Some(Way::Single) => outcomes.notes.push(FALLBACK.to_owned()),
            None if outcomes.rows.iter().any(|row| done(row).is_some()) => outcomes.notes.push(NO_VERDICT.to_owned()),
            None => {}
        }
        Ok((outcomes, false))
    }

    fn known(&self, list: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(list.to_owned()).or_default())
    }
}

/// What a look at the first few contacts of a batch found, before they were written.
enum Look {
    /// The contact of this row is not on the list.
    Missing(usize),
    /// All of them are on it.
    AllOn,
    /// It could not be told.
    Unclear,
}

/// One batch on its way.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) client: &'a Client,
    pub(crate) cx: &'a Context,
    pub(crate) contacts: Contacts<'a>,
    pub(crate) notify: Option<bool>,
}

impl Delivery<'_> {
    /// Writes the contacts in one bulk call that names `list`.
    async fn put(&self, list: Option<&str>) -> Result<Outcomes> {
        if self.contacts.rows().is_empty() {
            return Ok(Outcomes { rows: self.contacts.outcomes(Vec::new()), ..Outcomes::default() });
        }
        let answer = self.client.upsert(self.cx, &self.contacts, list, self.notify).await?;
        let Acknowledged { outcomes, notes } = acknowledged(&answer, &self.contacts.sent());
        Ok(Outcomes { rows: self.contacts.outcomes(outcomes), notes, stop: None })
    }

    /// Writes the contacts in a bulk call that names `list`, and looks whether it put them there.
    async fn test(&self, list: &SegmentList) -> Result<(Outcomes, Option<Way>)> {
        // A contact that was on the list before would vouch for a call that did nothing.
        let subjects = match list.new {
            true => self.contacts.rows().to_vec(),
            false => match self.look(list).await? {
                Look::Missing(row) => vec![row],
                Look::AllOn | Look::Unclear => Vec::new(),
            },
        };
        let mut outcomes = match self.put(Some(&list.id)).await {
            // It may be the list's name inside a bulk call that is refused: without it the same contacts pass.
            Err(error) if error.kind() == ErrorKind::Rejected => {
                return Ok((self.put(None).await?, Some(Way::Single)));
            }
            other => other?,
        };
        let mut verdict = None;
        let known = subjects.iter().filter_map(|&row| done(outcomes.rows.get(row)?)).take(SUBJECTS);
        for id in known {
            match self.client.on_list(self.cx, Verb::Test, &list.id, id).await {
                Ok(OnList::Yes) => verdict = Some(Way::Bulk),
                Ok(OnList::No) => verdict = Some(Way::Single),
                // A contact that was acknowledged a moment ago and cannot be found says nothing about lists.
                Ok(OnList::NoContact) => continue,
                Ok(OnList::NoList) => {}
                Err(error) if stops(&error) => outcomes.stop = Some(error),
                Err(_) => {}
            }
            break;
        }
        if let Some(way) = verdict {
            tracing::info!(list = %list.id, ?way, "tested whether bulk calls put contacts on the list");
        }
        Ok((outcomes, verdict))
    }

    /// Looks for a contact of this batch that is not on `list`, among the first few. They are asked for by address: before the
    /// write no id is known.
    async fn look(&self, list: &SegmentList) -> Result<Look> {
        for &row in self.contacts.rows().iter().take(SUBJECTS) {
            let Some(email) = self.contacts.email(row) else { continue };
            match self.client.on_list(self.cx, Verb::Test, &list.id, email).await {
                Ok(OnList::No | OnList::NoContact) => return Ok(Look::Missing(row)),
                Ok(OnList::Yes) => {}
                Err(error) if stops(&error) => return Err(error),
                Ok(OnList::NoList) | Err(_) => return Ok(Look::Unclear),
            }
        }
        Ok(Look::AllOn)
    }

    /// Puts the contacts that are done so far on `list`, one call each. A contact that did not get there is not done.
    async fn join(&self, list: &SegmentList, outcomes: &mut Outcomes) {
        let written: Vec<(usize, String)> = outcomes
            .rows
            .iter()
            .enumerate()
            .filter_map(|(row, outcome)| Some((row, done(outcome)?.to_owned())))
            .collect();
        let halted = outcomes.stop.is_some();
        for (row, answer) in for_each(self.client, self.cx, Verb::Add, &list.id, written, halted).await {
            let failed = match answer {
                Answer::Said(OnList::Yes) => continue,
                Answer::Said(OnList::No | OnList::NoContact) => refused(
                    "contact_not_found",
                    "the contact was written, but could not be found to be put on its list",
                ),
                Answer::Said(OnList::NoList) => refused("list_not_found", "the segment's list does not exist any more"),
                Answer::Failed(error) => failed(error, outcomes),
                Answer::NotAsked => RowOutcome::Deferred {
                    reason: "the contact was written, but not put on its list, because the connection stopped"
                        .to_owned(),
                },
            };
            if let Some(outcome) = outcomes.rows.get_mut(row) {
                *outcome = failed;
            }
        }
    }
}

/// Takes the contacts with these ids off `list`. Whoever is not on it any more, or does not exist, is off it.
pub(crate) async fn leave<'a>(
    client: &Client,
    cx: &Context,
    list: &SegmentList,
    ids: impl Iterator<Item = Option<&'a str>>,
) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut asked = Vec::new();
    for (row, id) in ids.enumerate() {
        match id.filter(|id| is_id(id)) {
            Some(id) => {
                asked.push((row, id.to_owned()));
                outcomes.rows.push(RowOutcome::Done(Some(id.to_owned())));
            }
            None => outcomes.rows.push(refused("no_contact_id", "the row has no id of a contact to take off the list")),
        }
    }
    for (row, answer) in for_each(client, cx, Verb::Remove, &list.id, asked, false).await {
        let failed = match answer {
            Answer::Said(OnList::Yes | OnList::No | OnList::NoContact) => continue,
            Answer::Said(OnList::NoList) => {
                let note = format!("list {} does not exist any more, so nobody had to be taken off it", list.id);
                if !outcomes.notes.contains(&note) {
                    outcomes.notes.push(note);
                }
                continue;
            }
            Answer::Failed(error) => failed(error, &mut outcomes),
            Answer::NotAsked => RowOutcome::Deferred { reason: "the connection stopped".to_owned() },
        };
        if let Some(outcome) = outcomes.rows.get_mut(row) {
            *outcome = failed;
        }
    }
    outcomes
}

/// What became of the call for one contact.
enum Answer {
    Said(OnList),
    Failed(Error),
    NotAsked,
}

/// Makes one call per contact, several at once so that the time an answer takes does not lower the rate. After an error
/// that stops the connection no further call is made; those under way are heard out.
async fn for_each(
    client: &Client,
    cx: &Context,
    verb: Verb,
    list: &str,
    contacts: Vec<(usize, String)>,
    halted: bool,
) -> Vec<(usize, Answer)> {
    let halted = &AtomicBool::new(halted);
    let mut calls = Vec::with_capacity(contacts.len());
    for (row, id) in contacts {
        calls.push(async move {
            if halted.load(Ordering::Relaxed) {
                return (row, Answer::NotAsked);
            }
            match client.on_list(cx, verb, list, &id).await {
                Ok(said) => (row, Answer::Said(said)),
                Err(error) => {
                    if ends_round(&error) {
                        halted.store(true, Ordering::Relaxed);
                    }
                    (row, Answer::Failed(error))
                }
            }
        });
    }
    futures::stream::iter(calls).buffer_unordered(client.width()).collect().await
}

/// The outcome of a row whose own call failed; an error that stops the connection is kept in `outcomes`.
fn failed(error: Error, outcomes: &mut Outcomes) -> RowOutcome {
    let outcome = row_outcome(&error);
    if ends_round(&error) && !is_recalled(&error) {
        outcomes.stop.get_or_insert(error);
    }
    outcome
}

fn refused(code: &str, reason: &str) -> RowOutcome {
    RowOutcome::Refused { code: code.to_owned(), reason: reason.to_owned() }
}

fn done(outcome: &RowOutcome) -> Option<&str> {
    match outcome {
        RowOutcome::Done(id) => id.as_deref(),
        _ => None,
    }
}
