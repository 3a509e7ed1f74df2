//! The list of each segment: found by its exact title, made if there is none.

use segport_sdk::{Context, Error, ErrorKind, ExportSpec, Result};
use serde::{Deserialize, Serialize};

use crate::client::{Client, List};
use crate::error::stops;

/// The list of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentList {
    pub(crate) id: String,
    /// Made by this run, so nobody was on it before.
    #[serde(default)]
    pub(crate) new: bool,
}

/// Lists in the order of the export's segments, and sentences for the report.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) lists: Vec<SegmentList>,
    pub(crate) notes: Vec<String>,
}

/// Finds or makes the list of each segment of `export`; with `list_id` that list must exist.
///
/// # Errors
/// `config_invalid` if `list_id` names no list; what the destination answered if a list can be neither found nor made.
pub(crate) async fn prepare(
    client: &Client,
    cx: &Context,
    export: &ExportSpec,
    list_id: Option<&str>,
) -> Result<Found> {
    let mut known = client.lists(cx).await?;
    if let Some(id) = list_id {
        exists(&known, id)?;
        let list = SegmentList { id: id.to_owned(), new: false };
        return Ok(Found { lists: export.segments.iter().map(|_| list.clone()).collect(), notes: Vec::new() });
    }
    let mut found = Found { lists: Vec::new(), notes: Vec::new() };
    for segment in &export.segments {
        let title = segment.display_name.as_str();
        let mut same = known.iter().filter(|list| list.title == title);
        if let Some(list) = same.next() {
            if same.next().is_some() {
                found.notes.push(format!(
                    "Autopilot has several lists named `{title}`; the first, {}, is used (choose another with `list_id`)",
                    list.id
                ));
            }
            found.lists.push(SegmentList { id: list.id.clone(), new: false });
            continue;
        }
        let (list, note) = create(client, cx, title).await?;
        found.notes.extend(note);
        known.push(List { id: list.id.clone(), title: title.to_owned() });
        found.lists.push(list);
    }
    Ok(found)
}

/// Checks that `id` is one of `lists`.
///
/// # Errors
/// `config_invalid` if it is not.
pub(crate) fn exists(lists: &[List], id: &str) -> Result<()> {
    if lists.iter().any(|list| list.id == id) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::ConfigInvalid,
        format!(
            "Autopilot has no list with the id `{id}` (it has {} lists); correct `list_id`, or leave it out to use the list \
             named after the segment",
            lists.len()
        ),
    ))
}

/// Makes a list once. When that failed or was cut off it may exist all the same, so its title is looked up, and it is
/// never made a second time: two lists of one title cannot be told apart later.
async fn create(client: &Client, cx: &Context, title: &str) -> Result<(SegmentList, Option<String>)> {
    let error = match client.create_list(cx, title).await {
        Ok(list) => {
            let note = list.name.filter(|name| name != title).map(|name| {
                format!(
                    "Autopilot named the new list of `{title}` `{name}`; set `list_id` to {} or change the segment's \
                     display_name, since the next run would not find it",
                    list.id
                )
            });
            return Ok((SegmentList { id: list.id, new: true }, note));
        }
        Err(error) if stops(&error) => return Err(error),
        Err(error) => error,
    };
    match client.lists(cx).await {
        // Whether this call made it or another client did cannot be told, so it does not count as new.
        Ok(lists) => match lists.into_iter().find(|list| list.title == title) {
            Some(list) => Ok((SegmentList { id: list.id, new: false }, None)),
            None => Err(error.with("list", title)),
        },
        Err(again) => Err(error.with("list", title).because(&again)),
    }
}
