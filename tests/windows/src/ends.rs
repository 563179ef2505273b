//! However `lx.exe` or one of its processes ends, nothing of it is left, and what has nothing to do
//! with it lives on.

use std::fs;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::started::Started;
use crate::{expectations, interop, rootfs, wine};

/// Guests of several processes that say when all of them run.
const SCRIPT: &str = "export PATH=/bin; sleep 1000 & (sleep 1000) & sh -c 'echo ready; read x'";

/// The same without input.
const LONG: &str = "export PATH=/bin; sleep 1000 & (sleep 1000) & sh -c 'echo ready; sleep 1000'";

/// A guest that waits with the file `$F` open, and what the others find after its end.
const VICTIM: &str = "export PATH=/bin
    mkfifo /tmp/fifo
    { read x; echo $x; read y < /tmp/fifo; } < $F &
    wait $!
    echo status $?
    echo alive | tr a-z A-Z
    (exit 3)
    echo $?";

pub(crate) fn trials() -> Vec<Trial> {
    if cfg!(windows) {
        return Vec::new();
    }
    vec![
        expectations::trial("ends::killed", || ends(|lx| Ok(lx.child.kill()?))),
        expectations::trial("ends::guest_ends", || {
            // The end of its standard input ends the first guest, and the others are killed.
            ends(|lx| {
                lx.hang_up();
                Ok(())
            })
        }),
        expectations::trial("ends::host_process_killed", host_process_killed),
        expectations::trial("ends::init_killed", init_killed),
        expectations::trial("ends::job_ends", job_ends),
        expectations::trial("ends::ctrl_c", ctrl_c),
        expectations::trial("ends::console_closed", console_closed),
    ]
}

fn guest(script: &str) -> Result<Command, Failed> {
    let root = format!("Z:{}", rootfs::small()?.display());
    Ok(wine::command(["run", "--rootfs", &root, "--", "/bin/sh", "-c", script])?)
}

fn ends(end: impl FnOnce(&mut Started) -> Result<(), Failed>) -> Result<(), Failed> {
    let mut lx = Started::new(guest(SCRIPT)?)?;
    lx.expect("ready")?;
    // Wine forgets a process that is just being made: it is in no job yet.
    let before = lx.settle()?;
    if before < 3 {
        return Err(format!("only {before} processes before the end").into());
    }
    end(&mut lx)?;
    lx.until_gone()
}

/// Ends a process of this machine as a task manager would.
pub(crate) fn kill(pid: u32) -> Result<(), Failed> {
    let status = Command::new("/bin/kill").args(["-9", &pid.to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(format!("cannot kill {pid}").into()) }
}

/// The guest in it is reaped as killed, and the others do not notice.
fn host_process_killed() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().canonicalize()?.join("marker");
    fs::write(&file, "ready\n")?;
    let lx = Started::new(guest(&format!("F=/mnt/z{}; {VICTIM}", file.display()))?)?;
    lx.expect("ready")?;
    kill(lx.process_with(file.as_os_str())?)?;
    let (said, complaints) = lx.finish()?;
    let expected = "status 137\nALIVE\n3\n";
    if said == expected && complaints.contains("was ended from outside") {
        return Ok(());
    }
    Err(format!("{said:?} instead of {expected:?}; {complaints}").into())
}

/// The machine is over, and `lx.exe` says so.
fn init_killed() -> Result<(), Failed> {
    let mut lx = Started::new(guest(SCRIPT)?)?;
    lx.expect("ready")?;
    lx.settle()?;
    let is_init = |folder: &std::path::PathBuf| {
        let command = fs::read(folder.join("cmdline")).unwrap_or_default();
        command.split(|&byte| byte == 0).any(|word| word == b"init")
    };
    let init = lx.processes()?.into_iter().find(is_init).ok_or("no init")?;
    let pid = init.file_name().and_then(|name| name.to_str()?.parse().ok());
    kill(pid.ok_or("no number")?)?;
    lx.until_gone()?;
    let (_, complaints) = lx.finish()?;
    if complaints.contains("lx: the machine has stopped: its kernel process ended") {
        return Ok(());
    }
    Err(format!("no reason in {complaints:?}").into())
}

/// A job of somebody else's around `lx.exe`, as a terminal or a service has it.
fn job_ends() -> Result<(), Failed> {
    let Some(probe) = interop::program()? else { return Ok(()) };
    let root = rootfs::small()?;
    let line = format!(
        "{} run --rootfs Z:{} -- /bin/sh -c \"{LONG}\"",
        wine::path_of("lx.exe")?,
        root.display()
    );
    let mut outer = Started::new(wine::program_of(probe, ["job", &line])?)?;
    outer.expect("ready")?;
    outer.settle()?;
    outer.hang_up();
    outer.until_gone()?;
    let (said, complaints) = outer.finish()?;
    if said == "ended\n" { Ok(()) } else { Err(format!("{said:?}; {complaints}").into()) }
}

/// The key means the foreground process group.
fn ctrl_c() -> Result<(), Failed> {
    // lx has to hear of its command before it can forward anything to it.
    let script = "export PATH=/bin; trap \"echo caught; exit 5\" INT; sleep 1; echo ready; \
                  while :; do sleep 1; done";
    let mut lx = Started::with_console(&guest(script)?)?;
    lx.expect_text("ready")?;
    lx.say("\u{3}")?;
    lx.expect_text("caught")?;
    lx.until_gone()
}

/// Nothing is left. (That the command gets `SIGHUP` is a test of `lx`: Wine knows no console that is
/// closed, and this machine's terminal ends its processes by itself.)
fn console_closed() -> Result<(), Failed> {
    let mut lx =
        Started::with_console(&guest("export PATH=/bin; echo ready; sleep 1000 & sleep 1000")?)?;
    lx.expect_text("ready")?;
    lx.child.kill()?;
    lx.until_gone()
}
