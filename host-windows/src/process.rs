//! Host processes and threads: twins, threads, borrowed threads, the pool, the end.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use lx_core::abi::{Errno, GuestRegs};
use lx_core::host::{HostError, HostResult, Resume, TrapHandler};
use lx_core::sync::Mutex;
use lx_nt::{ClientId, Handle};
use lx_x86::thread_block::{ThreadBlock, TrapCause};
use lx_x86::{context, entry};

use crate::children::Children;
use crate::files::HandleCache;
use crate::fork::{self, Snapshot};
use crate::nt::{self, nt};
use crate::space::Space;
use crate::thread::{self, Block, MAX_BLOCKS, state};
use crate::{aside, boot, clock, init, memory, park, report, siblings};

/// Idle processes that are kept.
const POOL_SIZE: usize = 6;
/// Init makes new ones when there are fewer.
const POOL_LOW: usize = 2;
/// Lock level of the pool.
const LEVEL: u8 = 59;
/// Lock level of a process's mappings.
const SPACE_LEVEL: u8 = 58;

/// One host process that runs guests.
pub(crate) struct Process {
    /// Threads that have not ended.
    threads: AtomicU32,
    /// 1 while the memory is copied for a twin: no thread may begin.
    pub(crate) copying: AtomicU32,
    /// What is mapped for the guest.
    pub(crate) space: Mutex<Space, SPACE_LEVEL>,
    /// This process's handles of the blocks' events, by block, 0 if not known yet.
    events: Box<[AtomicUsize]>,
    /// This process's handles of files.
    pub(crate) files: HandleCache,
    /// The host's number of it; 0 when it has ended.
    pid: AtomicU32,
}

/// Every process that may have handles.
static ALL: Mutex<Vec<Arc<Process>>, LEVEL> = Mutex::new(Vec::new());

impl Process {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            threads: AtomicU32::new(1),
            copying: AtomicU32::new(0),
            space: Mutex::new(Space::new()),
            events: (0..MAX_BLOCKS).map(|_| AtomicUsize::new(0)).collect(),
            files: HandleCache::new(),
            pid: AtomicU32::new(0),
        })
    }

    /// Calls `act` with a handle of the process that lets its handles be closed; not if it has
    /// ended.
    pub(crate) fn with_handle(&self, act: impl FnOnce(Handle)) {
        let pid = self.pid.load(Ordering::Acquire);
        let Some(handle) = open(pid) else { return };
        // As long as init has not heard of its end, nobody else has its number.
        if self.pid.load(Ordering::Acquire) == pid {
            act(handle);
        }
        nt::close(handle);
    }

    /// Whether the calling thread is the only one.
    pub(crate) fn is_single(&self) -> bool {
        self.threads.load(Ordering::Acquire) == 1
    }
}

/// A handle of a process that lets its handles be taken and closed; the caller closes it.
pub(crate) fn open(pid: u32) -> Option<Handle> {
    const DUP_HANDLE: u32 = 0x40;
    let id = ClientId { process: pid as usize, thread: 0 };
    let mut handle = 0;
    // SAFETY: the call reads the id and writes the handle.
    let status = unsafe { nt!(open_process, &mut handle, DUP_HANDLE, &nt::no_attributes(), &id) };
    (pid != 0 && status >= 0).then_some(handle)
}

/// The calling thread's process; `None` for init.
pub(crate) fn current() -> Option<&'static Arc<Process>> {
    thread::current().process()
}

/// All processes that have not ended.
pub(crate) fn all() -> Vec<Arc<Process>> {
    ALL.lock().clone()
}

/// A process has ended.
pub(crate) fn forget(pid: u32) {
    let mut all = ALL.lock();
    let at = all.iter().position(|process| process.pid.load(Ordering::Relaxed) == pid);
    let ended = at.map(|at| all.swap_remove(at));
    drop(all);
    if let Some(ended) = ended {
        ended.pid.store(0, Ordering::Release);
    }
}

/// Calls `act` with a handle for the calling process of the event that wakes a block's thread.
pub(crate) fn with_event<T>(block: &Block, act: impl FnOnce(Handle) -> T) -> T {
    if current().is_some() || thread::is_init() {
        return act(event_of(block));
    }
    // A thread that ends has given back its process, which knows the handles, but still takes locks.
    match nt::take_from_init(block.event.load(Ordering::Relaxed)) {
        Ok(event) => {
            let result = act(event);
            nt::close(event);
            result
        }
        Err(_) => report::stop(format_args!("no event for block {}", block.index)),
    }
}

/// A handle for the calling process of the event that wakes a block's thread.
fn event_of(block: &Block) -> Handle {
    let in_init = block.event.load(Ordering::Relaxed);
    let Some(process) = current() else { return in_init };
    let Some(slot) = process.events.get(block.index as usize) else { return in_init };
    let known = slot.load(Ordering::Acquire);
    if known != 0 {
        return known;
    }
    match nt::take_from_init(in_init) {
        Ok(new) => match slot.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(other) => {
                nt::close(new);
                other
            }
        },
        Err(_) => report::stop(format_args!("no event for block {}", block.index)),
    }
}

