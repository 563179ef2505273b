//! What `lx.exe` says without running a guest.

use std::fs;

use libtest_mimic::{Failed, Trial};

use crate::{expectations, wine};

/// Arguments, exit status, and what the output, or else the message, has in it.
const CASES: &[(&str, &[&str], i32, &str)] = &[
    ("version", &["--version"], 0, "lx 0."),
    ("help", &["run", "--help"], 0, "--rootfs"),
    ("nothing_to_do", &[], 125, "lx: say what to do"),
    ("unknown_option", &["run", "--foo"], 125, "lx: unknown option '--foo'"),
    ("no_root", &["run", "/bin/true"], 125, "lx: say which root file system to use"),
    ("missing_root", &["run", "--rootfs", "Z:\\no", "x"], 125, "lx: 'Z:\\no': cannot use it"),
    ("syscalls", &["syscalls"], 0, "getpid"),
    ("one_question", &["doctor", "R7"], 0, "R7 in a suspended process the low range is free"),
    ("unknown_question", &["doctor", "R99"], 125, "lx: 'R99' is no question"),
];

/// One test for each case.
pub(crate) fn trials() -> Vec<Trial> {
    let cases = CASES.iter().map(|(name, args, status, text)| {
        expectations::trial(format!("command_line::{name}"), move || check(args, *status, text))
    });
    let more = [
        expectations::trial("command_line::no_archive", no_archive),
        expectations::trial("command_line::slow_end", slow_end),
        expectations::trial("command_line::doctor", doctor),
    ];
    cases.chain(more).collect()
}

fn check(args: &[&str], status: i32, text: &str) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let outcome = wine::lx(args, scratch.path())?.outcome()?;
    let said = if status == 0 { &outcome.stdout } else { &outcome.stderr };
    let said = String::from_utf8_lossy(said);
    if outcome.status == status && outcome.defect.is_none() && said.contains(text) {
        return Ok(());
    }
    Err(format!("expected {status} and {text:?}: {outcome:#?}").into())
}

fn no_archive() -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let noise = scratch.path().join("noise");
    fs::write(&noise, [7; 1000])?;
    let path = format!("Z:{}", noise.display());
    check(&["run", "--rootfs", &path, "x"], 125, "neither a directory nor a tar archive")
}

/// Whatever the machine is doing, the tests see the status that `lx.exe` ends with.
fn slow_end() -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let run = wine::lx(["run", "--foo"], scratch.path())?.env("LX_WINE_SLOW_EXIT", "1");
    let outcome = run.outcome()?;
    if outcome.status == 125 && outcome.defect.is_none() {
        return Ok(());
    }
    Err(format!("expected 125: {outcome:#?}").into())
}

/// Every question gets an answer.
fn doctor() -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let outcome = wine::lx(["doctor"], scratch.path())?.outcome()?;
    let said = String::from_utf8_lossy(&outcome.stdout);
    let answer = |number: u32| {
        let start = format!("R{number} ");
        let mut lines = said.lines();
        let line = lines.find(|line| line.starts_with(&start)).unwrap_or_default();
        !line.is_empty() && !line.contains("cannot be asked") && !line.contains("has died")
    };
    let silent: Vec<u32> = (1..=12).filter(|number| !answer(*number)).collect();
    if outcome.status == 0 && silent.is_empty() && said.ends_with("lx can work here\n") {
        return Ok(());
    }
    Err(format!("no answers to {silent:?}: {said}").into())
}
