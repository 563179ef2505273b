//! System V semaphores: `semget(2)`, `semop(2)`, `semtimedop(2)`, `semctl(2)`.

use std::thread;
use std::time::{Duration, Instant};

use lx_guest_tests::files::{address, as_nobody, is_root, sys};
use lx_guest_tests::ipc::{again, proc_fields};
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, call, fork, in_child, pause, pipe, read, until, wait, write,
};

const CREATE: i64 = (libc::IPC_CREAT | libc::IPC_EXCL) as i64;
const PRIVATE: i64 = libc::IPC_PRIVATE as i64;
const NOWAIT: i16 = libc::IPC_NOWAIT as i16;
const UNDO: i16 = libc::SEM_UNDO as i16;

fn main() {
    let mut t = Checks::new();
    keys(&mut t);
    values(&mut t);
    operations(&mut t);
    waiting(&mut t);
    order(&mut t);
    undo(&mut t);
    permissions(&mut t);
    t.end();
}

fn semget(key: i64, count: i64, flags: i64) -> Called {
    sys(libc::SYS_semget, [key, count, flags])
}

fn semctl(id: i64, number: i64, command: i32, argument: i64) -> Called {
    sys(libc::SYS_semctl, [id, number, i64::from(command), argument])
}

fn remove(id: i64) -> Called {
    semctl(id, 0, libc::IPC_RMID, 0)
}

/// One call: number, operation and flags of each step.
fn semop(id: i64, steps: &[(u16, i16, i16)]) -> Called {
    let mut steps = sembufs(steps);
    sys(libc::SYS_semop, [id, steps.as_mut_ptr() as i64, steps.len() as i64])
}

fn semtimedop(id: i64, steps: &[(u16, i16, i16)], milliseconds: i64) -> Called {
    let mut steps = sembufs(steps);
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    let steps = [steps.as_mut_ptr() as i64, steps.len() as i64];
    sys(libc::SYS_semtimedop, [id, steps[0], steps[1], address(&mut time)])
}

fn sembufs(steps: &[(u16, i16, i16)]) -> Vec<libc::sembuf> {
    let sembuf = |&(sem_num, sem_op, sem_flg)| libc::sembuf { sem_num, sem_op, sem_flg };
    steps.iter().map(sembuf).collect()
}

fn value(id: i64, number: i64) -> Called {
    semctl(id, number, libc::GETVAL, 0)
}

fn set(id: i64, number: i64, value: i64) -> Called {
    semctl(id, number, libc::SETVAL, value)
}

fn stat(id: i64) -> Result<libc::semid_ds, i32> {
    // SAFETY: all zeroes is a valid semid_ds.
    let mut stat: libc::semid_ds = unsafe { std::mem::zeroed() };
    semctl(id, 0, libc::IPC_STAT, address(&mut stat)).map(|_| stat)
}

/// Whether somebody waits for a semaphore to grow, or to become zero.
fn somebody_waits(id: i64, number: i64, command: i32) -> bool {
    until(|| semctl(id, number, command, 0) == Ok(1))
}

fn keys(t: &mut Checks) {
    let key = 0x2200_0000 + i64::from(std::process::id());
    t.fails("no such key", semget(key, 1, 0), libc::ENOENT);
    t.fails("no semaphores", semget(key, 0, CREATE), libc::EINVAL);
    t.fails("less than none", semget(key, -1, CREATE), libc::EINVAL);
    t.fails("too many", semget(key, 32_001, CREATE), libc::EINVAL);
    let id = t.works("a set", semget(key, 3, CREATE | 0o640));
    t.fails("it exists", semget(key, 3, CREATE), libc::EEXIST);
    t.is("found", semget(key, 2, 0), Ok(id));
    t.is("found by who does not mind the number", semget(key, 0, 0), Ok(id));
    t.fails("it has fewer", semget(key, 4, 0), libc::EINVAL);
    let seen = stat(id).map(|stat| (stat.sem_nsems, stat.sem_perm.mode, stat.sem_otime));
    t.is("number, mode, last operation", seen, Ok((3, 0o640, 0)));
    t.is("/proc/sysvipc/sem", proc_fields("sem", id, 4), format!("{key} {id} 640 3"));
    t.fails("a command that is none", semctl(id, 0, 99, 0), libc::EINVAL);
    t.fails("a negative id", semctl(-1, 0, libc::GETVAL, 0), libc::EINVAL);
    t.fails("no such id", semctl(0x7fff_fff0, 0, libc::GETVAL, 0), libc::EINVAL);
    t.fails("stat to nowhere", semctl(id, 0, libc::IPC_STAT, NOWHERE as i64), libc::EFAULT);
    t.is("removed", remove(id), Ok(0));
    t.fails("removed before", remove(id), libc::EINVAL);
    let other = t.works("another one", again(id, || semget(key, 1, CREATE | 0o600), remove));
    t.fails("the old id, whose index is another's", value(id, 0), libc::EINVAL);
    t.fails(
        "the old id, whose index is another's, to operate",
        semop(id, &[(0, 1, 0)]),
        libc::EINVAL,
    );
    if is_root() {
        t.fails("found, but not by others", as_nobody(|| semget(key, 1, 0o400)), libc::EACCES);
        t.is("found by who asks for nothing", as_nobody(|| semget(key, 1, 0)), Ok(other));
    }
    t.is("removed too", remove(other), Ok(0));
}