/// What a process of the pool is to do.
struct Task {
    handler: Arc<dyn TrapHandler>,
    /// A twin of another process, else an empty one.
    snapshot: Option<Box<Snapshot>>,
}

struct Pool {
    idle: Vec<&'static Block>,
    /// Tasks that wait for a process.
    waiting: VecDeque<Task>,
    /// Processes that init has been asked for or is making.
    coming: usize,
}

static POOL: Mutex<Pool, LEVEL> =
    Mutex::new(Pool { idle: Vec::new(), waiting: VecDeque::new(), coming: 0 });

/// Makes a twin of the calling process; see [`HostProcess`](lx_core::host::HostProcess).
pub(crate) fn fork(handler: Arc<dyn TrapHandler>, regs: &GuestRegs) -> HostResult<()> {
    let snapshot = fork::take(thread::current(), regs)?;
    submit(Task { handler, snapshot: Some(snapshot) });
    Ok(())
}

/// Starts a thread in the calling process.
pub(crate) fn spawn_thread(
    handler: Arc<dyn TrapHandler>,
    regs: &GuestRegs,
    fs_base: u64,
) -> HostResult<()> {
    let parent = thread::current();
    let child = thread::allocate().ok_or(HostError(Errno::EAGAIN))?;
    let process = parent.process().cloned();
    if let Some(process) = &process {
        process.threads.fetch_add(1, Ordering::AcqRel);
    }
    child.prepare(Some(Arc::clone(&handler)), Some(regs), Some(parent));
    handler.attached(child.id());
    drop(child.set_process(process.clone()));
    child.pid.store(parent.pid.load(Ordering::Relaxed), Ordering::Relaxed);
    child.guest_fs.set(fs_base);
    // What it inherits: modes of rounding, and vector registers in full.
    // SAFETY: the area of a block without a thread, and the frame of the calling one.
    unsafe { child.xstate().save(&*parent.engine.frame(), thread::xstate_layout().features()) };
    // SAFETY: the new thread uses the block alone.
    let id = unsafe { nt!(create_thread, child.id().0, boot::entry()) };
    if id != 0 {
        return Ok(());
    }
    if let Some(process) = process {
        process.threads.fetch_sub(1, Ordering::AcqRel);
    }
    // SAFETY: no thread runs on the block.
    drop(unsafe { child.engine.set_handler(None) });
    drop(child.set_process(None));
    child.release();
    Err(HostError(Errno::EAGAIN))
}

/// First code of a further thread, on its block's kernel stack.
pub(crate) unsafe extern "C" fn begin_thread(block: &'static Block) -> ! {
    siblings::wait_for_copy(block);
    // SAFETY: the frame and the extended state were prepared by the parent.
    unsafe { entry::enter_guest(&block.engine, Resume::FullWithXstate) }
}

/// Runs a task on the calling thread until it ends; see
/// [`HostProcess`](lx_core::host::HostProcess).
pub(crate) fn run_borrowed(handler: Arc<dyn TrapHandler>, regs: &GuestRegs) -> HostResult<()> {
    let lender = thread::current();
    let child = thread::allocate().ok_or(HostError(Errno::EAGAIN))?;
    child.prepare(Some(Arc::clone(&handler)), Some(regs), Some(lender));
    handler.attached(child.id());
    child.lender.set(lender);
    drop(child.set_process(lender.process().cloned()));
    child.pid.store(lender.pid.load(Ordering::Relaxed), Ordering::Relaxed);
    child.guest_fs.set(lender.guest_fs.get());
    child.host_fs.set(lender.host_fs.get());
    child.host_code.set(lender.host_code.get());
    let tid = lender.engine.host_tid.load(Ordering::Relaxed);

    // The child may change what the lender's guest has in the vector registers.
    // SAFETY: own area and frame; nothing else is using them now.
    unsafe {
        lender.xstate().save(&*lender.engine.frame(), thread::xstate_layout().features());
    }
    // Interrupts for the lender wait for it in `PENDING`.
    lender.parked.swap(1, Ordering::SeqCst);
    child.engine.host_tid.swap(tid, Ordering::SeqCst);
    child.cpu_base.set(clock::thread_cpu_raw());
    // SAFETY: the block was allocated for this.
    unsafe { thread::set_current(child) };
    // SAFETY: the block is the thread's now, its frame is complete.
    unsafe { entry::borrow_thread(&child.engine, Resume::Full, &child.saved_rsp) };

    // `on_exit` has made the lender the current block again. The slot with the guest's stack
    // pointer is the host thread's, and the child has used it.
    // SAFETY: own frame.
    thread::set_guest_stack(unsafe { (*lender.engine.frame()).regs.rsp });
    lender.parked.swap(0, Ordering::SeqCst);
    set_fs_base(lender.guest_fs.get());
    // SAFETY: the area was saved above.
    unsafe { lender.xstate().load(thread::xstate_layout().features()) };
    child.release();
    Ok(())
}

