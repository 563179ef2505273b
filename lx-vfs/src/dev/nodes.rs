//! What `/dev` holds at boot.

use super::{CONSOLE, FULL, NULL, PTMX, RANDOM, TTY, URANDOM, ZERO};

/// One entry of `/dev`.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Name in `/dev`.
    pub name: &'static str,
    /// What it is.
    pub kind: NodeKind,
}

/// What an entry of `/dev` is.
#[derive(Clone, Copy, Debug)]
pub enum NodeKind {
    /// A character device.
    Char {
        /// Permission bits.
        mode: u32,
        /// Device number.
        rdev: u64,
    },
    /// A directory with these permission bits.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads.
        target: &'static str,
    },
}

const fn device(name: &'static str, mode: u32, rdev: u64) -> Node {
    Node { name, kind: NodeKind::Char { mode, rdev } }
}

const fn directory(name: &'static str, mode: u32) -> Node {
    Node { name, kind: NodeKind::Directory { mode } }
}

const fn link(name: &'static str, target: &'static str) -> Node {
    Node { name, kind: NodeKind::Symlink { target } }
}

/// The entries. `/dev/pts` and `/dev/shm` are mount points.
pub const NODES: &[Node] = &[
    device("null", 0o666, NULL),
    device("zero", 0o666, ZERO),
    device("full", 0o666, FULL),
    device("random", 0o666, RANDOM),
    device("urandom", 0o666, URANDOM),
    device("tty", 0o666, TTY),
    device("console", 0o620, CONSOLE),
    device("ptmx", 0o666, PTMX),
    link("fd", "/proc/self/fd"),
    link("stdin", "/proc/self/fd/0"),
    link("stdout", "/proc/self/fd/1"),
    link("stderr", "/proc/self/fd/2"),
    directory("pts", 0o755),
    directory("shm", 0o1777),
];
