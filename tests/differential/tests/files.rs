//! Calls on files give the same on the native kernel and on lx.

use std::cell::Cell;

use lx_differential_tests::call::{Arg, Call};
use lx_differential_tests::mock::Root;
use lx_differential_tests::normal::Normal;
use lx_differential_tests::{files, mock, native, soak};
use proptest::prelude::TestCaseError;
use proptest::test_runner::{TestError, TestRunner};

/// Most calls of a sequence.
const LENGTH: usize = 60;

#[test]
fn random_calls_on_files_do_what_linux_does() {
    check(Root::Tmpfs);
}

#[test]
fn random_calls_on_an_overlay_do_what_linux_does() {
    check(Root::Overlay);
}

fn check(root: Root) {
    if !native::is_possible() {
        eprintln!("skipped: mounting a tmpfs takes root");
        return;
    }
    let operations = Cell::new(0);
    let done = soak::repeat(&format!("files, {root:?}"), 256, |cases| {
        let mut runner = TestRunner::new(soak::config(cases));
        let compared = runner.run(&files::sequence(LENGTH), |calls| {
            operations.set(operations.get() + calls.len() as u64);
            compare(root, &calls)
        });
        match compared {
            Ok(()) => Ok(operations.get()),
            Err(TestError::Fail(reason, _)) => {
                Err(format!("{reason}\nnative kernel: {}", native::release()))
            }
            Err(other) => Err(other.to_string()),
        }
    });
    if let Err(failure) = done {
        panic!("{failure}");
    }
}

fn compare(root: Root, calls: &[Call]) -> Result<(), TestCaseError> {
    let before = match root {
        Root::Tmpfs => Vec::new(),
        Root::Overlay => files::make_lower_files(),
    };
    let native = native::run(&before, calls);
    let native = native.map_err(|error| TestCaseError::reject(error.to_string()))?;
    let native = Normal::lines(root, calls, &native);
    let lx = Normal::lines(root, calls, &mock::run(root, calls));
    for (at, call) in calls.iter().enumerate() {
        if native.get(at) != lx.get(at) {
            let list: Vec<_> = calls.iter().take(at + 1).zip(&native).map(show).collect();
            let message = format!(
                "after\n{}\nlinux {:?}\nlx    {:?}\nof {}",
                list.join("\n"),
                native.get(at),
                lx.get(at),
                call.name
            );
            return Err(TestCaseError::fail(message));
        }
    }
    Ok(())
}

fn show((call, line): (&Call, &String)) -> String {
    let args: Vec<_> = call.args.iter().map(argument).collect();
    format!("  {}({}) = {line}", call.name, args.join(", "))
}

fn argument(arg: &Arg) -> String {
    match arg {
        Arg::Int(value) => value.to_string(),
        Arg::Str(text) => format!("{text:?}"),
        Arg::Bytes(bytes) if bytes.len() > 64 => format!("{} bytes", bytes.len()),
        Arg::Bytes(bytes) => format!("{bytes:?}"),
        Arg::Out(shape, len) => format!("{shape:?}[{len}]"),
    }
}
