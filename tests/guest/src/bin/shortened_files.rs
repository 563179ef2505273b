//! Mapped files that get shorter and longer: what lies behind the last page raises `SIGBUS`, in
//! every process that has it mapped.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use lx_guest_tests::{
    Called, Checks, Child, Ended, Scratch, c, call, fork, in_child, no_core, pipe, read, wait,
    write,
};

const PAGE: usize = 4096;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const BUS: Ended = Ended::Signal(libc::SIGBUS);

fn main() {
    let mut t = Checks::new();
    no_core();
    own(&mut t);
    inherited(&mut t);
    mapped_by_others(&mut t);
    while_it_runs(&mut t);
    emptied_by_opening(&mut t);
    changed_after(&mut t);
    t.end();
}

fn get(address: usize) -> u8 {
    // SAFETY: the callers' mappings; where the file has ended, the process ends.
    unsafe { (address as *const u8).read_volatile() }
}

fn put(address: usize, value: u8) {
    // SAFETY: as above.
    unsafe { (address as *mut u8).write_volatile(value) }
}

/// How a child ends that looks at an address and finds `value`.
fn look(address: usize, value: u8) -> Ended {
    in_child(|| i32::from(get(address) != value))
}

/// A file in memory of some pages with one letter each.
fn file(pages: usize) -> i32 {
    let fd = call!(memfd_create(c("file").as_ptr(), 0)).unwrap_or(-1) as i32;
    for page in 0..pages {
        let _ = write(fd, &[b'a' + page as u8; PAGE]);
    }
    fd
}

fn set_len(fd: i32, len: usize) -> Called {
    call!(ftruncate(fd, len as i64))
}

fn map(fd: i32, pages: usize, sharing: i32) -> usize {
    call!(mmap(null_mut(), pages * PAGE, RW, sharing, fd, 0)).unwrap_or(0) as usize
}

fn unmap(at: usize, pages: usize) {
    let _ = call!(munmap(at as *mut _, pages * PAGE));
}

fn own(t: &mut Checks) {
    let fd = file(4);
    let (shared, private) = (map(fd, 4, libc::MAP_SHARED), map(fd, 4, libc::MAP_PRIVATE));
    put(private + 3 * PAGE, b'P');
    t.is("shorter", set_len(fd, PAGE + 10), Ok(0));
    t.is("the page of the end", (get(shared + PAGE), get(private + PAGE + 9)), (b'b', b'b'));
    t.is("zeroes behind the end", get(shared + PAGE + 10), 0);
    t.is("the page behind it", look(shared + 2 * PAGE, 0), BUS);
    t.is("of a private mapping", look(private + 2 * PAGE, 0), BUS);
    t.is("even one of its own", look(private + 3 * PAGE, 0), BUS);
    t.is("longer", set_len(fd, 4 * PAGE), Ok(0));
    t.is("zeroes", (get(shared + 3 * PAGE), get(private + 3 * PAGE)), (0, 0));
    t.is("shorter again", set_len(fd, PAGE), Ok(0));
    t.is("gone again", look(shared + 3 * PAGE, 0), BUS);
    t.is("longer by a write", call!(pwrite(fd, b"w".as_ptr().cast(), 1, 3 * PAGE as i64)), Ok(1));
    t.is("what was written", get(shared + 3 * PAGE), b'w');
    t.is("and shorter", set_len(fd, 3 * PAGE), Ok(0));
    t.is("once more", look(shared + 3 * PAGE, 0), BUS);
    t.is("in front of it", get(shared + 2 * PAGE), 0);
    unmap(shared, 4);
    unmap(private, 4);
    let _ = call!(close(fd));
}

/// A child that does `then`, with what `first` has made, after its parent has done something.
fn start(first: impl FnOnce() -> usize, then: impl FnOnce(usize) -> i32) -> Child {
    Child::new(first, |at, told| {
        let _ = read::<1>(told);
        then(at)
    })
}

