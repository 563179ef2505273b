//! The native kernel: a child process in a tmpfs of its own.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::process::Command;

use crate::call::{Arg, Call, PADDING, Raw};

/// The result pipe's descriptor in the child, above all that the calls use.
const RESULTS: i32 = 500;

/// Whether this process may mount and change its user id, as the child has to.
pub fn is_possible() -> bool {
    let no_calls: [Call; 0] = [];
    run(&no_calls, &no_calls).is_ok()
}

/// Runs the calls in a child that has no descriptor open, umask 022, and a tmpfs as root in which
/// nothing but `before` has happened; the results of `before` are not returned.
///
/// # Errors
/// If the child could not be set up.
pub fn run(before: &[Call], calls: &[Call]) -> io::Result<Vec<Raw>> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the child runs `child` only, which allocates (the C library's allocator is usable
    // after fork) and makes system calls.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let done = child(before, calls, ends[1]);
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        pid => {
            // SAFETY: closes the parent's copy of the write end; nobody else owns it.
            unsafe { libc::close(ends[1]) };
            // SAFETY: the read end has no other owner.
            let mut results = unsafe { File::from_raw_fd(ends[0]) };
            let mut bytes = Vec::new();
            results.read_to_end(&mut bytes)?;
            let mut status = 0;
            // SAFETY: `status` is a valid place for it.
            unsafe { libc::waitpid(pid, &mut status, 0) };
            if status != 0 {
                return Err(io::Error::other("the child could not be set up"));
            }
            Ok(decode(&bytes))
        }
    }
}

fn child(before: &[Call], calls: &[Call], results: i32) -> io::Result<()> {
    let ok = |value: i32| if value < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    let (root, none) = (c"/", c"none");
    // SAFETY: all strings end in NUL; the flags need no data.
    unsafe {
        ok(libc::unshare(libc::CLONE_NEWNS))?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        ok(libc::mount(none.as_ptr(), root.as_ptr(), std::ptr::null(), private, std::ptr::null()))?;
        let (place, kind) = (c"/tmp", c"tmpfs");
        let options = c"mode=0755";
        ok(libc::mount(none.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()))?;
        // The old root is unmounted: whatever the calls do, there is nothing outside.
        ok(libc::chdir(place.as_ptr()))?;
        let here = c".";
        ok(libc::syscall(libc::SYS_pivot_root, here.as_ptr(), here.as_ptr()) as i32)?;
        ok(libc::umount2(here.as_ptr(), libc::MNT_DETACH))?;
        ok(libc::chdir(root.as_ptr()))?;
        ok(libc::dup2(results, RESULTS))?;
        for fd in (0..RESULTS).chain(RESULTS + 1..1024) {
            libc::close(fd);
        }
        ok(libc::setgroups(0, std::ptr::null()))?;
        ok(libc::setgid(0))?;
        libc::umask(0o022);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    for call in before {
        perform(call);
    }
    let mut bytes = Vec::new();
    for call in calls {
        let result = perform(call);
        bytes.extend_from_slice(&result.value.to_ne_bytes());
        bytes.extend_from_slice(&(result.stored.len() as u64).to_ne_bytes());
        bytes.extend_from_slice(&result.stored);
    }
    // SAFETY: the descriptor was made above and has no other owner.
    unsafe { File::from_raw_fd(RESULTS) }.write_all(&bytes)
}

fn perform(call: &Call) -> Raw {
    let mut stored = Vec::new();
    let (mut texts, mut blocks) = (Vec::new(), Vec::new());
    let mut args = [0i64; 6];
    for (place, arg) in args.iter_mut().zip(&call.args) {
        *place = match arg {
            Arg::Int(value) => *value,
            Arg::Str(text) => {
                let text = CString::new(text.as_str()).unwrap_or_default();
                // The text's bytes do not move with the `CString`.
                let address = text.as_ptr() as i64;
                texts.push(text);
                address
            }
            Arg::Bytes(bytes) => {
                let bytes = [bytes.as_slice(), &PADDING].concat();
                let address = bytes.as_ptr() as i64;
                blocks.push(bytes);
                address
            }
            Arg::Out(_, len) => {
                stored = vec![0; *len];
                stored.as_mut_ptr() as i64
            }
        };
    }
    let [a, b, c, d, e, f] = args;
    // SAFETY: pointers lead to live memory as long as the call expects, or nowhere.
    let value = unsafe { libc::syscall(call.number, a, b, c, d, e, f) };
    let value = match value {
        -1 => -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        value => value,
    };
    Raw { value, stored }
}

fn decode(bytes: &[u8]) -> Vec<Raw> {
    let mut results = Vec::new();
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_at_checked(16) {
        let number = |part: &[u8]| part.try_into().map_or(0, i64::from_ne_bytes);
        let len = number(&head[8..]) as usize;
        let Some((stored, tail)) = tail.split_at_checked(len) else { break };
        results.push(Raw { value: number(&head[..8]), stored: stored.to_vec() });
        rest = tail;
    }
    results
}

/// The release of the native kernel, for messages.
pub fn release() -> String {
    let output = Command::new("uname").arg("-r").output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
