//! The Linux x86-64 user ABI as types: numbers, flags and structures exactly as guests see them.
//!
//! There is one file per uapi header, plus the vocabulary every other crate speaks: [`Errno`],
//! [`Fd`], [`Signal`], [`UserPtr`], [`GuestRegs`], and the traits that carry values in and out of
//! registers ([`FromArg`], [`IntoReturn`]) and onto a trace line ([`TraceArg`]).
//!
//! Rules of this module:
//! - no policy: nothing here decides whether a request is allowed;
//! - a structure that is copied to the guest derives `IntoBytes`, so it cannot carry padding and
//!   therefore cannot leak kernel bytes;
//! - every layout is asserted at compile time, against `linux-raw-sys` where that crate is right,
//!   otherwise against offsets written down from the header.
#![allow(missing_docs, reason = "constants and fields carry the names of their uapi header")]

#[macro_use]
mod macros;

pub mod arg;
pub mod dirent;
pub mod errno;
pub mod fcntl;
pub mod fd;
pub mod mman;
pub mod poll;
pub mod regs;
pub mod signal;
pub mod stat;
pub mod sysno;
pub mod time;
pub mod uio;
pub mod user_ptr;
pub mod wait;

pub use arg::{FromArg, IntoReturn, TraceArg};
pub use errno::Errno;
pub use fd::{DirFd, Fd};
pub use regs::GuestRegs;
pub use signal::{RawSignal, SigSet, Signal};
pub use sysno::Sysno;
pub use user_ptr::{PAGE_SIZE, USER_END, UserCStr, UserPtr, UserSlice};
