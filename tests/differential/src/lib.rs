//! One sequence of system calls, run by the native kernel and by lx on the scripted host: results,
//! error numbers and what the calls stored must be equal.
//!
//! A [`Call`](call::Call) holds its arguments as values. [`native`] runs a sequence in a child
//! process whose root directory is a fresh tmpfs; [`mock`] runs it in a fresh kernel over
//! `host-mock`, with a tmpfs as root, too. [`normal`] takes out what may differ: inode numbers
//! become numbers of first appearance, the present time becomes `now`; how many blocks a file takes
//! is its file system's affair.
//!
//! Where more than one process or thread, memory, or the host take part, a guest program performs
//! the sequence on both kernels: [`twins`].

pub mod call;
pub mod files;
pub mod mock;
pub mod native;
pub mod normal;
pub mod soak;
pub mod twins;
