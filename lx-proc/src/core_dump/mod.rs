//! Core files, `core(5)`.
//!
//! The task whose signal ends the group writes the file. The others note their registers as they
//! end, and leave memory as it is; what their end should change there, the writer does when the
//! file is written.

mod memory;
mod notes;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use lx_core::abi::elf_core::{EM_X86_64, ET_CORE, ElfHeader, PT_LOAD, PT_NOTE, ProgramHeader};
use lx_core::abi::fcntl::{OpenFlags, ResolveFlags};
use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::stat::{S_IFMT, S_IFREG};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, PAGE_SIZE, Signal};
use lx_core::file::OpenFile;
use lx_core::io::IoSrc;
use lx_core::rlimit::Resource;
use lx_core::sync::{Mutex, level};
use lx_core::{Caller, Result};
use lx_vfs::open::OpenHow;
use zerocopy::IntoBytes;

use self::notes::{Death, Thread};
use crate::current::CurrentTask;
use crate::mm::DumpedRange;
use crate::robust_list;
use crate::task::Task;
use crate::thread_group::{ANY_CHANGE, ThreadGroup};

/// The name of the file, `/proc/sys/kernel/core_pattern`.
const NAME: &[u8] = b"core";
/// What `PR_GET_DUMPABLE` says of a process that may be dumped.
const DUMPABLE: u32 = 1;

/// A thread group's part in this.
#[derive(Default)]
pub(crate) struct CoreDump {
    active: AtomicBool,
    threads: Mutex<Vec<Thread>, { level::TASK }>,
}

impl CoreDump {
    /// Whether a core file is going to be written.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }
}

/// Writes a core file, if a process may have one that dies of `signal`, and how the process ends.
pub(crate) fn die(current: &CurrentTask<'_>, signal: Signal, info: &SigInfo) -> WaitStatus {
    let without = WaitStatus::signaled(signal, false);
    let group = current.group();
    if !is_wanted(current) || !begin(group, without, current.task()) {
        return without;
    }
    let alone = wait_for_the_others(current);
    note_thread(current, 0);
    let mut threads = core::mem::take(&mut *group.core_dump().threads.lock());
    threads.rotate_right(1);
    let dumped = alone && write_file(current, &threads, &Death { signal, info }).is_ok();
    for thread in &threads {
        if thread.robust_list != 0 {
            robust_list::walk(current, thread.robust_list, thread.tid);
        }
    }
    let status = WaitStatus::signaled(signal, dumped);
    group.state().exit = Some(status);
    status
}

fn is_wanted(current: &CurrentTask<'_>) -> bool {
    let group = current.group();
    group.dumpable() == DUMPABLE && group.rlimits().soft(Resource::Core) >= PAGE_SIZE
}

/// Begins the end of the group; `false` if that has begun before.
fn begin(group: &ThreadGroup, status: WaitStatus, task: &Arc<Task>) -> bool {
    let mut state = group.state();
    if state.exit.is_some() {
        return false;
    }
    state.exit = Some(status);
    group.core_dump().active.store(true, Ordering::Release);
    drop(state);
    group.begin_exit(status, Some(task));
    true
}

/// Whether the task is the last of its group; it is not if somebody kills it meanwhile.
fn wait_for_the_others(current: &CurrentTask<'_>) -> bool {
    let (task, group) = (current.task(), current.group());
    let alone = || (group.task_count() == 1).then_some(());
    while alone().is_none() {
        if task.waiter().is_killed() {
            return false;
        }
        // Other signals do not matter any more.
        task.waiter().clear_interrupt();
        let _ = group.changes().wait(task.waiter(), ANY_CHANGE, None, || 0, alone);
    }
    true
}

/// Notes the registers of a task that ends because its group does. `robust_list` is not walked by
/// the task itself then.
pub(crate) fn note_thread(current: &CurrentTask<'_>, robust_list: u64) {
    let thread = Thread::of(current, robust_list);
    current.group().core_dump().threads.lock().push(thread);
}

/// The core file in the making.
struct CoreFile<'a> {
    caller: Caller<'a>,
    file: Arc<OpenFile>,
    at: u64,
    written: u64,
    limit: u64,
}

