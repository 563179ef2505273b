//! Calls on files give the same on the native kernel and on lx.

use lx_differential_tests::call::Call;
use lx_differential_tests::normal::Normal;
use lx_differential_tests::{files, mock, native};
use proptest::prelude::{ProptestConfig, TestCaseError};
use proptest::test_runner::{TestError, TestRunner};

/// Most calls of a sequence.
const LENGTH: usize = 60;

#[test]
fn random_calls_on_files_do_what_linux_does() {
    if !native::is_possible() {
        eprintln!("skipped: mounting a tmpfs takes root");
        return;
    }
    let mut runner = TestRunner::new(ProptestConfig::default());
    let compared = runner.run(&files::sequence(LENGTH), |calls| compare(&calls));
    match compared {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}\nnative kernel: {}", native::release()),
        Err(other) => panic!("{other}"),
    }
}

fn compare(calls: &[Call]) -> Result<(), TestCaseError> {
    let native = native::run(calls).map_err(|error| TestCaseError::reject(error.to_string()))?;
    let native = Normal::lines(calls, &native);
    let lx = Normal::lines(calls, &mock::run(calls));
    for (at, call) in calls.iter().enumerate() {
        if native.get(at) != lx.get(at) {
            let list: Vec<_> = calls.iter().take(at + 1).zip(&native).map(show).collect();
            let message = format!(
                "after\n{}\nlinux {:?}\nlx    {:?}\nof {call:?}",
                list.join("\n"),
                native.get(at),
                lx.get(at)
            );
            return Err(TestCaseError::fail(message));
        }
    }
    Ok(())
}

fn show((call, line): (&Call, &String)) -> String {
    format!("  {} {:?} = {line}", call.name, call.args)
}
