//! Tasks, thread groups, signals, futexes, exec, address spaces and timers.
#![no_std]

extern crate alloc;
