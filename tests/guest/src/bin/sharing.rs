//! `kcmp(2)`: what processes and descriptors share. Who is less is not told: only that the order
//! is one.

use std::mem::size_of;

use lx_guest_tests::files::{address, as_nobody, close, is_root, open, sys};
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, fork, in_child, wait};

const FILE: i64 = 0;
const VM: i64 = 1;
const FILES: i64 = 2;
const FS: i64 = 3;
const SIGHAND: i64 = 4;
const IO: i64 = 5;
const SYSVSEM: i64 = 6;
const EPOLL: i64 = 7;

fn main() {
    let mut t = Checks::new();
    descriptors(&mut t);
    processes(&mut t);
    watched(&mut t);
    errors(&mut t);
    t.end();
}

fn own() -> i64 {
    std::process::id().into()
}

fn kcmp(other: i64, kind: i64, one: i64, two: i64) -> Called {
    sys(libc::SYS_kcmp, [own(), other, kind, one, two])
}

/// Whether two descriptors of the program are of one description.
fn same(one: i32, two: i32) -> Result<bool, i32> {
    kcmp(own(), FILE, one.into(), two.into()).map(|order| order == 0)
}

fn descriptors(t: &mut Checks) {
    let one = open("/dev/null", libc::O_RDONLY);
    let two = open("/dev/null", libc::O_RDONLY);
    let path = open("/dev/null", libc::O_PATH);
    let copy = call!(dup(one)).unwrap_or(-1) as i32;
    t.is("a copy", same(one, copy), Ok(true));
    t.is("another description", same(one, two), Ok(false));
    t.is("one that is a path only", same(path, path), Ok(true));
    let order = [(one, two), (two, one)]
        .map(|(one, two)| kcmp(own(), FILE, one.into(), two.into()).unwrap_or(0));
    t.ok("there is an order", order == [1, 2] || order == [2, 1]);
    let high = kcmp(own(), FILE, i64::from(one) | 1 << 32, copy.into());
    t.is("a descriptor has 32 bits", high, Ok(0));
    t.fails("a closed one", same(999, one).map(|_| 0), libc::EBADF);
    t.fails("another closed one", same(one, 999).map(|_| 0), libc::EBADF);
    for fd in [one, two, path, copy] {
        close(fd);
    }
}

fn processes(t: &mut Checks) {
    let kinds = [VM, FILES, FS, SIGHAND, SYSVSEM];
    t.is("all with itself", kinds.map(|kind| kcmp(own(), kind, 0, 0)), [Ok(0); 5]);
    // Whether others have a context of their own is the block layer's matter.
    t.is("the I/O context, too", kcmp(own(), IO, 0, 0), Ok(0));
    let ends = lx_guest_tests::pipe();
    let child = fork(|| {
        let _ = call!(close(ends.1));
        i32::from(lx_guest_tests::read::<1>(ends.0).is_err())
    });
    let shared = kinds.map(|kind| kcmp(child.into(), kind, 0, 0).map(|order| order == 0));
    let want = [false, false, false, false, true].map(Ok);
    t.is("with a child", shared, want);
    let file = kcmp(child.into(), FILE, ends.0.into(), ends.0.into());
    t.is("a file with a child", file, Ok(0));
    close(ends.1);
    t.is("the child ends", wait(child), Ended::Exit(0));
    let tid = std::thread::spawn(move || {
        let tid = call!(syscall(libc::SYS_gettid)).unwrap_or(-1);
        kinds.map(|kind| kcmp(tid, kind, 0, 0))
    });
    t.is("with a thread", tid.join().ok(), Some([Ok(0); 5]));
}

fn watched(t: &mut Checks) {
    let instance = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    let (reader, writer) = lx_guest_tests::pipe();
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    t.works("watched", call!(epoll_ctl(instance, libc::EPOLL_CTL_ADD, reader, &mut event)));
    let find = |file: i32, epoll: i32, fd: i32, skipped: i32| {
        let mut slot = [epoll, fd, skipped];
        const { assert!(size_of::<[i32; 3]>() == 12) };
        kcmp(own(), EPOLL, file.into(), address(&mut slot))
    };
    t.is("it is found", find(reader, instance, reader, 0), Ok(0));
    t.ok("another file is not it", find(writer, instance, reader, 0).is_ok_and(|order| order > 0));
    t.fails("one that is not watched", find(reader, instance, writer, 0), libc::ENOENT);
    t.fails("a second one", find(reader, instance, reader, 1), libc::ENOENT);
    t.fails("no instance", find(reader, writer, reader, 0), libc::EINVAL);
    t.fails("no instance at all", find(reader, 999, reader, 0), libc::EBADF);
    t.fails("no file", find(999, instance, reader, 0), libc::EBADF);
    t.fails("nowhere", kcmp(own(), EPOLL, reader.into(), NOWHERE as i64), libc::EFAULT);
}

fn errors(t: &mut Checks) {
    t.fails("no such kind", kcmp(own(), 8, 0, 0), libc::EINVAL);
    t.fails("no such process", kcmp(i32::MAX.into(), 8, 0, 0), libc::ESRCH);
    t.fails("no process", kcmp(0, VM, 0, 0), libc::ESRCH);
    if is_root() {
        let parent = own();
        let refused = in_child(|| as_nobody(|| kcmp(parent, VM, 0, 0).err().unwrap_or(0)));
        t.is("a process of root's", refused, Ended::Exit(libc::EPERM));
    }
}
