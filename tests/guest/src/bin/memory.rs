//! `mmap(2)`, `mprotect(2)`, `mremap(2)`, `brk(2)`: mappings and their errors.

use std::process::exit;
use std::ptr::null_mut;

use lx_guest_tests::{Called, Checks, Ended, Scratch, c, call, in_child, no_core, read, write};

const PAGE: usize = 4096;
/// Large enough that lx hands it back to the host at once.
const CHUNK: usize = 16 * PAGE;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const RX: i32 = libc::PROT_READ | libc::PROT_EXEC;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

fn main() {
    no_core();
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    anonymous(&mut t);
    protection(&mut t);
    files(&mut t);
    first_touched_by_the_kernel(&mut t);
    errors(&mut t);
    remap(&mut t);
    remap_locked(&mut t);
    advice(&mut t);
    heap(&mut t);
    drop(scratch);
    t.end();
}

fn map(length: usize, protection: i32, flags: i32) -> usize {
    call!(mmap(null_mut(), length, protection, flags, -1, 0)).map_or(0, |address| address as usize)
}

fn unmap(address: usize, length: usize) -> Called {
    call!(munmap(address as *mut _, length))
}

fn get(address: usize) -> u8 {
    // SAFETY: the callers pass mapped, readable addresses, or run in a child that may die.
    unsafe { (address as *const u8).read_volatile() }
}

fn put(address: usize, value: u8) {
    // SAFETY: the callers pass mapped, writable addresses, or run in a child that may die.
    unsafe { (address as *mut u8).write_volatile(value) }
}

/// What a child does that touches `address`.
fn touch(address: usize, write: bool) -> Ended {
    in_child(|| {
        if write {
            put(address, 1)
        } else {
            let _ = get(address);
        }
        0
    })
}

const FAULT: Ended = Ended::Signal(libc::SIGSEGV);
const FINE: Ended = Ended::Exit(0);

fn anonymous(t: &mut Checks) {
    let at = map(4 * CHUNK, RW, PRIVATE);
    t.ok("mapped at a page", at != 0 && at.is_multiple_of(PAGE));
    t.ok("zeroes", (0..4 * CHUNK).step_by(512).all(|offset| get(at + offset) == 0));
    put(at, 1);
    put(at + 4 * CHUNK - 1, 2);
    t.is("unmap the middle", unmap(at + CHUNK, 2 * CHUNK), Ok(0));
    t.is("both ends stay", (get(at), get(at + 4 * CHUNK - 1)), (1, 2));
    t.is("the middle is gone", touch(at + CHUNK, false), FAULT);
    t.is(
        "map there again",
        call!(mmap((at + CHUNK) as *mut _, CHUNK, RW, PRIVATE | libc::MAP_FIXED, -1, 0)),
        Ok((at + CHUNK) as i64),
    );
    t.is("zeroes again", get(at + CHUNK), 0);
    t.is(
        "MAP_FIXED replaces",
        call!(mmap(at as *mut _, CHUNK, RW, PRIVATE | libc::MAP_FIXED, -1, 0)),
        Ok(at as i64),
    );
    t.is("with zeroes", get(at), 0);
    t.fails(
        "MAP_FIXED_NOREPLACE does not",
        call!(mmap(at as *mut _, CHUNK, RW, PRIVATE | libc::MAP_FIXED_NOREPLACE, -1, 0)),
        libc::EEXIST,
    );
    t.is(
        "a free hint is taken",
        call!(mmap((at + 2 * CHUNK) as *mut _, CHUNK, RW, PRIVATE, -1, 0)),
        Ok((at + 2 * CHUNK) as i64),
    );
    t.is("unmap over holes", unmap(at, 4 * CHUNK), Ok(0));
    t.is("unmap nothing", unmap(at, 4 * CHUNK), Ok(0));
    let at = map(1, RW, PRIVATE);
    put(at + PAGE - 1, 1);
    t.is("a length is rounded up", get(at + PAGE - 1), 1);
    let shared = map(PAGE, RW, SHARED);
    let private = map(PAGE, RW, PRIVATE);
    put(private, 5);
    t.is(
        "in a child",
        in_child(|| {
            put(shared, 7);
            put(private, 7);
            0
        }),
        FINE,
    );
    t.is("shared is shared", get(shared), 7);
    t.is("private is not", get(private), 5);
    let big = map(256 << 20, RW, PRIVATE | libc::MAP_NORESERVE);
    put(big + (200 << 20), 9);
    t.is("a big one, touched once", get(big + (200 << 20)), 9);
    t.is("unmapped", unmap(big, 256 << 20), Ok(0));
    let all: Vec<usize> = (0..200).map(|_| map(PAGE, RW, PRIVATE)).collect();
    for (index, at) in all.iter().enumerate() {
        put(*at, index as u8);
    }
    t.ok("two hundred", all.iter().enumerate().all(|(index, at)| get(*at) == index as u8));
    t.ok("unmapped", all.iter().all(|at| unmap(*at, PAGE) == Ok(0)));
}

