//! One of lx's own processes is killed from outside while it holds a lock of the kernel: the lock
//! will never be free, so the machine stops, and says why.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lx_tests::processes::{Process, children_of, running_of};
use lx_tests::{LIMIT, Outcome, lx};
use rustix::process::{Pid, Signal, kill_process};

/// One process reads a long directory over and over, nearly all the time under the lock of the
/// file system's names; another one makes and removes a name now and then. If the reader is killed
/// in the short time between, its shell is told so.
const SCRIPT: &str = r#"
mkdir /dev/shm/folder; cd /dev/shm/folder
perl -e 'for (1..20000) { open F, ">", "a-name-that-takes-some-time-to-copy-$_"; close F }'
perl -e 'while (1) { opendir D, "."; readdir D; closedir D }' & reader=$!
perl -e 'while (1) { open F, ">", "one"; close F; unlink "one"; select undef, undef, undef, 0.002 }' &
echo ready
wait $reader; echo ended with $?; kill %2; wait"#;

/// How often to try for a moment in which the lock is held.
const ATTEMPTS: u32 = 20;

#[test]
fn the_machine_stops_when_a_lock_can_never_be_free() {
    for _ in 0..ATTEMPTS {
        let outcome = killed_while_reading();
        let stdout = String::from_utf8_lossy(&outcome.stdout);
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!(outcome.defect, None, "{stdout}{stderr}");
        if stdout.contains("ended with") {
            // Between two reads: the machine goes on.
            assert_eq!(stdout, "ended with 137\n", "{stderr}");
            continue;
        }
        assert_eq!(outcome.status, 125, "{stdout}{stderr}");
        assert!(stderr.contains("was killed while it held a lock"), "{stderr}");
        return;
    }
    panic!("no lock was held in {ATTEMPTS} attempts");
}

/// Processor time, in clock ticks, by which the reader stands out from those that mostly sleep.
const ENOUGH: u64 = 10;

/// Runs the script and kills the reader's host process; what lx said after that.
fn killed_while_reading() -> Outcome {
    let scratch = tempfile::tempdir().unwrap();
    let mut lx = Command::new(lx::command().unwrap())
        .args(["run", "--", "/bin/bash", "-c", SCRIPT])
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(lx.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");

    let deadline = Instant::now() + LIMIT;
    let init = children_of(Pid::from_child(&lx)).remove(0);
    let inside = children_of(init.pid);
    let mut reader = None;
    assert!(until(deadline, || {
        reader = busy_child(init.pid, &inside);
        reader.is_some()
    }));
    kill_process(reader.unwrap(), Signal::KILL).unwrap();

    let mut defect = None;
    if !until(deadline, || lx.try_wait().unwrap().is_some()) {
        defect = Some("it hangs".to_owned());
        lx.kill().unwrap();
    }
    let pids: Vec<Pid> = inside.iter().map(|process| process.pid).collect();
    if !until(deadline, || running_of(&pids).is_empty()) {
        defect = Some(format!("still running: {:?}", running_of(&pids)));
    }
    let mut text = Vec::new();
    stdout.read_to_end(&mut text).unwrap();
    let ended = lx.wait_with_output().unwrap();
    Outcome {
        status: ended.status.code().unwrap_or(-1),
        stdout: text,
        stderr: ended.stderr,
        defect,
    }
}

/// The child that has worked for [`ENOUGH`] since `before`. How long it had worked until then says
/// nothing: the host process of a program that has ended waits for the next one.
fn busy_child(parent: Pid, before: &[Process]) -> Option<Pid> {
    let busy = children_of(parent).into_iter().find(|process| {
        let earlier = before.iter().find(|earlier| earlier.pid == process.pid);
        process.ticks >= earlier.map_or(0, |earlier| earlier.ticks) + ENOUGH
    });
    busy.map(|process| process.pid)
}

fn until(deadline: Instant, mut condition: impl FnMut() -> bool) -> bool {
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}
