//! A test switch: threads lose their FS base at random instants.
//!
//! Windows may set the FS base of a thread to zero when it switches threads; Wine never does. So
//! that the repair (`exception`) is tested under Wine, init takes the base away from threads that
//! run guest code, as often as `LX_TEST_LOSE_FS` says. Without that variable nothing here runs.

use core::arch::naked_asm;
use core::hint::spin_loop;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lx_nt::{Context, Handle};
use lx_x86::context::read_tsc;
use lx_x86::layout::gs;

use crate::interrupt::{self, runs_guest};
use crate::nt::{self, nt};
use crate::thread::{self, Block, state};

/// How often it shall still happen.
static WANTED: AtomicU32 = AtomicU32::new(0);
/// How often it has happened.
static DONE: AtomicU64 = AtomicU64::new(0);

/// Switches it on.
pub(crate) fn enable(times: u32) {
    WANTED.store(times, Ordering::Relaxed);
}

/// Whether init shall go on with it.
pub(crate) fn is_on() -> bool {
    WANTED.load(Ordering::Relaxed) != 0
}

/// How often a thread has lost its FS base by order.
pub(crate) fn count() -> u64 {
    DONE.load(Ordering::Relaxed)
}

/// Strikes all threads that run guests some times; called by init when it has nothing else to do.
pub(crate) fn strike() {
    const ROUNDS: u32 = 8;
    const LONGEST_PAUSE: u64 = 1 << 18;
    const AT_ONCE: usize = 8;
    for _ in 0..ROUNDS {
        let mut suspended = [None; AT_ONCE];
        // The threads stop by themselves, and at the same time.
        let found = thread::all().filter_map(suspend);
        suspended.iter_mut().zip(found).for_each(|(slot, found)| *slot = Some(found));
        for Struck { block, thread, tid, pid } in suspended.into_iter().flatten() {
            // It may have left the block before it was suspended.
            if is_on() && block.engine.host_tid.load(Ordering::SeqCst) == tid {
                redirect(block, thread, pid);
            }
            // SAFETY: resumes what was suspended.
            let _ = unsafe { nt!(resume, thread, core::ptr::null_mut()) };
            nt::close(thread);
        }
        // The middle bits of the product are as good as random.
        let start = read_tsc();
        let pause = start.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & (LONGEST_PAUSE - 1);
        while read_tsc().wrapping_sub(start) < pause {
            spin_loop();
        }
    }
}

/// A suspended thread.
#[derive(Clone, Copy)]
struct Struck {
    block: &'static Block,
    thread: Handle,
    tid: u32,
    pid: u32,
}

/// Suspends the thread of a block that may run guest code; the caller resumes it.
fn suspend(block: &'static Block) -> Option<Struck> {
    let tid = block.engine.host_tid.load(Ordering::SeqCst);
    let pid = block.pid.load(Ordering::SeqCst);
    let runs = block.state.load(Ordering::SeqCst) == state::ACTIVE
        && block.parked.load(Ordering::SeqCst) == 0;
    if !runs || tid == 0 || pid == 0 {
        return None;
    }
    let thread = interrupt::open(tid, pid)?;
    // SAFETY: the caller resumes the thread.
    if unsafe { nt!(suspend, thread, core::ptr::null_mut()) } < 0 {
        nt::close(thread);
        return None;
    }
    Some(Struck { block, thread, tid, pid })
}

/// Sends a suspended thread through [`lose`] if it runs guest code.
fn redirect(block: &Block, thread: Handle, pid: u32) {
    let mut context = Context::empty(Context::FULL);
    // SAFETY: the call writes the registers.
    if unsafe { nt!(get_context, thread, &mut context) } < 0 || !runs_guest(block, &context, pid) {
        return;
    }
    block.struck_at.store(context.rip, Ordering::SeqCst);
    context.rip = lose as *const () as u64;
    context.flags = Context::CONTROL_INTEGER;
    // SAFETY: the thread continues where it was, with all its registers but FS.
    if unsafe { nt!(set_context, thread, &context) } >= 0 {
        DONE.fetch_add(1, Ordering::Relaxed);
        WANTED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Loses the FS base and goes back. Flags and stack stay as they are; the slots are free while the
/// guest runs.
#[unsafe(naked)]
unsafe extern "C" fn lose() {
    naked_asm!(
        "mov gs:[{free}], rax",
        "mov rax, gs:[{this}]",
        "mov rax, [rax + {struck_at}]",
        "mov gs:[{target}], rax",
        "mov eax, 0",
        "wrfsbase rax",
        "mov rax, gs:[{free}]",
        "jmp qword ptr gs:[{target}]",
        free = const gs.u_rsp,
        this = const gs.this,
        struck_at = const offset_of!(Block, struck_at),
        target = const gs.u_rip,
    )
}
