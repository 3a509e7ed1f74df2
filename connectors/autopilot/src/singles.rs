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
    let is_over = AtomicBool::new(outcomes.stop.is_some());
    let round = Round { client, cx, verb: Verb::Add, list: &list.id, is_over };
    // Asked just before each call: another batch may have read on meanwhile.
    let missing = written.into_iter().filter(|(_, id)| !roll.is_some_and(|roll| roll.has(id)));
    let answers = round.ask(missing).await;
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
    let is_over = AtomicBool::new(false);
    let round = Round { client, cx, verb: Verb::Remove, list: &list.id, is_over };
    let (mut were_there, mut were_not) = (false, false);
    for (row, answer) in round.ask(asked.into_iter()).await {
        let failed = match answer {
            Answer::Said(OnList::Yes) => {
                were_there = true;
                continue;
            }
            Answer::Said(OnList::Already | OnList::No | OnList::NoContact) => {
                were_not = true;
                continue;
            }
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
    if were_not && !were_there {
        outcomes.notes.push(format!(
            "nobody who was to be taken off list {} was on it: others did that, or a call whose answer did not come",
            list.id
        ));
    }
    outcomes
}

/// What became of the call for one contact.
enum Answer {
    Said(OnList),
    Failed(Error),
    NotAsked,
}

/// Calls of one kind about one list.
struct Round<'a> {
    client: &'a Client,
    cx: &'a Context,
    verb: Verb,
    list: &'a str,
    /// No further call is made.
    is_over: AtomicBool,
}

impl Round<'_> {
    /// Makes one call for each of these contacts when its turn comes, several at once so that the time an answer takes does not
    /// lower the rate. After an error that stops the connection no further call is made; those under way are heard out.
    async fn ask(&self, contacts: impl Iterator<Item = (usize, String)>) -> Vec<(usize, Answer)> {
        let calls = contacts.map(async |(row, id)| {
            if self.is_over.load(Ordering::Relaxed) {
                return (row, Answer::NotAsked);
            }
            match self.client.on_list(self.cx, self.verb, self.list, &id).await {
                Ok(said) => (row, Answer::Said(said)),
                Err(error) => {
                    self.is_over.fetch_or(ends_round(&error), Ordering::Relaxed);
                    (row, Answer::Failed(error))
                }
            }
        });
        futures::stream::iter(calls).buffer_unordered(self.client.width()).collect().await
    }
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
