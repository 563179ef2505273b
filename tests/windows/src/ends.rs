//! However `lx.exe` ends, nothing of its machine is left.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use crate::{expectations, rootfs, wine};

/// How long Wine's server may take to end a job.
const LIMIT: Duration = Duration::from_secs(10);

/// Guests of several processes that say when all of them run.
const SCRIPT: &str = "export PATH=/bin; sleep 1000 & (sleep 1000) & sh -c 'echo ready; read x'";

/// A variable that marks every process of a test, also those that Wine starts.
const MARK: &str = "LX_TEST_MARK";

pub(crate) fn trials() -> Vec<Trial> {
    if cfg!(windows) {
        return Vec::new();
    }
    vec![
        expectations::trial("ends::killed", || ends("killed", |lx| Ok(lx.kill()?))),
        expectations::trial("ends::guest_ends", || {
            // The end of its standard input ends the first guest, and the others are killed.
            ends("guest_ends", |lx| {
                lx.stdin = None;
                Ok(())
            })
        }),
    ]
}

fn ends(name: &str, end: impl FnOnce(&mut Child) -> Result<(), Failed>) -> Result<(), Failed> {
    let root = format!("Z:{}", rootfs::small()?.display());
    let mark = format!("{name}-{}", std::process::id());
    let mut lx = wine::command(["run", "--rootfs", &root, "--", "/bin/sh", "-c", SCRIPT])?
        .env(MARK, &mark)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = lx.stdout.take();
    let result = wait_until_ready(stdout).and_then(|()| {
        let before = marked(&mark)?;
        if before < 3 {
            return Err(format!("only {before} processes before the end").into());
        }
        end(&mut lx)?;
        let deadline = Instant::now() + LIMIT;
        while marked(&mark)? > 0 {
            if Instant::now() > deadline {
                return Err(format!("{} processes are left", marked(&mark)?).into());
            }
            thread::sleep(Duration::from_millis(50));
            // Takes away what is left of a child that has ended.
            lx.try_wait()?;
        }
        Ok(())
    });
    // It may have ended by itself.
    let _ = lx.kill();
    lx.wait()?;
    result
}

fn wait_until_ready(stdout: Option<ChildStdout>) -> Result<(), Failed> {
    let mut line = String::new();
    BufReader::new(stdout.ok_or("no output")?).read_line(&mut line)?;
    if line == "ready\n" { Ok(()) } else { Err(format!("the guest said {line:?}").into()) }
}

/// How many processes carry the mark, Wine's own ones left out.
fn marked(mark: &str) -> Result<usize, Failed> {
    let mark = format!("{MARK}={mark}").into_bytes();
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        // Those that end meanwhile, and threads of the kernel, have nothing to read.
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        let command = fs::read(folder.join("cmdline")).unwrap_or_default();
        let is_ours = command.windows(3).any(|part| part == b"lx-" || part == b"lx.");
        count += usize::from(
            is_ours && environment.split(|&byte| byte == 0).any(|variable| variable == mark),
        );
    }
    Ok(count)
}
