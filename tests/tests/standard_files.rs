//! Standard streams that are files of the host: what a program does with their names is what it
//! does natively.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, OpenOptions};
use std::process::{Command, ExitStatus};

use lx_tests::lx;

/// What a run left in the file that was its output, and how it ended.
#[derive(Debug, PartialEq)]
struct Left {
    status: ExitStatus,
    output: String,
}

/// Runs a script with files as input, output and error output.
fn run(mut command: Command, script: &str, append: bool) -> Left {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("input"), folder.path().join("output"));
    fs::write(&input, "first\nsecond\nthird\n").unwrap();
    fs::write(&output, "old\n").unwrap();
    let input = OpenOptions::new().read(true).open(&input).unwrap();
    let file = OpenOptions::new().write(true).append(append).open(&output).unwrap();
    let errors = file.try_clone().unwrap();
    let status = command
        .args(["/bin/bash", "-c", script])
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(input)
        .stdout(file)
        .stderr(errors)
        .status()
        .unwrap();
    Left { status, output: fs::read_to_string(&output).unwrap() }
}

#[track_caller]
fn as_native(script: &str) {
    for append in [false, true] {
        let native = run(Command::new("/usr/bin/env"), script, append);
        let mut command = Command::new(lx::command().unwrap());
        command.args(["run", "--"]);
        let on_lx = run(command, script, append);
        assert_eq!(on_lx, native, "appending: {append}");
    }
}

#[test]
fn the_streams_share_one_position() {
    as_native("echo one; echo two >&2; /bin/echo three; (echo four; echo five >&2)");
}

#[test]
fn a_name_is_opened_at_its_own_position() {
    as_native("echo long line; echo x > /dev/stdout; echo after");
    as_native("echo long line; echo x >> /dev/stdout; echo after");
    as_native("echo long line; echo x 1> /proc/self/fd/2; echo after");
    as_native("echo one; exec 3>>/dev/fd/1; echo two >&3; echo three; echo four >&3");
    as_native("exec 3>/dev/stdout 4>/dev/stdout; echo abcdef >&3; echo gh >&4; echo i >&3");
}

#[test]
fn input_is_read_again_by_its_name() {
    as_native("read -r a; read -r b < /dev/stdin; read -r c; echo $a $b $c; cat /dev/fd/0; cat");
    as_native("cat /proc/self/fd/0 /proc/self/fd/0 | wc -l");
}

#[test]
fn a_position_is_moved() {
    as_native("echo abcdef; perl -e 'sysseek(STDOUT, 2, 0); syswrite(STDOUT, \"XY\")'; echo end");
}
