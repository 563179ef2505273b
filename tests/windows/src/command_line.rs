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
];

/// One test for each case.
pub(crate) fn trials() -> Vec<Trial> {
    let cases = CASES.iter().map(|(name, args, status, text)| {
        expectations::trial(format!("command_line::{name}"), move || check(args, *status, text))
    });
    let more = [
        expectations::trial("command_line::no_archive", no_archive),
        expectations::trial("command_line::slow_end", slow_end),
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
