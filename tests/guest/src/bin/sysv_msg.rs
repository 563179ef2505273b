//! System V message queues: `msgget(2)`, `msgsnd(2)`, `msgrcv(2)`, `msgctl(2)`.

use lx_guest_tests::files::{address, as_nobody, is_root, sys};
use lx_guest_tests::ipc::{again, proc_fields};
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, fork, sleeps, wait};

const CREATE: i64 = (libc::IPC_CREAT | libc::IPC_EXCL) as i64;
const PRIVATE: i64 = libc::IPC_PRIVATE as i64;
const NOWAIT: i32 = libc::IPC_NOWAIT;

fn main() {
    let mut t = Checks::new();
    keys(&mut t);
    types(&mut t);
    lengths(&mut t);
    waiting(&mut t);
    permissions(&mut t);
    t.end();
}

fn msgget(key: i64, flags: i64) -> Called {
    sys(libc::SYS_msgget, [key, flags])
}

fn msgctl(id: i64, command: i32, buffer: i64) -> Called {
    sys(libc::SYS_msgctl, [id, i64::from(command), buffer])
}

fn remove(id: i64) -> Called {
    msgctl(id, libc::IPC_RMID, 0)
}

/// A message as the kernel takes it.
#[repr(C)]
struct Message {
    kind: i64,
    text: [u8; 8200],
}

fn msgsnd(id: i64, kind: i64, text: &[u8], flags: i32) -> Called {
    let mut message = Message { kind, text: [0; 8200] };
    message.text[..text.len()].copy_from_slice(text);
    sys(libc::SYS_msgsnd, [id, address(&mut message), text.len() as i64, flags.into()])
}

/// Type and text of the message that is received.
fn msgrcv(id: i64, room: i64, kind: i64, flags: i32) -> Result<(i64, String), i32> {
    let mut message = Message { kind: 0, text: [0; 8200] };
    let len = sys(libc::SYS_msgrcv, [id, address(&mut message), room, kind, flags.into()])?;
    let text = &message.text[..len as usize];
    Ok((message.kind, String::from_utf8_lossy(text).into_owned()))
}

fn stat(id: i64) -> Result<libc::msqid_ds, i32> {
    // SAFETY: all zeroes is a valid msqid_ds.
    let mut stat: libc::msqid_ds = unsafe { std::mem::zeroed() };
    msgctl(id, libc::IPC_STAT, address(&mut stat)).map(|_| stat)
}

fn keys(t: &mut Checks) {
    let key = 0x3300_0000 + i64::from(std::process::id());
    t.fails("no such key", msgget(key, 0), libc::ENOENT);
    let id = t.works("a queue", msgget(key, CREATE | 0o640));
    t.fails("it exists", msgget(key, CREATE), libc::EEXIST);
    t.is("found", msgget(key, 0), Ok(id));
    let seen = stat(id).map(|stat| (stat.msg_qnum, stat.msg_qbytes, stat.msg_perm.mode));
    t.is("messages, room, mode", seen, Ok((0, 16_384, 0o640)));
    t.is("a message", msgsnd(id, 5, b"hello", 0), Ok(0));
    let pid = std::process::id();
    t.is("/proc/sysvipc/msg", proc_fields("msg", id, 6), format!("{key} {id} 640 5 1 {pid}"));
    let seen = stat(id).map(|stat| {
        (stat.msg_qnum, stat.msg_lspid, stat.msg_lrpid, stat.msg_stime > 0, stat.msg_rtime)
    });
    t.is("who sent it", seen, Ok((1, pid as i32, 0, true, 0)));
    t.is("received", msgrcv(id, 8, 0, 0), Ok((5, "hello".to_owned())));
    let seen = stat(id).map(|stat| (stat.msg_qnum, stat.msg_lrpid, stat.msg_rtime > 0));
    t.is("who received it", seen, Ok((0, pid as i32, true)));
    t.fails("a command that is none", msgctl(id, 99, 0), libc::EINVAL);
    t.fails("a negative id", msgctl(-1, libc::IPC_STAT, 0), libc::EINVAL);
    t.fails("no such id", msgctl(0x7fff_fff0, libc::IPC_STAT, 0), libc::EINVAL);
    t.fails("stat to nowhere", msgctl(id, libc::IPC_STAT, NOWHERE as i64), libc::EFAULT);
    t.fails("set from nowhere", msgctl(id, libc::IPC_SET, NOWHERE as i64), libc::EFAULT);
    t.is("removed", remove(id), Ok(0));
    t.fails("removed before", remove(id), libc::EINVAL);
    t.fails("no queue to send to", msgsnd(id, 1, b"", NOWAIT), libc::EINVAL);
    t.is("nor to receive from", msgrcv(id, 8, 0, NOWAIT), Err(libc::EINVAL));
    let other = t.works("another one", again(id, || msgget(key, CREATE | 0o600), remove));
    t.fails("the old id, whose index is another's", msgctl(id, libc::IPC_STAT, 0), libc::EINVAL);
    if is_root() {
        t.fails("found, but not by others", as_nobody(|| msgget(key, 0o400)), libc::EACCES);
        t.fails("not sent to", as_nobody(|| msgsnd(other, 1, b"", 0)), libc::EACCES);
    }
    t.is("removed too", remove(other), Ok(0));
}

