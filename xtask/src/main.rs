//! Project tasks: `cargo xtask <task>`.

mod check;
mod command;
mod docs;
mod layers;
mod lints;
mod pjdfstest;
mod soak;
mod windows;
mod wine;

use std::env;
use std::process::ExitCode;

use command::cargo;

const USAGE: &str = "\
usage: cargo xtask <task>

  check  formatting, layering, lints, generated documents, licences: one line for each
  test   builds lx and the guest programs, then runs every test
  bench  compares the latency of one guest program natively and on lx
  docs   writes the generated documents
  deny   licences and duplicates of the dependencies
  soak --minutes N  the random comparisons with the native kernel, for so long
  pjdfstest  a public suite of tests for file systems, natively and on lx; root only

  build-windows  builds lx for Windows into target/windows
  test-windows   runs it under Wine, in a prefix of its own; --stress: some tests in full size
  bench-windows  latency of one guest program natively, on lx for Linux and for Windows";

/// What a task reports when it did not succeed: a sentence, or several lines.
type Failure = String;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let task = arguments.first().map(String::as_str);
    let rest = arguments.get(1..).unwrap_or_default();
    let result = match task {
        Some("check") => check::run(),
        Some("test") => test(rest),
        Some("bench") => cargo(&["bench", "--bench", "latency"]).args(rest).run(),
        Some("docs") => docs::write(),
        Some("soak") => soak::run(rest),
        Some("pjdfstest") => pjdfstest::run(),
        Some("build-windows") => windows::build(),
        Some("test-windows") => wine::test(rest),
        Some("bench-windows") => wine::bench(rest),
        Some("deny") => check::deny().map(|summary| println!("{summary}")),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Builds what the tests run, then runs every test. `rest` goes to `cargo test`.
fn test(rest: &[String]) -> Result<(), Failure> {
    // The tests start these programs, and a package's tests only build its own.
    cargo(&["build", "--release", "--package", "lx", "--package", "lx-guest-tests"]).run()?;
    // The image is no program that a test harness can start; what it consists of is tested.
    cargo(&["test", "--workspace", "--exclude", "lx-image", "--no-fail-fast"]).args(rest).run()?;
    // Words that choose tests of cargo's choose none of these.
    if rest.is_empty() { pjdfstest::run() } else { Ok(()) }
}
