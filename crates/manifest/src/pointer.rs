//! JSON pointers, the addresses of values in a document.

/// `parent` extended by one key.
pub(crate) fn join(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The last part of a pointer, or the whole of one that has none.
pub(crate) fn last(pointer: &str) -> String {
    unescape(pointer.rsplit('/').next().unwrap_or_default())
}

/// The pointer without its last part; `None` for the whole document.
pub(crate) fn parent(pointer: &str) -> Option<&str> {
    pointer.rsplit_once('/').map(|(parent, _)| parent)
}

/// The first part of a pointer, as a pointer: the table of the file that it leads into, or the whole document.
pub(crate) fn table(pointer: &str) -> &str {
    let end = pointer.match_indices('/').nth(1).map_or(pointer.len(), |(end, _)| end);
    pointer.get(..end).unwrap_or(pointer)
}

/// The pointer as people write it: `settings.api_key`.
pub(crate) fn dotted(pointer: &str) -> String {
    pointer.split('/').skip(1).map(unescape).collect::<Vec<_>>().join(".")
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}
