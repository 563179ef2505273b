//! System V shared memory: `shmget(2)`, `shmat(2)`, `shmdt(2)`, `shmctl(2)`.

use std::fs;
use std::ptr::null_mut;

use lx_guest_tests::files::{address, as_nobody, is_root, sys};
use lx_guest_tests::ipc::{again, proc_fields};
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, fork, in_child, pause, until, wait};

const PAGE: usize = 4096;
const CREATE: i64 = (libc::IPC_CREAT | libc::IPC_EXCL) as i64;
const PRIVATE: i64 = libc::IPC_PRIVATE as i64;

fn main() {
    let mut t = Checks::new();
    keys(&mut t);
    contents(&mut t);
    places(&mut t);
    ends(&mut t);
    permissions(&mut t);
    t.end();
}

fn shmget(key: i64, size: usize, flags: i64) -> Called {
    sys(libc::SYS_shmget, [key, size as i64, flags])
}

fn shmat(id: i64, at: usize, flags: i32) -> Called {
    sys(libc::SYS_shmat, [id, at as i64, i64::from(flags)])
}

fn shmdt(at: i64) -> Called {
    sys(libc::SYS_shmdt, [at])
}

fn shmctl(id: i64, command: i32, buffer: i64) -> Called {
    sys(libc::SYS_shmctl, [id, i64::from(command), buffer])
}

fn remove(id: i64) -> Called {
    shmctl(id, libc::IPC_RMID, 0)
}

fn stat(id: i64) -> Result<libc::shmid_ds, i32> {
    // SAFETY: all zeroes is a valid shmid_ds.
    let mut stat: libc::shmid_ds = unsafe { std::mem::zeroed() };
    shmctl(id, libc::IPC_STAT, address(&mut stat)).map(|_| stat)
}

fn attachments(id: i64) -> Result<u64, i32> {
    stat(id).map(|stat| stat.shm_nattch)
}

/// A key that no other run of this program has.
fn own_key(number: i64) -> i64 {
    0x1100_0000 + i64::from(std::process::id()) * 4 + number
}

fn keys(t: &mut Checks) {
    let key = own_key(0);
    t.fails("no such key", shmget(key, PAGE, 0), libc::ENOENT);
    t.fails("no bytes", shmget(key, 0, CREATE), libc::EINVAL);
    t.fails("too many bytes", shmget(key, usize::MAX, CREATE), libc::EINVAL);
    let id = t.works("a segment", shmget(key, 5000, CREATE | 0o640));
    t.fails("it exists", shmget(key, PAGE, CREATE), libc::EEXIST);
    t.is("found", shmget(key, 5000, 0), Ok(id));
    t.is("found by who does not mind the size", shmget(key, 0, 0), Ok(id));
    t.is("found by who would make it", shmget(key, 1, libc::IPC_CREAT.into()), Ok(id));
    t.fails("it is smaller", shmget(key, 5001, 0), libc::EINVAL);
    let seen = stat(id).map(|stat| {
        let perm = stat.shm_perm;
        (stat.shm_segsz, stat.shm_nattch, perm.mode & 0o7777, i64::from(perm.__key), stat.shm_lpid)
    });
    t.is("size, attachments, mode, key, last user", seen, Ok((5000, 0, 0o640, key, 0)));
    let made = stat(id).map(|stat| {
        (stat.shm_cpid, stat.shm_atime, stat.shm_dtime, stat.shm_ctime > 1_600_000_000)
    });
    t.is("maker and times", made, Ok((std::process::id() as i32, 0, 0, true)));
    t.is("/proc/sysvipc/shm", proc_fields("shm", id, 4), format!("{key} {id} {:o} 5000", 0o640));
    t.fails("a command that is none", shmctl(id, 99, 0), libc::EINVAL);
    t.fails("a negative id", shmctl(-1, libc::IPC_STAT, 0), libc::EINVAL);
    t.fails("no such id", shmctl(0x7fff_fff0, libc::IPC_STAT, 0), libc::EINVAL);
    t.fails("stat to nowhere", shmctl(id, libc::IPC_STAT, NOWHERE as i64), libc::EFAULT);
    t.fails("set from nowhere", shmctl(id, libc::IPC_SET, NOWHERE as i64), libc::EFAULT);
    t.is("removed", remove(id), Ok(0));
    t.fails("removed before", remove(id), libc::EINVAL);
    let other = t.works("another one", again(id, || shmget(PRIVATE, PAGE, CREATE), remove));
    t.ok("has another id", other != id);
    t.fails("the old id, whose index is another's", shmctl(id, libc::IPC_STAT, 0), libc::EINVAL);
    t.fails("the old id, whose index is another's, to attach", shmat(id, 0, 0), libc::EINVAL);
    t.is("removed too", remove(other), Ok(0));
}

