//! Thread blocks: what a host thread that runs guests has in the region.
//!
//! ```text
//! + 0       Block (the GS base points here)
//! + 8 KB    xstate area
//! + 16 KB   stack for host signal handlers, 32 KB
//! + 48 KB   kernel stack, 80 KB
//! ```
//!
//! Blocks are recycled and never freed, so that a stale [`HostThreadId`] does no harm.

use alloc::sync::Arc;
use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use lx_core::abi::GuestRegs;
use lx_core::host::{HostThreadId, TrapHandler};
use lx_core::sync::{Mutex, SpinHabit};
use lx_region::{CLASSES, Magazine};
use lx_x86::context;
use lx_x86::thread_block::ThreadBlock;
use lx_x86::xstate::{Xstate, XstateLayout};
use spin::Once;

use crate::process::Process;
use crate::sys::{self, sys};
use crate::{process, region, report};

const BLOCK_BYTES: usize = 128 * 1024;
const XSTATE_AT: u64 = 8 * 1024;
const SIGNAL_STACK_AT: u64 = 16 * 1024;
const SIGNAL_STACK_BYTES: usize = 32 * 1024;
/// Written at the lower end of the kernel stack.
const STACK_MARK: u64 = 0x6b63_6174_735f_786c;
/// Lock level of taking blocks.
const LEVEL: u8 = 60;
/// Threads that a machine can have.
const MAX_BLOCKS: usize = 1 << 16;

/// What a block is used for.
pub(crate) mod state {
    /// Nobody uses it.
    pub(crate) const FREE: u32 = 0;
    /// A guest task runs on it, or is about to.
    pub(crate) const ACTIVE: u32 = 1;
    /// Its host process waits for a task.
    pub(crate) const IDLE: u32 = 2;
    /// The init process runs on it.
    pub(crate) const INIT: u32 = 3;
    /// Its host process was killed. Never used again, so that a lock that names it as the owner
    /// can be told from others.
    pub(crate) const DEAD: u32 = 4;
    /// Its thread waits for another guest thread of its process.
    pub(crate) const SPARE: u32 = 5;
}

/// A thread block.
#[repr(C)]
pub(crate) struct Block {
    pub(crate) engine: ThreadBlock,
    /// One of [`state`].
    pub(crate) state: AtomicU32,
    /// Number of the block; the lock owner id is one more.
    pub(crate) index: u32,
    /// Not 0 while the thread sleeps in [`park`](crate::park::park).
    pub(crate) parked: AtomicU32,
    /// Word and value that it sleeps on.
    pub(crate) park_word: AtomicU64,
    pub(crate) park_value: AtomicU32,
    /// An idle process waits for this to become 1.
    pub(crate) job: AtomicU32,
    /// Whether it spins before it sleeps as a spare thread.
    pub(crate) spare_habit: SpinHabit,
    /// Lock levels held, in debug builds.
    pub(crate) held_levels: AtomicU64,
    /// Host process of the thread.
    pub(crate) pid: &'static AtomicU32,
    /// Host thread id; published in `engine.host_tid` once the thread can take interrupts.
    pub(crate) tid: AtomicU32,
    /// The block whose thread this one borrows.
    pub(crate) lender: Cell<*const Block>,
    /// Where the lender's kernel stack stopped.
    pub(crate) saved_rsp: Cell<u64>,
    /// FS base for a new thread.
    pub(crate) start_fs: Cell<u64>,
    /// Thread CPU time at the start of the present task.
    pub(crate) cpu_base: Cell<u64>,
    pub(crate) process: UnsafeCell<Option<Arc<Process>>>,
    magazines: UnsafeCell<[Magazine; CLASSES]>,
}

// SAFETY: non-atomic fields are used by the block's own thread only, or by the one that prepares
// it while no thread runs on it.
unsafe impl Sync for Block {}
// SAFETY: as above.
unsafe impl Send for Block {}

const _: () = assert!(size_of::<Block>() <= XSTATE_AT as usize);

