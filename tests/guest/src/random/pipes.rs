//! Pipes: what is in them, who waits, what poll says.

use super::{Area, World, pick};
use crate::{call, called};

/// Random use of pipes by one process.
pub(super) const AREA: Area = Area {
    name: "pipes",
    steps: &[("pipe", 2), ("write", 4), ("read", 4), ("close", 1), ("poll", 3)],
    length: 40,
    cases: 300,
    world: || {
        // A broken pipe is an error number like others.
        // SAFETY: sets a disposition.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        Box::new(Pipes)
    },
};

struct Pipes;

/// Lengths around the sizes at which pipes behave otherwise.
const LENGTHS: &[usize] = &[1, 0, 7, 4095, 4096, 4097, 65535, 65536, 65537];

/// A descriptor, mostly one of those in use.
fn descriptor(number: u32) -> i32 {
    (number % 9) as i32
}

impl World for Pipes {
    fn step(&mut self, name: &str, [a, b, _, _]: [u32; 4]) -> String {
        match name {
            "pipe" => {
                let mut ends = [-1; 2];
                let made = call!(pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK));
                format!("{made:?} {ends:?}")
            }
            "write" => {
                let bytes = vec![a as u8; pick(b, LENGTHS)];
                format!("{:?}", crate::write(descriptor(a), &bytes))
            }
            "read" => {
                let mut bytes = vec![0u8; pick(b, LENGTHS)];
                let count = call!(read(descriptor(a), bytes.as_mut_ptr().cast(), bytes.len()));
                bytes.truncate(count.unwrap_or(0) as usize);
                let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
                format!("{count:?} sum {sum}")
            }
            "close" => format!("{:?}", call!(close(descriptor(a)))),
            _ => {
                let events = libc::POLLIN | libc::POLLOUT;
                let mut list = [0, 1, 2, 3, 4, 5].map(|fd| libc::pollfd { fd, events, revents: 0 });
                // SAFETY: the list has six members.
                let ready = called(unsafe { libc::poll(list.as_mut_ptr(), 6, 0) }.into());
                format!("{ready:?} {:?}", list.map(|entry| entry.revents))
            }
        }
    }
}
