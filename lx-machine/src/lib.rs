//! A whole Linux put together: what the host's supervisor does with the kernel.
//!
//! [`Machine`] is the kernel side of the control protocol ([`lx_core::control`]): it builds the
//! file systems, starts commands and reports how they end.
#![no_std]

extern crate alloc;

mod command;
mod guard;
mod host_env;
mod machine;
mod mounts;
mod populate;
mod relay;
mod stats;
mod wsl_conf;

pub use machine::{Machine, make};
