//! Guests that read the console key by key. Wine makes a console of a terminal of this machine, and
//! key events of what is typed there.

use libtest_mimic::{Failed, Trial};

use crate::started::Started;
use crate::{expectations, interop, rootfs, wine};

pub(crate) fn trials() -> Vec<Trial> {
    if cfg!(windows) {
        return Vec::new();
    }
    vec![
        expectations::trial("keyboard::raw", raw),
        expectations::trial("keyboard::echo", echo),
        expectations::trial("keyboard::signal_interrupts", signal_interrupts),
        expectations::trial("keyboard::modes_come_back", modes_come_back),
    ]
}

fn guest(script: &str) -> Result<Started, Failed> {
    let root = format!("Z:{}", rootfs::small()?.display());
    let script = format!("export PATH=/bin; {script}");
    let command = wine::command(["run", "--rootfs", &root, "--", "/bin/sh", "-c", &script])?;
    Started::with_console(&command)
}

/// Letters and sequences arrive at once, without the end of a line.
fn raw() -> Result<(), Failed> {
    let script = "stty -icanon -echo; echo ready; dd bs=1 count=9 2> /dev/null | od -An -tx1";
    let mut lx = guest(script)?;
    lx.expect_text("ready")?;
    // A letter, an arrow, Ctrl-A, Home, a line feed for Enter.
    lx.say("a\u{1b}[A\u{1}\u{1b}[H\r")?;
    lx.expect_text("61 1b 5b 41 01 1b 5b 48 0a")?;
    lx.until_gone()
}

/// What is typed is shown, if the guest wants it.
fn echo() -> Result<(), Failed> {
    let mut lx =
        guest("stty -icanon echo; echo ready; dd bs=1 count=3 2> /dev/null | od -An -tx1")?;
    lx.expect_text("ready")?;
    lx.say("xyz")?;
    let said = lx.expect_text("78 79 7a")?;
    if said.contains("xyz") { Ok(()) } else { Err(format!("no echo in {said:?}").into()) }
}

/// A read that waits for a key ends with a signal.
fn signal_interrupts() -> Result<(), Failed> {
    let script = "stty -icanon -echo; trap 'echo caught; exit 3' USR1; \
                  (sleep 1; kill -USR1 $$) & echo ready; read x; echo never";
    let mut lx = guest(script)?;
    lx.expect_text("caught")?;
    lx.until_gone()
}

/// However a guest leaves the console, it is as before afterwards.
fn modes_come_back() -> Result<(), Failed> {
    let Some(probe) = interop::program()? else { return Ok(()) };
    let probe = format!("Z:{}", probe.display()).replace('/', "\\");
    let lx = wine::path_of("lx.exe")?;
    let root = rootfs::small()?.display().to_string();
    let run = format!("{lx} run --rootfs Z:{root} /bin/stty -icanon -isig -echo");
    let line = format!("{probe} mode& {run}& {probe} mode");
    let command = wine::program_of("cmd".as_ref(), ["/c", &line])?;
    let console = Started::with_console(&command)?;
    let (said, complaints) = console.finish()?;
    same_modes(&said, &complaints)
}

/// What programs have said of the console's modes, before and after.
///
/// # Errors
/// They differ.
pub(crate) fn same_modes(said: &str, complaints: &str) -> Result<(), Failed> {
    // Without the sequences that move the cursor.
    let mut plain = String::new();
    for (number, part) in said.split('\u{1b}').enumerate() {
        let end = if number == 0 { Some(0) } else { part.find(|c: char| c.is_ascii_alphabetic()) };
        let text = end.and_then(|end| part.get(end + usize::from(number > 0)..));
        plain.push_str(text.unwrap_or_default());
    }
    let modes: Vec<&str> = plain
        .split("mode")
        .skip(1)
        .filter_map(|rest| rest.trim_start().split('.').next())
        .collect();
    match modes.as_slice() {
        [before, after] if before == after => Ok(()),
        _ => Err(format!("{modes:?}: {said:?} {complaints}").into()),
    }
}
