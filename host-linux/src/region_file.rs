//! The file behind the shared region.
//!
//! In huge pages if the host lets us: then a new process needs one page fault for 2 MB of the
//! region instead of one for each page that it touches, which is half of what `fork` costs. An
//! ordinary memory file follows a system-wide setting that is usually off; a file of a tmpfs of
//! our own, mounted nowhere, does not. Making one takes rights that any user has in a user
//! namespace, so a short-lived helper enters one. Where that is forbidden, too, the ordinary
//! memory file serves.

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::sys::{self, SysResult};

const CLOEXEC: usize = 1;
const F_DUPFD_CLOEXEC: usize = 1030;

/// Descriptor of the region, out of the way of those with a meaning.
pub(crate) const FILE_FD: u32 = 100;
/// Descriptor of the mount that the file belongs to, if there is one.
pub(crate) const MOUNT_FD: u32 = 101;

/// What the helper hands back.
static HELPER_FD: AtomicI32 = AtomicI32::new(-1);
static USER: AtomicU32 = AtomicU32::new(0);
static GROUP: AtomicU32 = AtomicU32::new(0);

#[repr(align(16))]
struct Stack(UnsafeCell<[u8; STACK]>);
const STACK: usize = 8192;
// SAFETY: only the helper uses it, once.
unsafe impl Sync for Stack {}
static HELPER_STACK: Stack = Stack(UnsafeCell::new([0; STACK]));

/// Makes the file; its descriptor.
///
/// Runs before the thread has a block, in the image's private memory.
pub(crate) fn create() -> SysResult {
    let file = huge().or_else(|_| huge_by_helper()).or_else(|_| plain())?;
    // SAFETY: descriptors are no memory. The old one is closed with everything else.
    unsafe { call(sys::__NR_fcntl, [file, F_DUPFD_CLOEXEC, FILE_FD as usize, 0, 0, 0]) }
}

/// # Safety
///
/// As [`sys::call`].
unsafe fn call(number: u32, args: [usize; 6]) -> SysResult {
    // SAFETY: the caller's promise.
    unsafe { sys::call_uncounted(number, args) }
}

/// An ordinary memory file.
fn plain() -> SysResult {
    const EXECUTABLE: usize = 0x10;
    let name = c"lx-region".as_ptr() as usize;
    // SAFETY: the calls read the name. Older kernels do not know the second flag.
    unsafe {
        call(sys::__NR_memfd_create, [name, CLOEXEC | EXECUTABLE, 0, 0, 0, 0])
            .or_else(|_| call(sys::__NR_memfd_create, [name, CLOEXEC, 0, 0, 0, 0]))
    }
}

/// A file without a name in a tmpfs that prefers huge pages.
fn huge() -> SysResult {
    const SET_STRING: usize = 1;
    const CREATE: usize = 6;
    const O_RDWR: usize = 0o2;
    const O_TMPFILE: usize = 0o20200000;
    const O_CLOEXEC: usize = 0o2000000;
    // SAFETY: the calls read constant strings.
    unsafe {
        let setup = call(sys::__NR_fsopen, [c"tmpfs".as_ptr() as usize, CLOEXEC, 0, 0, 0, 0])?;
        let set = |key: &core::ffi::CStr, value: &core::ffi::CStr| {
            let args = [setup, SET_STRING, key.as_ptr() as usize, value.as_ptr() as usize, 0, 0];
            call(sys::__NR_fsconfig, args)
        };
        let file = set(c"huge", c"always")
            .and_then(|_| set(c"size", c"64g"))
            .and_then(|_| call(sys::__NR_fsconfig, [setup, CREATE, 0, 0, 0, 0]))
            .and_then(|_| call(sys::__NR_fsmount, [setup, CLOEXEC, 0, 0, 0, 0]))
            .and_then(|mount| {
                // Stays open for good: closing the last descriptor of a mount takes the host
                // some milliseconds.
                let high = [mount, F_DUPFD_CLOEXEC, MOUNT_FD as usize, 0, 0, 0];
                let kept = call(sys::__NR_fcntl, high)?;
                let _ = call(sys::__NR_close, [mount, 0, 0, 0, 0, 0]);
                let mount = kept;
                let flags = O_TMPFILE | O_RDWR | O_CLOEXEC;
                call(sys::__NR_openat, [mount, c".".as_ptr() as usize, flags, 0o600, 0, 0])
            });
        let _ = call(sys::__NR_close, [setup, 0, 0, 0, 0, 0]);
        file
    }
}

