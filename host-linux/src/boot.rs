//! From the host's `execve` to a running init process.
//!
//! The image is loaded as an ordinary private program. Its first act is to copy itself into the
//! memory file of the shared region and to map that over itself, so that from then on all its
//! statics are shared with every process that is forked later.

use alloc::sync::Arc;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::abi::Errno;
use lx_core::host::{Host, Supervisor};
use lx_core::sync::{SyncHost, set_sync_host};

use crate::park::LinuxSync;
use crate::region::{self, REGION_BASE, REGION_END, REGION_SIZE};
use crate::region_file::{FILE_FD, MOUNT_FD};
use crate::sys::{self, sys};
use crate::{clock, init, region_file, report, signal, thread};

/// Where the linker has put the image.
#[derive(Clone, Copy, Debug)]
pub struct ImageLayout {
    /// First byte of the code.
    pub text_start: u64,
    /// End of the code.
    pub text_end: u64,
    /// First byte of the writable part, aligned to 2 MB, so that huge pages can hold both parts.
    pub data_start: u64,
    /// End of the image, page aligned.
    pub image_end: u64,
}

/// Makes the kernel: called once, when heap, locks and clocks work.
pub type MakeKernel = fn(&'static dyn Host) -> Arc<dyn Supervisor>;

static TEXT_START: AtomicU64 = AtomicU64::new(0);
static TEXT_END: AtomicU64 = AtomicU64::new(0);

/// Exit status when the machine cannot start.
const FAILED: usize = 125;

/// The image's code: the only code that may make host calls.
pub(crate) fn text_range() -> (u64, u64) {
    (TEXT_START.load(Ordering::Relaxed), TEXT_END.load(Ordering::Relaxed))
}

fn fail(what: &str, errno: Errno) -> ! {
    report::print(format_args!("lx: cannot start: {what}: {}", errno.name()));
    loop {
        // SAFETY: never returns.
        let _ = unsafe { sys::call_uncounted(sys::__NR_exit_group, [FAILED, 0, 0, 0, 0, 0]) };
    }
}

fn check(what: &str, result: sys::SysResult) -> usize {
    match result {
        Ok(value) => value,
        Err(errno) => fail(what, errno),
    }
}

/// Moves the image into the region and becomes init.
///
/// # Safety
///
/// Called once, as the first code of the image, with the stack that the host's `execve` made.
pub unsafe fn boot(stack: *const u64, layout: &ImageLayout, make_kernel: MakeKernel) -> ! {
    TEXT_START.store(layout.text_start, Ordering::Relaxed);
    TEXT_END.store(layout.text_end, Ordering::Relaxed);
    move_into_region(layout);

    // SAFETY: the caller's promise.
    let auxiliary = unsafe { Auxiliary::read(stack) };
    thread::probe_cpu(auxiliary.hwcap2);
    clock::find_vdso(auxiliary.vdso);
    let Some(block) = thread::create_first() else { fail("thread block", Errno::ENOMEM) };
    // SAFETY: the block was made for this thread.
    unsafe { thread::set_gs(block) };
    static SYNC: &dyn SyncHost = &LinuxSync;
    set_sync_host(&SYNC);
    detach(block);

    let top = block.engine.frame() as u64;
    // SAFETY: init runs on the block's stack, as what it has on its stack is seen by others; the
    // present one is not used any more.
    unsafe {
        asm!(
            "mov rsp, {top}",
            "xor ebp, ebp",
            "call {run}",
            "ud2",
            top = in(reg) top,
            run = sym init::run,
            in("rdi") make_kernel,
            options(noreturn),
        )
    }
}

/// Copies the image into a new memory file and maps that in place of the image.
fn move_into_region(layout: &ImageLayout) {
    let fd = check("memory file", region_file::create());
    // SAFETY: the calls read the image, and map what the image was over it: the same bytes, because
    // nothing is stored between the copy and the mapping.
    unsafe {
        region::set_region_fd(fd as i32);
        check(
            "memory file",
            sys::call_uncounted(sys::__NR_ftruncate, [fd, REGION_SIZE as usize, 0, 0, 0, 0]),
        );
        let copy = |start: u64, end: u64| {
            let mut at = start;
            while at < end {
                let offset = (at - REGION_BASE) as usize;
                let args = [fd, at as usize, (end - at) as usize, offset, 0, 0];
                let result = sys::call_uncounted(sys::__NR_pwrite64, args);
                at += check("copy of the image", result) as u64;
            }
        };
        copy(REGION_BASE, layout.text_end);
        copy(layout.data_start, layout.image_end);
        let map = |start: u64, end: u64, prot: u32| {
            let args = [
                start as usize,
                (end - start) as usize,
                prot as usize,
                (sys::MAP_SHARED | sys::MAP_FIXED | sys::MAP_NORESERVE) as usize,
                fd,
                (start - REGION_BASE) as usize,
            ];
            check("region", sys::call_uncounted(sys::__NR_mmap, args));
        };
        map(layout.data_start, REGION_END, sys::PROT_READ | sys::PROT_WRITE);
        map(REGION_BASE, layout.data_start, sys::PROT_READ | sys::PROT_EXEC);
    }
}

/// What the host tells a new program.
#[derive(Default)]
struct Auxiliary {
    hwcap2: u64,
    vdso: u64,
}

impl Auxiliary {
    /// # Safety
    ///
    /// `stack` is the stack of a new program: argc, arguments, 0, environment, 0, pairs.
    unsafe fn read(stack: *const u64) -> Self {
        const AT_HWCAP2: u64 = 26;
        const AT_SYSINFO_EHDR: u64 = 33;
        let mut auxiliary = Self::default();
        // SAFETY: the caller's promise.
        unsafe {
            let mut at = stack.add(stack.read() as usize + 2);
            while at.read() != 0 {
                at = at.add(1);
            }
            at = at.add(1);
            while at.read() != 0 {
                match at.read() {
                    AT_HWCAP2 => auxiliary.hwcap2 = at.add(1).read(),
                    AT_SYSINFO_EHDR => auxiliary.vdso = at.add(1).read(),
                    _ => {}
                }
                at = at.add(2);
            }
        }
        auxiliary
    }
}

/// Cuts the process off from what it was started with.
fn detach(block: &'static thread::Block) {
    const PR_SET_NAME: usize = 15;
    const RLIMIT_CORE: usize = 4;
    const RLIMIT_NOFILE: usize = 7;
    let limit = [0u64; 2];
    let mut files = [0u64; 2];
    // SAFETY: the calls read and write the given variables only.
    unsafe {
        let pid = sys!(sys::__NR_getpid).unwrap_or(0) as u32;
        report::set_init_pid(pid);
        block.pid.store(pid, Ordering::Relaxed);
        block.engine.host_tid.store(pid, Ordering::Relaxed);
        let _ = sys!(sys::__NR_close_range, 3usize, FILE_FD - 1, 0usize);
        let _ = sys!(sys::__NR_close_range, MOUNT_FD + 1, u32::MAX, 0usize);
        let _ = sys!(sys::__NR_setsid);
        let _ = sys!(sys::__NR_umask, 0usize);
        let _ = sys!(sys::__NR_prctl, PR_SET_NAME, c"lx-init".as_ptr());
        // A dump of the region would be huge, and a guest's crash is not the host's business.
        let _ = sys!(sys::__NR_prlimit64, 0usize, RLIMIT_CORE, &raw const limit, 0usize);
        // One table for the whole machine.
        let _ = sys!(sys::__NR_prlimit64, 0usize, RLIMIT_NOFILE, 0usize, &raw mut files);
        files[0] = files[1];
        let _ = sys!(sys::__NR_prlimit64, 0usize, RLIMIT_NOFILE, &raw const files, 0usize);
    }
    thread::use_signal_stack(block);
    signal::install();
}