fn protection(t: &mut Checks) {
    let at = map(3 * PAGE, RW, PRIVATE);
    put(at + PAGE, 3);
    t.is("read only", call!(mprotect((at + PAGE) as *mut _, PAGE, libc::PROT_READ)), Ok(0));
    t.is("can be read", get(at + PAGE), 3);
    t.is("cannot be written", touch(at + PAGE, true), FAULT);
    t.is("its neighbours can", (touch(at, true), touch(at + 2 * PAGE, true)), (FINE, FINE));
    t.is("no access", call!(mprotect(at as *mut _, PAGE, libc::PROT_NONE)), Ok(0));
    t.is("cannot be read", touch(at, false), FAULT);
    t.is("all again", call!(mprotect(at as *mut _, 3 * PAGE, RW)), Ok(0));
    t.is("what was there is there", get(at + PAGE), 3);
    t.fails("not at a page", call!(mprotect((at + 1) as *mut _, PAGE, RW)), libc::EINVAL);
    t.fails("bad bits", call!(mprotect(at as *mut _, PAGE, 0x100)), libc::EINVAL);
    let _ = unmap(at + PAGE, PAGE);
    t.fails("over a hole", call!(mprotect(at as *mut _, 3 * PAGE, libc::PROT_READ)), libc::ENOMEM);
    let code = map(PAGE, RW, PRIVATE);
    // mov eax, 42; ret
    for (index, byte) in [0xb8, 42, 0, 0, 0, 0xc3].into_iter().enumerate() {
        put(code + index, byte);
    }
    t.is(
        "executable",
        call!(mprotect(code as *mut _, PAGE, libc::PROT_READ | libc::PROT_EXEC)),
        Ok(0),
    );
    // SAFETY: the page holds a function that returns 42.
    let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(code) };
    t.is("it runs", function(), 42);
    t.is(
        "not executable",
        in_child(|| {
            let _ = call!(mprotect(code as *mut _, PAGE, libc::PROT_READ));
            function()
        }),
        FAULT,
    );
}

