//! The x86-64 engine: system-call sites, entry, signal frames and register context.
#![no_std]

extern crate alloc;

pub mod layout;
