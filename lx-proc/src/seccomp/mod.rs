//! Which system calls a task may make, seccomp(2).

mod program;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

use lx_core::Result;
use lx_core::abi::siginfo::{SYS_SECCOMP, SigInfo, SysFields};
use lx_core::abi::{Errno, Signal};
use lx_core::sync::{Mutex, level};
use program::{Data, Program};

pub use program::{Instruction, MAX_INSTRUCTIONS};

use crate::core_dump;
use crate::current::CurrentTask;
use crate::exit;
use crate::signal;
use crate::task::Task;

/// `AUDIT_ARCH_X86_64`.
const ARCH: u32 = 0xc000_003e;
/// Most instructions on the way of one call, `MAX_INSNS_PER_PATH`; each filter counts some more.
const MAX_PATH: usize = (1 << 18) / size_of::<Instruction>();
const PER_FILTER: usize = 4;

const READ: u64 = 0;
const WRITE: u64 = 1;
const RT_SIGRETURN: u64 = 15;
const EXIT: u64 = 60;

/// What filters can decide, with the numbers that `SECCOMP_GET_ACTION_AVAIL` knows.
pub mod action {
    /// The process dies of `SIGSYS`.
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    /// The thread does.
    pub const KILL_THREAD: u32 = 0;
    /// `SIGSYS`, and no call.
    pub const TRAP: u32 = 0x3_0000;
    /// An errno, and no call.
    pub const ERRNO: u32 = 0x5_0000;
    /// A supervisor is asked.
    pub const USER_NOTIF: u32 = 0x7fc0_0000;
    /// A tracer is asked.
    pub const TRACE: u32 = 0x7ff0_0000;
    /// The call is made, and noted down.
    pub const LOG: u32 = 0x7ffc_0000;
    /// The call is made.
    pub const ALLOW: u32 = 0x7fff_0000;
    /// The bits that are the action; the others are its data.
    pub(super) const MASK: u32 = 0xffff_0000;
}

/// The modes, as `PR_GET_SECCOMP` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// All calls are allowed.
    Disabled,
    /// `read`, `write`, `exit` and `rt_sigreturn` are.
    Strict,
    /// Filters decide.
    Filter,
}

/// A filter, and those that were installed before it.
struct Filter {
    program: Program,
    before: Option<Arc<Filter>>,
    /// Instructions of all of them, as [`MAX_PATH`] counts.
    path: usize,
    count: u32,
}

impl Drop for Filter {
    fn drop(&mut self) {
        // One after the other: there may be more than a stack holds.
        let mut next = self.before.take();
        while let Some(mut filter) = next.and_then(Arc::into_inner) {
            next = filter.before.take();
        }
    }
}

impl Filter {
    /// This one and the older ones.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        core::iter::successors(Some(self), |filter| filter.before.as_deref())
    }

    /// What all filters together decide: the strictest, and of equal ones the youngest.
    fn decide(&self, data: &Data) -> u32 {
        let strictness = |decision: u32| (decision & action::MASK).cast_signed();
        self.chain().fold(action::ALLOW, |strictest, filter| {
            let decision = filter.program.run(data);
            if strictness(decision) < strictness(strictest) { decision } else { strictest }
        })
    }
}

/// The part of a task.
#[derive(Default)]
pub struct TaskSeccomp {
    mode: AtomicU8,
    filter: Mutex<Option<Arc<Filter>>, { level::TASK }>,
}

impl TaskSeccomp {
    /// Whether calls have to be checked.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.mode.load(Ordering::Relaxed) != Mode::Disabled as u8
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            0 => Mode::Disabled,
            1 => Mode::Strict,
            _ => Mode::Filter,
        }
    }

    /// How many filters there are.
    pub fn filters(&self) -> u32 {
        self.filter().map_or(0, |filter| filter.count)
    }

    fn filter(&self) -> Option<Arc<Filter>> {
        self.filter.lock().clone()
    }

    fn set(&self, filter: Option<Arc<Filter>>) {
        let mode = if filter.is_some() { Mode::Filter } else { self.mode() };
        let old = core::mem::replace(&mut *self.filter.lock(), filter);
        self.mode.store(mode as u8, Ordering::Relaxed);
        drop(old);
    }

    /// A new task begins with its parent's.
    pub(crate) fn inherit(&self, parent: &Self) {
        if parent.is_on() {
            self.set(parent.filter());
            self.mode.store(parent.mode() as u8, Ordering::Relaxed);
        }
    }

    /// `SECCOMP_SET_MODE_STRICT`.
    ///
    /// # Errors
    /// `EINVAL` if there are filters.
    pub fn make_strict(&self) -> Result<()> {
        if self.mode() == Mode::Filter {
            return Err(Errno::EINVAL.into());
        }
        self.mode.store(Mode::Strict as u8, Ordering::Relaxed);
        Ok(())
    }
}

