//! Programs of the host itself, which guests can start where the host's programs are not Linux's.

use alloc::vec::Vec;

use super::{HostError, HostFd, HostResult};
use crate::abi::Errno;

/// Where a standard stream of a native program leads.
#[derive(Clone, Copy, Debug)]
pub enum NativeStream<'a> {
    /// To what this descriptor is.
    Host(&'a HostFd),
    /// Through a new pipe to the kernel.
    Pipe,
}

/// A native program that is to be started. Paths are host paths, in UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct NativeStart<'a> {
    /// The program.
    pub program: &'a [u8],
    /// Arguments after the zeroth.
    pub args: &'a [&'a [u8]],
    /// Working directory; `None` for one of the host's choice.
    pub directory: Option<&'a [u8]>,
    /// Variables that the program gets besides those that the host gives it.
    pub env: &'a [(&'a [u8], &'a [u8])],
    /// Standard input, output and error.
    pub streams: [NativeStream<'a>; 3],
}

/// A native program that runs.
#[derive(Debug)]
pub struct NativeChild {
    /// Becomes readable when the program has ended.
    pub process: HostFd,
    /// The kernel's ends of the pipes that were asked for: input is written, the others are read.
    pub pipes: [Option<HostFd>; 3],
}

/// Native programs. By default there are none, or guests cannot start them.
pub trait HostNative {
    /// The host path of a file: that of the directory which is the root of its file system, and the
    /// names from there on. `None`: the file has no path that native programs could use.
    fn native_path(&self, root: &[u8], names: &[&[u8]]) -> Option<Vec<u8>> {
        let _ = (root, names);
        None
    }

    /// Starts a program. `ENOEXEC`: it is none of this host's.
    fn start_native(&self, start: &NativeStart<'_>) -> HostResult<NativeChild> {
        let _ = start;
        Err(HostError(Errno::ENOEXEC))
    }

    /// The exit status of a program that has ended, by its `process`.
    fn native_status(&self, process: &HostFd) -> Option<u32> {
        let _ = process;
        None
    }

    /// Ends a program, by its `process`.
    fn kill_native(&self, process: &HostFd) {
        let _ = process;
    }
}
