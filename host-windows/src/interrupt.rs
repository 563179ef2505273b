//! Interrupts: making another thread, of any process, enter the kernel.
//!
//! There are no signals to send. The thread is suspended, and its registers say where it is. In
//! guest code, they are put into its frame, and the thread continues in the kernel; nothing is
//! written to the guest's stack. Anywhere else the flag is enough.

use core::sync::atomic::Ordering;

use lx_core::host::HostThreadId;
use lx_nt::{ClientId, Context, Handle};
use lx_x86::entry;
use lx_x86::stub::{Side, classify_stub_rip};
use lx_x86::thread_block::TrapCause;

use crate::exception::enter_kernel;
use crate::nt::{self, nt};
use crate::owned_lock::Got;
use crate::region::REGION_BASE;
use crate::siblings;
use crate::thread::{self, Block, state};

/// Makes a thread enter the kernel soon.
///
/// The host is asked only if the thread may be in guest code. One that is seen `parked` is in the
/// kernel, and will look at `PENDING` on its way out after it has cleared `parked`.
pub(crate) fn interrupt(id: HostThreadId) {
    let Some(block) = thread::by_id(id) else { return };
    if block.engine.pending.swap(1, Ordering::SeqCst) != 0 {
        return;
    }
    if !core::ptr::eq(block, thread::current()) {
        send(block);
    }
}

/// Interrupts the threads again that have not seen it yet; called by init from time to time.
///
/// A thread that goes back to guest code from the host's handling of an exception does not look at
/// the flag, and could not be redirected while it was there.
pub(crate) fn repeat() {
    let unseen = |block: &&Block| block.engine.pending.load(Ordering::SeqCst) != 0;
    thread::all().filter(unseen).for_each(send);
}

/// Redirects the thread of a block if it runs guest code.
fn send(block: &Block) {
    if block.parked.load(Ordering::SeqCst) != 0 {
        return;
    }
    let tid = block.engine.host_tid.load(Ordering::SeqCst);
    let pid = block.pid.load(Ordering::SeqCst);
    if tid == 0 || pid == 0 || block.state.load(Ordering::SeqCst) != state::ACTIVE {
        return;
    }
    // While it holds another one's lock, nobody may suspend this thread: two that suspended each
    // other would both stay so.
    let own = thread::current_or_none().filter(|own| !own.suspender.is_held_by(own));
    for own in own.into_iter().flat_map(siblings::host_thread) {
        own.suspender.lock();
    }
    // One that holds its own lock is in the kernel, making a twin or on its way to suspend another
    // one, and will look at the flag.
    if !block.suspender.is_held_by(block)
        && let Some(thread) = open(tid, pid)
    {
        block.suspender.lock();
        // SAFETY: the thread is resumed before anything is waited for.
        unsafe {
            if nt!(suspend, thread, core::ptr::null_mut()) >= 0 {
                redirect(block, thread, tid, pid);
                let _ = nt!(resume, thread, core::ptr::null_mut());
            }
        }
        block.suspender.unlock();
        nt::close(thread);
    }
    for own in own.into_iter().flat_map(siblings::host_thread) {
        own.suspender.unlock();
    }
}

/// A handle to suspend and redirect a thread.
pub(crate) fn open(tid: u32, pid: u32) -> Option<Handle> {
    const THREAD_ACCESS: u32 = 0x1a;
    let client = ClientId { process: pid as usize, thread: tid as usize };
    let attributes = nt::no_attributes();
    let mut thread = 0;
    // SAFETY: the call reads the structures and writes the handle.
    let status = unsafe { nt!(open_thread, &mut thread, THREAD_ACCESS, &attributes, &client) };
    (status >= 0).then_some(thread)
}

/// Resumes threads that a thread which was killed had suspended.
pub(crate) fn inherit(dead: &Block) {
    for block in thread::all().filter(|block| block.suspender.is_held_by(dead)) {
        if block.suspender.lock() == Got::Inherited {
            let tid = block.engine.host_tid.load(Ordering::SeqCst);
            let pid = block.pid.load(Ordering::SeqCst);
            if let Some(thread) = open(tid, pid) {
                // SAFETY: resuming a thread that runs does nothing.
                let _ = unsafe { nt!(resume, thread, core::ptr::null_mut()) };
                nt::close(thread);
            }
        }
        block.suspender.unlock();
    }
}

