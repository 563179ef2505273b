//! What memory fails with: `mmap(2)`, `mprotect(2)`, `munmap(2)`, `mremap(2)`, `madvise(2)`,
//! `msync(2)`, limits of locked memory and of the number of mappings.

use std::process::exit;

use lx_guest_tests::errors::as_nobody;
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, Scratch, c, call, in_child, pipe, write};

const PAGE: usize = 4096;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
/// An address beyond the user's half.
const BEYOND: usize = 0xffff_8000_0000_0000;

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    mapping(&mut t);
    files(&mut t);
    unmapping(&mut t);
    protection(&mut t);
    keys(&mut t);
    moving(&mut t);
    advice(&mut t);
    synchronisation(&mut t);
    locked(&mut t);
    many(&mut t);
    heap(&mut t);
    drop(scratch);
    t.end();
}

fn mmap(address: usize, length: usize, protection: i32, flags: i32, fd: i32, at: i64) -> Called {
    call!(syscall(libc::SYS_mmap, address, length, protection, flags, fd, at))
}

/// New private memory.
fn map(pages: usize) -> usize {
    mmap(0, pages * PAGE, RW, PRIVATE, -1, 0).unwrap_or(0) as usize
}

fn munmap(address: usize, length: usize) -> Called {
    call!(munmap(address as *mut _, length))
}

fn mprotect(address: usize, length: usize, protection: i32) -> Called {
    call!(mprotect(address as *mut _, length, protection))
}

/// Protection keys, on a processor without them.
fn keys(t: &mut Checks) {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let at = map(2);
    let protect = |at: usize, len: usize, protection: i32, key: i32| {
        call!(syscall(libc::SYS_pkey_mprotect, at, len, protection, key))
    };
    t.works("no key", protect(at, PAGE, libc::PROT_NONE, -1));
    t.fails("and no rights", call!(mincore(at as *mut _, PAGE, at as *mut u8)), libc::EFAULT);
    t.fails("no key, an odd address", protect(at + 1, PAGE, RW, -1), libc::EINVAL);
    t.works("no key, rights", protect(at, PAGE, RW, -1));
    t.fails("a key that is none", protect(at, PAGE, RW, 16), libc::EINVAL);
    t.fails("a key, an odd address", protect(at + 1, PAGE, RW, 16), libc::EINVAL);
    t.fails("a key, too long", protect(at, usize::MAX, RW, 16), libc::ENOMEM);
    t.works("a key of nothing", protect(at, 0, RW, 16));
    t.fails("no such flag", call!(syscall(libc::SYS_pkey_alloc, 1, 0)), libc::EINVAL);
    t.fails("no such right", call!(syscall(libc::SYS_pkey_alloc, 0, 4)), libc::EINVAL);
    t.fails("to give back no key", call!(syscall(libc::SYS_pkey_free, -1)), libc::EINVAL);
    if !processor.contains(" pku") {
        t.fails("a key", call!(syscall(libc::SYS_pkey_alloc, 0, 0)), libc::EINVAL);
        t.fails("the first key", call!(syscall(libc::SYS_pkey_free, 0)), libc::EINVAL);
        t.fails("memory for it", protect(at, PAGE, RW, 0), libc::EINVAL);
    }
    t.works("unmapped", munmap(at, 2 * PAGE));
}

fn madvise(address: usize, length: usize, advice: i32) -> Called {
    call!(madvise(address as *mut _, length, advice))
}

