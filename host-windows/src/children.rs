//! The host processes that init has made and that have not ended.

use alloc::vec::Vec;

use lx_nt::Handle;

use crate::nt::{self, nt};

/// Init's list. An open handle keeps the process's id from being given to another process before
/// init has heard of the end.
pub(crate) struct Children {
    list: Vec<(u32, Handle)>,
}

impl Children {
    pub(crate) fn new() -> Self {
        Self { list: Vec::new() }
    }

    pub(crate) fn add(&mut self, pid: u32, process: Handle) {
        self.list.push((pid, process));
    }

    /// Forgets a process that has ended; its exit status. `None` for processes that init did not
    /// make: programs of Windows are in the job, too.
    pub(crate) fn ended(&mut self, pid: u32) -> Option<u32> {
        let at = self.list.iter().position(|(known, _)| *known == pid)?;
        let (_, process) = self.list.swap_remove(at);
        let status = exit_status(process);
        nt::close(process);
        Some(status)
    }
}

/// What a process has ended with, 0 if the host does not tell.
fn exit_status(process: Handle) -> u32 {
    /// `PROCESS_BASIC_INFORMATION`, which begins with the status.
    const BASIC: u32 = 0;
    const LEN: usize = 48;
    let mut out = [0u8; LEN];
    // SAFETY: the call writes the buffer.
    let _ = unsafe {
        nt!(query_process, process, BASIC, out.as_mut_ptr(), LEN as u32, core::ptr::null_mut())
    };
    out.first_chunk().map_or(0, |status| u32::from_le_bytes(*status))
}