/// Addresses of all blocks there are; found without a lock, because who waits for one looks here.
static BLOCKS: [AtomicU64; MAX_BLOCKS] = [const { AtomicU64::new(0) }; MAX_BLOCKS];
/// How many there are.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Held while a block is taken or made.
static TAKING: Mutex<(), LEVEL> = Mutex::new(());
/// Host processes of the blocks' threads, by number of the block: side by side, as init looks for
/// those of each process that has died.
static PIDS: [AtomicU32; MAX_BLOCKS] = [const { AtomicU32::new(0) }; MAX_BLOCKS];
/// No block below this one is free; too low a value only costs time.
static LOWEST_FREE: AtomicU32 = AtomicU32::new(0);
/// Whether user code may change FS and GS bases by itself.
static FSGSBASE: AtomicBool = AtomicBool::new(false);
/// What the extended state of this processor looks like.
static XSTATE: Once<XstateLayout> = Once::new();

/// Notes what the CPU and the host kernel offer, once, at boot.
pub(crate) fn probe_cpu(hwcap2: u64) {
    FSGSBASE.store(hwcap2 & 2 != 0, Ordering::Relaxed);
    let _ = xstate_layout();
}

/// What the extended state of this processor looks like.
pub(crate) fn xstate_layout() -> &'static XstateLayout {
    XSTATE.call_once(XstateLayout::probe)
}

/// Whether FS can be read and written without a host call.
pub(crate) fn has_fsgsbase() -> bool {
    FSGSBASE.load(Ordering::Relaxed)
}

/// The calling thread's block.
pub(crate) fn current() -> &'static Block {
    let block: *const Block;
    // SAFETY: every thread of the machine sets GS to its block before any other code runs on it,
    // and blocks are never freed.
    unsafe {
        asm!(
            "mov {}, gs:[{this}]",
            out(reg) block,
            this = const core::mem::offset_of!(ThreadBlock, this),
            options(nostack, preserves_flags, readonly, pure),
        );
        &*block
    }
}

/// The calling thread's magazine of a class.
///
/// # Safety
///
/// One reference at a time: for the allocator only.
pub(crate) unsafe fn magazine(class: usize) -> Option<&'static mut Magazine> {
    let magazines = current().magazines.get();
    // SAFETY: the array belongs to the calling thread; the caller's promise.
    unsafe { (*magazines).get_mut(class) }
}

/// Counts a host call for the calling thread.
#[inline]
pub(crate) fn count_host_call() {
    // SAFETY: GS is the calling thread's block.
    unsafe {
        asm!(
            "inc qword ptr gs:[{calls}]",
            calls = const core::mem::offset_of!(ThreadBlock, host_calls),
            options(nostack),
        );
    }
}

/// The block with this id.
pub(crate) fn by_id(id: HostThreadId) -> Option<&'static Block> {
    // SAFETY: ids are addresses of blocks, which are never freed.
    (id.0 != 0).then(|| unsafe { &*(id.0 as *const Block) })
}

impl Block {
    /// The name that the kernel knows it by.
    pub(crate) fn id(&self) -> HostThreadId {
        HostThreadId(core::ptr::from_ref(self) as u64)
    }

    /// Owner id for locks.
    pub(crate) fn owner_id(&self) -> u32 {
        self.index + 1
    }

    /// The extended state area.
    ///
    /// # Safety
    ///
    /// Only the block's own thread, one reference at a time.
    #[expect(clippy::mut_from_ref, reason = "the area belongs to the block's thread alone")]
    pub(crate) unsafe fn xstate(&self) -> &mut Xstate {
        // SAFETY: the area lies in the block's memory, aligned; the caller's promise.
        unsafe { &mut *(self.engine.xstate.get() as *mut Xstate) }
    }

    /// Start of the block's memory that is the signal stack.
    fn signal_stack(&self) -> u64 {
        self.engine.xstate.get() - XSTATE_AT + SIGNAL_STACK_AT
    }

    /// Stops the machine if the kernel stack has been too small. There is no guard page: each one
    /// would cost every process a mapping.
    pub(crate) fn check_stack(&self) {
        let end = stack_end(core::ptr::from_ref(self) as u64) as *const u64;
        // SAFETY: the word is part of the block's memory, which is never freed.
        if unsafe { end.read_volatile() } != STACK_MARK {
            report::stop(format_args!("kernel stack overflow in thread block {}", self.index));
        }
    }

    /// Whether `rsp` is on this block's kernel stack.
    pub(crate) fn on_kernel_stack(&self, rsp: u64) -> bool {
        let top = self.engine.k_rsp.get();
        rsp <= top && rsp > top - 80 * 1024
    }

