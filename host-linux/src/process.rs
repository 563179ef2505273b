//! Host processes and threads: twins, threads, borrowed threads, the pool, the end.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::abi::{Errno, GuestRegs};
use lx_core::host::{HostError, HostResult, Resume, TrapHandler};
use lx_core::sync::Mutex;
use lx_x86::entry;
use lx_x86::thread_block::{ThreadBlock, TrapCause};

use crate::spare::{self, End, Spares};
use crate::sys::{self, sys};
use crate::thread::{self, Block, state};
use crate::{init, memory, report, signal};

/// Idle processes that are kept.
const POOL_SIZE: usize = 4;
/// Init makes new ones when there are fewer.
const POOL_LOW: usize = 2;
/// Lock level of the pool.
const LEVEL: u8 = 59;

const CLONE_VM: usize = 0x100;
const CLONE_FS: usize = 0x200;
const CLONE_FILES: usize = 0x400;
const CLONE_SIGHAND: usize = 0x800;
const CLONE_PARENT: usize = 0x8000;
const CLONE_THREAD: usize = 0x1_0000;
const CLONE_PARENT_SETTID: usize = 0x10_0000;
const CLONE_SYSVSEM: usize = 0x4_0000;
const SIGKILL: usize = 9;
const PR_SET_PDEATHSIG: usize = 1;

/// All host processes share one descriptor table and are children of init, which they do not
/// signal when they end: it looks for the dead now and then.
const PROCESS_FLAGS: usize = CLONE_FILES | CLONE_FS | CLONE_PARENT;
const POOL_FLAGS: usize = CLONE_FILES | CLONE_FS;
const THREAD_FLAGS: usize =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

/// One host process that runs guests.
pub(crate) struct Process {
    /// Guest threads that have not ended.
    pub(crate) threads: AtomicU32,
    /// Host threads without a guest thread.
    pub(crate) spares: Spares,
}

impl Process {
    fn new() -> Arc<Self> {
        Arc::new(Self { threads: AtomicU32::new(1), spares: Spares::new() })
    }
}

struct Pool {
    idle: Vec<&'static Block>,
    /// Tasks that wait for a process.
    waiting: VecDeque<Arc<dyn TrapHandler>>,
    /// Processes that init has been asked for or is making.
    coming: usize,
}

static POOL: Mutex<Pool, LEVEL> =
    Mutex::new(Pool { idle: Vec::new(), waiting: VecDeque::new(), coming: 0 });

/// What a new thread begins with.
#[repr(usize)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// A twin: enter the guest.
    Twin = 0,
    /// A thread of the same process: set FS and enter the guest.
    Thread = 1,
    /// A process of the pool: wait for a task.
    Idle = 2,
}

/// clone(flags, stack, block, begin, tid): as the host call; the new thread runs `begin_thread`.
#[unsafe(naked)]
unsafe extern "C" fn clone_raw(
    flags: usize,
    stack: u64,
    block: *const Block,
    begin: usize,
    tid: *mut u32,
) -> isize {
    naked_asm!(
        // The new thread finds its arguments in registers that the call preserves.
        "push rbx",
        "push r12",
        "mov rbx, rdx",
        "mov r12, rcx",
        "mov rdx, r8",
        "xor r10d, r10d",
        "xor r8d, r8d",
        "mov eax, 56",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "pop r12",
        "pop rbx",
        "ret",
        "2:",
        // In a new process the first access to each part of the region faults. A read lets the
        // host map the pages around it, too, a write does not: so read first.
        "mov rax, [rsp]",
        "mov rax, [rbx]",
        "xor ebp, ebp",
        "mov rdi, rbx",
        "mov rsi, r12",
        "call {begin}",
        "ud2",
        begin = sym begin_thread,
    )
}

