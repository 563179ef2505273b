//! The Host traits by raw Linux system calls.
#![no_std]

extern crate alloc;
