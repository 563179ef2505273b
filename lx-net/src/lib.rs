//! Sockets.
#![no_std]

extern crate alloc;
