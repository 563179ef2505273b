//! Names and counts what a guest asked for and lx does not have.
//!
//! A handler that meets an unknown flag, option or request calls [`note`] and returns the error
//! that Linux gives for one it does not know.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::sync::{Mutex, level};

static GAPS: Mutex<BTreeMap<String, u64>, { level::STATS }> = Mutex::new(BTreeMap::new());

/// Most different gaps that are kept, so that a guest cannot fill the memory with them.
const MAX_GAPS: usize = 1000;

/// Counts one use of something that is not there, for example `ioctl 0x5480`.
#[cold]
pub fn note(what: &str, value: u64) {
    let name = alloc::format!("{what} {value:#x}");
    let mut gaps = GAPS.lock();
    if let Some(count) = gaps.get_mut(&name) {
        *count += 1;
    } else if gaps.len() < MAX_GAPS {
        gaps.insert(name, 1);
    }
}

/// All gaps met so far with their counts.
pub fn report() -> Vec<(String, u64)> {
    GAPS.lock().iter().map(|(name, count)| (name.clone(), *count)).collect()
}