/// The guest's thread pointer of the calling thread.
pub(crate) fn set_fs_base(base: u64) {
    const USER_END: u64 = 1 << 47;
    if base < USER_END {
        thread::current().guest_fs.set(base);
        // SAFETY: no kernel code uses FS.
        unsafe { context::write_fs_base(base) };
    }
}

/// Starts a task in an empty process.
pub(crate) fn spawn_process(handler: Arc<dyn TrapHandler>) -> HostResult<()> {
    submit(Task { handler, snapshot: None });
    Ok(())
}

/// Hands a task to a process of the pool, as soon as there is one.
fn submit(task: Task) {
    let mut pool = POOL.lock();
    let worker = pool.idle.pop();
    let call_init = pool.idle.len() + pool.coming < POOL_LOW;
    let task = match worker {
        Some(_) => Some(task),
        None => {
            pool.waiting.push_back(task);
            None
        }
    };
    drop(pool);
    if let (Some(worker), Some(task)) = (worker, task) {
        assign(worker, task);
        worker.job.store(1, Ordering::Release);
        park::wake(&worker.job, 1);
    }
    if worker.is_none() || call_init {
        init::wake();
    }
}

fn assign(worker: &'static Block, task: Task) {
    let regs = task.snapshot.as_ref().map(|snapshot| snapshot.regs());
    worker.prepare(Some(Arc::clone(&task.handler)), regs, None);
    // SAFETY: the worker waits for its job.
    unsafe { *worker.snapshot.get() = task.snapshot };
    task.handler.attached(worker.id());
    worker.state.store(state::ACTIVE, Ordering::Release);
}

/// Fills the pool; called by init.
pub(crate) fn fill_pool(children: &mut Children) {
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
        let new = Process::new();
        drop(block.set_process(Some(Arc::clone(&new))));
        block.job.store(0, Ordering::Relaxed);
        let (mut process, mut thread) = (0, 0);
        // SAFETY: the new process uses the block alone, and the call writes the handles.
        let pid =
            unsafe { nt!(create_process, block.id().0, boot::entry(), &mut process, &mut thread) };
        if pid == 0 {
            drop(block.set_process(None));
            block.release();
            POOL.lock().coming -= 1;
            return;
        }
        children.add(pid, process);
        new.pid.store(pid, Ordering::Release);
        ALL.lock().push(new);
        // Before it runs: afterwards the block may be somebody else's already.
        block.pid.store(pid, Ordering::Release);
        // SAFETY: the thread is the new process's first.
        let _ = unsafe { nt!(resume, thread, core::ptr::null_mut()) };
        nt::close(thread);
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
pub(crate) unsafe extern "C" fn idle(block: &'static Block) -> ! {
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
        Some(task) => assign(block, task),
        None => {
            while block.job.load(Ordering::Acquire) == 0 {
                park::park(&block.job, 0, None);
            }
        }
    }
    start(block)
}

/// Begins the task that has been put on the block.
fn start(block: &'static Block) -> ! {
    block.cpu_base.set(clock::thread_cpu_raw());
    // SAFETY: own block; whoever assigned the task is done.
    let snapshot = unsafe { (*block.snapshot.get()).take() };
    if let Some(snapshot) = snapshot {
        if fork::restore(block, *snapshot).is_err() {
            report::stop(format_args!("no memory for a forked process"));
        }
        // SAFETY: the frame is complete, and nothing on this stack is needed any more.
        unsafe { entry::enter_guest(&block.engine, Resume::FullWithXstate) }
    }
    set_fs_base(0);
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
    aside::forget_thread(block.index);
    // SAFETY: the handler has returned for good.
    drop(unsafe { block.engine.set_handler(None) });
    let lender = block.lender.replace(core::ptr::null());
    if !lender.is_null() {
        drop(block.set_process(None));
        // SAFETY: the lender is this very thread's other block, and its stack waits in
        // `borrow_thread`.
        unsafe {
            thread::set_current(&*lender);
            entry::end_borrow(block.saved_rsp.get())
        }
    }
    let last = match block.process() {
        Some(process) => process.threads.fetch_sub(1, Ordering::AcqRel) == 1,
        None => true,
    };
    if last && reserve_idle() {
        block.state.store(state::IDLE, Ordering::Release);
        memory::reset();
        if let Some(process) = block.process() {
            process.files.clear();
            process.threads.store(1, Ordering::Release);
        }
        block.engine.pending.store(0, Ordering::Relaxed);
        block.job.store(0, Ordering::Relaxed);
        // SAFETY: the thread's own block, on its own stack.
        unsafe { idle(block) }
    }
    // Interrupts that are on their way find nobody.
    block.engine.host_tid.store(0, Ordering::SeqCst);
    // The thread leaves the block's stack before the block is given back.
    // SAFETY: the loader's stack waits in `boot`.
    unsafe { entry::end_borrow(block.loader_rsp.get()) }
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
