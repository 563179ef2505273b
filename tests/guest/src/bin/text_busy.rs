//! A file that a program runs from is not written, and one that is written is not executed:
//! `ETXTBSY`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use lx_guest_tests::{Checks, Scratch, c, call};

/// A copy of this program, which waits for the end of its input when it is called so.
const PROGRAM: &str = "program";
const WAIT: &str = "wait";

fn open(flags: i32) -> Result<i64, i32> {
    let fd = call!(open(c(PROGRAM).as_ptr(), flags))?;
    call!(close(fd as i32))
}

fn truncate() -> Result<i64, i32> {
    call!(truncate(c(PROGRAM).as_ptr(), 1 << 30))
}

/// What a child gets that executes the file; the child's exit status if it could.
fn execute(path: &str) -> Result<i64, i32> {
    match Command::new(path).stdin(Stdio::null()).status() {
        Ok(status) => Ok(status.code().unwrap_or(-1).into()),
        Err(error) => Err(error.raw_os_error().unwrap_or(0)),
    }
}

fn start(path: &str) -> std::io::Result<Child> {
    Command::new(path).arg(WAIT).stdin(Stdio::piped()).spawn()
}

fn running(t: &mut Checks) -> std::io::Result<()> {
    let mut child = start("./program")?;
    t.fails("a running program is not opened for writing", open(libc::O_WRONLY), libc::ETXTBSY);
    t.fails("nor for both", open(libc::O_RDWR), libc::ETXTBSY);
    t.fails("nor emptied", open(libc::O_WRONLY | libc::O_TRUNC), libc::ETXTBSY);
    t.fails("nor emptied while opened to be read", open(libc::O_TRUNC), libc::ETXTBSY);
    t.fails("nor truncated", truncate(), libc::ETXTBSY);
    t.works("it can be read", open(libc::O_RDONLY));
    t.is("and executed once more", execute("./program"), Ok(0));
    fs::hard_link(PROGRAM, "other")?;
    t.ok("another name does not help", OpenOptions::new().append(true).open("other").is_err());
    fs::remove_file("other")?;
    fs::rename(PROGRAM, "moved")?;
    fs::copy("moved", PROGRAM)?;
    t.works("a new file of its name is another one", open(libc::O_WRONLY));
    fs::rename("moved", PROGRAM)?;
    let more = fs::metadata(PROGRAM)?.len() < 1 << 30;
    t.ok("nothing was changed", more);

    drop(child.stdin.take());
    // The child has ended, though nobody has waited for it.
    // SAFETY: all zeros is a value of the plain structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let how = libc::WEXITED | libc::WNOWAIT;
    t.works("the program ends", call!(waitid(libc::P_PID, child.id(), &raw mut info, how)));
    t.works("then it can be written", open(libc::O_WRONLY));
    child.wait()?;
    Ok(())
}

fn forked(t: &mut Checks) -> std::io::Result<()> {
    let mut child = start("./program")?;
    let mut second = start("./program")?;
    drop(child.stdin.take());
    child.wait()?;
    t.fails("one of two still runs", open(libc::O_WRONLY), libc::ETXTBSY);
    drop(second.stdin.take());
    second.wait()?;
    t.works("none runs", open(libc::O_WRONLY));
    Ok(())
}

fn written(t: &mut Checks) -> std::io::Result<()> {
    let file = OpenOptions::new().append(true).open(PROGRAM)?;
    t.fails("a file that is being written is not executed", execute("./program"), libc::ETXTBSY);
    let copy = file.try_clone()?;
    drop(file);
    t.fails("nor while a copy is open", execute("./program"), libc::ETXTBSY);
    drop(copy);
    t.is("then it is", execute("./program"), Ok(0));

    fs::write("script", "#!./program\n")?;
    fs::set_permissions("script", Permissions::from_mode(0o755))?;
    let mut script = OpenOptions::new().append(true).open("script")?;
    t.fails("nor a script", execute("./script"), libc::ETXTBSY);
    script.write_all(b"\n")?;
    drop(script);
    t.is("when it is written", execute("./script"), Ok(0));
    let interpreter = OpenOptions::new().append(true).open(PROGRAM)?;
    t.fails("nor by an interpreter that is", execute("./script"), libc::ETXTBSY);
    drop(interpreter);

    // The script itself is not what runs.
    let mut child = Command::new("./script");
    let mut child = child.arg0("script").stdin(Stdio::piped()).spawn()?;
    t.ok("a running script is written", OpenOptions::new().append(true).open("script").is_ok());
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

/// A file in memory is no exception for its own name, but its first descriptor does not count.
fn in_memory(t: &mut Checks) -> std::io::Result<()> {
    let fd = call!(memfd_create(c("memory").as_ptr(), 0)).unwrap_or(-1) as i32;
    let path = format!("/proc/self/fd/{fd}");
    let mut file = File::create(&path)?;
    std::io::copy(&mut File::open(PROGRAM)?, &mut file)?;
    t.fails("opened by its link", execute(&path), libc::ETXTBSY);
    t.ok("which is another descriptor", file.as_raw_fd() != fd);
    drop(file);
    t.is("not any more", execute(&path), Ok(0));
    Ok(())
}

fn all(t: &mut Checks) -> std::io::Result<()> {
    let own = std::env::current_exe()?;
    let _scratch = Scratch::enter()?;
    fs::copy(own, PROGRAM)?;
    running(t)?;
    forked(t)?;
    written(t)?;
    in_memory(t)
}

fn main() {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if !name.ends_with("text_busy") || arguments.next().is_some() {
        // A copy: runs until its input ends.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        return;
    }
    let mut t = Checks::new();
    let done = all(&mut t);
    t.is("no error besides", done.map_err(|error| error.to_string()), Ok(()));
    t.end()
}