impl CoreFile<'_> {
    /// Adds bytes, unless that would be more than the limit.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.written.saturating_add(bytes.len() as u64) > self.limit {
            return Err(Errno::EFBIG.into());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.file.write_at(&self.caller, self.at, &mut IoSrc::kernel(rest))?;
            if count == 0 {
                return Err(Errno::ENOSPC.into());
            }
            rest = rest.get(count..).unwrap_or_default();
            self.at = self.at.saturating_add(count as u64);
            self.written = self.written.saturating_add(count as u64);
        }
        Ok(())
    }

    /// Leaves a hole.
    fn skip(&mut self, len: u64) {
        self.at = self.at.saturating_add(len);
    }
}

/// Creates the file; one that is there is removed, whoever has written it.
fn create<'a>(current: &'a CurrentTask<'_>) -> Result<CoreFile<'a>> {
    let (fs, caller) = (current.fs(), current.caller());
    let _ = fs.unlink(&caller, None, NAME);
    let flags = OpenFlags::O_CREAT | OpenFlags::O_EXCL | OpenFlags::O_RDWR | OpenFlags::O_NOFOLLOW;
    let how = OpenHow::new(flags, 0o600, ResolveFlags::empty())?;
    let file = fs.open(&caller, None, NAME, &how)?;
    let stat = file.ops().stat(&caller, &file)?;
    // A file system may have other ideas of owners and modes.
    let own = stat.st_uid == current.cred().fsuid && stat.st_mode & 0o677 == 0o600;
    if !own || stat.st_mode & S_IFMT != S_IFREG {
        return Err(Errno::EPERM.into());
    }
    let limit = current.group().rlimits().soft(Resource::Core);
    Ok(CoreFile { caller, file, at: 0, written: 0, limit })
}

/// Writes the file, as far as its limit allows.
fn write_file(current: &CurrentTask<'_>, threads: &[Thread], death: &Death<'_>) -> Result<()> {
    let mut file = create(current)?;
    let ranges = memory::ranges(current);
    let notes = notes::all(current, threads, death);
    // A file that is cut off by its limit is one all the same.
    let _ = fill(current, &mut file, &ranges, &notes);
    Ok(())
}

fn fill(
    current: &CurrentTask<'_>,
    file: &mut CoreFile<'_>,
    ranges: &[DumpedRange],
    notes: &[u8],
) -> Result<()> {
    let count = ranges.len().saturating_add(1);
    let header = ElfHeader {
        e_ident: *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        e_type: ET_CORE,
        e_machine: EM_X86_64,
        e_version: 1,
        e_phoff: size_of::<ElfHeader>() as u64,
        e_ehsize: size_of::<ElfHeader>() as u16,
        e_phentsize: size_of::<ProgramHeader>() as u16,
        // There can be no more mappings than that.
        e_phnum: u16::try_from(count).map_err(|_| Errno::EFBIG)?,
        ..ElfHeader::default()
    };
    file.put(header.as_bytes())?;
    let headers = size_of::<ElfHeader>().saturating_add(count * size_of::<ProgramHeader>()) as u64;
    let note = ProgramHeader {
        p_type: PT_NOTE,
        p_offset: headers,
        p_filesz: notes.len() as u64,
        p_align: 4,
        ..ProgramHeader::default()
    };
    file.put(note.as_bytes())?;
    let notes_end = headers.saturating_add(notes.len() as u64);
    let first = notes_end.next_multiple_of(PAGE_SIZE);
    let mut offset = first;
    for range in ranges {
        let segment = ProgramHeader {
            p_type: PT_LOAD,
            p_flags: memory::segment_flags(range.prot),
            p_offset: offset,
            p_vaddr: range.start,
            p_paddr: 0,
            p_filesz: range.dumped,
            p_memsz: range.len,
            p_align: PAGE_SIZE,
        };
        file.put(segment.as_bytes())?;
        offset = offset.saturating_add(range.dumped);
    }
    file.put(notes)?;
    file.skip(first.saturating_sub(notes_end));
    memory::write(current, file, ranges)
}