fn inherited(t: &mut Checks) {
    for (name, sharing) in [("shared", libc::MAP_SHARED), ("private", libc::MAP_PRIVATE)] {
        let fd = file(3);
        let at = map(fd, 3, sharing);
        let keeps = start(|| at, |at| i32::from((get(at), get(at + PAGE)) != (b'a', b'b')));
        let loses = start(|| at, |at| i32::from(get(at + 2 * PAGE) != b'c'));
        let also = start(|| at, |at| i32::from(get(at + 2 * PAGE) != b'c'));
        t.is("the parent shortens it", set_len(fd, 2 * PAGE), Ok(0));
        t.is(&format!("{name}: what is left"), keeps.ends(), Ended::Exit(0));
        t.is(&format!("{name}: what is gone"), loses.ends(), BUS);
        t.is(&format!("{name}: for another child"), also.ends(), BUS);
        t.is(&format!("{name}: for the parent"), look(at + 2 * PAGE, b'c'), BUS);
        let again = start(|| at, |at| i32::from(get(at + 2 * PAGE) != 0));
        t.is("longer", set_len(fd, 3 * PAGE), Ok(0));
        t.is(&format!("{name}: zeroes"), again.ends(), Ended::Exit(0));
        let shortens = in_child(|| i32::from(set_len(fd, PAGE) != Ok(0)));
        t.is("a child shortens it", shortens, Ended::Exit(0));
        t.is(&format!("{name}: the parent's"), look(at + PAGE, b'b'), BUS);
        unmap(at, 3);
        let _ = call!(close(fd));
    }
}

fn mapped_by_others(t: &mut Checks) {
    let fd = file(3);
    let own = |at| i32::from(get(at + 2 * PAGE) != b'c');
    let loses = start(|| map(fd, 3, libc::MAP_SHARED), own);
    t.is("a file that only a child has mapped", set_len(fd, 2 * PAGE), Ok(0));
    t.is("ends there too", loses.ends(), BUS);
    let _ = call!(close(fd));
    let fd = file(3);
    let before = start(
        || map(fd, 3, libc::MAP_SHARED),
        |at| match (look(at + 2 * PAGE, b'c'), get(at + PAGE)) {
            (BUS, b'b') => 0,
            _ => 1,
        },
    );
    t.is("shortened while a child waits", set_len(fd, 2 * PAGE), Ok(0));
    t.is("and has a child itself", before.ends(), Ended::Exit(0));
    let _ = call!(close(fd));
}

/// A process that makes no system call loses its pages, too.
fn while_it_runs(t: &mut Checks) {
    let fd = file(2);
    let (ready, tells) = pipe();
    let child = fork(|| {
        let at = map(fd, 2, libc::MAP_SHARED);
        let _ = write(tells, b"r");
        let limit = Instant::now() + Duration::from_secs(10);
        while Instant::now() < limit {
            get(at + PAGE);
        }
        1
    });
    let _ = read::<1>(ready);
    t.is("shortened while a child looks", set_len(fd, PAGE), Ok(0));
    t.is("which notices", wait(child), BUS);
    let _ = (call!(close(ready)), call!(close(tells)), call!(close(fd)));
}

fn emptied_by_opening(t: &mut Checks) {
    let Ok(scratch) = Scratch::enter() else { return t.ok("a folder", false) };
    let fill = || fs::write("file", vec![b'x'; 2 * PAGE]).and_then(|()| File::open("file"));
    let Ok(file) = fill() else { return t.ok("a file", false) };
    let map = || {
        let (fd, len) = (file.as_raw_fd(), 2 * PAGE);
        call!(mmap(null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, fd, 0)).unwrap_or(0) as usize
    };
    let at = map();
    t.is("mapped", get(at + PAGE), b'x');
    let loses = start(map, |at| i32::from(get(at) != b'x'));
    let emptied = OpenOptions::new().write(true).truncate(true).open("file");
    t.ok("opened with O_TRUNC", emptied.is_ok());
    t.is("nothing is left of it", look(at, b'x'), BUS);
    t.is("nor for a child that mapped it", loses.ends(), BUS);
    unmap(at, 2);
    drop((file, emptied, scratch));
}

fn changed_after(t: &mut Checks) {
    let fd = file(3);
    let at = map(fd, 3, libc::MAP_SHARED);
    let _ = set_len(fd, PAGE);
    let all = |prot| call!(mprotect(at as *mut _, 3 * PAGE, prot));
    t.is("protected with what is behind the end", all(libc::PROT_READ), Ok(0));
    t.is("the page that is left", get(at), b'a');
    t.is("the others", look(at + 2 * PAGE, 0), BUS);
    t.is("longer", set_len(fd, 3 * PAGE), Ok(0));
    let writes = || in_child(|| (put(at + 2 * PAGE, 1), 0).1);
    t.is("they can be read", get(at + 2 * PAGE), 0);
    t.is("as it was said", writes(), Ended::Signal(libc::SIGSEGV));
    let _ = (set_len(fd, PAGE), all(RW), set_len(fd, 3 * PAGE));
    t.is("and written when that is said", writes(), Ended::Exit(0));
    t.is("by a child, for all", get(at + 2 * PAGE), 1);
    unmap(at, 3);
    let _ = call!(close(fd));
}
