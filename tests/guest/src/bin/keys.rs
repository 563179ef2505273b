//! Keys and keyrings: `add_key(2)`, `request_key(2)`, `keyctl(2)`.
//!
//! The program joins a session of its own, so that nothing stays behind.

use std::fs;
use std::ptr::null;

use lx_guest_tests::files::{address, as_nobody, at, is_root, path, sys};
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, c, call, in_child, pause};

const THREAD: i64 = -1;
const PROCESS: i64 = -2;
const SESSION: i64 = -3;
const USER: i64 = -4;
const USER_SESSION: i64 = -5;

const GET_KEYRING_ID: i64 = 0;
const JOIN_SESSION_KEYRING: i64 = 1;
const UPDATE: i64 = 2;
const REVOKE: i64 = 3;
const CHOWN: i64 = 4;
const SETPERM: i64 = 5;
const DESCRIBE: i64 = 6;
const CLEAR: i64 = 7;
const LINK: i64 = 8;
const UNLINK: i64 = 9;
const SEARCH: i64 = 10;
const READ: i64 = 11;
const INSTANTIATE: i64 = 12;
const NEGATE: i64 = 13;
const SET_REQKEY_KEYRING: i64 = 14;
const SET_TIMEOUT: i64 = 15;
const ASSUME_AUTHORITY: i64 = 16;
const GET_SECURITY: i64 = 17;
const INVALIDATE: i64 = 21;

fn main() {
    if let Some(number) = std::env::args().nth(1).and_then(|number| number.parse().ok()) {
        std::process::exit(executed(number));
    }
    let mut t = Checks::new();
    let _ = keyctl(JOIN_SESSION_KEYRING, [0; 4]);
    adding(&mut t);
    arguments(&mut t);
    rings(&mut t);
    circles(&mut t);
    searching(&mut t);
    ends(&mut t);
    permissions(&mut t);
    sessions(&mut t);
    inheritance(&mut t);
    shown(&mut t);
    t.end();
}

fn keyctl(command: i64, [a, b, c, d]: [i64; 4]) -> Called {
    sys(libc::SYS_keyctl, [command, a, b, c, d])
}

/// A command with the numbers of two keys.
fn two(command: i64, first: i64, second: i64) -> Called {
    keyctl(command, [first, second, 0, 0])
}

fn add(kind: &str, description: &str, payload: &str, ring: i64) -> Called {
    let (kind, description) = (c(kind), c(description));
    let (text, len) = (payload.as_ptr() as i64, payload.len() as i64);
    sys(libc::SYS_add_key, [at(&kind), at(&description), text, len, ring])
}

fn request(kind: &str, description: &str, ring: i64) -> Called {
    let (kind, description) = (c(kind), c(description));
    sys(libc::SYS_request_key, [at(&kind), at(&description), 0, ring])
}

fn search(ring: i64, kind: &str, description: &str, target: i64) -> Called {
    let (kind, description) = (c(kind), c(description));
    keyctl(SEARCH, [ring, at(&kind), at(&description), target])
}

/// What a command that fills a buffer gives.
fn text(command: i64, key: i64) -> Result<Vec<u8>, i32> {
    let mut bytes = [0_u8; 4096];
    let len = keyctl(command, [key, address(&mut bytes), 4096, 0])?;
    Ok(bytes[..len as usize].to_vec())
}

