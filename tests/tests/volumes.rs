//! `lx run -v`: folders and single files of the host that the guest sees.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use lx_tests::{Outcome, Run, lx};
use tempfile::TempDir;

/// A folder of the host with a file.
struct Shared(TempDir);

impl Shared {
    fn new() -> Self {
        let shared = Self(tempfile::tempdir().unwrap());
        fs::write(shared.0.path().join("file"), "from the host\n").unwrap();
        fs::write(shared.0.path().join("other"), "nobody's business\n").unwrap();
        shared
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// Runs a script with `name` of the folder at a path of the guest.
    #[track_caller]
    fn run(&self, name: &str, guest: &str, script: &str) -> Outcome {
        let volume = format!("{}:{guest}", self.0.path().join(name).display());
        let outcome = Run::new(lx::command().unwrap(), Path::new("/tmp"))
            .args(["run", "-v", &volume, "/bin/bash", "-c", script])
            .outcome()
            .unwrap();
        assert_eq!(outcome.defect, None, "{outcome:?}");
        outcome
    }

    #[track_caller]
    fn prints(&self, name: &str, guest: &str, script: &str, stdout: &str) {
        let outcome = self.run(name, guest, script);
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert_eq!(text, stdout, "{}", String::from_utf8_lossy(&outcome.stderr));
    }
}

#[test]
fn a_folder_is_shown() {
    let shared = Shared::new();
    shared.prints(
        "",
        "/new/folder",
        "ls /new/folder; echo more > /new/folder/more",
        "file\nother\n",
    );
    assert_eq!(shared.text("more"), "more\n");
}

/// What guest programs find in a temporary folder of lx's own holds in a shared one, too.
#[test]
fn guest_programs_pass_in_a_folder() {
    for name in ["paths", "file_times", "sparse", "shared_file", "shared_locks", "text_busy", "fds"]
    {
        let shared = Shared::new();
        let program = lx::guest(name).unwrap();
        let outcome = shared.run("", "/new", &format!("TMPDIR=/new {}", program.display()));
        let stdout = String::from_utf8_lossy(&outcome.stdout);
        let failed: Vec<_> = stdout.lines().filter(|line| line.starts_with("not ok")).collect();
        assert_eq!((outcome.status, failed), (0, vec![]), "{name}");
    }
}

/// The names in a folder are looked up again after a second. What is mounted below stays, and no name
/// stands for a file that was removed meanwhile.
#[test]
fn names_that_are_looked_up_again_keep_what_is_below() {
    let (shared, inner) = (Shared::new(), Shared::new());
    let volumes = [(&shared, "/new"), (&inner, "/new/a/b/inner")]
        .map(|(folder, guest)| format!("{}:{guest}", folder.0.path().display()));
    let script = "cd /new; : > a/old; sleep 0.6; stat a/old a/old > /dev/null; mkdir new; : > a/new
        sleep 0.5; cat a/b/inner/file; rm a/old; ln -s x a/old; touch -h a/old; stat -c '%F %N' a/old";
    let run = Run::new(lx::command().unwrap(), Path::new("/tmp"));
    let run = run.args(["run", "-v", &volumes[0], "-v", &volumes[1], "/bin/bash", "-c", script]);
    let outcome = run.outcome().unwrap();
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    assert_eq!(stdout, "from the host\nsymbolic link 'a/old' -> 'x'\n", "{outcome:?}");
}

#[test]
fn a_file_is_shown_without_its_folder() {
    let shared = Shared::new();
    let script = "ls /new; cat /new/name; stat -c %F /new/name; ls /new/name/..; cat /new/other";
    let found = "name\nfrom the host\nregular file\n";
    shared.prints("file", "/new/name", script, found);
}

#[test]
fn a_file_is_written_on_the_host() {
    let shared = Shared::new();
    let script = "echo more >> /new/name; cat /new/name; echo short > /new/name; cat /new/name";
    shared.prints("file", "/new/name", script, "from the host\nmore\nshort\n");
    assert_eq!(shared.text("file"), "short\n");
    assert_eq!(shared.text("other"), "nobody's business\n");
}

#[test]
fn a_file_covers_another_one() {
    let shared = Shared::new();
    let script = "cat /etc/passwd; rm -f /etc/passwd; mv /etc/passwd /tmp; cat /etc/passwd";
    let outcome = shared.run("file", "/etc/passwd", script);
    assert_eq!(outcome.stdout, b"from the host\nfrom the host\n");
    let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(stderr.matches("Device or resource busy").count(), 2, "{stderr}");
    assert_eq!(shared.text("file"), "from the host\n");
}

#[test]
fn a_file_can_be_read_only() {
    let shared = Shared::new();
    let outcome = shared.run("file", "/new/name:ro", "cat /new/name; echo more >> /new/name");
    assert_eq!(outcome.stdout, b"from the host\n");
    assert_eq!(outcome.status, 1);
    let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert!(stderr.contains("Read-only file system"), "{stderr}");
    assert_eq!(shared.text("file"), "from the host\n");
}

#[test]
fn a_file_does_not_cover_a_folder() {
    let shared = Shared::new();
    let outcome = shared.run("file", "/etc", "true");
    let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(outcome.status, 125);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("lx: ") && stderr.contains("cannot mount on /etc"), "{stderr}");
}
