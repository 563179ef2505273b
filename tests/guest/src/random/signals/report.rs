//! What a process has inherited: mask, pending signals, dispositions.

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;
use std::ptr::null;

use crate::call;

/// The argument that makes the program report and end.
pub(super) const ARGUMENT: &std::ffi::CStr = c"--report";

/// The descriptor that the report of an executed program goes to.
pub(super) const OUTPUT: i32 = 90;

/// Reports if the program's argument asks for it.
pub(in crate::random) fn run(argument: &str) -> Option<ExitCode> {
    (argument.as_bytes() == ARGUMENT.to_bytes()).then(|| {
        let _ = crate::write(OUTPUT, all().as_bytes());
        ExitCode::SUCCESS
    })
}

/// The sets of signals that `/proc` shows for the calling thread.
pub(super) fn status() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let lines =
        status.lines().filter_map(|line| line.strip_prefix("Sig").or(line.strip_prefix("Shd")));
    // How many a user has queued depends on what else runs.
    lines.filter(|line| !line.starts_with("Q:")).fold(String::new(), |text, line| {
        text + &line.split_whitespace().collect::<Vec<_>>().join("") + " "
    })
}

/// Mask, pending signals, dispositions and alternate stack of the calling thread.
pub(super) fn all() -> String {
    let mut pending = 0u64;
    let _ = call!(syscall(libc::SYS_rt_sigpending, &mut pending, 8));
    let mut text = format!("mask {:x} pending {pending:x} actions", super::handler::mask());
    for signal in 1..=64 {
        // As the kernel has them: handler, flags, restorer, mask.
        let mut action = [0u64; 4];
        let _ =
            call!(syscall(libc::SYS_rt_sigaction, signal, null::<u64>(), action.as_mut_ptr(), 8));
        let [handler, flags, _, mask] = action;
        // The library of the language has set these.
        let its = [libc::SIGPIPE, libc::SIGSEGV, libc::SIGBUS].contains(&signal);
        if !its && action != [0; 4] {
            let restorer = 0x0400_0000;
            let _ = write!(text, " {signal}:{}/{:x}/{mask:x}", handler.min(2), flags & !restorer);
        }
    }
    text
}
