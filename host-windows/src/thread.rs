//! Thread blocks: what a host thread that runs guests has in the region.
//!
//! ```text
//! + 0       Block (a TEB slot points here)
//! + 8 KB    xstate area of the guest
//! + 12 KB   xstate area for calls of the host
//! + 16 KB   kernel stack, 112 KB
//! ```
//!
//! Blocks are recycled and never freed, so that a stale [`HostThreadId`] does no harm.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use lx_core::abi::GuestRegs;
use lx_core::host::{HostThreadId, TrapHandler};
use lx_core::sync::Mutex;
use lx_nt::Handle;
use lx_region::{CLASSES, Magazine};
use lx_x86::layout::gs;
use lx_x86::thread_block::ThreadBlock;
use lx_x86::xstate::{Xstate, XstateLayout};
use spin::Once;

use crate::fork::Snapshot;
use crate::nt::{self, nt};
use crate::owned_lock::OwnedLock;
use crate::process::Process;
use crate::{process, region, report};

const BLOCK_BYTES: usize = 128 * 1024;
const XSTATE_AT: u64 = 8 * 1024;
const HOST_XSTATE_AT: u64 = 12 * 1024;
const STACK_AT: u64 = 16 * 1024;
/// Written at the lower end of the kernel stack.
const STACK_MARK: u64 = 0x6b63_6174_735f_786c;
/// Lock level of making blocks.
const LEVEL: u8 = 60;
/// Threads that a machine can have.
pub(crate) const MAX_BLOCKS: usize = 4096;

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
}

/// A thread block.
#[repr(C)]
pub(crate) struct Block {
    pub(crate) engine: ThreadBlock,
    /// One of [`state`].
    pub(crate) state: AtomicU32,
    /// Number of the block; the lock owner id is one more.
    pub(crate) index: u32,
    /// Not 0 while the thread sleeps in [`park`](crate::park::park), or has lent its host thread.
    pub(crate) parked: AtomicU32,
    /// Word that it sleeps on.
    pub(crate) park_word: AtomicU64,
    /// Value that it expects there.
    pub(crate) park_value: AtomicU32,
    /// Set by the one who takes it off the list of sleepers.
    pub(crate) woken: AtomicU32,
    /// The next sleeper in the list: index plus one.
    pub(crate) next_parked: AtomicU32,
    /// Held by whoever suspends the thread, and by the thread itself while nobody may.
    pub(crate) suspender: OwnedLock,
    /// An idle process waits for this to become 1.
    pub(crate) job: AtomicU32,
    /// Lock levels held, in debug builds.
    pub(crate) held_levels: AtomicU64,
    /// Host process of the thread; 0 if none runs.
    pub(crate) pid: AtomicU32,
    /// Init's handle of the event that wakes the thread.
    pub(crate) event: AtomicUsize,
    /// The block whose thread this one borrows.
    pub(crate) lender: Cell<*const Block>,
    /// Where the lender's kernel stack stopped.
    pub(crate) saved_rsp: Cell<u64>,
    /// Where the loader's stack stopped.
    pub(crate) loader_rsp: Cell<u64>,
    /// FS base of the guest.
    pub(crate) guest_fs: Cell<u64>,
    /// Where a thread that loses its FS base by order goes on.
    pub(crate) struck_at: AtomicU64,
    /// The last state in which the thread got its FS base back, when, and how often in a row.
    pub(crate) repaired: Cell<(u64, u64, u32)>,
    /// FS base that the host's code needs on this thread.
    pub(crate) host_fs: Cell<u64>,
    /// Where the host's library for exceptions is in the thread's process.
    pub(crate) host_code: Cell<[u64; 2]>,
    /// Thread CPU time at the start of the present task.
    pub(crate) cpu_base: Cell<u64>,
    pub(crate) process: UnsafeCell<Option<Arc<Process>>>,
    /// The process has committed the kernel stack itself.
    stack_committed: Cell<bool>,
    /// What a process that waits for a task shall look like, if it is to be a twin.
    pub(crate) snapshot: UnsafeCell<Option<Box<Snapshot>>>,
    magazines: UnsafeCell<[Magazine; CLASSES]>,
}

// SAFETY: non-atomic fields are used by the block's own thread only, or by the one that prepares
// it while no thread runs on it.
unsafe impl Sync for Block {}
// SAFETY: as above.
unsafe impl Send for Block {}

const _: () = assert!(size_of::<Block>() <= XSTATE_AT as usize);