fn contents(t: &mut Checks) {
    let id = t.works("a segment", shmget(PRIVATE, 3 * PAGE, CREATE | 0o600));
    let at = t.works("attached", shmat(id, 0, 0));
    let again = t.works("attached again", shmat(id, 0, 0));
    t.ok("at two places", at != again);
    let word = |at: i64, index: usize| (at as usize + index * PAGE) as *mut u32;
    // SAFETY: both attachments have three pages.
    unsafe {
        t.is("zeroed", word(at, 2).read(), 0);
        word(at, 2).write(7);
        t.is("seen at the other place", word(again, 2).read(), 7);
    }
    let child = in_child(|| {
        // SAFETY: as above; the child has both attachments.
        unsafe { word(again, 0).write(8) };
        i32::from(attachments(id) != Ok(4))
    });
    t.is("a child inherits both", child, Ended::Exit(0));
    // SAFETY: as above.
    t.is("what it wrote", unsafe { word(at, 0).read() }, 8);
    t.is("its attachments are gone", attachments(id), Ok(2));
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let lines = maps.lines().filter(|line| line.ends_with("/SYSV00000000 (deleted)"));
    t.is("/proc/self/maps", lines.count(), 2);
    t.is("detached", shmdt(again), Ok(0));
    t.fails("detached before", shmdt(again), libc::EINVAL);
    t.fails("not at its beginning", shmdt(at + PAGE as i64), libc::EINVAL);
    t.fails("misaligned", shmdt(at + 1), libc::EINVAL);
    let seen = stat(id)
        .map(|stat| (stat.shm_nattch, stat.shm_lpid, stat.shm_atime > 0, stat.shm_dtime > 0));
    t.is("who used it last, when", seen, Ok((1, std::process::id() as i32, true, true)));
    // A hole in the middle: the rest is one attachment in two parts.
    let middle = at as usize + PAGE;
    t.is("a hole", call!(munmap(middle as *mut _, PAGE)), Ok(0));
    t.is("two parts", attachments(id), Ok(2));
    t.is("detached in one go", shmdt(at), Ok(0));
    t.is("none left", attachments(id), Ok(0));
    t.is("removed", remove(id), Ok(0));
}

fn places(t: &mut Checks) {
    let id = t.works("a segment", shmget(PRIVATE, 2 * PAGE, CREATE | 0o700));
    t.fails("no such segment", shmat(0x7fff_fff0, 0, 0), libc::EINVAL);
    t.fails("a negative id", shmat(-1, 0, 0), libc::EINVAL);
    let at = t.works("attached", shmat(id, 0, 0)) as usize;
    t.is("detached", shmdt(at as i64), Ok(0));
    t.is("there again", shmat(id, at, 0), Ok(at as i64));
    t.fails("in use", shmat(id, at, 0), libc::EINVAL);
    t.fails("half in use", shmat(id, at + PAGE, 0), libc::EINVAL);
    t.fails("misaligned", shmat(id, at + 5, 0), libc::EINVAL);
    t.fails("misaligned and rounded, in use", shmat(id, at + 5, libc::SHM_RND), libc::EINVAL);
    t.fails("nowhere to replace", shmat(id, 0, libc::SHM_REMAP), libc::EINVAL);
    t.is("replaced", shmat(id, at + 5, libc::SHM_REMAP | libc::SHM_RND), Ok(at as i64));
    t.is("one attachment", attachments(id), Ok(1));
    t.is("detached again", shmdt(at as i64), Ok(0));
    let read_only = t.works("to be read", shmat(id, 0, libc::SHM_RDONLY)) as usize;
    // SAFETY: an attachment of two pages.
    t.is("reads", unsafe { *(read_only as *const u32) }, 0);
    let written = in_child(|| {
        lx_guest_tests::no_core();
        // SAFETY: the page is not writable; the child dies.
        unsafe { (read_only as *mut u32).write_volatile(1) };
        0
    });
    t.is("is not written", written, Ended::Signal(libc::SIGSEGV));
    let write = libc::PROT_READ | libc::PROT_WRITE;
    t.fails("never", call!(mprotect(read_only as *mut _, PAGE, write)), libc::EACCES);
    let grown = call!(mremap(read_only as *mut _, 2 * PAGE, PAGE, 0, null_mut::<u8>()));
    t.is("shortened", grown, Ok(read_only as i64));
    t.is("detached at last", shmdt(read_only as i64), Ok(0));
    t.is("removed", remove(id), Ok(0));
}

