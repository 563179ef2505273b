//! A whole Linux put together: what the host's supervisor does with the kernel.
#![no_std]

extern crate alloc;