fn mapping(t: &mut Checks) {
    t.fails("no length", mmap(0, 0, RW, PRIVATE, -1, 0), libc::EINVAL);
    t.fails("no kind", mmap(0, PAGE, RW, libc::MAP_ANONYMOUS, -1, 0), libc::EINVAL);
    t.fails("an odd offset", mmap(0, PAGE, RW, PRIVATE, -1, 1), libc::EINVAL);
    t.fails("too long", mmap(0, usize::MAX - PAGE, RW, PRIVATE, -1, 0), libc::ENOMEM);
    t.fails("longer than a number", mmap(0, usize::MAX, RW, PRIVATE, -1, 0), libc::ENOMEM);
    let fixed = PRIVATE | libc::MAP_FIXED;
    t.fails("a fixed odd address", mmap(PAGE + 1, PAGE, RW, fixed, -1, 0), libc::EINVAL);
    t.fails("a fixed address beyond", mmap(BEYOND, PAGE, RW, fixed, -1, 0), libc::ENOMEM);
    let used = map(1);
    let free = PRIVATE | libc::MAP_FIXED_NOREPLACE;
    t.fails("what is used", mmap(used, PAGE, RW, free, -1, 0), libc::EEXIST);
    let _ = munmap(used, PAGE);
    let validate = libc::MAP_SHARED_VALIDATE | libc::MAP_ANONYMOUS;
    t.fails("anonymous, with unknown flags", mmap(0, PAGE, RW, validate, -1, 0), libc::EINVAL);
}