/// Starts a thread on `block`'s kernel stack.
fn clone_onto(flags: usize, block: &'static Block, begin: Begin) -> HostResult<()> {
    let stack = block.engine.frame() as u64;
    // The kernel stores the id before the new thread runs.
    let tid = if begin == Begin::Thread { &block.tid } else { block.pid };
    sys::note_call(sys::__NR_clone);
    // SAFETY: the stack below the frame is the new thread's alone, the block is never freed.
    let result = unsafe {
        clone_raw(flags | CLONE_PARENT_SETTID, stack, block, begin as usize, tid.as_ptr())
    };
    if result >= 0 {
        return Ok(());
    }
    let errno = u16::try_from(result.unsigned_abs()).ok().and_then(Errno::from_number);
    Err(HostError(errno.unwrap_or(Errno::EAGAIN)))
}

/// First code of every new thread.
unsafe extern "C" fn begin_thread(block: &'static Block, begin: usize) -> ! {
    // SAFETY: the block was made for this thread.
    unsafe { thread::set_gs(block) };
    thread::use_signal_stack(block);
    if begin != Begin::Thread as usize {
        block.tid.store(block.pid.load(Ordering::Relaxed), Ordering::Relaxed);
        die_with_init();
    }
    // Host calls get slower by this.
    signal::arm_call_trap();
    block.engine.host_tid.swap(block.tid.load(Ordering::Relaxed), Ordering::SeqCst);
    if begin == Begin::Idle as usize {
        idle(block);
    }
    if begin == Begin::Thread as usize {
        thread::set_fs_base(block.start_fs.get());
    }
    block.cpu_base.set(0);
    // SAFETY: the frame was prepared by the parent.
    unsafe { entry::enter_guest(&block.engine, Resume::Full) }
}

