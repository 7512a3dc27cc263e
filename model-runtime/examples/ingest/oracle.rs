//! What the groups must be.
use crate::Failure;
use crate::events::lines;
use std::path::Path;

/// One path with the sums of its events.
#[derive(Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) path: String,
    pub(crate) times_seen: i32,
    pub(crate) added: i64,
    pub(crate) removed: i64,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
}

/// Reads the expected groups.
pub(crate) fn read(file: &Path) -> Result<Vec<Expected>, Failure> {
    let shape = ["path", "times seen", "lines added", "lines removed", "first seen", "last seen"];
    lines(file, shape, |[path, times_seen, added, removed, first_seen, last_seen]| {
        Ok(Expected {
            path: path.text(),
            times_seen: times_seen.parse()?,
            added: added.parse()?,
            removed: removed.parse()?,
            first_seen: first_seen.parse()?,
            last_seen: last_seen.parse()?,
        })
    })
}
