//! What the programs that test System V IPC share.

use std::fs;

use crate::Called;

/// The first fields of an object's line in a file of `/proc/sysvipc`.
pub fn proc_fields(kind: &str, id: i64, count: usize) -> String {
    let lines = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    let id = id.to_string();
    let line = lines.lines().find(|line| line.split_whitespace().nth(1) == Some(&id));
    line.unwrap_or_default().split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

/// Ids are an index, and above it how often the indices have gone round.
const INDICES: i64 = 1 << 15;

/// Makes objects and removes them until one has the index of `old`, which was removed: the id of
/// that one.
pub fn again(old: i64, make: impl Fn() -> Called, remove: impl Fn(i64) -> Called) -> Called {
    for _ in 0..INDICES {
        let id = make()?;
        if id % INDICES == old % INDICES {
            return Ok(id);
        }
        remove(id)?;
    }
    Err(libc::ENOSPC)
}
