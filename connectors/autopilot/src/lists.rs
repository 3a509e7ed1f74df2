//! The account, and the list of each segment there: the one that earlier runs had, or else the one with its exact title, made if
//! there is none.

use segport_sdk::{Context, Error, ErrorKind, ExportSegment, ExportSpec, Members, OccupiedList, Result};
use serde::{Deserialize, Serialize};

use crate::client::{Client, List};
use crate::error::{stops, was_dropped};

/// The list of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentList {
    pub(crate) id: String,
    /// Made by this run, so nobody was on it before.
    #[serde(default)]
    pub(crate) new: bool,
}

/// Lists in the order of the export's segments, and what the report says of them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The account, if it was asked for.
    pub(crate) account: Option<String>,
    pub(crate) lists: Vec<SegmentList>,
    pub(crate) occupied: Vec<OccupiedList>,
    pub(crate) notes: Vec<String>,
    /// A list could not be looked at. The others are not tried: each may take minutes to fail, and the run waits.
    is_blind: bool,
}

impl Found {
    /// Takes a list that is there for the next segment. One that the export has put nobody on is looked at: its members are news.
    async fn take(&mut self, client: &Client, cx: &Context, segment: &ExportSegment, list: &List) -> Result<()> {
        let name = if list.title.is_empty() { &list.id } else { &list.title };
        let is_new = segment.first_run || segment.list.as_ref().is_some_and(|kept| *kept != list.id);
        if is_new && self.is_blind {
            self.notes.push(format!("whether list `{name}` has members already was not looked at either"));
        } else if is_new {
            match (client.members(cx, &list.id).await, u16::try_from(self.lists.len())) {
                (Ok(Members::Exactly(0)), _) | (_, Err(_)) => {}
                (Ok(members), Ok(segment)) => {
                    self.occupied.push(OccupiedList { segment, list: name.clone(), members });
                }
                (Err(error), _) if stops(&error) => return Err(error),
                (Err(error), _) => {
                    self.is_blind = true;
                    self.notes.push(format!("whether list `{name}` has members already could not be told: {error}"));
                }
            }
        }
        self.lists.push(SegmentList { id: list.id.clone(), new: false });
        Ok(())
    }
}

/// Finds or makes the list of each segment of `export`; with `list_id` that list must exist. A list that another segment of it has
/// is nobody else's, whatever its title is by now. At another account than that of the export none is found or made,
/// unless it may move there.
///
/// # Errors
/// `config_invalid` if `list_id` names no list; what the destination answered if a list can be neither found nor made, or if it
/// refuses the key.
pub(crate) async fn prepare(
    client: &Client,
    cx: &Context,
    export: &ExportSpec,
    list_id: Option<&str>,
) -> Result<Found> {
    let mut known = client.lists(cx).await?;
    let mut found = Found::default();
    if let Some(id) = list_id {
        let list = with_id(&known, id)?;
        for segment in &export.segments {
            found.take(client, cx, segment, list).await?;
        }
        return Ok(found);
    }
    found.account = account(client, cx, export, &known).await?;
    let is_elsewhere = export.account.is_some() && found.account.is_some() && found.account != export.account;
    if is_elsewhere && !export.may_move {
        return Ok(found);
    }
    let kept: Vec<&str> = export.segments.iter().filter_map(|segment| segment.list.as_deref()).collect();
    for segment in &export.segments {
        let title = segment.display_name.as_str();
        let taken = |id: &str| found.lists.iter().any(|list| list.id == id);
        // A list of another account is not asked for.
        if let Some(id) = segment.list.as_deref().filter(|id| !is_elsewhere && !taken(id))
            && let Some(list) = kept_list(client, cx, &known, id).await?
        {
            if !list.title.is_empty() && list.title != title {
                found.notes.push(format!(
                    "the list of segment `{}` is named `{}` now; it is used all the same, since the export knows it by its id",
                    segment.id, list.title
                ));
            }
            found.take(client, cx, segment, &list).await?;
            continue;
        }
        let is_free = |list: &&List| list.title == title && !kept.contains(&&*list.id);
        let mut same = known.iter().filter(is_free);
        if let Some(list) = same.next() {
            if same.next().is_some() {
                found.notes.push(format!(
                    "Autopilot has several lists named `{title}`; the first, {}, is used (choose another with `list_id`)",
                    list.id
                ));
            }
            found.take(client, cx, segment, list).await?;
            continue;
        }
        let (list, note) = create(client, cx, title, is_free).await?;
        found.notes.extend(note);
        if !segment.first_run && segment.list.is_none() {
            found.notes.push(format!(
                "the list `{title}` was gone and was made anew. Whom earlier runs put on it is not on it now: `segport run --full` \
                 puts everybody back"
            ));
        }
        known.push(List { id: list.id.clone(), title: title.to_owned() });
        found.lists.push(list);
    }
    Ok(found)
}