/// As [`huge`], by a process with its own user and mount namespace that shares our memory and
/// descriptors.
fn huge_by_helper() -> SysResult {
    // SAFETY: the calls touch no memory; the helper's stack is used once.
    unsafe {
        USER.store(call(sys::__NR_geteuid, [0; 6])? as u32, Ordering::Relaxed);
        GROUP.store(call(sys::__NR_getegid, [0; 6])? as u32, Ordering::Relaxed);
        let top = HELPER_STACK.0.get() as u64 + STACK as u64;
        let result = clone_helper(top);
        if result < 0 {
            return Err(lx_core::abi::Errno::EPERM);
        }
    }
    usize::try_from(HELPER_FD.load(Ordering::Relaxed)).map_err(|_| lx_core::abi::Errno::EPERM)
}

/// clone(CLONE_VM | CLONE_FILES | CLONE_VFORK | CLONE_NEWUSER | CLONE_NEWNS): returns when the
/// helper has let go of the memory. It is not waited for: that would take as long as the host
/// needs to undo its namespaces.
#[unsafe(naked)]
unsafe extern "C" fn clone_helper(_stack: u64) -> isize {
    naked_asm!(
        "mov rsi, rdi",
        "mov edi, 0x10024500",
        "xor edx, edx",
        "xor r10d, r10d",
        "xor r8d, r8d",
        "mov eax, 56",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2:",
        "xor ebp, ebp",
        "call {helper}",
        "mov eax, 60",
        "xor edi, edi",
        "syscall",
        "ud2",
        helper = sym helper,
    )
}

unsafe extern "C" fn helper() {
    // Without a mapping of its user nobody may create a file.
    write_file(c"/proc/self/setgroups", b"deny", None);
    write_file(c"/proc/self/uid_map", b"0 ", Some(USER.load(Ordering::Relaxed)));
    write_file(c"/proc/self/gid_map", b"0 ", Some(GROUP.load(Ordering::Relaxed)));
    if let Ok(fd) = huge() {
        HELPER_FD.store(fd as i32, Ordering::Relaxed);
    }
}

/// Writes `start`, and if there is a number, that and ` 1`.
fn write_file(path: &core::ffi::CStr, start: &[u8], number: Option<u32>) {
    const O_WRONLY: usize = 0o1;
    const CURRENT: usize = -100isize as usize;
    let mut text = [0u8; 32];
    let mut len = 0;
    let mut push = |byte: u8| {
        if let Some(slot) = text.get_mut(len) {
            *slot = byte;
            len += 1;
        }
    };
    start.iter().for_each(|&byte| push(byte));
    if let Some(number) = number {
        let mut divisor = 1_000_000_000;
        while divisor > 0 {
            push(b'0' + (number / divisor % 10) as u8);
            divisor /= 10;
        }
        b" 1".iter().for_each(|&byte| push(byte));
    }
    // SAFETY: the calls read path and text.
    unsafe {
        let path = path.as_ptr() as usize;
        if let Ok(fd) = call(sys::__NR_openat, [CURRENT, path, O_WRONLY, 0, 0, 0]) {
            let _ = call(sys::__NR_write, [fd, text.as_ptr() as usize, len, 0, 0, 0]);
            let _ = call(sys::__NR_close, [fd, 0, 0, 0, 0, 0]);
        }
    }
}
