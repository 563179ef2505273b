//! Very many processes, descriptors and files at once: the README says what each costs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use lx_tests::{Run, lx};

/// Runs the guest program `limits` with so many of a kind.
#[track_caller]
fn holds(kind: &str, count: u32) {
    let scratch = tempfile::tempdir().unwrap();
    let program = lx::guest("limits").unwrap();
    let outcome = Run::new(lx::command().unwrap(), scratch.path())
        .args(["run".as_ref(), program.as_os_str(), kind.as_ref()])
        .args([count.to_string()])
        .limit(Duration::from_secs(300))
        .outcome()
        .unwrap();
    assert_eq!((outcome.status, &outcome.defect), (0, &None), "{outcome:?}");
}

#[test]
fn processes() {
    holds("processes", 1000);
}

/// Takes some 20 s and slows the other tests down: `--ignored` runs it.
#[test]
#[ignore = "10,000 processes leave nothing for other tests"]
fn ten_thousand_processes() {
    holds("processes", 10_000);
}

#[test]
fn descriptors() {
    holds("descriptors", 100_000);
}

#[test]
fn files() {
    holds("files", 1_000_000);
}
