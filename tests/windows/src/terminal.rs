//! `lx run -t`: a terminal of the guest's own, shown on the console. Wine makes a console of a
//! terminal of this machine; what that cannot do is in `tests/wine/README.md`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::started::Started;
use crate::{ends, expectations, interop, keyboard, rootfs, wine};

pub(crate) fn trials() -> Vec<Trial> {
    if cfg!(windows) {
        return Vec::new();
    }
    vec![
        expectations::trial("terminal::lines", lines),
        expectations::trial("terminal::keys", keys),
        expectations::trial("terminal::letters", letters),
        expectations::trial("terminal::signals", signals),
        expectations::trial("terminal::sequences", sequences),
        expectations::trial("terminal::much", much),
        expectations::trial("terminal::resized", resized),
        expectations::trial("terminal::redirected", redirected),
        expectations::trial("terminal::programs", programs),
        expectations::trial("terminal::no_console", no_console),
        expectations::trial("terminal::modes_come_back", || modes_come_back("exit 3", false)),
        expectations::trial("terminal::killed", || modes_come_back("sleep 1000", true)),
    ]
}

fn command(script: &str) -> Result<Command, Failed> {
    let root = format!("Z:{}", rootfs::small()?.display());
    let script = format!("export PATH=/bin; {script}");
    Ok(wine::command(["run", "-t", "--rootfs", &root, "--", "/bin/sh", "-c", &script])?)
}

fn guest(script: &str) -> Result<Started, Failed> {
    Started::with_raw_console(&command(script)?, "")
}

/// The terminal is the guest's own: as large as the console, with lines that can be corrected.
fn lines() -> Result<(), Failed> {
    let mut lx = guest("tty; stty size; echo ready; read x; echo got $x; exit 3")?;
    let said = lx.expect_text("ready")?;
    if !said.contains("/dev/pts/") || !said.contains("24 80") {
        return Err(format!("no terminal of its own in {said:?}").into());
    }
    lx.say("worf\u{7f}d\r")?;
    lx.expect_text("got word")?;
    lx.until_gone()?;
    match lx.child.wait()?.code() {
        Some(3) => Ok(()),
        other => Err(format!("status {other:?}").into()),
    }
}

/// Every key is bytes.
fn keys() -> Result<(), Failed> {
    let mut lx = guest("stty raw -echo; echo ready; dd bs=1 count=12 2> /dev/null | od -An -tx1")?;
    lx.expect_text("ready")?;
    // A letter, Alt and a letter, an arrow, Ctrl-A, Ctrl-Z, Home, Enter.
    lx.say("a\u{1b}x\u{1b}[A\u{1}\u{1a}\u{1b}[H\r")?;
    lx.expect_text("61 1b 78 1b 5b 41 01 1a 1b 5b 48 0d")?;
    lx.until_gone()
}

/// Letters go both ways as UTF-8.
fn letters() -> Result<(), Failed> {
    let mut lx = guest("echo ready; read x; echo \"<$x>\"; echo -n $x | od -An -tx1")?;
    lx.expect_text("ready")?;
    lx.say("ä€😀\r")?;
    // Wine shows what needs two halves of UTF-16 as two signs of its own.
    lx.expect_text("<ä€")?;
    lx.expect_text("c3 a4 e2 82 ac f0 9f 98 80")?;
    lx.until_gone()
}

/// Keys are signals for the foreground, if the guest wants it.
fn signals() -> Result<(), Failed> {
    let script = "trap 'echo interrupted' INT; trap 'echo quit; exit 4' QUIT; echo ready
        while :; do sleep 0.1; done";
    let mut lx = guest(script)?;
    lx.expect_text("ready")?;
    lx.say("\u{3}")?;
    lx.expect_text("interrupted")?;
    lx.say("\u{1c}")?;
    lx.expect_text("quit")?;
    lx.until_gone()
}

/// What guests write reaches the console as it is.
fn sequences() -> Result<(), Failed> {
    let mut lx = guest("printf 'a\\033[31mred\\033[0m\\033[2;5Hmoved\\n'")?;
    lx.expect_text("a\u{1b}[31mred\u{1b}[0m\u{1b}[2;5Hmoved")?;
    lx.until_gone()
}

/// Nothing is lost, in either direction.
fn much() -> Result<(), Failed> {
    let mut lx = guest("seq 20000; stty raw -echo; echo ready; head -c 30000 | md5sum")?;
    let said = lx.expect_text("ready")?;
    let numbers: Vec<u32> = said.lines().filter_map(|line| line.trim().parse().ok()).collect();
    if !numbers.iter().copied().eq(1..=20000) {
        return Err(format!("{} numbers of 20000", numbers.len()).into());
    }
    for _ in 0..300 {
        lx.say(&"0123456789".repeat(10))?;
    }
    lx.expect_text("9791c9785639e56c1054a266aefa5c2f")?;
    lx.until_gone()
}

