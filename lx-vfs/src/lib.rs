//! Path walk, dentries, inodes, mounts, pipes, polling, ttys and file systems.
#![no_std]

extern crate alloc;

pub mod fs_context;