fn types(t: &mut Checks) {
    let id = t.works("a queue", msgget(PRIVATE, CREATE | 0o600));
    t.fails("type 0", msgsnd(id, 0, b"", 0), libc::EINVAL);
    t.fails("a type below", msgsnd(id, -1, b"", 0), libc::EINVAL);
    for (kind, text) in [(5, "a"), (3, "b"), (4, "c"), (3, "d"), (9, "e"), (5, "f")] {
        t.is("a message", msgsnd(id, kind, text.as_bytes(), 0), Ok(0));
    }
    let receive = |kind: i64, flags: i32| msgrcv(id, 8, kind, flags | NOWAIT);
    let got = |kind: i64, text: &str| Ok((kind, text.to_owned()));
    t.is("a copy of the third", receive(2, libc::MSG_COPY), got(4, "c"));
    t.is("a copy of none", receive(6, libc::MSG_COPY), Err(libc::ENOMSG));
    let copy = libc::MSG_COPY | libc::MSG_EXCEPT;
    t.is("a copy of others", receive(2, copy), Err(libc::EINVAL));
    t.is("a copy, waiting", msgrcv(id, 8, 2, libc::MSG_COPY), Err(libc::EINVAL));
    t.is("the first of a type", receive(3, 0), got(3, "b"));
    t.is("the first of another type", receive(5, libc::MSG_EXCEPT), got(4, "c"));
    t.is("the lowest type", receive(-8, 0), got(3, "d"));
    t.is("the next lowest", receive(-8, 0), got(5, "a"));
    t.is("no such type", receive(7, 0), Err(libc::ENOMSG));
    t.is("none so low", receive(-4, 0), Err(libc::ENOMSG));
    t.is("the first", receive(0, 0), got(9, "e"));
    t.is("the last", receive(0, 0), got(5, "f"));
    t.is("none", receive(0, 0), Err(libc::ENOMSG));
    t.is("removed", remove(id), Ok(0));
}

fn lengths(t: &mut Checks) {
    let id = t.works("a queue", msgget(PRIVATE, CREATE | 0o600));
    t.is("an empty message", msgsnd(id, 1, b"", 0), Ok(0));
    t.is("received", msgrcv(id, 0, 0, 0), Ok((1, String::new())));
    t.fails("too long", msgsnd(id, 1, &[b'x'; 8193], 0), libc::EINVAL);
    let negative = sys(libc::SYS_msgsnd, [id, NOWHERE as i64, -1, 0]);
    t.fails("no type, no length", negative, libc::EFAULT);
    t.is("two of the longest", msgsnd(id, 1, &[b'x'; 8192], 0), Ok(0));
    t.is("and another", msgsnd(id, 1, &[b'y'; 8192], 0), Ok(0));
    t.fails("no room", msgsnd(id, 1, b"z", NOWAIT), libc::EAGAIN);
    t.is("an empty one fits", msgsnd(id, 2, b"", NOWAIT), Ok(0));
    t.is("too long for the receiver", msgrcv(id, 4, 1, 0), Err(libc::E2BIG));
    t.is("a negative length", msgrcv(id, -1, 1, 0), Err(libc::EINVAL));
    t.is("cut", msgrcv(id, 4, 1, libc::MSG_NOERROR), Ok((1, "xxxx".to_owned())));
    let lost = sys(libc::SYS_msgrcv, [id, NOWHERE as i64, 8192, 1, 0]);
    t.fails("received to nowhere", lost, libc::EFAULT);
    t.is("and lost", stat(id).map(|stat| stat.msg_qnum), Ok(1));
    let nowhere = sys(libc::SYS_msgsnd, [id, NOWHERE as i64, 1, 0]);
    t.fails("sent from nowhere", nowhere, libc::EFAULT);
    let Ok(mut new) = stat(id) else { return t.ok("stat", false) };
    new.msg_qbytes = 10;
    t.is("less room", msgctl(id, libc::IPC_SET, address(&mut new)), Ok(0));
    t.fails("no room for more", msgsnd(id, 1, &[b'x'; 11], NOWAIT), libc::EAGAIN);
    t.is("room for this", msgsnd(id, 1, &[b'x'; 10], NOWAIT), Ok(0));
    t.is("removed", remove(id), Ok(0));
}

