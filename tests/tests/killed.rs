//! `kill -9` of lx at any instant leaves no process and no file behind.
//!
//! The test makes itself the reaper of its descendants. Whatever lx leaves running then becomes
//! its child, under whatever name and in whatever process group, and can be waited for.
//! `LX_SEED` sets the seed of the instants, which a failure prints.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libtest_mimic::{Arguments, Failed, Trial};
use lx_tests::lx;
use lx_tests::processes::children_of;
use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};

/// How many times lx is killed.
const INSTANTS: u32 = 200;

/// The longest that lx lives. A part of the instants falls into its start.
const LONGEST: Duration = Duration::from_millis(200);
const START: Duration = Duration::from_millis(20);

/// How long descendants of lx may take to end after it.
const GRACE: Duration = Duration::from_secs(5);

/// Forks in the foreground, in pipelines and in the background, writes files, never ends.
const SCRIPT: &str = r#"
cd "$(mktemp -d)"
while :; do
    for i in 1 2 3 4 5; do (echo "$i" | cat > "file.$i") & done
    x=$(echo value | sed s/v/V/)
    /bin/true; (sleep 100 &)
    wait
done"#;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![Trial::test("kill_at_random_instants", kill_at_random_instants)];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn kill_at_random_instants() -> Result<(), Failed> {
    let lx = lx::command()?;
    set_child_subreaper(Some(getpid()))?;
    let seed = match env::var("LX_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64,
    };
    let mut random = Random(seed);
    for round in 0..INSTANTS {
        let span = if round % 3 == 0 { START } else { LONGEST };
        let instant = Duration::from_nanos(random.below(span.as_nanos() as u64));
        killed_at(&lx, instant).map_err(|left| {
            format!("seed {seed}, round {round}, killed after {instant:?}: {left}")
        })?;
    }
    Ok(())
}

/// Starts lx, kills it after `instant`, and waits until nothing of it is left.
fn killed_at(lx: &Path, instant: Duration) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut child = Command::new(lx)
        .args(["run", "--", "/bin/bash", "-c", SCRIPT])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", scratch.path())
        .env("XDG_CACHE_HOME", scratch.path())
        .env("XDG_RUNTIME_DIR", scratch.path())
        .env("TMPDIR", scratch.path())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", lx.display()))?;
    thread::sleep(instant);
    if let Ok(Some(status)) = child.try_wait() {
        return Err(format!("lx had ended already: {status}"));
    }
    child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;

    let left = descendants_after(GRACE);
    if !left.is_empty() {
        return Err(format!("still running: {}", left.join("; ")));
    }
    let files: Vec<_> = fs::read_dir(scratch.path())
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    if files.is_empty() { Ok(()) } else { Err(format!("files are left: {files:?}")) }
}

/// Reaps descendants until none is left, or kills those that remain after `grace` and names
/// them.
fn descendants_after(grace: Duration) -> Vec<String> {
    let deadline = Instant::now() + grace;
    let mut named = Vec::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return named,
            Ok(Some(_)) => continue,
            Ok(None) | Err(_) => {}
        }
        if Instant::now() > deadline {
            for process in children_of(getpid()) {
                let _ = kill_process(process.pid, Signal::KILL);
                named.push(process.title);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// SplitMix64: the same seed gives the same instants.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