/// The account that the key is of, asked for unless the export knows its own, and a list of each segment that is there: ids of
/// lists are of one account.
///
/// # Errors
/// What the destination answered, if the export's account is known, and so this may be another one.
async fn account(client: &Client, cx: &Context, export: &ExportSpec, lists: &[List]) -> Result<Option<String>> {
    let is_there = |segment: &ExportSegment| lists.iter().any(|list| segment.list.as_ref() == Some(&list.id));
    if export.account.is_some() && export.segments.iter().all(is_there) {
        return Ok(None);
    }
    match client.account(cx).await {
        Ok(account) => Ok(Some(account)),
        Err(error) if export.account.is_some() || stops(&error) => Err(error),
        // Nothing depends on it yet; the next run that sends anything asks again.
        Err(_) => Ok(None),
    }
}

/// The list that earlier runs put the segment on, if it is still there. One that is not among the lists is asked for: to miss it
/// for an answer that lacks some would send everybody to another list.
async fn kept_list(client: &Client, cx: &Context, lists: &[List], id: &str) -> Result<Option<List>> {
    if let Some(list) = lists.iter().find(|list| list.id == id) {
        return Ok(Some(list.clone()));
    }
    let is_there = client.has_list(cx, id).await.map_err(|error| error.with("list", id))?;
    Ok(is_there.then(|| List { id: id.to_owned(), title: String::new() }))
}

/// The one of `lists` with this id.
///
/// # Errors
/// `config_invalid` if there is none.
pub(crate) fn with_id<'a>(lists: &'a [List], id: &str) -> Result<&'a List> {
    lists.iter().find(|list| list.id == id).ok_or_else(|| {
        Error::new(
            ErrorKind::ConfigInvalid,
            format!(
                "Autopilot has no list with the id `{id}` (it has {} lists); correct `list_id`, or leave it out to use the list \
                 named after the segment",
                lists.len()
            ),
        )
    })
}

/// How often a list is made at most.
const CREATIONS: usize = 3;

/// Makes a list. When that failed or was cut off it may exist all the same, so its title is looked up, and it is made again only
/// if it is not there and the answer said that nothing will come of it any more: of two lists of one title one is nobody's.
async fn create(
    client: &Client,
    cx: &Context,
    title: &str,
    is_free: impl Fn(&&List) -> bool,
) -> Result<(SegmentList, Option<String>)> {
    let mut attempts = 1;
    loop {
        let error = match client.create_list(cx, title).await {
            Ok(list) => {
                let note = list.name.filter(|name| name != title).map(|name| {
                    format!("Autopilot named the new list of `{title}` `{name}`; the export knows it by its id")
                });
                return Ok((SegmentList { id: list.id, new: true }, note));
            }
            Err(error) if stops(&error) => return Err(error),
            Err(error) => error.with("list", title),
        };
        let lists = match client.lists(cx).await {
            Ok(lists) => lists,
            Err(again) => return Err(error.because(&again)),
        };
        // Whether this call made it or another client did cannot be told, so it does not count as new.
        if let Some(list) = lists.iter().find(&is_free) {
            return Ok((SegmentList { id: list.id.clone(), new: false }, None));
        }
        if attempts == CREATIONS || !was_dropped(&error) {
            return Err(error);
        }
        attempts += 1;
    }
}
