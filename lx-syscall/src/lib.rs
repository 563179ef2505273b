//! The system-call table, dispatch and handlers.
#![no_std]

extern crate alloc;
