//! Tasks and thread groups: creation, exit, waiting; signals, futexes, timers; exec and address
//! spaces; procfs.
//!
//! [`Kernel`] is the root object, [`Task`] a thread, [`ThreadGroup`] a process, and
//! [`CurrentTask`] a task on its own thread in the middle of a system call: what every handler
//! gets.
#![no_std]

extern crate alloc;

pub mod access;
pub mod aio;
pub mod clone;
mod core_dump;
pub mod cpu_timer;
pub mod current;
pub mod exec;
pub mod exit;
pub mod futex;
pub mod ipc;
pub mod job;
pub mod kernel;
pub mod keys;
pub mod mempolicy;
pub mod mm;
pub mod observe;
pub mod pid;
pub mod pidfd;
pub mod procfs;
pub mod report;
pub mod robust_list;
pub mod sched;
pub mod seccomp;
pub mod session;
pub mod signal;
pub mod sleep;
pub mod task;
pub mod task_exec;
mod terminal;
pub mod thread_group;
pub mod timer;
pub mod uts;
pub mod wait;

pub use current::CurrentTask;
pub use kernel::Kernel;
pub use task::Task;
pub use thread_group::ThreadGroup;