/// Where a suspended thread is.
enum Place {
    /// In guest code, at this address as the guest knows it, with its stack there.
    Guest(u64, u64),
    /// On a way out, which it can begin again here.
    WayOut(u64),
    /// Anywhere else: it will look at the flag by itself.
    Kernel,
}

/// Changes the registers of a suspended thread. Takes no lock: the thread may hold any.
fn redirect(block: &Block, thread: Handle, tid: u32, pid: u32) {
    let mut context = Context::empty(Context::FULL);
    // SAFETY: the call writes the registers.
    if unsafe { nt!(get_context, thread, &mut context) } < 0 {
        return;
    }
    // Has the thread left the block meanwhile, or lent it, or looked already?
    let same = block.engine.host_tid.load(Ordering::SeqCst) == tid
        && block.parked.load(Ordering::SeqCst) == 0
        && block.engine.pending.load(Ordering::SeqCst) != 0;
    if !same {
        return;
    }
    match place(block, &context, pid) {
        Place::Kernel => return,
        Place::WayOut(target) => {
            context.rip = target;
            context.rsp = block.engine.frame() as u64;
        }
        Place::Guest(rip, rsp) => {
            context.rip = rip;
            context.rsp = rsp;
            block.engine.interrupts.fetch_add(1, Ordering::Relaxed);
            enter_kernel(block, &mut context, TrapCause::Interrupt);
            context.rip = entry::trap_resume_address();
        }
    }
    context.flags = Context::CONTROL_INTEGER;
    // SAFETY: the thread continues in the kernel, on its own stack.
    let _ = unsafe { nt!(set_context, thread, &context) };
}

fn place(block: &Block, context: &Context, pid: u32) -> Place {
    if let Some(target) = entry::rewind_target(context.rip) {
        return Place::WayOut(target);
    }
    // Guests live below the region. The image is in it, the host's own code above: also while it
    // handles an exception on the guest's stack. Wine has ntdll below.
    let [start, end] = block.host_code.get();
    if context.rip >= REGION_BASE || (start..end).contains(&context.rip) {
        return Place::Kernel;
    }
    let Some(page) = Page::read(pid, context.rip) else { return Place::Kernel };
    match classify_stub_rip(context.rip, |address, bytes| page.copy(address, bytes)) {
        Some(stub) => match stub.side {
            Side::Guest => Place::Guest(stub.original_rip, context.rsp),
            Side::BeforeCall => Place::Kernel,
            Side::AfterCall => {
                // SAFETY: the thread has just left the kernel; the frame is as it was.
                let rsp = unsafe { (*block.engine.frame()).regs.rsp };
                Place::Guest(stub.original_rip, rsp)
            }
        },
        None if block.on_kernel_stack(context.rsp) => Place::Kernel,
        None => Place::Guest(context.rip, context.rsp),
    }
}

/// Whether a suspended thread runs guest code, outside the stubs too.
pub(crate) fn runs_guest(block: &Block, context: &Context, pid: u32) -> bool {
    matches!(place(block, context, pid), Place::Guest(rip, _) if rip == context.rip)
}

const PAGE: usize = 4096;

/// The page of code that a suspended thread runs: one call of the host, which is a slow one.
struct Page {
    start: u64,
    bytes: [u8; PAGE],
}

impl Page {
    fn read(pid: u32, address: u64) -> Option<Self> {
        const READ: u32 = 0x10;
        let mut process = 0;
        let id = ClientId { process: pid as usize, thread: 0 };
        let attributes = nt::no_attributes();
        // SAFETY: the call reads the structures and writes the handle.
        let status = unsafe { nt!(open_process, &mut process, READ, &attributes, &id) };
        if status < 0 {
            return None;
        }
        let start = address & !(PAGE as u64 - 1);
        let mut page = Self { start, bytes: [0; PAGE] };
        let mut done = 0;
        // SAFETY: the call writes the bytes. A page that cannot be read has no stubs.
        let _ =
            unsafe { nt!(read_memory, process, start, page.bytes.as_mut_ptr(), PAGE, &mut done) };
        nt::close(process);
        Some(page)
    }

    fn copy(&self, address: u64, bytes: &mut [u8]) -> bool {
        let start = address.checked_sub(self.start).map(|at| at as usize);
        let from = start.and_then(|at| self.bytes.get(at..)).and_then(|it| it.get(..bytes.len()));
        if let Some(from) = from {
            bytes.copy_from_slice(from);
        }
        from.is_some()
    }
}
