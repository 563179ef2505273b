//! Path walk, dentries, inodes, mounts, pipes, polling, ttys and file systems.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod anon;
pub mod attr;
pub mod close;
pub mod dentry;
pub mod dev;
pub mod dir;
pub mod epoll;
pub mod eventfd;
pub mod file_lock;
pub mod fs;
pub mod fs_context;
pub mod host_stream;
pub mod inode;
pub mod inode_flags;
pub mod lease;
pub mod location;
pub mod memfd;
pub mod mount;
pub mod names;
pub mod native_path;
pub mod notify;
pub mod open;
pub mod path;
mod path_cache;
pub mod permission;
pub mod pipe;
pub mod poll;
pub mod splice;
#[cfg(test)]
pub(crate) mod test_support;
pub mod timerfd;
pub mod tty;
pub mod unnamed;
mod walk;
pub mod write_access;
pub mod xattr;
