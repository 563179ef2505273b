//! Pipes and FIFOs, `pipe(7)`, `fifo(7)`.
//!
//! A [`Pipe`] is a ring of bytes in page blocks with its counts of readers and writers, under one
//! lock. Small transfers go through a buffer on the stack, outside the lock; larger ones reserve a
//! part of the ring, copy between it and guest memory without the lock, and commit.
//!
//! Wakes cost far more than transfers. So nobody is woken unless somebody sleeps who can go on:
//! `Ring` records that a reader or a writer sleeps, and whether there are pollers.

mod end;
mod fifo;
mod life;
mod packets;
mod parcel;
mod pool;
mod ring;
#[cfg(test)]
mod tests;
mod transfer;

pub use end::{PipeEnd, new_pair};
pub use fifo::Fifo;
pub use parcel::Parcel;
pub use transfer::Pipe;

/// Writes up to this length are atomic, `PIPE_BUF`.
pub const PIPE_BUF: usize = 4096;
/// Largest capacity that `F_SETPIPE_SZ` gives, `/proc/sys/fs/pipe-max-size`.
pub const MAX_CAPACITY: usize = 1 << 20;
/// Capacity of a new pipe.
pub const DEFAULT_CAPACITY: usize = lx_core::host::BLOCK_SIZE;
