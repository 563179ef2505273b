//! The base of the kernel: ABI types, the Host traits, locks and wait queues, user memory, files
//! and descriptors, readiness, credentials, time.
//!
//! Nothing here knows of tasks, paths or sockets. `unsafe` appears in [`sync`] only.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod abi;
pub mod caller;
pub mod control;
pub mod cred;
pub mod error;
pub mod fd_cache;
pub mod fd_table;
pub mod file;
pub mod host;
pub mod io;
pub mod poll;
pub mod rlimit;
#[expect(unsafe_code, reason = "the lock itself")]
pub mod sync;
pub mod text;
pub mod time;
pub mod timer;
pub mod unsupported;
pub mod user_memory;

pub use caller::Caller;
pub use error::{Result, SysError};
