//! What the programs that test errors of files share: raw calls, less privilege, file systems of
//! their own.

use std::ffi::CString;
use std::fs;
use std::ptr::null;

use crate::{Called, c, call};

/// A call with its name, all its arguments given.
pub type Whole = (&'static str, fn() -> Called);
/// A call with its name, of one path or descriptor.
pub type OfOne = (&'static str, fn(i64) -> Called);
/// A call with its name, of two paths, or of a path and a descriptor.
pub type OfTwo = (&'static str, fn(i64, i64) -> Called);

/// `AT_FDCWD` as an argument.
pub const CWD: i64 = libc::AT_FDCWD as i64;

/// `fchmodat2`, which libc does not know.
pub const FCHMODAT2: i64 = 452;

/// Who is neither root nor the owner of anything.
const NOBODY: i64 = 65534;

/// The system call itself, which the C library's function of that name may not be.
pub fn sys<const N: usize>(number: i64, arguments: [i64; N]) -> Called {
    let mut six = [0; 6];
    six[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = six;
    call!(syscall(number, a, b, c, d, e, f))
}

/// The address of a string, as an argument.
pub fn at(string: &CString) -> i64 {
    string.as_ptr() as i64
}

/// As [`at`], of what lives as long as the program.
pub fn path(text: &str) -> i64 {
    at(Box::leak(Box::new(c(text))))
}

/// The address of a value that a call reads or writes.
pub fn address<T>(of: &mut T) -> i64 {
    &raw mut *of as i64
}

/// Opens and returns the descriptor, or −1 for later calls to fail on.
pub fn open(name: &str, flags: i32) -> i32 {
    call!(open(c(name).as_ptr(), flags, 0o644)).unwrap_or(-1) as i32
}

/// Closes.
pub fn close(fd: i32) {
    let _ = call!(close(fd));
}

/// Whether the program may do everything.
pub fn is_root() -> bool {
    call!(geteuid()) == Ok(0)
}

/// What writing to the program itself gives: it runs, unless its owner keeps writers out anyway.
pub fn running() -> i32 {
    match call!(access(c("/proc/self/exe").as_ptr(), libc::W_OK)) {
        Err(libc::EACCES) => libc::EACCES,
        _ => libc::ETXTBSY,
    }
}

/// What `body` returns when the thread has neither privileges nor root's files. Who is not root is
/// that anyway.
pub fn as_nobody<T>(body: impl FnOnce() -> T) -> T {
    let root = is_root();
    let mut groups = [0; 64];
    let count = call!(getgroups(64, groups.as_mut_ptr())).unwrap_or(0);
    if root {
        // Root may be a member of groups that own the files.
        let _ = call!(setgroups(0, null()));
        let _ = sys(libc::SYS_setresgid, [NOBODY, NOBODY, 0]);
        let _ = sys(libc::SYS_setresuid, [NOBODY, NOBODY, 0]);
    }
    let result = body();
    if root {
        let _ = sys(libc::SYS_setresuid, [0, 0, 0]);
        let _ = sys(libc::SYS_setresgid, [0, 0, 0]);
        let _ = call!(setgroups(count as usize, groups.as_ptr()));
    }
    result
}

/// What `body` returns while the process's soft limit of a resource is `soft`.
pub fn with_limit<T>(resource: u32, soft: u64, body: impl FnOnce() -> T) -> T {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let _ = call!(getrlimit(resource, &mut limits));
    let _ = call!(setrlimit(resource, &libc::rlimit { rlim_cur: soft, ..limits }));
    let result = body();
    let _ = call!(setrlimit(resource, &limits));
    result
}

/// A tmpfs in the working folder, which nobody else sees, until this is dropped.
#[derive(Debug)]
pub struct MemoryFs(CString);

impl MemoryFs {
    /// Mounts it on a new folder; `None` where the program may not.
    pub fn mount(folder: &str, options: &str) -> Option<Self> {
        if !is_root() {
            println!("# not root: without a file system of its own");
            return None;
        }
        // lx has one tree for all, which ends with the run.
        if call!(unshare(libc::CLONE_NEWNS)).is_ok() {
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let root = c("/");
            call!(mount(null(), root.as_ptr(), null(), private, null())).ok()?;
        }
        fs::create_dir(folder).ok()?;
        let (fs_type, target) = (c("tmpfs"), c(folder));
        let (source, data) = (fs_type.as_ptr(), c(options));
        call!(mount(source, target.as_ptr(), fs_type.as_ptr(), 0, data.as_ptr().cast())).ok()?;
        Some(Self(target))
    }

    /// Forbids writing.
    pub fn make_read_only(&self) -> Called {
        let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
        call!(mount(null(), self.0.as_ptr(), null(), flags, null()))
    }
}

impl Drop for MemoryFs {
    fn drop(&mut self) {
        let _ = call!(umount2(self.0.as_ptr(), libc::MNT_DETACH));
    }
}