    /// Prepares a free block for a task that enters the guest with `regs`; the vector registers
    /// are those that the caller's guest has, if any.
    pub(crate) fn prepare(
        &self,
        handler: Option<Arc<dyn TrapHandler>>,
        regs: Option<&GuestRegs>,
        parent: Option<&Block>,
    ) {
        let engine = &self.engine;
        engine.pending.store(0, Ordering::Relaxed);
        engine.load_xstate.set(0);
        engine.host_calls.set(0);
        self.lender.set(core::ptr::null());
        let frame = engine.frame();
        // SAFETY: no thread runs on the block, so its stack and handler are the caller's.
        unsafe {
            match parent {
                Some(parent) => frame.copy_from_nonoverlapping(parent.engine.frame(), 1),
                None => frame.write_bytes(0, 1),
            }
            if let Some(regs) = regs {
                (*frame).regs = *regs;
            }
            (*frame).regs.cs = GuestRegs::USER_CS;
            (*frame).regs.ss = GuestRegs::USER_SS;
            drop(engine.set_handler(handler));
        }
    }

    /// Ties the block to a host process; the former one is dropped.
    pub(crate) fn set_process(&self, process: Option<Arc<Process>>) -> Option<Arc<Process>> {
        // SAFETY: own thread, or no thread: see the type.
        let slot = unsafe { &mut *self.process.get() };
        core::mem::replace(slot, process)
    }

    /// Gives the block back; its thread has ended or never begun.
    pub(crate) fn release(&self) {
        self.engine.host_tid.store(0, Ordering::SeqCst);
        self.pid.store(0, Ordering::Release);
        self.state.store(state::FREE, Ordering::Release);
        LOWEST_FREE.fetch_min(self.index, Ordering::AcqRel);
    }

    /// Gives the block of the calling thread back and makes the host call that ends the thread.
    ///
    /// # Safety
    ///
    /// The thread takes no signals any more.
    pub(crate) unsafe fn release_and_exit(&self, call: u32) -> ! {
        self.engine.host_tid.store(0, Ordering::SeqCst);
        self.pid.store(0, Ordering::Release);
        // SAFETY: from the first store on nothing of the block is touched, its stack included: it
        // may already be somebody else's. The rest is `release` in registers.
        unsafe {
            asm!(
                "mov dword ptr [{state}], {free}",
                "mov eax, [{lowest}]",
                "2:",
                "cmp eax, {index:e}",
                "jbe 3f",
                "lock cmpxchg [{lowest}], {index:e}",
                "jne 2b",
                "3:",
                "mov eax, {call:e}",
                "xor edi, edi",
                "syscall",
                "ud2",
                state = in(reg) self.state.as_ptr(),
                free = const state::FREE,
                lowest = in(reg) LOWEST_FREE.as_ptr(),
                index = in(reg) self.index,
                call = in(reg) call,
                in("eax") 0,
                options(noreturn, nostack),
            )
        }
    }
}

/// Lower end of the kernel stack of the block at `memory`.
fn stack_end(memory: u64) -> u64 {
    memory + SIGNAL_STACK_AT + SIGNAL_STACK_BYTES as u64
}

/// Makes a block in fresh memory.
fn create(memory: u64, index: u32, state: u32) -> Option<&'static Block> {
    let pid = PIDS.get(index as usize)?;
    let block = memory as *mut Block;
    let engine = ThreadBlock::new(
        memory + BLOCK_BYTES as u64,
        memory + XSTATE_AT,
        xstate_layout().features(),
        process::on_exit,
    );
    engine.this.set(memory);
    // SAFETY: part of the new memory.
    unsafe { (stack_end(memory) as *mut u64).write(STACK_MARK) };
    // SAFETY: the memory is ours, aligned to 64 KB, and large enough.
    unsafe {
        block.write(Block {
            engine,
            state: AtomicU32::new(state),
            index,
            parked: AtomicU32::new(0),
            park_word: AtomicU64::new(0),
            park_value: AtomicU32::new(0),
            job: AtomicU32::new(0),
            spare_habit: SpinHabit::new(),
            held_levels: AtomicU64::new(0),
            pid,
            tid: AtomicU32::new(0),
            lender: Cell::new(core::ptr::null()),
            saved_rsp: Cell::new(0),
            start_fs: Cell::new(0),
            cpu_base: Cell::new(0),
            process: UnsafeCell::new(None),
            magazines: UnsafeCell::new([Magazine::EMPTY; CLASSES]),
        });
        BLOCKS.get(index as usize)?.store(memory, Ordering::Release);
        COUNT.store(index + 1, Ordering::Release);
        Some(&*block)
    }
}