fn read(key: i64) -> Result<String, i32> {
    text(READ, key).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The numbers in a keyring, sorted.
fn links(ring: i64) -> Result<Vec<i64>, i32> {
    let bytes = text(READ, ring)?;
    let number = |bytes: &[u8]| i32::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let mut numbers: Vec<_> = bytes.chunks(4).map(|bytes| i64::from(number(bytes))).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers
}

fn described(key: i64) -> Result<String, i32> {
    let bytes = text(DESCRIBE, key)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

fn ids() -> String {
    let (uid, gid) = (call!(getuid()).unwrap_or(0), call!(getgid()).unwrap_or(0));
    format!("{uid};{gid}")
}

fn adding(t: &mut Checks) {
    let key = t.works("a key", add("user", "first", "payload", SESSION));
    t.ok("has a number", key > 0);
    t.is("its payload", read(key), Ok("payload".to_owned()));
    t.is("described", described(key), Ok(format!("user;{};3f010000;first", ids())));
    t.is("in the session", links(SESSION), Ok(vec![key]));
    t.is("added again, it is the same", add("user", "first", "another", SESSION), Ok(key));
    t.is("with another payload", read(key), Ok("another".to_owned()));
    let update = |text: &str| keyctl(UPDATE, [key, text.as_ptr() as i64, text.len() as i64, 0]);
    t.is("updated", update("third"), Ok(0));
    t.is("once more another", read(key), Ok("third".to_owned()));
    t.fails("by nothing", update(""), libc::EINVAL);
    let mut small = [0_u8; 4];
    let cut = keyctl(READ, [key, address(&mut small), 4, 0]);
    t.is("too little room", (cut, small), (Ok(5), [0; 4]));
    t.is("no room at all", keyctl(READ, [key, 0, 0, 0]), Ok(5));
    t.fails("read to nowhere", keyctl(READ, [key, NOWHERE as i64, 99, 0]), libc::EFAULT);
    t.fails("described to nowhere", keyctl(DESCRIBE, [key, NOWHERE as i64, 99, 0]), libc::EFAULT);
    t.is("no security", text(GET_SECURITY, key), Ok(vec![0]));

    let secret = t.works("a logon key", add("logon", "a:b", "secret", SESSION));
    t.is("described too", described(secret), Ok(format!("logon;{};3d010000;a:b", ids())));
    t.is("not to be read", read(secret), Err(libc::EOPNOTSUPP));
    t.is("but updated", add("logon", "a:b", "new", SESSION), Ok(secret));
    t.fails("without a service", add("logon", "ab", "secret", SESSION), libc::EINVAL);
    t.fails("with an empty one", add("logon", ":b", "secret", SESSION), libc::EINVAL);
    t.is("cleared", keyctl(CLEAR, [SESSION, 0, 0, 0]), Ok(0));
    t.is("empty", links(SESSION), Ok(Vec::new()));
    t.is("gone", gone(key), Err(libc::ENOKEY));
}

/// What becomes of a key to which nothing leads any more: Linux collects it a little later.
fn gone(key: i64) -> Called {
    for _ in 0..200 {
        if let Err(errno) = keyctl(DESCRIBE, [key, 0, 0, 0])
            && errno != libc::EACCES
        {
            return Err(errno);
        }
        pause(10);
    }
    keyctl(DESCRIBE, [key, 0, 0, 0])
}

fn arguments(t: &mut Checks) {
    let nowhere = NOWHERE as i64;
    t.fails("an unknown type", add("lx-none", "x", "x", SESSION), libc::ENODEV);
    t.fails("no type", add("", "x", "x", SESSION), libc::EINVAL);
    t.fails("too long a type", add(&"x".repeat(32), "x", "x", SESSION), libc::EINVAL);
    t.fails("the kernel's type", add(".lx", "x", "x", SESSION), libc::EPERM);
    t.fails("no description", add("user", "", "x", SESSION), libc::EINVAL);
    t.fails("too long a description", add("user", &"x".repeat(4096), "x", SESSION), libc::EINVAL);
    t.fails("no payload", add("user", "x", "", SESSION), libc::EINVAL);
    t.fails("too long a payload", add("user", "x", &"x".repeat(32_768), SESSION), libc::EINVAL);
    t.fails(
        "far too long a payload",
        add("user", "x", &"x".repeat(1 << 20), SESSION),
        libc::EINVAL,
    );
    t.fails("a keyring with a payload", add("keyring", "x", "x", SESSION), libc::EINVAL);
    t.fails("the kernel's keyring", add("keyring", ".x", "", SESSION), libc::EPERM);
    t.fails("no keyring", add("user", "x", "x", 0), libc::EINVAL);
    t.fails("of a group", add("user", "x", "x", -6), libc::EINVAL);
    t.fails("of a requestor", add("user", "x", "x", -8), libc::ENOKEY);
    t.fails("not known", add("user", "x", "x", -99), libc::EINVAL);
    let (kind, description) = (path("user"), path("x"));
    let raw = |arguments| sys(libc::SYS_add_key, arguments);
    t.fails("a type nowhere", raw([nowhere, description, kind, 4, SESSION]), libc::EFAULT);
    t.fails("a description nowhere", raw([kind, nowhere, kind, 4, SESSION]), libc::EFAULT);
    t.fails("a payload nowhere", raw([kind, description, nowhere, 4, SESSION]), libc::EFAULT);
    let raw = |arguments| sys(libc::SYS_request_key, arguments);
    t.fails("to request nowhere", raw([nowhere, description, 0, 0]), libc::EFAULT);
    t.fails("described nowhere", raw([kind, nowhere, 0, 0]), libc::EFAULT);
    t.fails("called out nowhere", raw([kind, description, nowhere, 0]), libc::EFAULT);
    t.fails("an unknown type to request", request("lx-none", "x", 0), libc::ENOKEY);
    t.fails("no type to request", request("", "x", 0), libc::EINVAL);
    t.fails("the kernel's type to request", request(".lx", "x", 0), libc::EPERM);
    t.fails("an unknown command", keyctl(999, [0; 4]), libc::EOPNOTSUPP);
    t.fails("nothing to make", keyctl(INSTANTIATE, [1, 0, 0, SESSION]), libc::EPERM);
    t.fails("nothing to refuse", keyctl(NEGATE, [1, 1, SESSION, 0]), libc::EPERM);
    t.is("no authority", keyctl(ASSUME_AUTHORITY, [0; 4]), Ok(0));
    t.fails("a bad authority", keyctl(ASSUME_AUTHORITY, [-1, 0, 0, 0]), libc::EINVAL);
    t.is("the default", keyctl(SET_REQKEY_KEYRING, [3, 0, 0, 0]), Ok(0));
    t.is("another default", keyctl(SET_REQKEY_KEYRING, [-1, 0, 0, 0]), Ok(3));
    t.is("as before", keyctl(SET_REQKEY_KEYRING, [0, 0, 0, 0]), Ok(3));
    t.fails("no default", keyctl(SET_REQKEY_KEYRING, [6, 0, 0, 0]), libc::EINVAL);
}

fn rings(t: &mut Checks) {
    let ring = t.works("a keyring", add("keyring", "ring", "", SESSION));
    t.is("described", described(ring), Ok(format!("keyring;{};3f010000;ring", ids())));
    let key = t.works("a key in it", add("user", "key", "1", ring));
    t.is("its contents", links(ring), Ok(vec![key]));
    t.is("possessed through it", read(key), Ok("1".to_owned()));
    t.is("linked", two(LINK, key, SESSION), Ok(0));
    t.is("in the session as well", links(SESSION), Ok(sorted(vec![ring, key])));
    t.is("linked twice is linked once", two(LINK, key, SESSION), Ok(0));
    t.is("so far", links(SESSION).map(|links| links.len()), Ok(2));
    let other = t.works("another one", add("user", "key", "2", PROCESS));
    t.ok("is another", other != key);
    t.is("takes its place", two(LINK, other, ring), Ok(0));
    t.is("in the keyring", links(ring), Ok(vec![other]));
    t.is("taken out", two(UNLINK, other, ring), Ok(0));
    t.fails("not there any more", two(UNLINK, other, ring), libc::ENOENT);
    t.fails("a key is no keyring", two(LINK, ring, key), libc::ENOTDIR);
    t.fails("nor to add to", add("user", "x", "x", key), libc::ENOTDIR);
    t.fails("nor to clear", keyctl(CLEAR, [key, 0, 0, 0]), libc::ENOTDIR);
    t.fails("nor to take out of", two(UNLINK, ring, key), libc::ENOTDIR);
    t.fails("a keyring has no payload", keyctl(UPDATE, [ring, 0, 0, 0]), libc::EOPNOTSUPP);
    let same = t.works("a keyring of the same name", add("keyring", "ring", "", SESSION));
    t.ok("is a new one", same != ring);
    t.is("in its place", links(SESSION), Ok(sorted(vec![same, key])));
    t.is("cleared", keyctl(CLEAR, [PROCESS, 0, 0, 0]), Ok(0));
    t.is("cleared, too", keyctl(CLEAR, [SESSION, 0, 0, 0]), Ok(0));
}

fn circles(t: &mut Checks) {
    let first = t.works("a keyring", add("keyring", "0", "", SESSION));
    t.fails("into itself", two(LINK, first, first), libc::EDEADLK);
    let second = t.works("one within", add("keyring", "1", "", first));
    t.fails("a circle", two(LINK, first, second), libc::EDEADLK);
    let third = t.works("one within that", add("keyring", "2", "", second));
    t.fails("a larger circle", two(LINK, first, third), libc::EDEADLK);
    t.is("no circle", two(LINK, third, first), Ok(0));
    let mut last = third;
    for name in ["3", "4", "5", "6"] {
        last = t.works("one more within", add("keyring", name, "", last));
    }
    let other = t.works("another one", add("keyring", "other", "", PROCESS));
    t.is("seven within each other", two(LINK, first, other), Ok(0));
    t.is("taken out", two(UNLINK, first, other), Ok(0));
    t.works("an eighth", add("keyring", "7", "", last));
    t.fails("are too many", two(LINK, first, other), libc::ELOOP);
    t.is("without the first", two(LINK, second, other), Ok(0));
    t.is("the process's", keyctl(CLEAR, [PROCESS, 0, 0, 0]), Ok(0));
    t.is("cleared", keyctl(CLEAR, [SESSION, 0, 0, 0]), Ok(0));
}

fn searching(t: &mut Checks) {
    t.fails("no such key", request("user", "lx-wanted", 0), libc::ENOKEY);
    t.fails("nor in the session", search(SESSION, "user", "lx-wanted", 0), libc::ENOKEY);
    t.fails("no such type", search(SESSION, "lx-none", "lx-wanted", 0), libc::ENOKEY);
    let outer = t.works("a keyring", add("keyring", "outer", "", SESSION));
    let inner = t.works("one within", add("keyring", "inner", "", outer));
    let deep = t.works("a key within", add("user", "lx-wanted", "deep", inner));
    t.is("requested", request("user", "lx-wanted", 0), Ok(deep));
    t.is("searched for", search(SESSION, "user", "lx-wanted", 0), Ok(deep));
    t.is("of the kind", search(SESSION, "keyring", "inner", 0), Ok(inner));
    let near = t.works("one nearer", add("user", "lx-wanted", "near", SESSION));
    t.is("comes first", search(SESSION, "user", "lx-wanted", 0), Ok(near));
    let own = t.works("one of the process", add("user", "lx-wanted", "own", PROCESS));
    t.is("before it", request("user", "lx-wanted", 0), Ok(own));
    let thread = t.works("one of the thread", add("user", "lx-wanted", "thread", THREAD));
    t.is("before that", request("user", "lx-wanted", 0), Ok(thread));
    t.is("put elsewhere", request("user", "lx-wanted", outer), Ok(thread));
    t.is("where it is", links(outer), Ok(sorted(vec![inner, thread])));
    t.is("found and put elsewhere", search(inner, "user", "lx-wanted", outer), Ok(deep));
    t.is("in its place", links(outer), Ok(sorted(vec![inner, deep])));
    t.fails("in a key", search(deep, "user", "lx-wanted", 0), libc::ENOTDIR);
    for ring in [THREAD, PROCESS, SESSION] {
        t.is("cleared", keyctl(CLEAR, [ring, 0, 0, 0]), Ok(0));
    }
}

/// What a child gets, which has no keyring but the session.
fn requested(description: &str) -> Ended {
    in_child(|| request("user", description, 0).err().unwrap_or(0))
}

fn ends(t: &mut Checks) {
    let key = t.works("a key", add("user", "ends", "1", SESSION));
    t.is("revoked", keyctl(REVOKE, [key, 0, 0, 0]), Ok(0));
    t.is("not read", read(key), Err(libc::EKEYREVOKED));
    t.is("not described", described(key), Err(libc::EKEYREVOKED));
    t.fails("not requested, as two keyrings have none", request("user", "ends", 0), libc::ENOKEY);
    t.is("for who has one keyring", requested("ends"), Ended::Exit(libc::EKEYREVOKED));
    t.fails("not searched for", search(SESSION, "user", "ends", 0), libc::EKEYREVOKED);
    t.fails("not revoked again", keyctl(REVOKE, [key, 0, 0, 0]), libc::EKEYREVOKED);
    let new = t.works("another one", add("user", "ends", "2", SESSION));
    t.ok("takes its place", new != key);
    t.is("a timeout", keyctl(SET_TIMEOUT, [new, 1, 0, 0]), Ok(0));
    pause(2100);
    t.is("it has expired", read(new), Err(libc::EKEYEXPIRED));
    t.fails("not found", search(SESSION, "user", "ends", 0), libc::EKEYEXPIRED);
    t.is("as if there were none", requested("ends"), Ended::Exit(libc::ENOKEY));
    t.fails("no more time", keyctl(SET_TIMEOUT, [new, 100, 0, 0]), libc::EKEYEXPIRED);
    t.is("added again, it is the same", add("user", "ends", "again", SESSION), Ok(new));
    t.is("and valid again", read(new), Ok("again".to_owned()));
    t.is("taken out", two(UNLINK, new, SESSION), Ok(0));
    let key = t.works("a third one", add("user", "ends", "3", SESSION));
    t.is("a timeout", keyctl(SET_TIMEOUT, [key, 1, 0, 0]), Ok(0));
    t.is("that is taken back", keyctl(SET_TIMEOUT, [key, 0, 0, 0]), Ok(0));
    t.is("invalidated", keyctl(INVALIDATE, [key, 0, 0, 0]), Ok(0));
    t.is("gone", gone(key), Err(libc::ENOKEY));
    t.fails("not there", request("user", "ends", 0), libc::ENOKEY);
    let ring = t.works("a keyring", add("keyring", "ends", "", SESSION));
    let key = t.works("a key in it", add("user", "ends", "4", ring));
    t.is("revoked with it", keyctl(REVOKE, [ring, 0, 0, 0]), Ok(0));
    t.is("the key is gone", gone(key), Err(libc::ENOKEY));
    t.fails("nothing can be added", add("user", "ends", "5", ring), libc::EKEYREVOKED);
    t.is("cleared", keyctl(CLEAR, [SESSION, 0, 0, 0]), Ok(0));
}

fn permissions(t: &mut Checks) {
    let key = t.works("a key", add("user", "mine", "1", SESSION));
    let set = |permissions: i64| two(SETPERM, key, permissions);
    t.fails("permissions that are none", set(0x4000_0000), libc::EINVAL);
    t.is("not to be read or written", set(0x3901_0000), Ok(0));
    t.is("read, as it is possessed", read(key), Ok("1".to_owned()));
    t.fails("not written", add("user", "mine", "2", SESSION), libc::EACCES);
    t.is("not to be linked", set(0x2f01_0000), Ok(0));
    t.fails("it cannot be", two(LINK, key, PROCESS), libc::EACCES);
    t.is("not to be found", set(0x3701_0000), Ok(0));
    t.fails("it is not", search(SESSION, "user", "mine", 0), libc::EACCES);
    t.is("nor requested", requested("mine"), Ended::Exit(libc::EACCES));
    t.is("so it is not possessed", read(key), Err(libc::EACCES));
    t.fails("and not to be changed", set(0x3f01_0000), libc::EACCES);
    t.is("taken out nevertheless", two(UNLINK, key, SESSION), Ok(0));
    let key = t.works("another", add("user", "fixed", "1", SESSION));
    t.is("not to be changed", two(SETPERM, key, 0x1f01_0000), Ok(0));
    t.fails("not even that", two(SETPERM, key, 0x3f01_0000), libc::EACCES);
    let key = t.works("another", add("user", "theirs", "1", SESSION));
    if is_root() {
        t.is("given away", keyctl(CHOWN, [key, 65_534, -1, 0]), Ok(0));
        t.is("and to a group", keyctl(CHOWN, [key, -1, 65_534, 0]), Ok(0));
        let seen = Ok("user;65534;65534;3f010000;theirs".to_owned());
        t.is("described", described(key), seen);
        t.is("for the owner alone", two(SETPERM, key, 0x3f3f_0000), Ok(0));
        let give = || as_nobody(|| keyctl(CHOWN, [key, 0, -1, 0]));
        t.fails("who cannot give it away", give(), libc::EACCES);
        t.is("for nobody", two(SETPERM, key, 0x3f00_0000), Ok(0));
        let child = in_child(|| {
            let _ = keyctl(JOIN_SESSION_KEYRING, [0; 4]);
            i32::from(described(key) != Err(libc::EACCES))
        });
        t.is("who does not possess it", child, Ended::Exit(0));
    }
    t.is("cleared", keyctl(CLEAR, [SESSION, 0, 0, 0]), Ok(0));
}

fn id(ring: i64, make: bool) -> Called {
    two(GET_KEYRING_ID, ring, make.into())
}

fn sessions(t: &mut Checks) {
    let session = t.works("the session", id(SESSION, false));
    t.is("has no name", described(SESSION), Ok(format!("keyring;{};3f030000;_ses", ids())));
    let user = t.works("the user's keyring", id(USER, false));
    t.is("always the same", id(USER, true), Ok(user));
    let uid = call!(getuid()).unwrap_or(0);
    let named = |name: &str| Ok(format!("keyring;{uid};65534;1f3f0000;{name}.{uid}"));
    t.is("its name", described(user), named("_uid"));
    t.is("the user's session", described(USER_SESSION), named("_uid_ses"));
    t.ok("has the user's keyring", links(USER_SESSION).is_ok_and(|links| links.contains(&user)));
    let name = c(&format!("lx-guest-{}", std::process::id()));
    let join = || keyctl(JOIN_SESSION_KEYRING, [at(&name), 0, 0, 0]);
    let joined = t.works("a session with a name", join());
    t.ok("is another", joined != session);
    let seen = described(joined).map(|text| text.split(';').nth(3).map(str::to_owned));
    t.is("which its user may join", seen, Ok(Some("3f130000".to_owned())));
    t.fails("the kernel's name", keyctl(JOIN_SESSION_KEYRING, [path(".x"), 0, 0, 0]), libc::EPERM);
    let nowhere = keyctl(JOIN_SESSION_KEYRING, [NOWHERE as i64, 0, 0, 0]);
    t.fails("a name nowhere", nowhere, libc::EFAULT);
    let new = t.works("a new one", keyctl(JOIN_SESSION_KEYRING, [0; 4]));
    t.is("the last of the former", gone(joined), Err(libc::ENOKEY));
    t.is("is the session now", id(SESSION, false), Ok(new));
}

fn inheritance(t: &mut Checks) {
    let session = t.works("the session", id(SESSION, false));
    t.works("a keyring of the process", id(PROCESS, true));
    t.works("a keyring of the thread", id(THREAD, true));
    let key = t.works("a key", add("user", "inherited", "1", SESSION));
    let child = in_child(|| {
        let same = id(SESSION, false) == Ok(session) && read(key) == Ok("1".to_owned());
        let none = [PROCESS, THREAD].iter().all(|ring| id(*ring, false) == Err(libc::ENOKEY));
        let _ = keyctl(JOIN_SESSION_KEYRING, [0; 4]);
        i32::from(!(same && none))
    });
    t.is("a child has the session alone", child, Ended::Exit(0));
    t.is("its own session is its own", id(SESSION, false), Ok(session));
    let child = in_child(|| {
        let _ = id(PROCESS, true);
        let program = c("/proc/self/exe");
        let number = c(&key.to_string());
        let end = null::<libc::c_char>();
        let _ = call!(execl(program.as_ptr(), program.as_ptr(), number.as_ptr(), end));
        1
    });
    t.is("an executed program as well", child, Ended::Exit(0));
    let thread = std::thread::spawn(move || {
        (id(SESSION, false) == Ok(session), id(THREAD, false), id(PROCESS, false).is_ok())
    });
    let seen = thread.join().unwrap_or((false, Ok(0), false));
    t.is("a thread has all but one", seen.0 && seen.2, true);
    t.is("cleared", keyctl(CLEAR, [SESSION, 0, 0, 0]), Ok(0));
}

/// What the executed program finds.
fn executed(key: i64) -> i32 {
    let none = [PROCESS, THREAD].iter().all(|ring| id(*ring, false) == Err(libc::ENOKEY));
    i32::from(!(none && read(key) == Ok("1".to_owned())))
}

fn shown(t: &mut Checks) {
    let key = t.works("a key", add("user", "lx-shown", "12345", SESSION));
    t.is("an hour", keyctl(SET_TIMEOUT, [key, 7000, 0, 0]), Ok(0));
    let lines = fs::read_to_string("/proc/keys").unwrap_or_default();
    let number = format!("{key:08x}");
    let line = lines.lines().find(|line| line.starts_with(&number)).unwrap_or_default();
    let words: Vec<_> = line.split_whitespace().skip(1).collect();
    let (uid, gid) = (call!(getuid()).unwrap_or(0), call!(getgid()).unwrap_or(0));
    let want = format!("I--Q--- 1 1h 3f010000 {uid} {gid} user lx-shown: 5");
    t.is("its line", words.join(" "), want);
    let users = fs::read_to_string("/proc/key-users").unwrap_or_default();
    let line = users.lines().find(|line| line.trim_start().starts_with(&format!("{uid}:")));
    t.is("the user's line", line.map(|line| line.split_whitespace().count()), Some(5));
    t.is("cleared", keyctl(CLEAR, [SESSION, 0, 0, 0]), Ok(0));
    if is_root() {
        let full = in_child(|| {
            // What nobody may have: 200 keys with the keyrings, 20000 bytes.
            as_nobody(|| {
                let _ = keyctl(JOIN_SESSION_KEYRING, [0; 4]);
                let big = "x".repeat(8000);
                let added: Vec<_> =
                    ["a", "b", "c"].iter().map(|name| add("user", name, &big, SESSION)).collect();
                i32::from(!matches!(added[..], [Ok(_), Ok(_), Err(libc::EDQUOT)]))
            })
        });
        t.is("a user may have so much", full, Ended::Exit(0));
    }
}
