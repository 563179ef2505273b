//! `lx run --strace` prints what strace prints of the same program, call by call.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use lx_tests::lx;

const STRACE: &str = "/usr/bin/strace";

/// Calls that lx answers otherwise, and why.
const OTHERWISE: [(&str, &str); 3] = [
    ("rseq", "lx has no restartable sequences: the call is ENOSYS, and the C library does without"),
    ("getxattr", "lx has no access control lists: the call is EOPNOTSUPP, and ls asks once only"),
    ("rt_sigreturn", "its result is a register of what was interrupted, the id of a process here"),
];

/// Calls whose result is the id of a process, which differ.
const RETURNS_ID: [&str; 10] = [
    "clone",
    "clone3",
    "fork",
    "getpgrp",
    "getpid",
    "getppid",
    "gettid",
    "set_tid_address",
    "vfork",
    "wait4",
];

/// The calls of each process, in the order of their numbers.
fn calls(trace: &str) -> Vec<Vec<String>> {
    let mut processes: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut begun: BTreeMap<u32, &str> = BTreeMap::new();
    for line in trace.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let (pid, call) = (pid.parse().unwrap(), call.trim_start());
        // Signals and ends are no calls.
        if call.starts_with("---") || call.starts_with("+++") {
            continue;
        }
        let call = if let Some(begin) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, begin);
            continue;
        } else if call.starts_with("<... ") {
            let (_, end) = call.split_once(" resumed>").unwrap();
            format!("{}{end}", begun.remove(&pid).unwrap())
        } else {
            call.to_owned()
        };
        let name = call.split('(').next().unwrap();
        if OTHERWISE.iter().all(|(otherwise, _)| *otherwise != name) {
            processes.entry(pid).or_default().push(comparable(name, &call));
        }
    }
    processes.into_values().collect()
}

/// The call without what differs from run to run.
fn comparable(name: &str, call: &str) -> String {
    let (call, result) = call.rsplit_once(" = ").unwrap_or((call, ""));
    let result = match result.parse::<u64>() {
        Ok(1..) if RETURNS_ID.contains(&name) => "ID",
        _ => result,
    };
    let (call, result) = match name {
        "getrandom" => ("getrandom(BYTES)", result),
        "sysinfo" => ("sysinfo(MACHINE)", result),
        // The list of file systems is the kernel's own.
        "read" if call.contains(r#""nodev\tsysfs"#) => ("read(FILE SYSTEMS)", "ALL"),
        // The size of a buffer for it is the file's block size, which is 4096 in lx's /proc.
        "read" if call.contains(r#", "", "#) => ("read(END)", result),
        _ => (call.trim_end(), result),
    };
    mask_addresses(&format!("{call} = {result}"))
}

/// Hexadecimal numbers of more than four digits are addresses.
fn mask_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|digit: char| !digit.is_ascii_hexdigit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        masked += if digits > 4 { "ADDRESS" } else { "0x" };
        masked += if digits > 4 { "" } else { number };
        masked += rest;
    }
    masked
}

fn trace(command: &mut Command, args: &[&str], output: &Path) -> String {
    let status = command
        .arg("--")
        .args(args)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("HOME", "/nonexistent"), ("PWD", "/")])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.code().is_some_and(|code| code < 125), "{command:?}: {status}");
    fs::read_to_string(output).unwrap()
}

#[track_caller]
fn is_as_natively(args: &[&str]) {
    if !Path::new(STRACE).exists() {
        eprintln!("skipped: {STRACE} is missing; install it: apt-get install strace");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("trace");
    // A guest has the standard streams only, whatever this test has inherited.
    let close = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec \"$0\" \"$@\"";
    let mut strace = Command::new("/bin/sh");
    strace.args(["-c", close, STRACE, "-f", "-o"]).arg(&output);
    let native = trace(&mut strace, args, &output);
    // The first one is strace's own.
    let mut native = calls(&native);
    native.first_mut().unwrap().remove(0);

    let mut strace = Command::new(lx::command().unwrap());
    let option = format!("--strace={}", output.display());
    let on_lx = calls(&trace(strace.arg("run").arg(option), args, &output));

    for (process, (native, on_lx)) in native.iter().zip(&on_lx).enumerate() {
        for (number, (native, on_lx)) in native.iter().zip(on_lx).enumerate() {
            assert_eq!(on_lx, native, "{args:?}, process {process}, call {number}");
        }
        assert_eq!(on_lx.len(), native.len(), "{args:?}, calls of process {process}");
    }
    assert_eq!(on_lx.len(), native.len(), "{args:?}, processes");
}

#[test]
fn cat() {
    is_as_natively(&["/bin/cat", "/etc/hostname", "/nonexistent", "/etc/passwd"]);
}

#[test]
fn ls() {
    is_as_natively(&["/bin/ls", "-n", "/usr/share/doc/bash"]);
}

#[test]
fn a_shell_with_a_pipe() {
    is_as_natively(&[
        "/bin/sh",
        "-c",
        "trap : USR1; echo one two | /bin/cat; (exit 3); /bin/echo three | wc -l; /bin/true; exit 4",
    ]);
}

#[test]
fn python() {
    is_as_natively(&["/usr/bin/python3", "-I", "-S", "-c", "print(sorted([3, 1, 2]))"]);
}
