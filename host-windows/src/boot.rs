//! The image's entry: from the loader to a running init, process or thread.

use alloc::sync::Arc;
use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::host::{Host, Supervisor};
use lx_core::sync::{SyncHost, set_sync_host};
use lx_nt::{Boot, boot_kind};

use crate::nt::{self, nt};
use crate::park::WindowsSync;
use crate::thread::{self, Block};
use crate::{control, entropy, exception, init, lose_fs, process, region, report};

/// Where the linker has put the image.
#[derive(Clone, Copy, Debug)]
pub struct ImageLayout {
    /// First byte of the code.
    pub text_start: u64,
    /// End of the code.
    pub text_end: u64,
    /// First byte of the writable part.
    pub data_start: u64,
    /// End of the image, page aligned.
    pub image_end: u64,
    /// The image's entry.
    pub entry: u64,
}

/// Makes the kernel: called once, when heap, locks and clocks work.
pub type MakeKernel = fn(&'static dyn Host) -> Arc<dyn Supervisor>;

static TEXT_START: AtomicU64 = AtomicU64::new(0);
static TEXT_END: AtomicU64 = AtomicU64::new(0);
static ENTRY: AtomicU64 = AtomicU64::new(0);

/// The image's entry, for new processes and threads.
pub(crate) fn entry() -> u64 {
    ENTRY.load(Ordering::Relaxed)
}

/// Whether the code at `rip` belongs to the image.
pub(crate) fn in_image(rip: u64) -> bool {
    (TEXT_START.load(Ordering::Relaxed)..TEXT_END.load(Ordering::Relaxed)).contains(&rip)
}

fn fail(what: &str) -> ! {
    report::note(format_args!("cannot start: {what}"));
    report::kill_machine(125)
}

/// Calls `function(argument)` on another stack; returns when somebody calls
/// [`end_borrow`](lx_x86::entry::end_borrow) with what was stored at `saved_rsp`, and pushes what
/// that pops.
#[unsafe(naked)]
unsafe extern "C" fn call_on_stack(
    _stack: u64,
    _function: usize,
    _argument: usize,
    _saved_rsp: *mut u64,
) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rcx], rsp",
        "mov rsp, rdi",
        "mov rdi, rdx",
        "xor ebp, ebp",
        "call rsi",
        "ud2",
    )
}

/// What the loader calls, once a thread; returns when the thread is to end.
///
/// # Safety
///
/// `boot` is what the loader has found out, and the thread has no block yet.
pub unsafe fn boot(boot: &Boot, layout: &ImageLayout, make_kernel: MakeKernel) {
    let block = match boot.kind {
        boot_kind::INIT => {
            // SAFETY: the loader's table is a static.
            unsafe { nt::set_up(boot) };
            lose_fs::enable(boot.lose_fs);
            region::limit(boot.memory);
            start_machine(boot, layout)
        }
        // SAFETY: whoever started the thread made the block for it; blocks are never freed.
        _ => unsafe { &*(boot.block as *const Block) },
    };
    block.host_fs.set(boot.host_fs);
    block.host_code.set(boot.host_code);
    if boot.kind == boot_kind::INIT {
        block.guest_fs.set(boot.host_fs);
    }
    block.pid.store(boot.process_id, Ordering::Release);
    // SAFETY: the block was made for this thread.
    unsafe { thread::set_current(block) };
    let (function, argument) = match boot.kind {
        boot_kind::INIT => {
            static SYNC: &dyn SyncHost = &WindowsSync;
            set_sync_host(&SYNC);
            entropy::seed();
            (init::run as *const () as usize, make_kernel as usize)
        }
        boot_kind::PROCESS => {
            block.guest_fs.set(0);
            exception::install();
            (process::idle as *const () as usize, block as *const Block as usize)
        }
        _ => {
            block.cpu_base.set(0);
            (process::begin_thread as *const () as usize, block as *const Block as usize)
        }
    };
    block.engine.host_tid.swap(boot.thread_id, Ordering::SeqCst);
    process::set_fs_base(block.guest_fs.get());
    // SAFETY: the block's stack is this thread's, below the frame it is free.
    unsafe {
        call_on_stack(block.engine.frame() as u64, function, argument, block.loader_rsp.as_ptr());
    }
    // The task is over, and this is the loader's stack again.
    block.guest_fs.set(block.host_fs.get());
    // SAFETY: the host's code is next.
    unsafe { lx_x86::context::write_fs_base(block.host_fs.get()) };
    drop(block.set_process(None));
    thread::forget_current();
    block.release();
}

/// What is done once for all processes.
fn start_machine(boot: &Boot, layout: &ImageLayout) -> &'static Block {
    TEXT_START.store(layout.text_start, Ordering::Relaxed);
    TEXT_END.store(layout.text_end, Ordering::Relaxed);
    ENTRY.store(layout.entry, Ordering::Relaxed);
    report::set_output(boot.error_output);
    control::set_output(boot.events);
    let _ = thread::xstate_layout();
    if !region::set_up() {
        fail("memory for the shared region");
    }
    match thread::create_first() {
        Some(block) => block,
        None => fail("memory for the first thread"),
    }
}

/// Gives the loader's random bytes to the generator.
pub(crate) fn random_seed(seed: &mut [u8; 32]) {
    // SAFETY: the loader writes the seed.
    if unsafe { nt!(random, seed.as_mut_ptr(), seed.len() as u32) } == 0 {
        fail("the host has no random numbers");
    }
}
