//! Every pointer argument of every call in the table is tried with bad addresses.
//!
//! The guest program `pointers` makes the attempts; `tests/guest.rs` compares its output on lx
//! with the native one. This test sees to it that no pointer is left out.

use std::collections::BTreeSet;
use std::process::Command;

use lx_tests::lx;

/// Pointers that are no claims on memory: the calls take them as addresses of mappings, or only
/// store them.
const ADDRESSES: &[(&str, usize)] = &[
    ("mmap", 0),
    ("mprotect", 0),
    ("munmap", 0),
    ("brk", 0),
    ("mremap", 0),
    ("mremap", 4),
    ("msync", 0),
    ("mincore", 0),
    ("madvise", 0),
    ("mlock", 0),
    ("munlock", 0),
    ("mlock2", 0),
    ("set_tid_address", 0),
    ("set_robust_list", 0),
];

/// Pointers that cannot be tried from outside: a bad one is looked at only when the call succeeds
/// in something that must not happen on the machine that runs the native side (a new thread, the
/// clock, the kernel's log).
const LEFT_OUT: &[(&str, usize)] =
    &[("clone", 2), ("clone", 3), ("adjtimex", 0), ("clock_adjtime", 1), ("syslog", 1)];

#[test]
fn every_pointer_of_the_table_is_tried() {
    let program = lx::guest("pointers").unwrap();
    let output = Command::new(program).arg("--list").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let tried: BTreeSet<(&str, usize)> = text
        .lines()
        .filter_map(|line| {
            let (name, at) = line.split_once(' ')?;
            Some((name, at.parse().ok()?))
        })
        .collect();
    let known: BTreeSet<(&str, usize)> = lx_syscall::support::pointers().collect();
    let excused =
        |pointer: &&(&str, usize)| ADDRESSES.contains(pointer) || LEFT_OUT.contains(pointer);
    let missing: Vec<_> =
        known.iter().filter(|pointer| !tried.contains(pointer) && !excused(pointer)).collect();
    assert!(missing.is_empty(), "not tried by tests/guest/src/bin/pointers.rs: {missing:?}");
    assert!(known.len() > 150, "the table has lost its pointers");
}