fn files(t: &mut Checks) {
    let fd =
        call!(open(c("file").as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600)).unwrap_or(-1) as i32;
    let _ = write(fd, &[b'a'; 6000]);
    let shared =
        call!(mmap(null_mut(), 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)).unwrap_or(0) as usize;
    let private =
        call!(mmap(null_mut(), 2 * PAGE, RW, libc::MAP_PRIVATE, fd, 0)).unwrap_or(0) as usize;
    t.is("content", (get(shared), get(private + 5999)), (b'a', b'a'));
    t.is("zeroes behind the end", get(shared + 6000), 0);
    put(shared, b'S');
    put(private + 1, b'P');
    let mut bytes = [0u8; 2];
    t.is("read", call!(pread(fd, bytes.as_mut_ptr().cast(), 2, 0)), Ok(2));
    t.is("sees the shared write only", &bytes, b"Sa");
    t.is("write", call!(pwrite(fd, b"W".as_ptr().cast(), 1, 4096)), Ok(1));
    t.is("is seen by the mapping", get(shared + 4096), b'W');
    let second = call!(mmap(null_mut(), PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 4096))
        .unwrap_or(0) as usize;
    t.is("a second mapping, with an offset", get(second), b'W');
    put(shared + 4097, b'2');
    t.is("sees the first one's write", get(second + 1), b'2');
    t.is(
        "a child's write",
        in_child(|| {
            put(shared + 2, b'C');
            0
        }),
        FINE,
    );
    t.is("is seen here", get(shared + 2), b'C');
    t.is("msync", call!(msync(shared as *mut _, 2 * PAGE, libc::MS_SYNC)), Ok(0));
    t.fails("msync with bad flags", call!(msync(shared as *mut _, PAGE, 64)), libc::EINVAL);
    let _ = call!(close(fd));
    t.is("it outlives the descriptor", get(shared), b'S');
    let fd = call!(open(c("file").as_ptr(), libc::O_RDWR)).unwrap_or(-1) as i32;
    t.is("truncate", call!(ftruncate(fd, 100)), Ok(0));
    t.is("a page beyond the end", touch(shared + 4096, false), Ended::Signal(libc::SIGBUS));
    t.is("the page of the end", get(shared + 99), b'a');
    t.is("cut with zeroes", get(shared + 100), 0);
    t.is("unlink", call!(unlink(c("file").as_ptr())), Ok(0));
    t.is("it outlives the name", get(shared), b'S');
    t.is("read a file into a mapping", read::<3>(fd).map(|bytes| bytes.len()), Ok(3));
    let memfd = t.works("memfd_create", call!(memfd_create(c("name").as_ptr(), 0))) as i32;
    let _ = call!(ftruncate(memfd, PAGE as i64));
    let at = call!(mmap(null_mut(), PAGE, RW, libc::MAP_SHARED, memfd, 0)).unwrap_or(0) as usize;
    put(at, b'm');
    t.is("a memory file", read::<1>(memfd), Ok(b"m".to_vec()));
}

/// The kernel's own accesses bring in what is not there yet.
fn first_touched_by_the_kernel(t: &mut Checks) {
    let fd = t.works("memfd_create", call!(memfd_create(c("name").as_ptr(), 0))) as i32;
    let at = call!(mmap(null_mut(), 3 * PAGE, RW, libc::MAP_SHARED, fd, 0)).unwrap_or(0) as usize;
    let grown = in_child(|| i32::from(call!(ftruncate(fd, 3 * PAGE as i64)).is_err()));
    t.is("a child makes a mapped file longer", grown, FINE);
    let (r, w) = lx_guest_tests::pipe();
    let sent = call!(write(w, (at + PAGE - 1) as *const _, 2));
    t.is("write takes bytes out of the new pages", sent, Ok(2));
    t.is("read puts bytes there", call!(read(r, (at + 2 * PAGE) as *mut _, 2)), Ok(2));
    t.is("which are those", (get(at), get(at + 2 * PAGE)), (0, 0));
    let room = 64 * CHUNK;
    let stack = map(room + PAGE, RW, PRIVATE) + room;
    let flags = PRIVATE | libc::MAP_FIXED | libc::MAP_GROWSDOWN;
    t.ok("a stack", call!(mmap(stack as *mut _, PAGE, RW, flags, -1, 0)).is_ok());
    t.is("with room below", unmap(stack - room, room), Ok(0));
    t.is("write to the pipe", write(w, b"d"), Ok(1));
    t.is("read lets the stack grow", call!(read(r, (stack - 1) as *mut _, 1)), Ok(1));
    t.is("downwards", get(stack - 1), b'd');
}