fn values(t: &mut Checks) {
    let id = t.works("a set", semget(PRIVATE, 3, CREATE | 0o600));
    t.is("a value", set(id, 1, 5), Ok(0));
    t.is("as set", value(id, 1), Ok(5));
    t.is("by whom", semctl(id, 1, libc::GETPID, 0), Ok(i64::from(std::process::id())));
    t.fails("no such semaphore", value(id, 3), libc::EINVAL);
    t.fails("none below zero", value(id, -1), libc::EINVAL);
    t.fails("not set either", set(id, 3, 1), libc::EINVAL);
    t.fails("a negative value", set(id, 0, -1), libc::ERANGE);
    t.fails("too large a value", set(id, 0, 32_768), libc::ERANGE);
    let mut all = [0_u16; 3];
    t.is("all values", semctl(id, 0, libc::GETALL, address(&mut all)), Ok(0));
    t.is("are these", all, [0, 5, 0]);
    let mut new = [1_u16, 2, 3];
    t.is("new values", semctl(id, 0, libc::SETALL, address(&mut new)), Ok(0));
    t.is("as set together", value(id, 2), Ok(3));
    let mut large = [1_u16, 32_768, 3];
    let set_large = semctl(id, 0, libc::SETALL, address(&mut large));
    t.fails("one is too large", set_large, libc::ERANGE);
    t.fails("values to nowhere", semctl(id, 0, libc::GETALL, NOWHERE as i64), libc::EFAULT);
    t.fails("values from nowhere", semctl(id, 0, libc::SETALL, NOWHERE as i64), libc::EFAULT);
    t.is("removed", remove(id), Ok(0));
}

fn operations(t: &mut Checks) {
    let id = t.works("a set", semget(PRIVATE, 2, CREATE | 0o600));
    t.is("two steps", semop(id, &[(0, 3, 0), (1, 1, 0)]), Ok(0));
    t.is("a first value", value(id, 0), Ok(3));
    let both = [(0, -1, NOWAIT), (1, -2, NOWAIT)];
    t.fails("one is not possible", semop(id, &both), libc::EAGAIN);
    t.is("so none is done", value(id, 0), Ok(3));
    t.fails("is it zero", semop(id, &[(0, 0, NOWAIT)]), libc::EAGAIN);
    t.is("down and zero", semop(id, &[(0, -3, 0), (0, 0, 0), (0, 1, 0)]), Ok(0));
    t.is("up again", value(id, 0), Ok(1));
    t.fails("no such semaphore", semop(id, &[(2, 1, 0)]), libc::EFBIG);
    t.fails("no steps", semop(id, &[]), libc::EINVAL);
    t.fails("too many steps", semop(id, &[(0, 0, 0); 501]), libc::E2BIG);
    t.is("many steps", semop(id, &[(0, 1, 0); 500]), Ok(0));
    t.is("all done", value(id, 0), Ok(501));
    t.fails("too large", semop(id, &[(0, 32_767, 0)]), libc::ERANGE);
    t.fails("a negative id", semop(-1, &[(0, 1, 0)]), libc::EINVAL);
    t.fails("no such id", semop(0x7fff_fff0, &[(0, 1, 0)]), libc::EINVAL);
    let nowhere = sys(libc::SYS_semop, [id, NOWHERE as i64, 1]);
    t.fails("steps from nowhere", nowhere, libc::EFAULT);
    t.ok("time of the last one", stat(id).is_ok_and(|stat| stat.sem_otime > 1_600_000_000));
    t.is("removed", remove(id), Ok(0));
}

