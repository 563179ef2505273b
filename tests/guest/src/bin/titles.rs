//! What `/proc/PID/cmdline` and `environ` show of programs that write over their arguments.

use std::ffi::CStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use lx_guest_tests::{Checks, Child, Ended, read};

fn main() {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if arguments.next().is_none() {
        // Known arguments and a known environment.
        let mut again = Command::new("/proc/self/exe");
        again.arg0("titles").args(["one", "two"]).env_clear().env("A", "hello").env("B", "2");
        println!("{name:?}: {}", again.exec());
        std::process::exit(2);
    }
    let mut t = Checks::new();
    own(&mut t);
    of_a_child(&mut t);
    t.end();
}

fn shown(pid: i32, file: &str) -> String {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', "|")
}

/// Where the arguments lie in memory.
fn arguments() -> usize {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // Field 48, `arg_start`; the first one here is number 3.
    fields.get(48 - 3).and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn put(at: usize, text: &CStr) {
    for (offset, byte) in text.to_bytes_with_nul().iter().enumerate() {
        // SAFETY: the strings of the arguments and of the environment, which nobody uses any more.
        unsafe { ((at + offset) as *mut u8).write_volatile(*byte) };
    }
}

fn own(t: &mut Checks) {
    let own = std::process::id() as i32;
    t.is("the arguments", shown(own, "cmdline").as_str(), "titles|one|two|");
    t.is("the environment", shown(own, "environ").as_str(), "A=hello|B=2|");
    put(arguments(), c"short");
    t.is("a shorter name", shown(own, "cmdline").as_str(), "short||one|two|");
}

fn of_a_child(t: &mut Checks) {
    let child = Child::new(
        || put(arguments(), c"a title that reaches on"),
        |(), told| {
            let _ = read::<1>(told);
            0
        },
    );
    t.is("a title", shown(child.pid, "cmdline").as_str(), "a title that reaches on|");
    t.is("has taken the environment's place", shown(child.pid, "environ").as_str(), "aches on|=2|");
    let own = std::process::id() as i32;
    t.is("the parent's is its own", shown(own, "cmdline").as_str(), "short||one|two|");
    t.is("the child ends", child.ends(), Ended::Exit(0));
}
