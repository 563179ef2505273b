//! One bounded run of a command.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long one run may take before its process group is killed.
pub const LIMIT: Duration = Duration::from_secs(60);

const SIGKILL: i32 = 9;

/// How long output may stay open after the command itself has ended.
const OUTPUT_LIMIT: Duration = Duration::from_secs(5);

/// A command to run: in its own process group, with a fixed environment and no input.
#[derive(Debug)]
pub struct Run {
    command: Command,
    limit: Duration,
    status_file: Option<PathBuf>,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status; `128 + n` after signal `n`, as a shell reports it.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Why the run counts as failed whatever it printed: it hung, or left its output open.
    pub defect: Option<String>,
}

impl Run {
    /// A run of `program`, with `scratch` as its `TMPDIR`.
    pub fn new(program: impl AsRef<OsStr>, scratch: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("TMPDIR", scratch)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        Self { command, limit: LIMIT, status_file: None }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs as this user and its group of the same number, without supplementary groups; only
    /// root may ask for another one.
    #[must_use]
    pub fn user(mut self, id: u32) -> Self {
        self.command.uid(id).gid(id);
        self
    }

    /// Replaces the time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Where processes leave lines of the form `pid status` when they end. The program's line counts
    /// if the program itself is killed, not by us: Wine does so to what it takes for ended.
    #[must_use]
    pub fn status_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.status_file = Some(file.into());
        self
    }

    /// Runs to the end, or kills the process group at the limit.
    ///
    /// # Errors
    ///
    /// The command cannot be started or waited for.
    pub fn outcome(mut self) -> io::Result<Outcome> {
        let deadline = Instant::now() + self.limit;
        let mut child = self.command.spawn()?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());

        let mut defect = None;
        let status = wait_until(&mut child, deadline)?;
        if status.is_none() {
            defect = Some(format!("still running after {} s: killed", self.limit.as_secs()));
            kill_group(&child);
        }
        let status = child.wait()?;

        let deadline = Instant::now() + OUTPUT_LIMIT;
        let stdout = received(&stdout, deadline);
        let stderr = received(&stderr, deadline);
        if defect.is_none() && (stdout.is_none() || stderr.is_none()) {
            defect = Some("ended, but something still holds its output open".to_owned());
            kill_group(&child);
        }
        let left = match (status.signal(), &defect, &self.status_file) {
            (Some(SIGKILL), None, Some(file)) => left_status(file, child.id()),
            _ => None,
        };
        Ok(Outcome {
            status: left.unwrap_or_else(|| shell_status(status)),
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
            defect,
        })
    }
}

/// Waits for `child` until `deadline`; `None` when it still runs then.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Kills the process group that `child` leads. It may be gone already, which is as good.
fn kill_group(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Reads `stream` to its end on a thread of its own, because both streams fill at once.
fn collect(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What arrived before an error is still worth comparing.
            let _ = stream.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

fn received(stream: &Receiver<Vec<u8>>, deadline: Instant) -> Option<Vec<u8>> {
    stream.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

/// What the process with this id has left in the file.
fn left_status(file: &Path, pid: u32) -> Option<i32> {
    let lines = fs::read_to_string(file).ok()?;
    let mut lines = lines.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(who, _)| *who == pid.to_string())?.1.parse().ok()
}

fn shell_status(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Outcome {
        Run::new("/bin/sh", Path::new("/tmp"))
            .args(["-c", script])
            .limit(Duration::from_millis(500))
            .outcome()
            .unwrap()
    }

    #[test]
    fn output_and_status_are_reported() {
        let outcome = sh("echo out; echo err >&2; exit 7");
        assert_eq!(outcome.stdout, b"out\n");
        assert_eq!(outcome.stderr, b"err\n");
        assert_eq!((outcome.status, outcome.defect), (7, None));
    }

    #[test]
    fn a_signal_is_reported_as_by_a_shell() {
        assert_eq!(sh("kill -KILL $$").status, 137);
    }

    #[test]
    fn a_status_that_was_left_counts_for_a_killed_program_only() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("status");
        let run = |script: &str| {
            fs::write(&file, "1 5\n").unwrap();
            let run = Run::new("/bin/sh", scratch.path()).args(["-c", script]);
            run.env("FILE", &file).status_file(&file).outcome().unwrap().status
        };
        assert_eq!(run("echo $$ 7 >> $FILE; kill -KILL $$"), 7);
        assert_eq!(run("kill -KILL $$"), 137);
        assert_eq!(run("echo $$ 7 >> $FILE; exit 3"), 3);
        assert_eq!(run("echo $$ 7 >> $FILE; kill -TERM $$"), 143);
    }

    #[test]
    fn a_run_that_hangs_is_killed_with_its_children() {
        let started = Instant::now();
        assert!(sh("sleep 50 & sleep 50").defect.unwrap().contains("still running"));
        assert!(started.elapsed() < OUTPUT_LIMIT);
    }

    #[test]
    fn output_that_stays_open_is_a_defect() {
        assert!(sh("sleep 8 &").defect.unwrap().contains("holds its output open"));
    }
}