/// Addresses of all blocks there are; found without a lock, because wakers look here.
static BLOCKS: [AtomicU64; MAX_BLOCKS] = [const { AtomicU64::new(0) }; MAX_BLOCKS];
/// How many there are; the lock is held while one is made.
static COUNT: Mutex<u32, LEVEL> = Mutex::new(0);
/// What the extended state of this processor looks like.
static XSTATE: Once<XstateLayout> = Once::new();

/// What the extended state of this processor looks like.
pub(crate) fn xstate_layout() -> &'static XstateLayout {
    XSTATE.call_once(XstateLayout::probe)
}

/// The calling thread's block, if it has one.
#[inline]
pub(crate) fn current_or_none() -> Option<&'static Block> {
    let block: *const Block;
    // SAFETY: the slot holds zero or the address of a block, and blocks are never freed.
    unsafe {
        asm!(
            "mov {}, gs:[{this}]",
            out(reg) block,
            this = const gs.this,
            options(nostack, preserves_flags, readonly),
        );
        block.as_ref()
    }
}

/// The calling thread's block.
#[inline]
pub(crate) fn current() -> &'static Block {
    let block: *const Block;
    // SAFETY: every thread of the machine gets its block before any other code of ours runs on
    // it, and blocks are never freed.
    unsafe {
        asm!(
            "mov {}, gs:[{this}]",
            out(reg) block,
            this = const gs.this,
            options(nostack, preserves_flags, readonly, pure),
        );
        &*block
    }
}

/// Makes `block` the calling thread's.
///
/// # Safety
///
/// The block belongs to the calling thread.
pub(crate) unsafe fn set_current(block: &Block) {
    // SAFETY: the slots are reserved for us; the caller's promise.
    unsafe {
        asm!(
            "mov gs:[{this}], {block}",
            "mov gs:[{k_rsp}], {stack}",
            "mov gs:[{entry}], {routine}",
            block = in(reg) core::ptr::from_ref(block),
            stack = in(reg) block.engine.k_rsp.get(),
            routine = in(reg) block.engine.entry.get(),
            this = const gs.this,
            k_rsp = const gs.k_rsp,
            entry = const gs.entry,
            options(nostack, preserves_flags),
        );
    }
}

/// Sets what the short way out returns the guest's stack pointer to.
pub(crate) fn set_guest_stack(rsp: u64) {
    // SAFETY: the slot is ours.
    unsafe {
        asm!(
            "mov gs:[{u_rsp}], {rsp}",
            rsp = in(reg) rsp,
            u_rsp = const gs.u_rsp,
            options(nostack, preserves_flags),
        );
    }
}

/// Takes the calling thread its block away, before it goes back to the loader.
pub(crate) fn forget_current() {
    // SAFETY: the slot is ours.
    unsafe {
        asm!(
            "mov qword ptr gs:[{this}], 0",
            this = const gs.this,
            options(nostack, preserves_flags),
        );
    }
}

/// Whether the calling thread is init's.
pub(crate) fn is_init() -> bool {
    current_or_none().is_none_or(|block| block.state.load(Ordering::Relaxed) == state::INIT)
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

/// The block with this id.
pub(crate) fn by_id(id: HostThreadId) -> Option<&'static Block> {
    // SAFETY: ids are addresses of blocks, which are never freed.
    (id.0 != 0).then(|| unsafe { &*(id.0 as *const Block) })
}

/// The block with this number.
pub(crate) fn by_index(index: u32) -> Option<&'static Block> {
    let address = BLOCKS.get(index as usize)?.load(Ordering::Acquire);
    by_id(HostThreadId(address))
}

/// The block with this lock owner id.
pub(crate) fn by_owner(id: u32) -> Option<&'static Block> {
    by_index(id.checked_sub(1)?)
}