fn waiting(t: &mut Checks) {
    let id = t.works("a set", semget(PRIVATE, 2, CREATE | 0o600));
    let began = Instant::now();
    t.fails("in time", semtimedop(id, &[(0, -1, 0)], 30), libc::EAGAIN);
    t.ok("after the time", began.elapsed() >= Duration::from_millis(30));
    t.fails("no time", semtimedop(id, &[(0, -1, 0)], -1), libc::EINVAL);
    let mut steps = sembufs(&[(0, -1, 0)]);
    let steps = steps.as_mut_ptr() as i64;
    let nowhere = sys(libc::SYS_semtimedop, [id, steps, 1, NOWHERE as i64]);
    t.fails("a time from nowhere", nowhere, libc::EFAULT);
    let child = fork(|| i32::from(semop(id, &[(0, -2, 0)]) != Ok(0)));
    t.ok("a child waits", somebody_waits(id, 0, libc::GETNCNT));
    t.is("not enough", semop(id, &[(0, 1, 0)]), Ok(0));
    t.ok("it waits on", somebody_waits(id, 0, libc::GETNCNT));
    t.is("enough", semop(id, &[(0, 1, 0)]), Ok(0));
    t.is("it has got it", wait(child), Ended::Exit(0));
    t.is("all of it", value(id, 0), Ok(0));
    t.is("by whom", semctl(id, 0, libc::GETPID, 0), Ok(child.into()));
    t.is("nobody waits", semctl(id, 0, libc::GETNCNT, 0), Ok(0));

    t.is("one", set(id, 1, 1), Ok(0));
    let child = fork(|| i32::from(semop(id, &[(1, 0, 0)]) != Ok(0)));
    t.ok("a child waits for zero", somebody_waits(id, 1, libc::GETZCNT));
    t.is("none waits for more", semctl(id, 1, libc::GETNCNT, 0), Ok(0));
    t.is("zero", set(id, 1, 0), Ok(0));
    t.is("it was zero", wait(child), Ended::Exit(0));

    let child = fork(|| i32::from(semop(id, &[(0, -1, 0)]) != Err(libc::EINTR)));
    t.ok("a child waits for ever", somebody_waits(id, 0, libc::GETNCNT));
    let stop = [libc::SIGSTOP, libc::SIGCONT].map(|signal| call!(kill(child, signal)));
    t.is("it stops and goes on", stop, [Ok(0), Ok(0)]);
    t.is("its wait is over", wait(child), Ended::Exit(0));
    let killed = fork(|| i32::from(semop(id, &[(0, -1, 0)]).is_ok()));
    t.ok("another one waits", somebody_waits(id, 0, libc::GETNCNT));
    t.is("it is killed", call!(kill(killed, libc::SIGKILL)), Ok(0));
    t.is("dead", wait(killed), Ended::Signal(libc::SIGKILL));
    t.is("it waits no more", semctl(id, 0, libc::GETNCNT, 0), Ok(0));
    t.is("and takes nothing", semop(id, &[(0, 1, 0)]), Ok(0));
    t.is("what is there stays", value(id, 0), Ok(1));

    let removed = fork(|| i32::from(semop(id, &[(0, -2, 0)]) != Err(libc::EIDRM)));
    t.ok("a last one waits", somebody_waits(id, 0, libc::GETNCNT));
    let timed = fork(|| i32::from(semtimedop(id, &[(0, -2, 0)], 900) != Err(libc::EIDRM)));
    t.ok("and one with a time", until(|| semctl(id, 0, libc::GETNCNT, 0) == Ok(2)));
    t.is("removed", remove(id), Ok(0));
    t.is("it is told", wait(timed), Ended::Exit(0));
    t.is("so is the other one", wait(removed), Ended::Exit(0));
}

/// Who came first gets it first; who can do with less does not wait for the one who cannot.
fn order(t: &mut Checks) {
    let id = t.works("a set", semget(PRIVATE, 2, CREATE | 0o600));
    let (log, entries) = pipe();
    let mut children = Vec::new();
    for (name, count) in [(b"a", 2), (b"b", 1), (b"c", 1)] {
        let before = children.len() as i64;
        children.push(fork(|| {
            let got = semop(id, &[(0, -count, 0)]);
            let _ = write(entries, name);
            let _ = semop(id, &[(1, 1, 0)]);
            i32::from(got != Ok(0))
        }));
        let waits = until(|| semctl(id, 0, libc::GETNCNT, 0) == Ok(before + 1));
        t.ok("one more waits", waits);
    }
    let next = |t: &mut Checks, who: &[u8]| {
        t.is("one", semop(id, &[(0, 1, 0)]), Ok(0));
        t.is("is gotten by", read::<1>(log), Ok(who.to_vec()));
        t.is("it is done", semop(id, &[(1, -1, 0)]), Ok(0));
    };
    next(t, b"b");
    next(t, b"c");
    t.is("one for nobody", semop(id, &[(0, 1, 0)]), Ok(0));
    next(t, b"a");
    t.ok("all end well", children.into_iter().all(|child| wait(child) == Ended::Exit(0)));
    t.is("removed", remove(id), Ok(0));
}

