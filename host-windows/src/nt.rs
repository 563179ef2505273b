//! Calls of the host's system services.
//!
//! Between guest and kernel nothing is swapped: the kernel's code touches neither FS nor the upper
//! parts of the vector registers. The host's code may do both, so each call puts the host's FS base
//! in place and keeps what the guest has in the extended state.

use core::arch::asm;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult, Nanos};
use lx_nt::{Handle, Services, Status};
use lx_x86::context;

use crate::thread::{self, Block};

static SERVICES: AtomicPtr<Services> = AtomicPtr::new(core::ptr::null_mut());
/// A handle to init, valid in every process.
static INIT_PROCESS: AtomicUsize = AtomicUsize::new(0);
/// Init's completion port, valid in every process.
static PORT: AtomicUsize = AtomicUsize::new(0);
/// The region's section, valid in init.
static SECTION: AtomicUsize = AtomicUsize::new(0);

/// Statuses that are looked at.
pub(crate) mod status {
    use lx_nt::Status;
    pub(crate) const TIMEOUT: Status = 0x102;
    pub(crate) const PENDING: Status = 0x103;
    pub(crate) const NO_MORE_FILES: Status = 0x8000_0006_u32 as Status;
    pub(crate) const BUFFER_OVERFLOW: Status = 0x8000_0005_u32 as Status;
    pub(crate) const END_OF_FILE: Status = 0xc000_0011_u32 as Status;
    pub(crate) const PIPE_BROKEN: Status = 0xc000_014b_u32 as Status;
    pub(crate) const PIPE_DISCONNECTED: Status = 0xc000_00b0_u32 as Status;
    pub(crate) const PIPE_CLOSING: Status = 0xc000_00b1_u32 as Status;
    pub(crate) const PIPE_EMPTY: Status = 0xc000_00d9_u32 as Status;
}

/// Remembers what the loader has found, once, at boot.
///
/// # Safety
///
/// The table stays where it is, in every process.
pub(crate) unsafe fn set_up(boot: &lx_nt::Boot) {
    SERVICES.store(boot.services.cast_mut(), Ordering::Relaxed);
    INIT_PROCESS.store(boot.init_process, Ordering::Relaxed);
    PORT.store(boot.port, Ordering::Relaxed);
    SECTION.store(boot.section, Ordering::Relaxed);
}

/// The table of the running process.
pub(crate) fn services() -> &'static Services {
    // SAFETY: set at boot before any use, to the loader's static, which has one address.
    unsafe { &*SERVICES.load(Ordering::Relaxed) }
}

pub(crate) fn init_process() -> Handle {
    INIT_PROCESS.load(Ordering::Relaxed)
}

pub(crate) fn port() -> Handle {
    PORT.load(Ordering::Relaxed)
}

pub(crate) fn section() -> Handle {
    SECTION.load(Ordering::Relaxed)
}

/// While it lives, the thread can run the host's code.
pub(crate) struct HostSide {
    block: Option<&'static Block>,
    /// Components of the extended state that were put aside.
    saved: u64,
}

/// The components that the entry keeps itself: xmm0-15.
const SSE: u64 = 2;

impl HostSide {
    /// Leaves the guest's side.
    #[inline]
    pub(crate) fn enter() -> Self {
        let Some(block) = thread::current_or_none() else {
            // Before the thread has a block it is on the host's side.
            return Self { block: None, saved: 0 };
        };
        let calls = &block.engine.host_calls;
        calls.set(calls.get().wrapping_add(1));
        let saved = thread::xstate_layout().now(usize::MAX).components & !SSE;
        if saved != 0 {
            // SAFETY: the area belongs to the thread, and calls of the host do not nest.
            unsafe { save(block.host_xstate(), saved) };
        }
        // SAFETY: no code of ours uses FS.
        unsafe { context::write_fs_base(block.host_fs.get()) };
        Self { block: Some(block), saved }
    }
}

impl Drop for HostSide {
    #[inline]
    fn drop(&mut self) {
        let Some(block) = self.block else { return };
        // SAFETY: as in `enter`.
        unsafe { context::write_fs_base(block.guest_fs.get()) };
        if self.saved != 0 {
            // SAFETY: saved by `enter`.
            unsafe { load(block.host_xstate(), self.saved) };
        }
    }
}

unsafe fn save(area: u64, components: u64) {
    // SAFETY: the caller's area is aligned, large enough and has a clean header.
    unsafe {
        asm!(
            "xsave64 [{area}]",
            area = in(reg) area,
            in("eax") components as u32,
            in("edx") (components >> 32) as u32,
            options(nostack),
        );
    }
}

unsafe fn load(area: u64, components: u64) {
    // SAFETY: the area was filled by `save`; SSE registers are not among the components.
    unsafe {
        asm!(
            "xrstor64 [{area}]",
            area = in(reg) area,
            in("eax") components as u32,
            in("edx") (components >> 32) as u32,
            options(nostack),
        );
    }
}

