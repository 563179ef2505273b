//! R6: how much memory may be committed.

use std::io;
use std::mem;
use std::ptr;
use std::time::Instant;

use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_NOACCESS, PAGE_READWRITE, VirtualAlloc, VirtualFree,
};
use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

use super::Answer;
use crate::check;

fn status() -> io::Result<MEMORYSTATUSEX> {
    let mut status = MEMORYSTATUSEX::default();
    status.dwLength = u32::try_from(mem::size_of_val(&status)).unwrap_or_default();
    // SAFETY: the structure says its size.
    check(unsafe { GlobalMemoryStatusEx(&raw mut status) })?;
    Ok(status)
}

/// R6: the commit limit, what of it is free, and what reserving and committing charge.
pub(super) fn commit() -> Answer {
    const MB: u64 = 1 << 20;
    const RESERVED: usize = 64 << 30;
    const COMMITTED: usize = 256 << 20;
    let before = status()?;
    // SAFETY: a new reservation, which is nobody else's.
    let reserved = unsafe { VirtualAlloc(ptr::null(), RESERVED, MEM_RESERVE, PAGE_NOACCESS) };
    if reserved.is_null() {
        return Err(io::Error::last_os_error());
    }
    let after_reserve = status();
    let started = Instant::now();
    // SAFETY: part of our reservation.
    let committed = unsafe { VirtualAlloc(reserved, COMMITTED, MEM_COMMIT, PAGE_READWRITE) };
    let took = started.elapsed();
    let after_commit = status();
    // SAFETY: reserved above, and nothing in it is used.
    unsafe { VirtualFree(reserved, 0, MEM_RELEASE) };
    let (after_reserve, after_commit) = (after_reserve?, after_commit?);
    let charge = |before: &MEMORYSTATUSEX, after: &MEMORYSTATUSEX| {
        before.ullAvailPageFile.saturating_sub(after.ullAvailPageFile) / MB
    };
    let outcome = if committed.is_null() { "FAILED" } else { "worked" };
    Ok(format!(
        "commit limit {} MB, free {} MB, memory {} MB; reserving 64 GB charged {} MB, committing \
         256 MB {outcome} in {} us and charged {} MB",
        before.ullTotalPageFile / MB,
        before.ullAvailPageFile / MB,
        before.ullTotalPhys / MB,
        charge(&before, &after_reserve),
        took.as_micros(),
        charge(&after_reserve, &after_commit)
    ))
}