fn waiting(t: &mut Checks) {
    let id = t.works("a queue", msgget(PRIVATE, CREATE | 0o600));
    let child = fork(|| i32::from(msgrcv(id, 8, 2, 0) != Ok((2, "two".to_owned()))));
    t.ok("a child waits", sleeps(child));
    t.is("not for this", msgsnd(id, 1, b"one", 0), Ok(0));
    t.ok("it waits on", sleeps(child));
    t.is("but for this", msgsnd(id, 2, b"two", 0), Ok(0));
    t.is("it has got it", wait(child), Ended::Exit(0));
    t.is("the other is there", msgrcv(id, 8, 0, 0), Ok((1, "one".to_owned())));

    t.is("full", msgsnd(id, 1, &[b'x'; 8192], 0).and(msgsnd(id, 1, &[b'y'; 8192], 0)), Ok(0));
    let child = fork(|| i32::from(msgsnd(id, 3, b"more", 0) != Ok(0)));
    t.ok("a child waits for room", sleeps(child));
    t.is("room", msgrcv(id, 8192, 0, 0).map(|(kind, text)| (kind, text.len())), Ok((1, 8192)));
    t.is("it has sent", wait(child), Ended::Exit(0));
    t.is("its message", msgrcv(id, 8, 3, 0), Ok((3, "more".to_owned())));

    let handled = fork(|| {
        extern "C" fn ignore(_: i32) {}
        let handler = ignore as extern "C" fn(i32);
        // SAFETY: the handler does nothing; `signal` asks for SA_RESTART.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        i32::from(msgrcv(id, 8, 4, 0) != Err(libc::EINTR))
    });
    t.ok("a child waits with a handler", sleeps(handled));
    t.is("a signal", call!(kill(handled, libc::SIGUSR1)), Ok(0));
    t.is("ends the wait", wait(handled), Ended::Exit(0));
    let killed = fork(|| i32::from(msgrcv(id, 8, 4, 0).is_ok()));
    t.ok("another one waits", sleeps(killed));
    t.is("it is killed", call!(kill(killed, libc::SIGKILL)), Ok(0));
    t.is("dead", wait(killed), Ended::Signal(libc::SIGKILL));
    t.is("what it waited for", msgsnd(id, 4, b"left", 0), Ok(0));
    t.is("is there", msgrcv(id, 8, 4, 0), Ok((4, "left".to_owned())));

    let receiver = fork(|| i32::from(msgrcv(id, 8, 4, 0) != Err(libc::EIDRM)));
    let sender = fork(|| i32::from(msgsnd(id, 1, &[b'x'; 8192], 0) != Ok(0)));
    t.is("one more fits", wait(sender), Ended::Exit(0));
    let sender = fork(|| i32::from(msgsnd(id, 1, b"x", 0) != Err(libc::EIDRM)));
    t.ok("both wait", sleeps(receiver) && sleeps(sender));
    t.is("removed", remove(id), Ok(0));
    t.is("the receiver is told", wait(receiver), Ended::Exit(0));
    t.is("the sender is told", wait(sender), Ended::Exit(0));
}

fn permissions(t: &mut Checks) {
    let id = t.works("a queue", msgget(PRIVATE, CREATE | 0o602));
    if !is_root() {
        t.is("removed", remove(id), Ok(0));
        return;
    }
    t.is("others may send", as_nobody(|| msgsnd(id, 1, b"1", 0)), Ok(0));
    t.is("and not receive", as_nobody(|| msgrcv(id, 8, 0, NOWAIT)), Err(libc::EACCES));
    t.fails("nor look", as_nobody(|| stat(id).map(|_| 0)), libc::EACCES);
    t.fails("others may not remove", as_nobody(|| remove(id)), libc::EPERM);
    let Ok(mut new) = stat(id) else { return t.ok("stat", false) };
    (new.msg_perm.uid, new.msg_perm.mode, new.msg_qbytes) = (65_534, 0o600, 16_384);
    let set = |new: &mut libc::msqid_ds| msgctl(id, libc::IPC_SET, address(new));
    t.fails("nor change", as_nobody(|| set(&mut new)), libc::EPERM);
    t.is("root may, and gives it away", set(&mut new), Ok(0));
    t.is("the new owner receives", as_nobody(|| msgrcv(id, 8, 0, NOWAIT)), Ok((1, "1".to_owned())));
    new.msg_qbytes = 16_385;
    t.fails("more room takes a privilege", as_nobody(|| set(&mut new)), libc::EPERM);
    t.is("the new owner removes it", as_nobody(|| remove(id)), Ok(0));
}
