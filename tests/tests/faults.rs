//! Programs that fault, cannot be run, or make calls that do not exist.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lx_tests::{Outcome, lx};
use tempfile::TempDir;

/// A folder for one test: its `TMPDIR`, its programs and its statistics.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn stats(&self) -> PathBuf {
        self.dir.path().join("stats")
    }

    /// Runs a program on lx.
    #[track_caller]
    fn run(&self, program: impl AsRef<Path>, args: &[&str]) -> Outcome {
        let run = lx::run(program.as_ref(), args, self.dir.path(), &self.stats());
        let outcome = run.and_then(|run| run.outcome().map_err(|error| error.to_string())).unwrap();
        assert_eq!(outcome.defect, None, "{outcome:?}");
        outcome
    }

    /// A file with this content and mode.
    fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn faults() -> String {
    lx::guest("faults").unwrap().display().to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// lx could not start the program: one line that names it, nothing else, and this status.
#[track_caller]
fn refused(program: impl AsRef<Path>, status: i32) {
    let program = program.as_ref();
    let outcome = Bench::new().run(program, &[]);
    let stderr = text(&outcome.stderr);
    assert_eq!(outcome.status, status, "{stderr}");
    assert_eq!(text(&outcome.stdout), "");
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    let name = program.display().to_string();
    assert!(stderr.starts_with("lx: ") && stderr.contains(&name), "{stderr:?}");
}

/// A real program to damage.
fn elf() -> Vec<u8> {
    fs::read("/bin/true").unwrap()
}

#[test]
fn a_null_dereference_ends_as_139() {
    assert_eq!(Bench::new().run(faults(), &["null"]).status, 139);
}

#[test]
fn the_shell_says_segmentation_fault() {
    let script = format!("ulimit -c 0; {} null; echo status $?", faults());
    let outcome = Bench::new().run("/bin/bash", &["-c", &script]);
    assert_eq!(text(&outcome.stdout), "status 139\n");
    assert!(text(&outcome.stderr).contains("Segmentation fault"), "{}", text(&outcome.stderr));
}

#[test]
fn other_faults_end_with_their_signals() {
    for (fault, status) in [("jump", 139), ("illegal", 132), ("divide", 136), ("stack", 134)] {
        assert_eq!(Bench::new().run(faults(), &[fault]).status, status, "{fault}");
    }
}

#[test]
fn a_fault_ends_one_process_only() {
    let script = format!("for i in 1 2 3; do {} null; done 2> /dev/null; echo alive", faults());
    let outcome = Bench::new().run("/bin/bash", &["-c", &script]);
    assert_eq!((text(&outcome.stdout).as_str(), outcome.status), ("alive\n", 0));
}

#[test]
fn a_missing_program_is_not_found() {
    refused("/nonexistent/program", 127);
    refused("no-such-program-in-the-path", 127);
}

#[test]
fn a_folder_cannot_be_executed() {
    refused("/usr", 126);
}

#[test]
fn a_file_without_execute_permission_cannot_be_executed() {
    let bench = Bench::new();
    refused(bench.file("program", &elf(), 0o644), 126);
}

#[test]
fn a_program_of_another_architecture_cannot_be_executed() {
    let bench = Bench::new();
    let mut arm = elf();
    // e_machine
    arm[18..20].copy_from_slice(&183u16.to_le_bytes());
    refused(bench.file("arm", &arm, 0o755), 126);
    let mut narrow = elf();
    // EI_CLASS: 32 bits, with i386's machine
    narrow[4] = 1;
    narrow[18..20].copy_from_slice(&3u16.to_le_bytes());
    refused(bench.file("i386", &narrow, 0o755), 126);
}

#[test]
fn a_truncated_program_cannot_be_executed() {
    let bench = Bench::new();
    for length in [4, 20, 63, 64, 100] {
        refused(bench.file("cut", &elf()[..length], 0o755), 126);
    }
}

#[test]
fn text_that_names_no_interpreter_cannot_be_executed() {
    let bench = Bench::new();
    refused(bench.file("text", b"just words\n", 0o755), 126);
}

#[test]
fn a_missing_interpreter_is_not_found() {
    let bench = Bench::new();
    refused(bench.file("script", b"#!/nonexistent/interpreter\n", 0o755), 127);
}

#[test]
fn an_unknown_call_gives_enosys_and_shows_in_the_statistics() {
    let bench = Bench::new();
    let outcome = bench.run(faults(), &["unknown-call", "999"]);
    assert_eq!((text(&outcome.stdout).as_str(), outcome.status), ("Err(38)\n", 0));
    let stats = fs::read_to_string(bench.stats()).unwrap();
    // 999 in either notation.
    assert!(stats.contains("999") || stats.contains("0x3e7"), "{stats}");
}

#[test]
fn the_exit_status_is_that_of_the_program() {
    let bench = Bench::new();
    for status in [0, 1, 42, 124, 255] {
        let script = format!("exit {status}");
        assert_eq!(bench.run("/bin/sh", &["-c", &script]).status, status);
    }
    assert_eq!(bench.run("/bin/sh", &["-c", "kill -TERM $$"]).status, 143);
}

#[test]
fn a_bad_option_is_a_failure_of_lx_itself() {
    let bench = Bench::new();
    let run = lx_tests::Run::new(lx::command().unwrap(), bench.dir.path());
    let outcome = run.args(["run", "--no-such-option", "--", "/bin/true"]).outcome().unwrap();
    assert_eq!(outcome.status, 125, "{}", text(&outcome.stderr));
}