/// A new size is told to the guest.
fn resized() -> Result<(), Failed> {
    let Some(probe) = interop::program()? else { return Ok(()) };
    let script = format!(
        "trap 'stty size' WINCH; echo ready; /mnt/z{} resize; while :; do sleep 0.1; done",
        probe.display()
    );
    let mut lx = guest(&script)?;
    lx.expect_text("ready")?;
    lx.expect_text("20 60")?;
    lx.say("\u{3}")?;
    lx.until_gone()
}

/// A person types at a shell, editors and others: the same happens natively.
fn programs() -> Result<(), Failed> {
    let root = format!("Z:{}", rootfs::debian()?.display());
    let options = ["run", "--rootfs", &root, "-v", "Z:{}:{}", "-t"];
    let environment = ["-e", "PS1=$ ", "-e", "LC_ALL=C", "-e", "LESSHISTFILE=-", "--"];
    let command = wine::command(options.into_iter().chain(environment))?;
    let mut prefix = vec![OsString::from("env")];
    for (name, value) in command.get_envs() {
        prefix.push([name, "=".as_ref(), value.unwrap_or_default()].into_iter().collect());
    }
    prefix.push(command.get_program().into());
    prefix.extend(command.get_args().map(OsString::from));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interactive/programs.py");
    let run = |console: &str, prefix: &[OsString]| -> Result<String, Failed> {
        let mut python = Command::new("/usr/bin/python3");
        let output = python.arg(&script).args(prefix).env("LX_TEST_CONSOLE", console).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(said);
        }
        Err(format!("{console}: {}\n{said}{complaints}", output.status).into())
    };
    let (native, on_lx) = (run("native", &[])?, run("wine", &prefix)?);
    if native == on_lx { Ok(()) } else { Err(format!("{on_lx}\ninstead of\n{native}").into()) }
}

/// Streams that lead elsewhere do so for the guest. (Wine has no keys if standard input does.)
fn redirected() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("errors");
    let command =
        command("test -t 0 && test -t 1 && ! test -t 2 && echo as wanted; echo to file >&2")?;
    let mut lx = Started::with_raw_console(&command, &format!("2> '{}'", file.display()))?;
    lx.expect_text("as wanted")?;
    lx.until_gone()?;
    match fs::read_to_string(&file)?.as_str() {
        "to file\n" => Ok(()),
        other => Err(format!("{other:?} in the file").into()),
    }
}

/// Without a console there is nothing to show it on.
fn no_console() -> Result<(), Failed> {
    let lx = Started::new(command("echo never")?)?;
    let (said, complaints) = lx.finish()?;
    let reason = "lx: -t needs a terminal, and no standard stream is one\n";
    if said.is_empty() && complaints == reason {
        return Ok(());
    }
    Err(format!("{said:?}, {complaints:?}").into())
}

/// However lx ends, the console is as before afterwards, and nothing is left.
fn modes_come_back(end: &str, kill: bool) -> Result<(), Failed> {
    let Some(probe) = interop::program()? else { return Ok(()) };
    let probe = format!("Z:{}", probe.display()).replace('/', "\\");
    let lx = wine::path_of("lx.exe")?;
    let root = rootfs::small()?.display().to_string();
    // Quotes would have to survive two programs that see them otherwise.
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script");
    fs::write(&script, format!("export PATH=/bin; stty raw -echo; echo ready; {end}"))?;
    let run = format!("{lx} run -t --rootfs Z:{root} -- /bin/sh /mnt/z{}", script.display());
    // Who restores them may be a process that the end of lx wakes.
    let line = format!("{probe} mode& {run}& {probe} mode 2000");
    let command = wine::program_of("cmd".as_ref(), ["/c", &line])?;
    let mut console = Started::with_raw_console(&command, "")?;
    let mut said = console.expect_text("ready")?;
    if kill {
        let is_lx = |folder: &PathBuf| {
            let command = fs::read(folder.join("cmdline")).unwrap_or_default();
            let program = command.split(|&byte| byte == 0).next().unwrap_or_default();
            program.ends_with(b"lx.exe")
        };
        let lx = console.processes()?.into_iter().find(is_lx).ok_or("no lx.exe")?;
        let pid = lx.file_name().and_then(|name| name.to_str()?.parse().ok());
        ends::kill(pid.ok_or("no number")?)?;
    }
    console.until_gone()?;
    let (rest, complaints) = console.finish()?;
    said.push_str(&rest);
    keyboard::same_modes(&said, &complaints)
}
