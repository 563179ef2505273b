//! Counts for `--stats`: what grows if something is forgotten.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_nt::{CURRENT_PROCESS, Handle, Status};

use crate::nt::{self, nt};
use crate::thread::{self, Block, state};
use crate::{exception, lose_fs, process};

/// What there is now, by name.
pub(crate) fn take() -> Vec<(&'static str, u64)> {
    let processes = Processes::read();
    let handles = |block: &Block| processes.handles(block.pid.load(Ordering::Acquire));
    let waiting = thread::all().filter(|block| block.state.load(Ordering::Acquire) == state::IDLE);
    let waiting: Vec<u64> = waiting.map(handles).collect();
    let init = thread::all().find(|block| block.state.load(Ordering::Acquire) == state::INIT);
    alloc::vec![
        ("thread blocks", thread::all().count() as u64),
        ("processes that wait for a task", waiting.len() as u64),
        ("handles of init", init.map_or(0, handles)),
        ("handles of a waiting process, at most", waiting.into_iter().max().unwrap_or(0)),
        ("FS bases lost by order", lose_fs::count()),
        ("FS bases repaired", exception::repaired()),
    ]
}

/// Tries the values that handles may have: multiples of four, the lowest first.
fn count_handles(process: Handle, most: u64) -> u64 {
    /// Values behind those that suffice, as some that were closed may lie between others.
    const FURTHER: u64 = 1024;
    let mut count = 0;
    for value in (1..=most.saturating_add(FURTHER)).map(|number| number * 4) {
        if count == most {
            break;
        }
        let mut new = 0;
        // SAFETY: the call writes the new handle.
        let status = unsafe {
            nt!(
                duplicate,
                process,
                value as Handle,
                CURRENT_PROCESS,
                &mut new,
                0,
                0,
                nt::DUPLICATE_SAME_ACCESS
            )
        };
        if status >= 0 {
            nt::close(new);
            count += 1;
        }
    }
    count
}

/// The host's list of processes.
struct Processes {
    list: Vec<u8>,
}

impl Processes {
    fn read() -> Self {
        const PROCESSES: u32 = 5;
        const TOO_SHORT: Status = 0xc000_0004_u32 as Status;
        let mut list = alloc::vec![0; 256 << 10];
        loop {
            let (out, len) = (list.as_mut_ptr(), list.len() as u32);
            // SAFETY: the call writes the list.
            let status = unsafe { nt!(query_system, PROCESSES, out, len, core::ptr::null_mut()) };
            match status {
                0.. => return Self { list },
                TOO_SHORT if list.len() < 16 << 20 => list.resize(list.len() * 2, 0),
                _ => return Self { list: Vec::new() },
            }
        }
    }

    /// How many handles a process has; 0 if the host does not know. Wine tells for how many there is
    /// room, which is more: they are counted.
    fn handles(&self, pid: u32) -> u64 {
        let told = self.handles_told(pid);
        match process::open(pid) {
            Some(process) => {
                let counted = count_handles(process, told);
                nt::close(process);
                counted
            }
            None => told,
        }
    }

    fn handles_told(&self, pid: u32) -> u64 {
        const NEXT: usize = 0;
        const PROCESS_ID: usize = 0x50;
        const HANDLES: usize = 0x60;
        let mut entry = self.list.as_slice();
        loop {
            let number = |at: usize| {
                let bytes = entry.get(at..).and_then(<[u8]>::first_chunk::<4>);
                bytes.map(|bytes| u32::from_le_bytes(*bytes))
            };
            if number(PROCESS_ID) == Some(pid) {
                return number(HANDLES).map_or(0, u64::from);
            }
            match number(NEXT) {
                None | Some(0) => return 0,
                Some(next) => entry = entry.get(next as usize..).unwrap_or_default(),
            }
        }
    }
}