/// No process outlives init.
fn die_with_init() {
    // SAFETY: harmless calls.
    let parent = unsafe {
        let _ = sys!(sys::__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
        sys!(sys::__NR_getppid).unwrap_or(0) as u32
    };
    if parent != report::init_pid() {
        exit_process();
    }
}

/// Makes a twin of the calling process; see [`HostProcess`](lx_core::host::HostProcess).
pub(crate) fn fork(handler: Arc<dyn TrapHandler>, regs: &GuestRegs) -> HostResult<()> {
    let parent = thread::current();
    let child = thread::allocate().ok_or(HostError(Errno::EAGAIN))?;
    child.prepare(Some(Arc::clone(&handler)), Some(regs), Some(parent));
    handler.attached(child.id());
    drop(child.set_process(Some(Process::new())));
    match clone_onto(PROCESS_FLAGS, child, Begin::Twin) {
        Ok(()) => Ok(()),
        Err(error) => {
            abandon(child);
            Err(error)
        }
    }
}

/// Takes a block back whose thread could not be made.
fn abandon(block: &'static Block) {
    // SAFETY: no thread runs on the block.
    drop(unsafe { block.engine.set_handler(None) });
    drop(block.set_process(None));
    block.release();
}

/// Starts a thread in the calling process.
pub(crate) fn spawn_thread(
    handler: Arc<dyn TrapHandler>,
    regs: &GuestRegs,
    fs_base: u64,
) -> HostResult<()> {
    let parent = thread::current();
    // SAFETY: the calling thread's own block.
    let process = unsafe { &*parent.process.get() }.clone();
    let spare = process.as_ref().and_then(|process| process.spares.take());
    let child = spare.or_else(thread::allocate).ok_or(HostError(Errno::EAGAIN))?;
    if let Some(process) = &process {
        process.threads.fetch_add(1, Ordering::AcqRel);
    }
    child.prepare(Some(Arc::clone(&handler)), Some(regs), Some(parent));
    handler.attached(child.id());
    child.start_fs.set(fs_base);
    if spare.is_some() {
        // What a new thread inherits: modes of rounding, and vector registers in full.
        // SAFETY: the area of a thread that waits, and the frame of the calling one.
        unsafe {
            child.xstate().save(&*parent.engine.frame(), thread::xstate_layout().features());
        }
        spare::run(child);
        return Ok(());
    }
    drop(child.set_process(process.clone()));
    child.pid.store(parent.pid.load(Ordering::Relaxed), Ordering::Relaxed);
    match clone_onto(THREAD_FLAGS, child, Begin::Thread) {
        Ok(()) => Ok(()),
        Err(error) => {
            if let Some(process) = process {
                process.threads.fetch_sub(1, Ordering::AcqRel);
            }
            abandon(child);
            Err(error)
        }
    }
}

/// Runs a task on the calling thread until it ends; see
/// [`HostProcess`](lx_core::host::HostProcess).
pub(crate) fn run_borrowed(handler: Arc<dyn TrapHandler>, regs: &GuestRegs) -> HostResult<()> {
    let lender = thread::current();
    let child = thread::allocate().ok_or(HostError(Errno::EAGAIN))?;
    child.prepare(Some(Arc::clone(&handler)), Some(regs), Some(lender));
    handler.attached(child.id());
    child.lender.set(lender);
    // SAFETY: the calling thread's own block.
    let process = unsafe { &*lender.process.get() }.clone();
    drop(child.set_process(process));
    child.pid.store(lender.pid.load(Ordering::Relaxed), Ordering::Relaxed);
    let tid = lender.engine.host_tid.load(Ordering::Relaxed);

    // The child may change what the lender's guest has in FS and in the vector registers.
    let fs = thread::fs_base();
    // SAFETY: own area and frame; nothing else is using them now.
    unsafe {
        lender.xstate().save(&*lender.engine.frame(), thread::xstate_layout().features());
    }
    // Interrupts for the lender wait for it in `PENDING`.
    lender.parked.swap(1, Ordering::SeqCst);
    child.engine.host_tid.swap(tid, Ordering::SeqCst);
    child.cpu_base.set(crate::clock::thread_cpu_raw());
    // SAFETY: the block was allocated for this.
    unsafe { thread::set_gs(child) };
    // SAFETY: GS is the child's, its frame is complete.
    unsafe { entry::borrow_thread(&child.engine, Resume::Full, &child.saved_rsp) };

    // `on_exit` has made the lender the current block again.
    lender.parked.swap(0, Ordering::SeqCst);
    thread::set_fs_base(fs);
    // SAFETY: the area was saved above.
    unsafe { lender.xstate().load(thread::xstate_layout().features()) };
    child.release();
    Ok(())
}

/// Starts a task in an empty process.
pub(crate) fn spawn_process(handler: Arc<dyn TrapHandler>) -> HostResult<()> {
    let mut pool = POOL.lock();
    let worker = pool.idle.pop();
    let call_init = pool.idle.len() + pool.coming < POOL_LOW;
    let waiting = match worker {
        Some(_) => Some(handler),
        None => {
            pool.waiting.push_back(handler);
            None
        }
    };
    drop(pool);
    if let (Some(worker), Some(handler)) = (worker, waiting) {
        assign(worker, handler);
    }
    if worker.is_none() || call_init {
        init::wake();
    }
    Ok(())
}

fn assign(worker: &'static Block, handler: Arc<dyn TrapHandler>) {
    worker.prepare(Some(Arc::clone(&handler)), None, None);
    handler.attached(worker.id());
    worker.state.store(state::ACTIVE, Ordering::Release);
    worker.job.store(1, Ordering::Release);
    sys::futex_wake(worker.job.as_ptr(), 1);
}

/// Fills the pool; called by init.
pub(crate) fn fill_pool() {
    loop {
        let mut pool = POOL.lock();
        let missing = pool.idle.len() + pool.coming < POOL_LOW.max(pool.waiting.len().min(64));
        if missing {
            pool.coming += 1;
        }
        drop(pool);
        if !missing {
            return;
        }
        let Some(block) = thread::allocate() else { return };
        block.state.store(state::IDLE, Ordering::Release);
        block.prepare(None, None, None);
        drop(block.set_process(Some(Process::new())));
        block.job.store(0, Ordering::Relaxed);
        if clone_onto(POOL_FLAGS, block, Begin::Idle).is_err() {
            abandon(block);
            POOL.lock().coming -= 1;
            return;
        }
        // The process enters itself into the list, but counts from now on.
    }
}

/// An idle process, or one that was about to become idle, was killed.
pub(crate) fn forget_idle(dead: &'static Block) {
    let mut pool = POOL.lock();
    let known = pool.idle.len();
    pool.idle.retain(|block| !core::ptr::eq(*block, dead));
    if pool.idle.len() == known {
        pool.coming = pool.coming.saturating_sub(1);
    }
}

/// Waits for a task and begins it; runs on the block's kernel stack.
fn idle(block: &'static Block) -> ! {
    let mut pool = POOL.lock();
    pool.coming = pool.coming.saturating_sub(1);
    let task = pool.waiting.pop_front();
    if task.is_none() {
        block.job.store(0, Ordering::Relaxed);
        block.state.store(state::IDLE, Ordering::Release);
        pool.idle.push(block);
    }
    drop(pool);
    match task {
        Some(handler) => {
            block.prepare(Some(Arc::clone(&handler)), None, None);
            handler.attached(block.id());
            block.state.store(state::ACTIVE, Ordering::Release);
        }
        None => {
            while block.job.load(Ordering::Acquire) == 0 {
                let _ = sys::futex_wait(block.job.as_ptr(), 0, None);
            }
        }
    }
    start(block)
}

/// Begins the task that has been put on the block.
fn start(block: &'static Block) -> ! {
    block.cpu_base.set(crate::clock::thread_cpu_raw());
    thread::set_fs_base(0);
    // SAFETY: own area; nobody else uses it.
    unsafe {
        block.xstate().init();
        block.xstate().load(thread::xstate_layout().features());
    }
    // SAFETY: the frame is clean, and nothing on this stack is needed any more.
    unsafe { entry::enter_trap(&block.engine, TrapCause::Start) }
}

/// The task on the block is over: called by the entry on the block's kernel stack.
pub(crate) unsafe extern "C" fn on_exit(engine: *const ThreadBlock) -> ! {
    // SAFETY: the engine's part comes first in a block, and blocks are never freed.
    let block: &'static Block = unsafe { &*engine.cast::<Block>() };
    block.check_stack();
    // SAFETY: the handler has returned for good.
    drop(unsafe { block.engine.set_handler(None) });
    let lender = block.lender.replace(core::ptr::null());
    if !lender.is_null() {
        drop(block.set_process(None));
        // SAFETY: the lender is this very thread's other block, and its stack waits in
        // `borrow_thread`.
        unsafe {
            thread::set_gs(&*lender);
            entry::end_borrow(block.saved_rsp.get())
        }
    }
    // SAFETY: the block's own thread. It stays the same for a spare thread.
    let process = unsafe { &*block.process.get() }.as_deref();
    if let Some(process) = process
        && let End::Superfluous = spare::wait(block, process)
    {
        drop(block.set_process(None));
        end_thread(block, sys::__NR_exit);
    }
    // Only a process whose first thread is left is as good as new.
    let is_leader = block.tid.load(Ordering::Relaxed) == block.pid.load(Ordering::Relaxed);
    if is_leader && reserve_idle() {
        block.state.store(state::IDLE, Ordering::Release);
        memory::reset();
        if let Some(process) = process {
            process.threads.store(1, Ordering::Release);
        }
        block.engine.pending.store(0, Ordering::Relaxed);
        block.job.store(0, Ordering::Relaxed);
        idle(block);
    }
    // The others give their blocks back by themselves.
    let others = process.is_some_and(spare::dismiss);
    drop(block.set_process(None));
    init::note_exit();
    end_thread(block, if others { sys::__NR_exit } else { sys::__NR_exit_group })
}

/// Whether the pool has room for one more process.
fn reserve_idle() -> bool {
    let mut pool = POOL.lock();
    let room = pool.idle.len() + pool.coming < POOL_SIZE || !pool.waiting.is_empty();
    if room {
        pool.coming += 1;
    }
    room
}

/// Ends the calling thread and frees its block.
fn end_thread(block: &'static Block, call: u32) -> ! {
    // An interrupt that is still on its way must not find the block in other hands.
    signal::block_all();
    sys::note_call(call);
    // SAFETY: signals are blocked.
    unsafe { block.release_and_exit(call) }
}

/// Ends the calling process.
pub(crate) fn exit_process() -> ! {
    loop {
        // SAFETY: never returns.
        let _ = unsafe { sys!(sys::__NR_exit_group, 0usize) };
    }
}
