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

pub mod aio;
pub mod arg;
pub mod auxv;
pub mod capability;
pub mod dirent;
pub mod elf_core;
pub mod errno;
pub mod fcntl;
pub mod fd;
pub mod futex;
pub mod inotify;
pub mod ioctl;
pub mod ipc;
pub mod keyctl;
pub mod limits;
pub mod memfd;
pub mod mman;
pub mod mount;
pub mod mqueue;
pub mod poll;
pub mod prctl;
pub mod regs;
pub mod resource;
pub mod robust_list;
pub mod rseq;
pub mod sched;
pub mod sigframe;
pub mod siginfo;
pub mod signal;
pub mod socket;
pub mod stat;
pub mod sysinfo;
pub mod sysno;
pub mod time;
pub mod tty;
pub mod uio;
pub mod user_ptr;
pub mod utsname;
pub mod wait;
pub mod xattr;

pub use arg::{FromArg, IntoReturn, TraceArg};
pub use errno::Errno;
pub use fd::{DirFd, Fd};
pub use regs::GuestRegs;
pub use signal::{RawSignal, SigSet, Signal};
pub use sysno::Sysno;
pub use user_ptr::{PAGE_SIZE, USER_END, UserCStr, UserPtr, UserSlice};
