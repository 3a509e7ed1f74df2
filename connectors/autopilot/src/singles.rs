//! Calls for one contact each, that put it on a list or take it off.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use segport_sdk::{Context, Error, Outcomes, RowOutcome};

use crate::answer::is_id;
use crate::client::{Client, OnList, Verb};
use crate::error::{ends_round, row_outcome};
use crate::lists::SegmentList;
use crate::roll::Roll;

/// Single calls that put contacts on a list.
pub(crate) struct Added {
    pub(crate) calls: usize,
    /// How many were there already.
    pub(crate) already: usize,
}

/// Puts contacts that were written, each with its row and id, on `list`, but for those on `roll`. A contact that did not get
/// there is not done.
pub(crate) async fn join(
    client: &Client,
    cx: &Context,
    list: &SegmentList,
    written: Vec<(usize, String)>,
    roll: Option<&Roll>,
    outcomes: &mut Outcomes,
) -> Added {
    let halted = outcomes.stop.is_some();
    // Asked just before each call: another batch may have read on meanwhile.
    let is_needed = |id: &str| !roll.is_some_and(|roll| roll.has(id));
    let answers = for_each(client, cx, Verb::Add, &list.id, written, is_needed, halted).await;
    let mut added = Added { calls: answers.len(), already: 0 };
    for (row, answer) in answers {
        let failed = match answer {
            Answer::Said(OnList::Yes) => continue,
            Answer::Said(OnList::Already) => {
                added.already += 1;
                continue;
            }
            Answer::Said(OnList::No | OnList::NoContact) => {
                refused("contact_not_found", "the contact was written, but could not be found to be put on its list")
            }
            Answer::Said(OnList::NoList) => refused("list_not_found", "the segment's list does not exist any more"),
            Answer::Failed(error) => failed(error, outcomes),
            Answer::NotAsked => RowOutcome::Deferred {
                reason: "the contact was written, but not put on its list, because the connection stopped".to_owned(),
            },
        };
        if let Some(outcome) = outcomes.rows.get_mut(row) {
            *outcome = failed;
        }
    }
    added
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
    for (row, answer) in for_each(client, cx, Verb::Remove, &list.id, asked, |_| true, false).await {
        let failed = match answer {
            Answer::Said(OnList::Yes | OnList::Already | OnList::No | OnList::NoContact) => continue,
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

/// Makes one call per contact that needs one when its turn comes, several at once so that the time an answer takes does not
/// lower the rate. After an error that stops the connection no further call is made; those under way are heard out.
async fn for_each(
    client: &Client,
    cx: &Context,
    verb: Verb,
    list: &str,
    contacts: Vec<(usize, String)>,
    is_needed: impl Fn(&str) -> bool,
    halted: bool,
) -> Vec<(usize, Answer)> {
    let halted = &AtomicBool::new(halted);
    let needed = contacts.into_iter().filter(|(_, id)| is_needed(id));
    let calls = needed.map(async |(row, id)| {
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
    futures::stream::iter(calls).buffer_unordered(client.width()).collect().await
}

/// The outcome of a row whose own call failed; an error that stops the connection is kept in `outcomes`.
fn failed(error: Error, outcomes: &mut Outcomes) -> RowOutcome {
    let outcome = row_outcome(&error);
    if ends_round(&error) && !error.is_recalled() {
        outcomes.stop.get_or_insert(error);
    }
    outcome
}

fn refused(code: &str, reason: &str) -> RowOutcome {
    RowOutcome::Refused { code: code.to_owned(), reason: reason.to_owned() }
}

/// The id of the contact, if it is done.
pub(crate) fn done(outcome: &RowOutcome) -> Option<&str> {
    match outcome {
        RowOutcome::Done(id) => id.as_deref(),
        _ => None,
    }
}