/// `SECCOMP_SET_MODE_FILTER`. With `sync` the other threads of the process get the filters, too;
/// the id of one that has others is returned, and nothing done.
///
/// # Errors
/// `EINVAL` for a program that is none, or in strict mode; `ENOMEM` for too many instructions.
pub fn install(
    current: &CurrentTask<'_>,
    instructions: Vec<Instruction>,
    sync: bool,
) -> Result<Option<i32>> {
    let program = Program::new(instructions)?;
    let own = current.task().seccomp();
    if own.mode() == Mode::Strict {
        return Err(Errno::EINVAL.into());
    }
    let before = own.filter();
    let path = before.as_ref().map_or(0, |before| before.path + PER_FILTER);
    let path = path.saturating_add(program.len());
    if path > MAX_PATH {
        return Err(Errno::ENOMEM.into());
    }
    let others: Vec<Arc<Task>> = match sync {
        true => current.group().tasks(),
        false => Vec::new(),
    };
    let follows = |task: &Task| match (task.seccomp().mode(), task.seccomp().filter()) {
        (Mode::Disabled, _) => true,
        (Mode::Filter, Some(its)) => before.as_deref().is_some_and(|before| {
            before.chain().any(|older| core::ptr::eq(older, &raw const *its))
        }),
        _ => false,
    };
    if let Some(other) = others.iter().find(|task| !follows(task)) {
        return Ok(Some(other.tid()));
    }
    let count = before.as_ref().map_or(0, |before| before.count) + 1;
    let filter = Arc::new(Filter { program, before, path, count });
    own.set(Some(Arc::clone(&filter)));
    for task in others {
        task.seccomp().set(Some(Arc::clone(&filter)));
        if current.task().no_new_privs() {
            task.set_no_new_privs();
        }
    }
    Ok(None)
}

/// Decides about a call of the calling task: `None` if it may be made, else what it returns.
#[cold]
pub fn check(current: &CurrentTask<'_>, number: u64) -> Option<u64> {
    let seccomp = current.task().seccomp();
    if seccomp.mode() == Mode::Strict {
        if matches!(number, READ | WRITE | RT_SIGRETURN | EXIT) {
            return None;
        }
        exit::exit_by_signal(current, Signal::SIGKILL);
        return Some(number);
    }
    let regs = current.regs();
    let data = Data {
        number: number as i32,
        arch: ARCH,
        instruction_pointer: regs.rip,
        args: regs.args(),
    };
    let decision = seccomp.filter()?.decide(&data);
    let value = decision & !action::MASK;
    let fields = SysFields { call_addr: regs.rip, syscall: number as i32, arch: ARCH };
    let info = SigInfo::sys(SYS_SECCOMP, value as i32, fields);
    match decision & action::MASK {
        action::ALLOW | action::LOG => None,
        action::ERRNO => Some(u64::from(value.min(4095)).wrapping_neg()),
        action::TRAP => {
            signal::force(current, Signal::SIGSYS, info);
            Some(number)
        }
        // There is no tracer, and no supervisor.
        action::TRACE | action::USER_NOTIF => Some(Errno::ENOSYS.as_return()),
        action::KILL_THREAD if current.group().task_count() > 1 => {
            exit::exit_by_signal(current, Signal::SIGSYS);
            Some(number)
        }
        _ => {
            let status = core_dump::die(current, Signal::SIGSYS, &info);
            exit::exit_group(current, status);
            Some(number)
        }
    }
}