/// All blocks.
pub(crate) fn all() -> impl Iterator<Item = &'static Block> {
    (0..MAX_BLOCKS as u32).map_while(by_index)
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

    /// Address of the area for calls of the host.
    pub(crate) fn host_xstate(&self) -> u64 {
        self.engine.xstate.get() - XSTATE_AT + HOST_XSTATE_AT
    }

    /// Stops the machine if the kernel stack has been too small.
    pub(crate) fn check_stack(&self) {
        let end = (core::ptr::from_ref(self) as u64 + STACK_AT) as *const u64;
        // SAFETY: the word is part of the block's memory, which is never freed.
        if unsafe { end.read_volatile() } != STACK_MARK {
            report::stop(format_args!("kernel stack overflow in thread block {}", self.index));
        }
    }

    /// Commits the kernel stack in the thread's process, which another one may have done before: see
    /// [`region::commit_here`].
    pub(crate) fn commit_stack(&self) {
        if !self.stack_committed.replace(true) {
            let start = core::ptr::from_ref(self) as u64 + STACK_AT;
            region::commit_here(start as *const u8, BLOCK_BYTES - STACK_AT as usize);
        }
    }

    /// Whether `rsp` is on this block's kernel stack.
    pub(crate) fn on_kernel_stack(&self, rsp: u64) -> bool {
        let top = self.engine.k_rsp.get();
        rsp <= top && rsp > core::ptr::from_ref(self) as u64
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
        self.stack_committed.set(false);
        // SAFETY: own thread, or no thread: see the type.
        let slot = unsafe { &mut *self.process.get() };
        core::mem::replace(slot, process)
    }

    /// The host process. For the block's own thread.
    pub(crate) fn process(&self) -> Option<&Arc<Process>> {
        // SAFETY: own thread: see the type.
        unsafe { &*self.process.get() }.as_ref()
    }

    /// Gives the block back; its thread has ended or never begun.
    pub(crate) fn release(&self) {
        self.engine.host_tid.store(0, Ordering::SeqCst);
        self.pid.store(0, Ordering::Release);
        self.state.store(state::FREE, Ordering::Release);
    }
}

/// Makes a block in fresh memory.
fn create(index: u32, state: u32) -> Option<&'static Block> {
    let memory = region::alloc_run(BLOCK_BYTES)?;
    // SAFETY: the memory is ours. The areas need clean headers.
    unsafe { core::ptr::write_bytes(memory as *mut u8, 0, STACK_AT as usize) };
    let engine = ThreadBlock::new(
        memory + BLOCK_BYTES as u64,
        memory + XSTATE_AT,
        xstate_layout().features(),
        process::on_exit,
    );
    engine.this.set(memory);
    let event = make_event()?;
    let block = memory as *mut Block;
    // SAFETY: the memory is ours, aligned to 64 KB, and large enough.
    let block = unsafe {
        ((memory + STACK_AT) as *mut u64).write(STACK_MARK);
        block.write(Block {
            engine,
            state: AtomicU32::new(state),
            index,
            parked: AtomicU32::new(0),
            park_word: AtomicU64::new(0),
            park_value: AtomicU32::new(0),
            woken: AtomicU32::new(0),
            next_parked: AtomicU32::new(0),
            suspender: OwnedLock::new(),
            job: AtomicU32::new(0),
            held_levels: AtomicU64::new(0),
            pid: AtomicU32::new(0),
            event: AtomicUsize::new(event),
            lender: Cell::new(core::ptr::null()),
            saved_rsp: Cell::new(0),
            loader_rsp: Cell::new(0),
            guest_fs: Cell::new(0),
            struck_at: AtomicU64::new(0),
            repaired: Cell::new((0, 0, 0)),
            host_fs: Cell::new(0),
            host_code: Cell::new([0; 2]),
            cpu_base: Cell::new(0),
            process: UnsafeCell::new(None),
            stack_committed: Cell::new(false),
            snapshot: UnsafeCell::new(None),
            magazines: UnsafeCell::new([Magazine::EMPTY; CLASSES]),
        });
        &*block
    };
    BLOCKS.get(index as usize)?.store(memory, Ordering::Release);
    Some(block)
}

/// An event that wakes one sleeper at a time; init's handle.
fn make_event() -> Option<Handle> {
    const EVENT_ALL_ACCESS: u32 = 0x1f_0003;
    const SYNCHRONIZATION: u32 = 1;
    let mut event = 0;
    // SAFETY: the call writes the handle.
    let status = unsafe {
        nt!(create_event, &mut event, EVENT_ALL_ACCESS, core::ptr::null(), SYNCHRONIZATION, 0)
    };
    nt::check(status).ok()?;
    if is_init() {
        return Some(event);
    }
    let given = nt::give_to_init(event);
    nt::close(event);
    given.ok()
}

/// The first block, before there is a heap.
pub(crate) fn create_first() -> Option<&'static Block> {
    let block = create(0, state::INIT)?;
    *COUNT.lock() = 1;
    Some(block)
}

/// A block for a new task; its state is `ACTIVE`.
pub(crate) fn allocate() -> Option<&'static Block> {
    let free = all().find(|block| {
        block.state.load(Ordering::Relaxed) == state::FREE
            && block
                .state
                .compare_exchange(state::FREE, state::ACTIVE, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    });
    if free.is_some() {
        return free;
    }
    let mut count = COUNT.lock();
    if *count as usize >= MAX_BLOCKS {
        return None;
    }
    let block = create(*count, state::ACTIVE)?;
    *count += 1;
    Some(block)
}