/// Calls a service: its status. Unsafe as the service is. All arguments are computed before the
/// guest's side is left, as they may call services themselves.
macro_rules! nt {
    (@bind $name:ident [$($bound:ident)*] $(,)?) => {{
        let services = $crate::nt::services();
        let side = $crate::nt::HostSide::enter();
        let result = (services.$name)($($bound),*);
        drop(side);
        result
    }};
    (@bind $name:ident [$($bound:ident)*] $head:expr $(, $rest:expr)* $(,)?) => {{
        let argument = $head;
        $crate::nt::nt!(@bind $name [$($bound)* argument] $($rest),*)
    }};
    ($name:ident $(, $argument:expr)* $(,)?) => {
        $crate::nt::nt!(@bind $name [] $($argument),*)
    };
}
pub(crate) use nt;

/// What a status means to Linux programs.
pub(crate) fn errno(status: Status) -> Errno {
    match status as u32 {
        0xc000_0002 | 0xc000_0010 => Errno::ENOSYS,
        0xc000_0003 | 0xc000_000d | 0xc000_00ef..=0xc000_00fa => Errno::EINVAL,
        0xc000_0005 | 0x8000_0002 => Errno::EFAULT,
        0xc000_0008 | 0xc000_0024 => Errno::EBADF,
        0xc000_0013 | 0xc000_0014 => Errno::ENXIO,
        0xc000_0017 | 0xc000_009a | 0xc000_012d | 0xc000_0018 | 0xc000_0040 => Errno::ENOMEM,
        0xc000_000f | 0xc000_0033 | 0xc000_0034 | 0xc000_003a | 0xc000_0039 | 0xc000_003b
        | 0xc000_0056 => Errno::ENOENT,
        0xc000_0022 | 0xc000_0043 | 0xc000_0121 => Errno::EACCES,
        0xc000_0035 => Errno::EEXIST,
        0xc000_0050 | 0xc000_007f => Errno::ENOSPC,
        0xc000_00a2 => Errno::EROFS,
        0xc000_00ba => Errno::EISDIR,
        0xc000_0101 => Errno::ENOTEMPTY,
        0xc000_0103 => Errno::ENOTDIR,
        0xc000_0106 => Errno::ENAMETOOLONG,
        0xc000_011f => Errno::EMFILE,
        0xc000_00d4 => Errno::EXDEV,
        0xc000_00b0 | 0xc000_00b1 | 0xc000_014b => Errno::EPIPE,
        0xc000_004f | 0xc000_00bb => Errno::EOPNOTSUPP,
        0xc000_0054 | 0xc000_0055 => Errno::EAGAIN,
        _ => Errno::EIO,
    }
}

/// An error if the status is one.
pub(crate) fn check(status: Status) -> HostResult<()> {
    if status < 0 { Err(HostError(errno(status))) } else { Ok(()) }
}

/// A span as the services take it: negative, in units of 100 ns, at least one.
pub(crate) fn relative(span: Nanos) -> i64 {
    -(span.div_ceil(100).clamp(1, i64::MAX as u64) as i64)
}

/// Attributes of an object without a name.
pub(crate) fn no_attributes() -> lx_nt::ObjectAttributes {
    lx_nt::ObjectAttributes {
        length: size_of::<lx_nt::ObjectAttributes>() as u32,
        root: 0,
        name: core::ptr::null(),
        attributes: 0,
        security: 0,
        quality: 0,
    }
}

/// Closes a handle of this process.
pub(crate) fn close(handle: Handle) {
    // SAFETY: the caller owns the handle.
    let _ = unsafe { nt!(close, handle) };
}

pub(crate) const DUPLICATE_SAME_ACCESS: u32 = 2;
const DUPLICATE_CLOSE_SOURCE: u32 = 1;

/// A handle of this process as one of init.
pub(crate) fn give_to_init(handle: Handle) -> HostResult<Handle> {
    let mut new = 0;
    // SAFETY: the call writes the new handle.
    let status = unsafe {
        nt!(
            duplicate,
            lx_nt::CURRENT_PROCESS,
            handle,
            init_process(),
            &mut new,
            0,
            0,
            DUPLICATE_SAME_ACCESS
        )
    };
    check(status).map(|()| new)
}

/// One of init's handles as one of this process.
pub(crate) fn take_from_init(handle: Handle) -> HostResult<Handle> {
    let mut new = 0;
    // SAFETY: the call writes the new handle.
    let status = unsafe {
        nt!(
            duplicate,
            init_process(),
            handle,
            lx_nt::CURRENT_PROCESS,
            &mut new,
            0,
            0,
            DUPLICATE_SAME_ACCESS
        )
    };
    check(status).map(|()| new)
}

/// Closes one of init's handles.
pub(crate) fn close_in_init(handle: Handle) {
    close_in(init_process(), handle);
}

/// Closes another process's handle, by moving it here first: Wine closes none that goes nowhere.
pub(crate) fn close_in(process: Handle, handle: Handle) {
    let mut moved = 0;
    // SAFETY: nobody uses the handle any more; the call writes the new one.
    let status = unsafe {
        nt!(
            duplicate,
            process,
            handle,
            lx_nt::CURRENT_PROCESS,
            &mut moved,
            0,
            0,
            DUPLICATE_CLOSE_SOURCE | DUPLICATE_SAME_ACCESS
        )
    };
    if status >= 0 {
        close(moved);
    }
}
