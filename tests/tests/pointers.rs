//! Every pointer argument of every call in the table is tried with bad addresses.
//!
//! The guest program `pointers` makes the attempts; `tests/guest.rs` compares its output on lx
//! with the native one. This test sees to it that no pointer is left out.

use std::collections::BTreeSet;
use std::process::Command;

use lx_tests::{Run, lx};

/// Pointers that are no claims on memory: the calls take them as addresses of mappings, or only
/// store them.
const ADDRESSES: &[(&str, usize)] = &[
    ("mmap", 0),
    ("mprotect", 0),
    ("pkey_mprotect", 0),
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
    ("shmat", 1),
    ("shmdt", 0),
    ("mbind", 0),
    ("get_mempolicy", 3),
    ("set_mempolicy_home_node", 0),
    ("set_tid_address", 0),
    ("set_robust_list", 0),
];

/// Pointers that Linux does not always look at, or whose faults it does not report: the stored
/// rest of a timeout, the thread ids of a new thread, the address that a stream does not have.
const WITHOUT_FAULT: &[(&str, usize)] =
    &[("select", 4), ("pselect6", 4), ("ppoll", 2), ("recvfrom", 4), ("clone", 2), ("clone", 3)];

/// Pointers that unprivileged callers may not have looked at.
const PRIVILEGED: &[(&str, usize)] = &[
    ("syslog", 1),
    ("getgroups", 1),
    ("setgroups", 1),
    ("sethostname", 0),
    ("setdomainname", 0),
    ("swapon", 0),
    ("swapoff", 0),
    ("pivot_root", 0),
    ("pivot_root", 1),
];

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
    let missing: Vec<_> = known
        .iter()
        .filter(|pointer| !tried.contains(pointer) && !ADDRESSES.contains(pointer))
        .collect();
    assert!(missing.is_empty(), "not tried by tests/guest/src/bin/pointers.rs: {missing:?}");
    assert!(known.len() > 150, "the table has lost its pointers");
}

/// The attempts reach their pointers: natively, all others answer `EFAULT` to a bad one.
#[test]
fn linux_answers_efault() {
    let scratch = tempfile::tempdir().unwrap();
    let program = lx::guest("pointers").unwrap();
    let outcome = Run::new(program, scratch.path()).outcome().unwrap();
    let text = String::from_utf8(outcome.stdout).unwrap();
    let privileged = rustix::process::geteuid().is_root();
    let mut other = Vec::new();
    for line in text.lines().filter(|line| !line.ends_with(": 14")) {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let Some(at) = words.next().and_then(|at| at.parse().ok()) else {
            panic!("{line}");
        };
        let excused =
            WITHOUT_FAULT.contains(&(name, at)) || !privileged && PRIVILEGED.contains(&(name, at));
        if !excused {
            other.push(line);
        }
    }
    assert!(other.is_empty(), "natively: {other:#?}");
}