/// The first block, before there is a heap. Does not set GS.
pub(crate) fn create_first() -> Option<&'static Block> {
    let memory = region::alloc_run(BLOCK_BYTES)?;
    create(memory, 0, state::INIT)
}

/// The block with this number.
fn by_index(index: u32) -> Option<&'static Block> {
    by_id(HostThreadId(BLOCKS.get(index as usize)?.load(Ordering::Acquire)))
}

/// All blocks.
pub(crate) fn all() -> impl Iterator<Item = &'static Block> {
    (0..COUNT.load(Ordering::Acquire)).filter_map(by_index)
}

/// The blocks of the threads of a host process.
pub(crate) fn of_process(pid: u32) -> impl Iterator<Item = &'static Block> {
    let numbered = PIDS.iter().zip(0..COUNT.load(Ordering::Acquire));
    let theirs = numbered.filter(move |(of, _)| of.load(Ordering::Acquire) == pid);
    theirs.filter_map(|(_, index)| by_index(index))
}

/// A block for a new task; its state is `ACTIVE`.
pub(crate) fn allocate() -> Option<&'static Block> {
    let _taking = TAKING.lock();
    let count = COUNT.load(Ordering::Acquire);
    let first = LOWEST_FREE.swap(u32::MAX, Ordering::AcqRel);
    let free = (first..count).filter_map(by_index).find(|block| {
        block.state.load(Ordering::Relaxed) == state::FREE
            && block
                .state
                .compare_exchange(state::FREE, state::ACTIVE, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    });
    if let Some(block) = free {
        LOWEST_FREE.fetch_min(block.index + 1, Ordering::AcqRel);
        return Some(block);
    }
    if count as usize >= MAX_BLOCKS {
        return None;
    }
    let memory = region::alloc_run(BLOCK_BYTES)?;
    create(memory, count, state::ACTIVE)
}

/// The block with this lock owner id.
pub(crate) fn by_owner(id: u32) -> Option<&'static Block> {
    by_index(id.checked_sub(1)?)
}

/// Points the calling thread's GS at `block`.
///
/// # Safety
///
/// The block belongs to the calling thread.
pub(crate) unsafe fn set_gs(block: &Block) {
    let address = core::ptr::from_ref(block) as u64;
    if has_fsgsbase() {
        // SAFETY: checked; the caller's promise.
        unsafe { context::write_gs_base(address) };
    } else {
        // SAFETY: the caller's promise. Not counted: there may be no block yet.
        let _ = unsafe {
            sys::call_uncounted(sys::__NR_arch_prctl, [ARCH_SET_GS, address as usize, 0, 0, 0, 0])
        };
    }
}

const ARCH_SET_GS: usize = 0x1001;
const ARCH_SET_FS: usize = 0x1002;
const ARCH_GET_FS: usize = 0x1003;

/// The guest's thread pointer.
pub(crate) fn fs_base() -> u64 {
    if has_fsgsbase() {
        // SAFETY: checked.
        return unsafe { context::read_fs_base() };
    }
    let mut base = 0u64;
    // SAFETY: the kernel writes the one word.
    let _ = unsafe { sys!(sys::__NR_arch_prctl, ARCH_GET_FS, &raw mut base) };
    base
}

/// Sets the guest's thread pointer. The kernel refuses addresses that cannot be one before.
pub(crate) fn set_fs_base(base: u64) {
    const USER_END: u64 = 1 << 47;
    if base >= USER_END {
        return;
    }
    if has_fsgsbase() {
        // SAFETY: checked; no kernel code uses FS.
        unsafe { context::write_fs_base(base) };
    } else {
        // SAFETY: as above.
        let _ = unsafe { sys!(sys::__NR_arch_prctl, ARCH_SET_FS, base) };
    }
}

/// Installs the signal stack of `block` for the calling thread.
pub(crate) fn use_signal_stack(block: &Block) {
    #[repr(C)]
    struct SignalStack {
        base: u64,
        flags: u64,
        size: usize,
    }
    let stack = SignalStack { base: block.signal_stack(), flags: 0, size: SIGNAL_STACK_BYTES };
    // SAFETY: the stack belongs to the block, which belongs to the thread.
    let _ = unsafe { sys!(sys::__NR_sigaltstack, &raw const stack, 0usize) };
}