fn undo(t: &mut Checks) {
    let id = t.works("a set", semget(PRIVATE, 2, CREATE | 0o600));
    t.is("five", set(id, 0, 5), Ok(0));
    let child = in_child(|| {
        let _ = semop(id, &[(0, -2, UNDO), (1, 1, UNDO)]);
        i32::from(semop(id, &[(0, -1, UNDO)]) != Ok(0))
    });
    t.is("a child takes three and ends", child, Ended::Exit(0));
    t.is("they are back", value(id, 0), Ok(5));
    t.is("what it gave is gone", value(id, 1), Ok(0));
    let (reading, writing) = pipe();
    let child = fork(|| {
        let _ = semop(id, &[(0, -4, UNDO)]);
        let _ = write(writing, b"1");
        pause(60_000);
        0
    });
    t.is("another one takes four", read::<1>(reading), Ok(b"1".to_vec()));
    t.is("one is left", value(id, 0), Ok(1));
    let waiter = fork(|| i32::from(semop(id, &[(0, -2, 0)]) != Ok(0)));
    t.ok("a third one wants two", somebody_waits(id, 0, libc::GETNCNT));
    t.is("it is killed", call!(kill(child, libc::SIGKILL)), Ok(0));
    t.is("dead", wait(child), Ended::Signal(libc::SIGKILL));
    t.is("the third one has them", wait(waiter), Ended::Exit(0));
    t.is("three are left", value(id, 0), Ok(3));
    let reset = fork(|| {
        let _ = semop(id, &[(0, -1, UNDO)]);
        let _ = write(writing, b"1");
        let _ = semop(id, &[(1, -1, 0)]);
        0
    });
    t.is("one more takes one", read::<1>(reading), Ok(b"1".to_vec()));
    t.is("the value is set", set(id, 0, 7), Ok(0));
    t.is("it may end", semop(id, &[(1, 1, 0)]), Ok(0));
    t.is("it ends", wait(reset), Ended::Exit(0));
    t.is("there is nothing to undo", value(id, 0), Ok(7));
    let too_much = in_child(|| {
        let _ = set(id, 1, 32_000);
        let _ = semop(id, &[(1, -32_000, UNDO)]);
        let _ = set(id, 0, 0);
        let _ = semop(id, &[(0, 32_767, UNDO), (0, -32_767, 0), (0, 2, UNDO)]);
        0
    });
    t.is("one with much to undo", too_much, Ended::Exit(0));
    t.is("within the range", value(id, 0), Ok(0));
    // Threads share what is undone: it is when the last one has ended.
    t.is("ten", set(id, 0, 10), Ok(0));
    let child = in_child(|| {
        let taken = thread::spawn(move || semop(id, &[(0, -3, UNDO)])).join();
        pause(50);
        let kept = value(id, 0) == Ok(7);
        i32::from(!(matches!(taken, Ok(Ok(0))) && kept))
    });
    t.is("a thread's end undoes nothing", child, Ended::Exit(0));
    t.is("the process's does", value(id, 0), Ok(10));
    let program = in_child(|| {
        let _ = semop(id, &[(0, -5, UNDO)]);
        let program = c"/bin/true".as_ptr();
        let argv = [program, std::ptr::null()];
        // SAFETY: the argument list ends with a null pointer.
        unsafe { libc::execv(program, argv.as_ptr()) }
    });
    t.is("a program executes another one", program, Ended::Exit(0));
    t.is("whose end undoes it", value(id, 0), Ok(10));
    t.is("removed", remove(id), Ok(0));
}

fn permissions(t: &mut Checks) {
    let id = t.works("a set", semget(PRIVATE, 1, CREATE | 0o604));
    if !is_root() {
        t.is("removed", remove(id), Ok(0));
        return;
    }
    t.is("others may read", as_nobody(|| value(id, 0)), Ok(0));
    t.fails("and not alter", as_nobody(|| set(id, 0, 1)), libc::EACCES);
    t.fails("nor operate", as_nobody(|| semop(id, &[(0, 1, 0)])), libc::EACCES);
    t.is("zero is only looked at", as_nobody(|| semop(id, &[(0, 0, 0)])), Ok(0));
    t.fails("others may not remove", as_nobody(|| remove(id)), libc::EPERM);
    let Ok(mut new) = stat(id) else { return t.ok("stat", false) };
    new.sem_perm.mode = 0o602;
    let set_by_nobody = as_nobody(|| semctl(id, 0, libc::IPC_SET, address(&mut new)));
    t.fails("nor change", set_by_nobody, libc::EPERM);
    t.is("the owner may", semctl(id, 0, libc::IPC_SET, address(&mut new)), Ok(0));
    t.fails("others may no longer read", as_nobody(|| value(id, 0)), libc::EACCES);
    t.is("but alter", as_nobody(|| set(id, 0, 1)), Ok(0));
    t.is("removed", remove(id), Ok(0));
}
