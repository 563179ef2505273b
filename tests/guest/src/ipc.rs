//! What the programs that test System V IPC share.

use crate::Called;

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
