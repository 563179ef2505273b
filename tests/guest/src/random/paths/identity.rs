//! Who the process is: user and group ids, groups, capabilities.

use crate::random::pick;
use crate::{Called, call};

/// User and group ids; 0 often, as the others can do less.
const IDS: &[u32] = &[0, 1000, 1001, u32::MAX, 0, 1000];

/// Changes ids by one of the calls; what they are then.
pub(super) fn change(a: u32, b: u32, c: u32) -> String {
    let id = pick(b, IDS);
    let number = |call: libc::c_long| call!(syscall(call, id));
    let keep = u32::MAX;
    let pair = |call| call!(syscall(call, keep, id, keep));
    let done = match a % 12 {
        // So that another user can act, and root come back.
        0..4 => call!(syscall(libc::SYS_setresuid, keep, id, keep)),
        4 => become_wholly(id),
        5 => pair(libc::SYS_setresgid),
        6 => number(libc::SYS_setfsuid),
        7 => number(libc::SYS_setfsgid),
        8 => call!(syscall(libc::SYS_setreuid, pick(c, IDS), id)),
        9 => call!(syscall(libc::SYS_setregid, pick(c, IDS), id)),
        10 => number(libc::SYS_setuid),
        _ => number(libc::SYS_setgid),
    };
    format!("{done:?} {}", who())
}

/// A user with his group, but for the saved id.
fn become_wholly(id: u32) -> Called {
    let keep = u32::MAX;
    call!(syscall(libc::SYS_setresuid, keep, 0, keep))?;
    call!(syscall(libc::SYS_setresgid, keep, id, keep))?;
    call!(syscall(libc::SYS_setresuid, keep, id, keep))
}

/// Sets the list of groups.
pub(super) fn set_groups(a: u32) -> String {
    let lists: [&[u32]; 5] = [&[], &[1000], &[1001, 1000], &[0, 1001], &[1002]];
    let list = pick(a, &lists);
    let done = call!(syscall(libc::SYS_setgroups, list.len(), list.as_ptr()));
    let mut groups = [0u32; 8];
    let got = call!(syscall(libc::SYS_getgroups, groups.len(), groups.as_mut_ptr()));
    format!("{done:?} {:?}", &groups[..got.unwrap_or(0) as usize])
}

/// The capabilities that play a part here.
const CAPABILITIES: &[(&str, u32)] = &[
    ("chown", 0),
    ("dac_override", 1),
    ("dac_read_search", 2),
    ("fowner", 3),
    ("fsetid", 4),
    ("setgid", 6),
    ("setuid", 7),
    ("sys_chroot", 18),
    ("sys_admin", 21),
    ("mknod", 27),
];

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// Effective, permitted, inheritable, for the low and the high numbers.
type Sets = [[u32; 3]; 2];

const HEADER: Header = Header { version: 0x2008_0522, pid: 0 };

fn get() -> Sets {
    let mut sets = [[0; 3]; 2];
    let _ = call!(syscall(libc::SYS_capget, &HEADER, sets.as_mut_ptr()));
    sets
}

/// Gives one up, or all, or takes back what is permitted.
pub(super) fn set_capabilities(a: u32, b: u32) -> String {
    let mut sets = get();
    let bit = 1 << pick(b, CAPABILITIES).1;
    let [effective, permitted, _] = &mut sets[0];
    match a % 8 {
        0..3 => *effective &= !bit,
        3 => *effective = *permitted,
        4 => *effective = 0,
        5 => *effective |= bit,
        6 => {
            *effective &= !bit;
            *permitted &= !bit;
        }
        // None of it is allowed to one who has given it up.
        _ => *permitted |= bit,
    }
    let done = call!(syscall(libc::SYS_capset, &HEADER, sets.as_ptr()));
    format!("{done:?} {}", who())
}

/// Ids and capabilities.
fn who() -> String {
    let (mut ids, mut groups) = ([0u32; 3], [0u32; 3]);
    let [real, effective, saved] = &mut ids;
    let _ = call!(getresuid(real, effective, saved));
    let [real, effective, saved] = &mut groups;
    let _ = call!(getresgid(real, effective, saved));
    // An id that cannot be changes nothing.
    let fsuid = call!(syscall(libc::SYS_setfsuid, u32::MAX));
    let fsgid = call!(syscall(libc::SYS_setfsgid, u32::MAX));
    let [[effective, permitted, _], _] = get();
    let names = |set: u32| {
        let has = |bit: &u32| set & (1 << bit) != 0;
        let named = CAPABILITIES.iter().filter(|(_, bit)| has(bit)).map(|(name, _)| *name);
        named.collect::<Vec<_>>().join(",")
    };
    let [effective, permitted] = [effective, permitted].map(|set| match names(set) {
        all if all.matches(',').count() + 1 == CAPABILITIES.len() => "all".to_owned(),
        some => some,
    });
    format!("uid {ids:?} fs {fsuid:?} gid {groups:?} fs {fsgid:?} can {effective} / {permitted}")
}
