//! One batch on its way: its bulk call, and what is found out about its list around it.

use segport_sdk::{Context, ErrorKind, Outcomes, Result};

use crate::answer::{Acknowledged, acknowledged};
use crate::client::{Client, OnList, Verb};
use crate::contact::Contacts;
use crate::error::stops;
use crate::lists::SegmentList;
use crate::roll::Roll;
use crate::singles::{self, Added, done};

/// Most contacts looked up to learn whether a bulk call put them on its list.
const SUBJECTS: usize = 3;

/// What a look at the first few contacts of a batch found, before they were written.
pub(crate) enum Look {
    /// The contact of this row is not on the list.
    Missing(usize),
    /// All of them are on it.
    AllOn,
    /// It could not be told.
    Unclear,
}

/// How contacts get on a list, once that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Bulk,
    Single,
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
    pub(crate) async fn put(&self, list: Option<&str>) -> Result<Outcomes> {
        if self.contacts.rows().is_empty() {
            return Ok(Outcomes { rows: self.contacts.outcomes(Vec::new()), ..Outcomes::default() });
        }
        let answer = self.client.upsert(self.cx, &self.contacts, list, self.notify).await?;
        let Acknowledged { outcomes, notes } = acknowledged(&answer, &self.contacts.sent());
        Ok(Outcomes { rows: self.contacts.outcomes(outcomes), notes, stop: None })
    }

    /// Writes the contacts in a bulk call that names `list`, and looks whether it put them there.
    pub(crate) async fn test(&self, list: &SegmentList, roll: &Roll) -> Result<(Outcomes, Option<Way>)> {
        // A contact that was on the list before would vouch for a call that did nothing.
        let subjects = match list.new {
            true => self.contacts.rows().to_vec(),
            false => match self.look(list, roll).await? {
                Look::Missing(row) => vec![row],
                Look::AllOn => {
                    // The first ones speak for the batch, so that the list is read before the others are added.
                    self.found(roll, list).await?;
                    Vec::new()
                }
                Look::Unclear => Vec::new(),
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
                Ok(OnList::Yes | OnList::Already) => verdict = Some(Way::Bulk),
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

    /// Looks for a contact of this batch that is not on `list`, among the first few that were not seen there. They are asked for
    /// by address: before the write no id is known.
    pub(crate) async fn look(&self, list: &SegmentList, roll: &Roll) -> Result<Look> {
        let unseen = self.contacts.rows().iter().filter_map(|&row| Some((row, self.contacts.email(row)?)));
        for (row, email) in unseen.filter(|(_, email)| !roll.has_address(email)).take(SUBJECTS) {
            match self.client.on_list(self.cx, Verb::Test, &list.id, email).await {
                Ok(OnList::No | OnList::NoContact) => return Ok(Look::Missing(row)),
                Ok(OnList::Yes | OnList::Already) => {}
                Err(error) if stops(&error) => return Err(error),
                Ok(OnList::NoList) | Err(_) => return Ok(Look::Unclear),
            }
        }
        Ok(Look::AllOn)
    }

    /// Whether each contact of this batch was seen on a list, as far as addresses tell.
    pub(crate) fn is_seen(&self, roll: &Roll) -> bool {
        self.contacts.rows().iter().all(|&row| self.contacts.email(row).is_some_and(|email| roll.has_address(email)))
    }

    /// Notes that the whole batch was found on `list`, and reads on who else is.
    ///
    /// # Errors
    /// As [`Delivery::read_on`].
    pub(crate) async fn found(&self, roll: &Roll, list: &SegmentList) -> Result<()> {
        roll.found(self.contacts.rows().len());
        self.read_on(roll, list).await
    }

    /// Reads on in who is on `list`. Where that is not possible, more contacts have a call of their own.
    ///
    /// # Errors
    /// If the connection is of no use any more.
    pub(crate) async fn read_on(&self, roll: &Roll, list: &SegmentList) -> Result<()> {
        match roll.read_on(self.client, self.cx, &list.id).await {
            Err(error) if stops(&error) => Err(error),
            Err(error) => {
                tracing::debug!(list = %list.id, %error, "could not read on who is on the list");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Puts the contacts that are done so far on `list`, one call each, but for those on `roll`. A contact that did not get
    /// there is not done.
    pub(crate) async fn join(&self, list: &SegmentList, roll: Option<&Roll>, outcomes: &mut Outcomes) -> Added {
        let written = outcomes
            .rows
            .iter()
            .enumerate()
            .filter_map(|(row, outcome)| Some((row, done(outcome)?)))
            .map(|(row, id)| (row, id.to_owned()))
            .collect();
        singles::join(self.client, self.cx, list, written, roll, outcomes).await
    }
}
