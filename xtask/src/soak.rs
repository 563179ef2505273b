//! Random comparisons with the native kernel that go on for as long as one likes.

use crate::Failure;
use crate::command::cargo;

/// The tests that are random. Those of one run at the same time, one after the other of these.
const TESTS: [&str; 3] = ["random", "files", "terminals"];

/// `arguments`: `--minutes N`, and words that choose some of the tests.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let usage = "usage: cargo xtask soak --minutes N [TEST...]";
    let [option, minutes, filter @ ..] = arguments else { return Err(usage.to_owned()) };
    let minutes = minutes.parse::<u64>().ok().filter(|_| option == "--minutes");
    let seconds = minutes.ok_or(usage)? * 60 / TESTS.len() as u64;
    cargo(&["build", "--release", "--package", "lx", "--package", "lx-guest-tests"]).run()?;
    let mut tests = cargo(&["test", "--package", "lx-differential-tests"]);
    tests = tests.args(&TESTS.map(|test| format!("--test={test}")));
    tests = tests.env("LX_SOAK_SECONDS", seconds.to_string());
    tests.args(&["--no-fail-fast", "--", "--nocapture", "--test-threads=64"]).args(filter).run()
}
