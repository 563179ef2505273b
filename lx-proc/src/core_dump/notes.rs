//! The notes of a core file: registers, the process, its signal, its files.

use alloc::vec::Vec;

use lx_core::abi::elf_core::{
    NT_AUXV, NT_FILE, NT_PRFPREG, NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO, NT_X86_XSTATE, PrPsInfo,
    PrStatus, UserRegs,
};
use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::time::Timeval;
use lx_core::abi::{GuestRegs, PAGE_SIZE, SigSet, Signal};
use lx_core::host::Nanos;
use lx_vfs::location::Path;
use zerocopy::IntoBytes;

use crate::current::CurrentTask;
use crate::signal::copy_xstate;

/// Length of the part of the extended state that `NT_PRFPREG` shows.
const FXSAVE_LEN: usize = 512;
/// Where Linux tells the components of the extended state, in bytes left to software.
const FEATURES_AT: usize = 464;
/// Alignment of notes.
const ALIGN: usize = 4;

/// Why the process dies.
pub(super) struct Death<'a> {
    pub(super) signal: Signal,
    pub(super) info: &'a SigInfo,
}

/// A thread as it was when it ended.
pub(super) struct Thread {
    pub(super) tid: i32,
    pub(super) robust_list: u64,
    regs: GuestRegs,
    fs_base: u64,
    xstate: Vec<u8>,
    pending: SigSet,
    blocked: SigSet,
    cpu: Nanos,
}

impl Thread {
    /// The calling one.
    pub(super) fn of(current: &CurrentTask<'_>, robust_list: u64) -> Self {
        let (task, host) = (current.task(), current.host());
        let mut xstate = alloc::vec![0; host.xstate_size()];
        if copy_xstate(current, &mut xstate).is_err() {
            xstate.clear();
        }
        if let Some(place) = xstate.get_mut(FEATURES_AT..FEATURES_AT + 8) {
            place.copy_from_slice(&host.xstate_features().to_le_bytes());
        }
        Self {
            tid: task.tid(),
            robust_list,
            regs: current.regs(),
            fs_base: host.fs_base(),
            xstate,
            pending: task.signals().pending().set(),
            blocked: task.signals().blocked(),
            cpu: host.thread_cpu(),
        }
    }
}

fn timeval(nanos: Nanos) -> Timeval {
    let micros = nanos / 1000;
    Timeval {
        tv_sec: (micros / 1_000_000).cast_signed(),
        tv_usec: (micros % 1_000_000).cast_signed(),
    }
}

/// Adds a note. Their owner is `CORE`, but for what Linux has added itself.
fn put(notes: &mut Vec<u8>, owner: &[u8], kind: u32, bytes: &[u8]) {
    for number in [owner.len() as u32, bytes.len() as u32, kind] {
        notes.extend_from_slice(&number.to_le_bytes());
    }
    for part in [owner, bytes] {
        notes.extend_from_slice(part);
        notes.resize(notes.len().next_multiple_of(ALIGN), 0);
    }
}

/// All notes; the first thread is the one that the signal came to.
pub(super) fn all(current: &CurrentTask<'_>, threads: &[Thread], death: &Death<'_>) -> Vec<u8> {
    let core = b"CORE\0";
    let mut notes = Vec::new();
    for (index, thread) in threads.iter().enumerate() {
        put(&mut notes, core, NT_PRSTATUS, status(current, thread, death).as_bytes());
        if index == 0 {
            put(&mut notes, core, NT_PRPSINFO, process(current).as_bytes());
            put(&mut notes, core, NT_SIGINFO, death.info.as_bytes());
            put(&mut notes, core, NT_AUXV, &current.mm().program().auxv);
            put(&mut notes, core, NT_FILE, &files(current));
        }
        if let Some(fxsave) = thread.xstate.get(..FXSAVE_LEN) {
            put(&mut notes, core, NT_PRFPREG, fxsave);
            put(&mut notes, b"LINUX\0", NT_X86_XSTATE, &thread.xstate);
        }
    }
    notes
}

fn status(current: &CurrentTask<'_>, thread: &Thread, death: &Death<'_>) -> PrStatus {
    let group = current.group();
    PrStatus {
        si_signo: death.info.si_signo,
        si_code: death.info.si_code,
        si_errno: death.info.si_errno,
        pr_cursig: death.signal.number() as u16,
        pr_sigpend: thread.pending.0,
        pr_sighold: thread.blocked.0,
        pr_pid: thread.tid,
        pr_ppid: group.parent_tgid(),
        pr_pgrp: group.pgid(),
        pr_sid: group.sid(),
        pr_utime: timeval(thread.cpu),
        pr_cutime: timeval(group.children_cpu()),
        pr_reg: UserRegs { general: thread.regs, fs_base: thread.fs_base, ..UserRegs::default() },
        pr_fpvalid: i32::from(!thread.xstate.is_empty()),
        ..PrStatus::default()
    }
}

fn process(current: &CurrentTask<'_>) -> PrPsInfo {
    let (group, task) = (current.group(), current.task());
    let mut info = PrPsInfo {
        pr_sname: b'R',
        pr_nice: task.scheduling().nice() as i8,
        pr_uid: current.cred().uid,
        pr_gid: current.cred().gid,
        pr_pid: group.tgid(),
        pr_ppid: group.parent_tgid(),
        pr_pgrp: group.pgid(),
        pr_sid: group.sid(),
        pr_fname: task.name(),
        ..PrPsInfo::default()
    };
    let program = current.mm().program();
    // The last byte stays a NUL.
    let room = info.pr_psargs.len() - 1;
    for (to, from) in info.pr_psargs.iter_mut().take(room).zip(&program.args) {
        *to = if *from == 0 { b' ' } else { *from };
    }
    info
}

/// Which parts of files are mapped where: two numbers, three for each, and then the names.
fn files(current: &CurrentTask<'_>) -> Vec<u8> {
    let root = current.fs().root();
    let (mut ranges, mut names, mut count) = (Vec::new(), Vec::new(), 0_u64);
    for line in current.mm().map_lines() {
        let Some(path) = line.file.as_ref().and_then(|file| Path::of(file)) else { continue };
        count += 1;
        for number in [line.start, line.end, line.offset / PAGE_SIZE] {
            ranges.extend_from_slice(&number.to_le_bytes());
        }
        names.extend_from_slice(&path.display(&root));
        names.push(0);
    }
    [&count.to_le_bytes()[..], &PAGE_SIZE.to_le_bytes(), &ranges, &names].concat()
}