fn errors(t: &mut Checks) {
    let fails = |length: usize, protection: i32, flags: i32, fd: i32, offset: i64| {
        call!(mmap(null_mut(), length, protection, flags, fd, offset))
    };
    t.fails("no length", fails(0, RW, PRIVATE, -1, 0), libc::EINVAL);
    t.fails(
        "neither shared nor private",
        fails(PAGE, RW, libc::MAP_ANONYMOUS, -1, 0),
        libc::EINVAL,
    );
    t.fails("an odd offset", fails(PAGE, RW, libc::MAP_PRIVATE, 0, 1), libc::EINVAL);
    t.fails("a closed descriptor", fails(PAGE, RW, libc::MAP_PRIVATE, 99, 0), libc::EBADF);
    t.fails("too much", fails(usize::MAX - PAGE, RW, PRIVATE, -1, 0), libc::ENOMEM);
    let ro = call!(open(c("/bin/true").as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as i32;
    t.fails(
        "shared and writable, of a read-only file",
        fails(PAGE, RW, libc::MAP_SHARED, ro, 0),
        libc::EACCES,
    );
    t.ok("private and writable", fails(PAGE, RW, libc::MAP_PRIVATE, ro, 0).is_ok());
    let dir = call!(open(c("/").as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as i32;
    t.fails("a folder", fails(PAGE, libc::PROT_READ, libc::MAP_PRIVATE, dir, 0), libc::ENODEV);
    let (r, _w) = lx_guest_tests::pipe();
    t.fails("a pipe", fails(PAGE, libc::PROT_READ, libc::MAP_PRIVATE, r, 0), libc::ENODEV);
    t.fails(
        "MAP_FIXED at an odd address",
        call!(mmap((PAGE + 1) as *mut _, PAGE, RW, PRIVATE | libc::MAP_FIXED, -1, 0)),
        libc::EINVAL,
    );
    t.fails("munmap at an odd address", unmap(1, PAGE), libc::EINVAL);
    t.fails("munmap of nothing", unmap(0x10_0000, 0), libc::EINVAL);
    t.fails("munmap beyond the user's half", unmap(0xffff_8000_0000_0000, PAGE), libc::EINVAL);
}

/// Pages that count as locked.
fn locked() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.map_or(usize::MAX, |kilobytes: usize| kilobytes * 1024 / PAGE)
}

fn remap_locked(t: &mut Checks) {
    let lock = |pages: usize| {
        let at = map(pages * PAGE, RW, PRIVATE);
        let _ = call!(mlock(at as *const _, pages * PAGE));
        at
    };
    let remap = |at: usize, old: usize, new: usize, flags: i32| {
        call!(mremap(at as *mut _, old * PAGE, new * PAGE, flags, null_mut::<u8>()))
            .map_or(0, |at| at as usize)
    };
    let at = lock(4);
    t.is("locked pages", locked(), 4);
    let grown = remap(at, 4, 8, libc::MREMAP_MAYMOVE);
    t.is("more of them", locked(), 8);
    let shrunk = remap(grown, 8, 2, 0);
    t.is("fewer", locked(), 2);
    let _ = unmap(shrunk, 2 * PAGE);
    t.is("none", locked(), 0);

    let at = lock(4);
    let moved = remap(at, 4, 4, libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP);
    t.is("what moves counts anew", locked(), 8);
    let _ = unmap(at, 4 * PAGE);
    t.is("what it leaves behind is not locked", locked(), 8);
    let _ = unmap(moved, 4 * PAGE);
    t.is("and counts for ever", locked(), 4);
}

fn remap(t: &mut Checks) {
    let at = map(2 * CHUNK, RW, PRIVATE);
    put(at, 1);
    put(at + CHUNK, 2);
    t.is("shrink", call!(mremap(at as *mut _, 2 * CHUNK, CHUNK, 0)), Ok(at as i64));
    t.is("the tail is gone", touch(at + CHUNK, false), FAULT);
    let moved = t.works(
        "grow, wherever",
        call!(mremap(at as *mut _, CHUNK, 64 * CHUNK, libc::MREMAP_MAYMOVE)),
    ) as usize;
    t.is("content moves along", get(moved), 1);
    t.is("the new part is zero", get(moved + 63 * CHUNK), 0);
    put(moved + 63 * CHUNK, 3);
    let target = map(64 * CHUNK, RW, PRIVATE);
    t.is(
        "to a given place",
        call!(mremap(
            moved as *mut _,
            64 * CHUNK,
            64 * CHUNK,
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
            target as *mut libc::c_void
        )),
        Ok(target as i64),
    );
    t.is("content", (get(target), get(target + 63 * CHUNK)), (1, 3));
    t.is("gone from the old place", touch(moved, false), FAULT);
    t.fails("an odd address", call!(mremap((target + 1) as *mut _, CHUNK, CHUNK, 0)), libc::EINVAL);
    t.fails("no new size", call!(mremap(target as *mut _, CHUNK, 0, 0)), libc::EINVAL);
    t.fails("bad flags", call!(mremap(target as *mut _, CHUNK, CHUNK, 64)), libc::EINVAL);
    t.fails(
        "nothing there",
        call!(mremap(moved as *mut _, CHUNK, 2 * CHUNK, libc::MREMAP_MAYMOVE)),
        libc::EFAULT,
    );
    let fd = t.works("memfd_create", call!(memfd_create(c("name").as_ptr(), 0))) as i32;
    let at = map(3 * CHUNK, RW, PRIVATE);
    for part in [at, at + CHUNK] {
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let shown = call!(mmap(part as *mut _, CHUNK, RW, flags, fd, (part - at) as i64));
        t.is("a part of a file", shown, Ok(part as i64));
    }
    let both = call!(mremap(at as *mut _, 2 * CHUNK, 4 * CHUNK, libc::MREMAP_MAYMOVE));
    t.ok("neighbours that show one file are one", both.is_ok());
    let at = map(2 * CHUNK, RX, PRIVATE);
    let part = call!(mmap((at + CHUNK) as *mut _, CHUNK, RW, PRIVATE | libc::MAP_FIXED, -1, 0));
    t.is("a part that is not executable", part, Ok((at + CHUNK) as i64));
    t.is("until mprotect", call!(mprotect((at + CHUNK) as *mut _, CHUNK, RX)), Ok(0));
    let both = call!(mremap(at as *mut _, 2 * CHUNK, 4 * CHUNK, libc::MREMAP_MAYMOVE));
    t.ok("neighbours that have become alike are one", both.is_ok());
}

fn advice(t: &mut Checks) {
    let at = map(2 * PAGE, RW, PRIVATE);
    put(at, 1);
    put(at + PAGE, 2);
    t.is("MADV_DONTNEED", call!(madvise(at as *mut _, PAGE, libc::MADV_DONTNEED)), Ok(0));
    t.is("drops one page only", (get(at), get(at + PAGE)), (0, 2));
    let file = call!(open(c("kept").as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    let file = file.unwrap_or(-1) as i32;
    let _ = write(file, &[b'k'; 2 * PAGE]);
    let kept = call!(mmap(null_mut(), 2 * PAGE, RW, libc::MAP_PRIVATE, file, 0)).unwrap_or(0);
    let kept = kept as usize;
    put(kept, 1);
    put(kept + PAGE, 2);
    t.is("of a file", call!(madvise(kept as *mut _, PAGE, libc::MADV_DONTNEED)), Ok(0));
    t.is("gives what the file has", (get(kept), get(kept + PAGE)), (b'k', 2));
    let _ = unmap(kept, 2 * PAGE);
    t.is("MADV_WILLNEED", call!(madvise(at as *mut _, PAGE, libc::MADV_WILLNEED)), Ok(0));
    t.fails("no such advice", call!(madvise(at as *mut _, PAGE, 9999)), libc::EINVAL);
    t.fails(
        "an odd address",
        call!(madvise((at + 1) as *mut _, PAGE, libc::MADV_NORMAL)),
        libc::EINVAL,
    );
    let _ = unmap(at, 2 * PAGE);
    t.fails("nothing there", call!(madvise(at as *mut _, PAGE, libc::MADV_DONTNEED)), libc::ENOMEM);
    let mut vector = [0u8; 2];
    let at = map(2 * PAGE, RW, PRIVATE);
    t.is("mincore", call!(mincore(at as *mut _, 2 * PAGE, vector.as_mut_ptr())), Ok(0));
}

fn heap(t: &mut Checks) {
    t.is(
        "in a child",
        in_child(|| {
            let start = call!(sbrk(0)).unwrap_or(0);
            let grown = call!(sbrk(1 << 20)) == Ok(start);
            put(start as usize + (1 << 20) - 1, 1);
            let back = call!(brk(start as *mut _)) == Ok(0) && call!(sbrk(0)) == Ok(start);
            let again =
                call!(sbrk(1 << 20)) == Ok(start) && get(start as usize + (1 << 20) - 1) == 0;
            i32::from(!(grown && back && again))
        }),
        FINE,
    );
    let limit = libc::rlimit { rlim_cur: 64 << 20, rlim_max: 64 << 20 };
    t.is(
        "RLIMIT_AS",
        in_child(|| {
            let _ = call!(setrlimit(libc::RLIMIT_AS, &limit));
            i32::from(call!(mmap(null_mut(), 128 << 20, RW, PRIVATE, -1, 0)) != Err(libc::ENOMEM))
        }),
        FINE,
    );
}
