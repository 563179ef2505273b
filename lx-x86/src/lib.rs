//! The x86-64 engine: system-call sites, entry, signal frames and register context.
#![no_std]

extern crate alloc;

mod decode;
pub mod layout;
pub mod rewrite;
pub mod scan;
pub mod stub;
mod targets;
pub mod vdso;