fn files(t: &mut Checks) {
    let open = |path: &str, flags: i32| {
        call!(open(c(path).as_ptr(), flags | libc::O_CREAT, 0o600)).unwrap_or(-1) as i32
    };
    let file = open("file", libc::O_RDWR);
    let _ = write(file, &[b'f'; PAGE]);
    let (shared, private) = (libc::MAP_SHARED, libc::MAP_PRIVATE);
    t.fails("no descriptor", mmap(0, PAGE, RW, private, -1, 0), libc::EBADF);
    t.fails("a closed descriptor", mmap(0, PAGE, RW, private, 999, 0), libc::EBADF);
    let path = call!(open(c("file").as_ptr(), libc::O_PATH)).unwrap_or(-1) as i32;
    t.fails("a path only", mmap(0, PAGE, RW, private, path, 0), libc::EBADF);
    let reading = open("file", libc::O_RDONLY);
    t.fails("shared, only for reading", mmap(0, PAGE, RW, shared, reading, 0), libc::EACCES);
    let writing = open("file", libc::O_WRONLY);
    t.fails("only for writing", mmap(0, PAGE, RW, private, writing, 0), libc::EACCES);
    let appending = open("file", libc::O_RDWR | libc::O_APPEND);
    t.is("a file for appending", mmap(0, PAGE, RW, shared, appending, 0).map(|_| ()), Ok(()));
    let (r, _w) = pipe();
    t.fails("a pipe", mmap(0, PAGE, libc::PROT_READ, shared, r, 0), libc::ENODEV);
    let folder = call!(open(c(".").as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as i32;
    t.fails("a folder", mmap(0, PAGE, libc::PROT_READ, shared, folder, 0), libc::ENODEV);
    // Page aligned, and the last one that there is.
    let last = mmap(0, 2 * PAGE, libc::PROT_READ, private, file, -(PAGE as i64));
    t.fails("beyond the largest offset", last, libc::EOVERFLOW);
    let future = libc::MAP_SHARED_VALIDATE | 0x40_0000;
    t.fails("a flag of the future", mmap(0, PAGE, RW, future, file, 0), libc::EOPNOTSUPP);
    let sealed = call!(memfd_create(c("sealed").as_ptr(), libc::MFD_ALLOW_SEALING)).unwrap_or(-1);
    let sealed = sealed as i32;
    let _ = call!(ftruncate(sealed, PAGE as i64));
    let _ = call!(fcntl(sealed, libc::F_ADD_SEALS, libc::F_SEAL_WRITE));
    t.fails("sealed for writing", mmap(0, PAGE, RW, shared, sealed, 0), libc::EPERM);
    let read = mmap(0, PAGE, libc::PROT_READ, shared, sealed, 0);
    let read = t.works("but not for reading", read) as usize;
    t.fails("nor to be written later", mprotect(read, PAGE, RW), libc::EACCES);
    let read = mmap(0, PAGE, libc::PROT_READ, shared, reading, 0).unwrap_or(0) as usize;
    t.fails("a file for reading, to be written", mprotect(read, PAGE, RW), libc::EACCES);
    let copy = mmap(0, PAGE, libc::PROT_READ, private, reading, 0).unwrap_or(0) as usize;
    t.is("a copy may be", mprotect(copy, PAGE, RW), Ok(0));
    for at in [read, copy] {
        let _ = munmap(at, PAGE);
    }
}

fn unmapping(t: &mut Checks) {
    t.fails("munmap of an odd address", munmap(PAGE + 1, PAGE), libc::EINVAL);
    t.fails("of nothing", munmap(PAGE, 0), libc::EINVAL);
    t.fails("beyond", munmap(BEYOND, PAGE), libc::EINVAL);
    t.fails("too much", munmap(PAGE, usize::MAX - PAGE), libc::EINVAL);
}

fn protection(t: &mut Checks) {
    let at = map(3);
    t.fails("mprotect of an odd address", mprotect(at + 1, PAGE, RW), libc::EINVAL);
    t.fails("no such protection", mprotect(at, PAGE, 0x100), libc::EINVAL);
    let both = libc::PROT_GROWSDOWN | libc::PROT_GROWSUP;
    t.fails("downwards and upwards", mprotect(at, PAGE, RW | both), libc::EINVAL);
    t.fails("what does not grow", mprotect(at, PAGE, RW | libc::PROT_GROWSDOWN), libc::EINVAL);
    t.fails("to the end of the numbers", mprotect(at, usize::MAX - PAGE, RW), libc::ENOMEM);
    let _ = munmap(at + PAGE, PAGE);
    t.fails("over a hole", mprotect(at, 3 * PAGE, libc::PROT_READ), libc::ENOMEM);
    t.fails("in a hole", mprotect(at + PAGE, PAGE, libc::PROT_READ), libc::ENOMEM);
    t.fails("beyond", mprotect(BEYOND, PAGE, libc::PROT_READ), libc::ENOMEM);
    t.is("nothing, in a hole", mprotect(at + PAGE, 0, RW), Ok(0));
    let _ = munmap(at, 3 * PAGE);
}

fn moving(t: &mut Checks) {
    let at = map(4);
    let move_to = |from: usize, old: usize, new: usize, flags: i32, to: usize| {
        call!(syscall(libc::SYS_mremap, from, old, new, flags, to))
    };
    let (may, fixed, keep) = (libc::MREMAP_MAYMOVE, libc::MREMAP_FIXED, libc::MREMAP_DONTUNMAP);
    t.fails("mremap of an odd address", move_to(at + 1, PAGE, PAGE, 0, 0), libc::EINVAL);
    t.fails("to nothing", move_to(at, PAGE, 0, 0, 0), libc::EINVAL);
    t.fails("no such flag", move_to(at, PAGE, PAGE, 8, 0), libc::EINVAL);
    t.fails("fixed, but not moving", move_to(at, PAGE, PAGE, fixed, at), libc::EINVAL);
    t.fails("to an odd address", move_to(at, PAGE, PAGE, may | fixed, at + 1), libc::EINVAL);
    t.fails("onto itself", move_to(at, 2 * PAGE, 2 * PAGE, may | fixed, at + PAGE), libc::EINVAL);
    t.fails("beyond", move_to(at, PAGE, PAGE, may | fixed, BEYOND), libc::EINVAL);
    t.fails("kept, but not moving", move_to(at, PAGE, PAGE, keep, 0), libc::EINVAL);
    t.fails("kept, with another size", move_to(at, PAGE, 2 * PAGE, may | keep, 0), libc::EINVAL);
    t.fails("a second one of private memory", move_to(at, 0, PAGE, may, 0), libc::EINVAL);
    t.fails("no room to grow", move_to(at, PAGE, 2 * PAGE, 0, 0), libc::ENOMEM);
    let _ = munmap(at + 2 * PAGE, PAGE);
    t.fails("over a hole", move_to(at, 4 * PAGE, 5 * PAGE, may, 0), libc::EFAULT);
    t.fails("in a hole", move_to(at + 2 * PAGE, PAGE, 2 * PAGE, may, 0), libc::EFAULT);
    let _ = munmap(at, 4 * PAGE);
}

fn advice(t: &mut Checks) {
    const REMOVE: i32 = libc::MADV_REMOVE;
    const POPULATE_READ: i32 = libc::MADV_POPULATE_READ;
    const POPULATE_WRITE: i32 = libc::MADV_POPULATE_WRITE;
    let at = map(3);
    t.fails("madvise of an odd address", madvise(at + 1, PAGE, libc::MADV_NORMAL), libc::EINVAL);
    t.fails("no such advice", madvise(at, PAGE, 9999), libc::EINVAL);
    t.fails("too long", madvise(at, usize::MAX - PAGE, libc::MADV_NORMAL), libc::EINVAL);
    t.fails("removal of private memory", madvise(at, PAGE, REMOVE), libc::EINVAL);
    t.is("nothing", madvise(at, 0, libc::MADV_NORMAL), Ok(0));
    let file =
        call!(open(c("advice").as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600)).unwrap_or(-1) as i32;
    let _ = write(file, &[b'a'; PAGE]);
    let shared = libc::MAP_SHARED;
    let reading = call!(open(c("advice").as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as i32;
    let read = mmap(0, PAGE, libc::PROT_READ, shared, reading, 0).unwrap_or(0) as usize;
    t.fails("removal from a file for reading", madvise(read, PAGE, REMOVE), libc::EACCES);
    let both = mmap(0, 2 * PAGE, RW, shared, file, 0).unwrap_or(0) as usize;
    t.is("reading ahead", madvise(both, PAGE, POPULATE_READ), Ok(0));
    t.fails("beyond the file's end", madvise(both, 2 * PAGE, POPULATE_READ), libc::EFAULT);
    t.fails("and writing there", madvise(both, 2 * PAGE, POPULATE_WRITE), libc::EFAULT);
    t.fails("writing what is read", madvise(read, PAGE, POPULATE_WRITE), libc::EINVAL);
    t.fails("freeing a file", madvise(both, PAGE, libc::MADV_FREE), libc::EINVAL);
    t.fails("wiping a file", madvise(both, PAGE, libc::MADV_WIPEONFORK), libc::EINVAL);
    t.is("removal from a file", madvise(both, PAGE, REMOVE), Ok(0));
    let mut byte = 1_u8;
    let _ = call!(pread(file, (&raw mut byte).cast(), 1, 0));
    t.is("leaves zeros", byte, 0);
    let _ = munmap(at + PAGE, PAGE);
    t.fails("over a hole", madvise(at, 3 * PAGE, libc::MADV_DONTNEED), libc::ENOMEM);
    t.fails("reading a hole", madvise(at, 3 * PAGE, POPULATE_READ), libc::ENOMEM);
    for (at, pages) in [(at, 3), (read, 1), (both, 2)] {
        let _ = munmap(at, pages * PAGE);
    }
}

fn synchronisation(t: &mut Checks) {
    let at = map(3);
    let msync = |at: usize, length: usize, flags: i32| call!(msync(at as *mut _, length, flags));
    t.fails("msync of an odd address", msync(at + 1, PAGE, libc::MS_SYNC), libc::EINVAL);
    t.fails("no such flag", msync(at, PAGE, 8), libc::EINVAL);
    let both = libc::MS_SYNC | libc::MS_ASYNC;
    t.fails("now and later", msync(at, PAGE, both), libc::EINVAL);
    t.is("nothing", msync(at, 0, libc::MS_SYNC), Ok(0));
    let _ = call!(mlock(at as *const _, PAGE));
    t.fails("locked", msync(at, PAGE, libc::MS_INVALIDATE), libc::EBUSY);
    t.is("not locked", msync(at + 2 * PAGE, PAGE, libc::MS_INVALIDATE), Ok(0));
    let _ = call!(munlock(at as *const _, PAGE));
    let _ = munmap(at + PAGE, PAGE);
    t.fails("over a hole", msync(at, 3 * PAGE, libc::MS_SYNC), libc::ENOMEM);
    t.fails("to the end of the numbers", msync(at, usize::MAX - PAGE, libc::MS_SYNC), libc::ENOMEM);
    let _ = munmap(at, 3 * PAGE);
}

/// What somebody without privileges gets who may lock that many pages.
fn with_locked(pages: usize, body: impl FnOnce() -> Called) -> Called {
    as_nobody(|| {
        let limit = (pages * PAGE) as u64;
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
        let _ = call!(setrlimit(libc::RLIMIT_MEMLOCK, &limit));
        body()
    })
}

fn locked(t: &mut Checks) {
    let lock =
        |pages: usize| mmap(0, pages * PAGE, RW, PRIVATE | libc::MAP_LOCKED, -1, 0).map(|_| 0);
    t.is("locked memory within the limit", with_locked(2, || lock(2)), Ok(0));
    t.fails("more than it", with_locked(2, || lock(3)), libc::EAGAIN);
    t.fails("without any", with_locked(0, || lock(1)), libc::EPERM);
    let grow = || {
        let at = mmap(0, 2 * PAGE, RW, PRIVATE | libc::MAP_LOCKED, -1, 0)?;
        let may = libc::MREMAP_MAYMOVE;
        call!(syscall(libc::SYS_mremap, at, 2 * PAGE, 3 * PAGE, may, 0)).map(|_| 0)
    };
    t.fails("growing beyond it", with_locked(2, grow), libc::EAGAIN);
    let mlock = |pages: usize| call!(mlock(map(pages) as *const _, pages * PAGE));
    t.fails("mlock beyond it", with_locked(2, || mlock(3)), libc::ENOMEM);
    t.fails("mlock without any", with_locked(0, || mlock(1)), libc::EPERM);
    let discard = || {
        let at = mmap(0, PAGE, RW, PRIVATE | libc::MAP_LOCKED, -1, 0)? as usize;
        madvise(at, PAGE, libc::MADV_DONTNEED)
    };
    t.fails("locked memory is needed", with_locked(2, discard), libc::EINVAL);
}

/// The number of mappings is limited: none can be cut any more.
fn many(t: &mut Checks) {
    const PAGES: usize = 140_000;
    let full = |cut: &dyn Fn(usize) -> Called| {
        in_child(|| {
            let flags = PRIVATE | libc::MAP_NORESERVE;
            let Ok(at) = mmap(0, PAGES * PAGE, libc::PROT_NONE, flags, -1, 0) else { return 1 };
            let mut page = 1;
            while page + 4 < PAGES {
                if let Err(errno) = mprotect(at as usize + page * PAGE, PAGE, libc::PROT_READ) {
                    let rest = at as usize + (page + 2) * PAGE;
                    return if errno == libc::ENOMEM { cut(rest).err().unwrap_or(0) } else { 2 };
                }
                page += 2;
            }
            3
        })
    };
    t.is("too many mappings", full(&|at| munmap(at, PAGE)), Ended::Exit(libc::ENOMEM));
}

fn heap(t: &mut Checks) {
    let brk = |to: usize| call!(syscall(libc::SYS_brk, to));
    let end = brk(0);
    t.ok("brk tells the end", end.is_ok_and(|end| end > 0));
    t.is("and stays where it cannot go", brk(NOWHERE), end);
    let limited = || {
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        let _ = call!(setrlimit(libc::RLIMIT_DATA, &limit));
        let end = end.unwrap_or(0);
        i32::from(brk(end as usize + (2 << 20)) != Ok(end))
    };
    t.is("nor beyond RLIMIT_DATA", in_child(limited), Ended::Exit(0));
}
