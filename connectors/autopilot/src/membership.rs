//! Getting contacts on the list of their segment, and off it.
//!
//! One call per contact is what makes a large export take hours. Clients name the list inside single writes; whether
//! Autopilot heeds it inside bulk writes is unknown (one public client says it does not), so by default the first bulk call
//! for a list is a test: it names the list, and then one of its contacts is looked up there. Whether a membership can be read
//! back at once is not known either. If it cannot, the test fails, which costs time and loses nothing.
//!
//! Contacts that were acknowledged as members before are named again in their bulk calls. If the first of them are still on
//! the list, that is enough; if one is not, the list has lost members, and they are treated like new ones.
//!
//! Where the first contacts of a batch are all on a list that somebody else filled, nothing can be tested with them. Then the
//! list itself is read, as far as that pays ([`Roll`]), and only those who are not seen there are added.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use segport_sdk::{Error, ErrorKind, Outcomes, Result};
use tokio::sync::OnceCell;

use crate::delivery::{Delivery, Look, Way};
use crate::lists::SegmentList;
use crate::roll::Roll;
use crate::settings::ListMembership;

const FALLBACK: &str = "bulk calls do not put contacts on the list at this destination; adding them one call at a time";
const NO_VERDICT: &str = "whether bulk calls put contacts on the list could not be told from some batches; those of their contacts that were not seen \
     on the list were added one call at a time";

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
    /// Who was seen on it.
    roll: Roll,
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
        let mut outcomes = match self.mode {
            ListMembership::Single => {
                let mut outcomes = delivery.put(None).await?;
                delivery.join(first, None, &mut outcomes).await;
                outcomes
            }
            ListMembership::Bulk => delivery.put(Some(&first.id)).await?,
            ListMembership::Probe => self.deliver_as_tested(delivery, lists, first).await?,
        };
        for list in all {
            delivery.join(list, None, &mut outcomes).await;
        }
        Ok(outcomes)
    }

    /// Writes the contacts and puts them on `list`, the way that is known to work there.
    async fn deliver_as_tested(
        &self,
        delivery: &Delivery<'_>,
        lists: &Lists<'_>,
        list: &SegmentList,
    ) -> Result<Outcomes> {
        let (mut outcomes, way) = match lists.join.is_empty() {
            true => self.put_again(delivery, list).await?,
            false => self.put_as_tested(delivery, list).await?,
        };
        let roll = &self.known(&list.id).roll;
        match way {
            Some(Way::Bulk) => {}
            Some(Way::Single) => {
                if let Err(error) = delivery.read_on(roll, list).await {
                    outcomes.stop.get_or_insert(error);
                }
                let added = delivery.join(list, Some(roll), &mut outcomes).await;
                roll.found(added.already);
            }
            None => {
                // Those that are there already were counted by the test.
                let added = delivery.join(list, Some(roll), &mut outcomes).await;
                if added.calls > 0 {
                    outcomes.notes.push(NO_VERDICT.to_owned());
                }
            }
        }
        Ok(outcomes)
    }

    /// Writes contacts that were acknowledged as members of `list` before. Returns what is known of the way that was taken: after
    /// [`Way::Bulk`] they count as members.
    async fn put_again(&self, delivery: &Delivery<'_>, list: &SegmentList) -> Result<(Outcomes, Option<Way>)> {
        let known = self.known(&list.id);
        if known.way.get().is_some() || list.new {
            return self.put_as_tested(delivery, list).await;
        }
        let look = async || match delivery.look(list, &known.roll).await.map_err(Unsettled::Failed)? {
            Look::AllOn => Ok(true),
            Look::Missing(_) => Ok(false),
            Look::Unclear => Err(Unsettled::NoVerdict),
        };
        match known.is_intact.get_or_try_init(look).await {
            Ok(true) => {
                let outcomes = match delivery.put(Some(&list.id)).await {
                    // It may be the list's name inside a bulk call that is refused, as in a test.
                    Err(error) if error.kind() == ErrorKind::Rejected => delivery.put(None).await?,
                    other => other?,
                };
                Ok((outcomes, Some(Way::Bulk)))
            }
            Ok(false) | Err(Unsettled::NoVerdict) => self.put_as_tested(delivery, list).await,
            Err(Unsettled::Failed(error)) => Err(error),
        }
    }

    /// Writes the contacts the way that is known to work for `list`, testing it if that is not known yet. Returns the way:
    /// after [`Way::Bulk`] the contacts are on the list.
    ///
    /// One batch tests, and those that come meanwhile wait for what it finds. If it fails, or its future is dropped, the
    /// next one takes over.
    async fn put_as_tested(&self, delivery: &Delivery<'_>, list: &SegmentList) -> Result<(Outcomes, Option<Way>)> {
        let known = self.known(&list.id);
        if known.way.get().is_none() && !list.new && delivery.is_seen(&known.roll) {
            // Nothing can be tested with them, so that others need not wait; and they need no list.
            delivery.found(&known.roll, list).await?;
            return Ok((delivery.put(None).await?, None));
        }
        let mut delivered = None;
        let test = async {
            let (outcomes, verdict) = delivery.test(list, &known.roll).await.map_err(Unsettled::Failed)?;
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
        if way == Some(Way::Single) {
            // Every batch says it, because the one that found it out may never be heard; the host shows it once.
            outcomes.notes.push(FALLBACK.to_owned());
        }
        Ok((outcomes, way))
    }

    /// Forgets who was seen on `list`: by the next run it may be somebody else.
    pub(crate) fn forget(&self, list: &SegmentList) {
        self.known(&list.id).roll.forget();
    }

    fn known(&self, list: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(list.to_owned()).or_default())
    }
}