/// A removed segment goes with its last attachment, however that ends.
fn ends(t: &mut Checks) {
    let key = own_key(1);
    let id = t.works("a segment", shmget(key, PAGE, CREATE | 0o600));
    let at = t.works("attached", shmat(id, 0, 0));
    t.is("removed", remove(id), Ok(0));
    t.fails("its key is free", shmget(key, PAGE, 0), libc::ENOENT);
    let seen = stat(id).map(|stat| (stat.shm_perm.mode & 0o7777, stat.shm_perm.__key));
    t.is("to be destroyed", seen, Ok((0o1600, libc::IPC_PRIVATE)));
    let second = t.works("still attached by its id", shmat(id, 0, 0));
    t.is("detached", shmdt(at), Ok(0));
    let (reading, writing) = lx_guest_tests::pipe();
    let child = fork(|| {
        let _ = shmdt(second);
        let own = shmat(id, 0, 0);
        let _ = lx_guest_tests::write(writing, b"1");
        pause(60_000);
        i32::from(own.is_err())
    });
    t.is("a child has it", lx_guest_tests::read::<1>(reading), Ok(b"1".to_vec()));
    t.is("the parent detaches", shmdt(second), Ok(0));
    t.is("there for the child", attachments(id), Ok(1));
    t.is("the child is killed", call!(kill(child, libc::SIGKILL)), Ok(0));
    t.is("dead", wait(child), Ended::Signal(libc::SIGKILL));
    t.ok("gone with it", until(|| stat(id).is_err()));
    t.fails("gone", shmctl(id, libc::IPC_STAT, NOWHERE as i64), libc::EINVAL);

    let id = t.works("another segment", shmget(PRIVATE, PAGE, CREATE | 0o600));
    let executed = in_child(|| {
        let _ = shmat(id, 0, 0);
        let program = c"/bin/true".as_ptr();
        let argv = [program, std::ptr::null()];
        // SAFETY: the argument list ends with a null pointer.
        unsafe { libc::execv(program, argv.as_ptr()) }
    });
    t.is("a program that has it executes another one", executed, Ended::Exit(0));
    t.is("no attachment", attachments(id), Ok(0));
    t.is("removed at last", remove(id), Ok(0));
}

fn permissions(t: &mut Checks) {
    let id = t.works("a segment", shmget(PRIVATE, PAGE, CREATE | 0o604));
    if !is_root() {
        t.is("removed", remove(id), Ok(0));
        return;
    }
    t.is("others may read", as_nobody(|| shmat(id, 0, libc::SHM_RDONLY)).is_ok(), true);
    t.fails("and not write", as_nobody(|| shmat(id, 0, 0)), libc::EACCES);
    let execute = as_nobody(|| shmat(id, 0, libc::SHM_RDONLY | libc::SHM_EXEC));
    t.fails("and not execute", execute, libc::EACCES);
    t.is("others may look", as_nobody(|| attachments(id)), Ok(1));
    t.fails("others may not remove", as_nobody(|| remove(id)), libc::EPERM);
    let Ok(mut new) = stat(id) else { return t.ok("stat", false) };
    new.shm_perm.mode = 0o600;
    t.fails("nor change", as_nobody(|| shmctl(id, libc::IPC_SET, address(&mut new))), libc::EPERM);
    t.is("the owner may", shmctl(id, libc::IPC_SET, address(&mut new)), Ok(0));
    t.fails("others may no longer look", as_nobody(|| attachments(id).map(|_| 0)), libc::EACCES);
    t.fails("nor lock", as_nobody(|| shmctl(id, libc::SHM_LOCK, 0)), libc::EPERM);
    t.is("root may", shmctl(id, libc::SHM_LOCK, 0), Ok(0));
    t.is("locked", stat(id).map(|stat| stat.shm_perm.mode & 0o7777), Ok(0o2600));
    t.is("unlocked", shmctl(id, libc::SHM_UNLOCK, 0), Ok(0));
    let key = own_key(2);
    let other = t.works("a segment for root", shmget(key, PAGE, CREATE | 0o600));
    t.fails("found, but not by others", as_nobody(|| shmget(key, PAGE, 0o400)), libc::EACCES);
    t.is("found by who asks for nothing", as_nobody(|| shmget(key, PAGE, 0)), Ok(other));
    t.is("removed", remove(id).and(remove(other)), Ok(0));
}
