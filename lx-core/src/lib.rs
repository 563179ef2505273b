//! ABI types, the Host traits, locks, wait queues, user memory, files and descriptors.
#![no_std]

extern crate alloc;

pub mod abi;
pub mod control;
