//! Two threads that write to the same new pages of a private mapping at once.

use std::hint;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lx_guest_tests::{Checks, c, call};

const PAGE: usize = 4096;

fn get(address: usize) -> u8 {
    // SAFETY: the mapping of `main`.
    unsafe { (address as *const u8).read_volatile() }
}

fn put(address: usize, value: u8) {
    // SAFETY: as above.
    unsafe { (address as *mut u8).write_volatile(value) }
}

fn main() {
    const PAGES: usize = 200;
    let mut t = Checks::new();
    let fd = call!(memfd_create(c("file").as_ptr(), 0)).unwrap_or(-1) as i32;
    let (len, rw) = (PAGES * PAGE, libc::PROT_READ | libc::PROT_WRITE);
    let at =
        t.works("a file is mapped", call!(mmap(null_mut(), len, rw, libc::MAP_PRIVATE, fd, 0)));
    let at = at as usize;
    t.is("and grows", call!(ftruncate(fd, len as i64)), Ok(0));
    let reached = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let write_all = |own: usize| {
        for page in 0..PAGES {
            reached[own].store(page + 1, Ordering::SeqCst);
            // Both go on together, if there are processors for both.
            let mut patience = 10_000;
            while reached[1 - own].load(Ordering::SeqCst) <= page && patience > 0 {
                patience -= 1;
                hint::spin_loop();
            }
            put(at + page * PAGE + own, 1);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| write_all(0));
        scope.spawn(|| write_all(1));
    });
    let lost =
        (0..PAGES).map(|page| at + page * PAGE).filter(|&at| (get(at), get(at + 1)) != (1, 1));
    t.is("nothing is lost that threads write to new pages", lost.count(), 0);
    t.end();
}
