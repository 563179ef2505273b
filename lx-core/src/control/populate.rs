//! What a root file system in memory is filled with.

use alloc::vec::Vec;

use super::wire::{Wire, wire_enum, wire_struct};
use super::{DecodeError, Reader};

/// A part of [`Request::Populate`](super::Request::Populate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Makes a file, or replaces it.
    Entry(Entry),
    /// Further contents of the regular file that was the last entry.
    Data(Vec<u8>),
}

/// A file to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, without `..`; directories above it are made if they are missing.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last modification, nanoseconds since 1970.
    pub mtime: i64,
}

/// The kind of a file to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its contents follow.
    Regular,
    /// A directory; one that exists stays and takes over the attributes.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// Another name of a file that was made before.
    HardLink {
        /// Its path from the root.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A FIFO.
    Fifo,
}

wire_enum!(Piece { 0 => Entry(entry), 1 => Data(bytes) });
wire_struct!(Entry { path, kind, mode, uid, gid, mtime });
wire_enum!(EntryKind {
    0 => Regular,
    1 => Directory,
    2 => Symlink { target },
    3 => HardLink { target },
    4 => CharDevice { major, minor },
    5 => BlockDevice { major, minor },
    6 => Fifo,
});
