//! The x86-64 engine: system-call sites, entry, signal frames and register context.
#![no_std]

extern crate alloc;

pub mod context;
mod decode;
mod dispatch;
pub mod entry;
pub mod guest_memory;
pub mod layout;
pub mod rewrite;
pub mod scan;
pub mod stub;
mod targets;
pub mod thread_block;
pub mod user_copy;
pub mod vdso;
mod vectors;
pub mod xstate;
