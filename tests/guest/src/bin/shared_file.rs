//! A shared mapping of a file: what is written arrives in the file, in children and in others'
//! mappings.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::exit;
use std::ptr::null_mut;

use lx_guest_tests::{Checks, Ended, Scratch, call, in_child, until};

const PAGE: usize = 4096;
/// More than one unit of addresses of Windows, and no whole number of pages.
const LEN: usize = 40 * PAGE + 100;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    mappings(&mut t);
    drop(scratch);
    t.end();
}

fn get(address: usize) -> u8 {
    // SAFETY: the callers' mappings.
    unsafe { (address as *const u8).read_volatile() }
}

fn put(address: usize, value: u8) {
    // SAFETY: the callers' mappings.
    unsafe { (address as *mut u8).write_volatile(value) }
}

fn mappings(t: &mut Checks) {
    t.ok("a file", fs::write("file", vec![b'a'; LEN]).is_ok());
    let Ok(file) = fs::OpenOptions::new().read(true).write(true).open("file") else { return };
    let map = |prot, len: usize, offset: usize| {
        call!(mmap(null_mut(), len, prot, libc::MAP_SHARED, file.as_raw_fd(), offset as i64))
    };
    let at = t.works("all of it", map(RW, LEN, 0)) as usize;
    let part = t.works("a part", map(libc::PROT_READ, 3 * PAGE, 15 * PAGE)) as usize;
    if at == usize::MAX || part == usize::MAX {
        return;
    }
    t.is("content", (get(at), get(at + LEN - 1), get(part)), (b'a', b'a', b'a'));
    t.is("zeroes behind the end", get(at + LEN), 0);
    put(at + 16 * PAGE, b'1');
    t.is("one mapping sees the other", get(part + PAGE), b'1');
    let child = in_child(|| {
        put(at + 17 * PAGE, b'2');
        i32::from(get(at + 16 * PAGE) != b'1')
    });
    t.is("a child", child, Ended::Exit(0));
    t.is("what it wrote", get(part + 2 * PAGE), b'2');
    t.is("msync", call!(msync(at as *mut _, LEN, libc::MS_SYNC)), Ok(0));
    let bytes = fs::read("file").unwrap_or_default();
    let found = [16, 17, 18].map(|page| bytes.get(page * PAGE).copied());
    t.is("in the file", found, [Some(b'1'), Some(b'2'), Some(b'a')]);
    t.is("protect", call!(mprotect(at as *mut _, LEN, libc::PROT_READ)), Ok(0));
    t.is("a part goes", call!(munmap(at as *mut _, 20 * PAGE)), Ok(0));
    t.is("the rest stays", get(at + 20 * PAGE), b'a');
    t.is("it goes too", call!(munmap((at + 20 * PAGE) as *mut _, LEN - 20 * PAGE)), Ok(0));
    t.is("the other", call!(munmap(part as *mut _, 3 * PAGE)), Ok(0));
    // Windows keeps the file until the child's memory is gone, a moment after its end.
    t.ok("removed", until(|| fs::remove_file("file").is_ok()));
}
