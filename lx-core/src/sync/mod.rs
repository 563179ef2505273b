//! Locks with owner and lock order, and wait queues.
//!
//! A lock is one 32-bit word: the owner's lock id, and a bit that says that somebody sleeps. It
//! spins about a hundred times and then parks ([`SyncHost`]). Debug builds check the order of
//! [`level`] at run time.

pub mod level;
mod mutex;
mod platform;
mod spin_habit;
mod thread_cell;
mod wait_queue;
mod work;

pub use mutex::{Mutex, MutexGuard};
pub use platform::{LOCK_PARKED, SyncHost, lock_sleep, set_sync_host};
pub(crate) use platform::{has_sync_host, owner_id, sync_host};
pub use spin_habit::SpinHabit;
pub use thread_cell::ThreadCell;
pub use wait_queue::{WaitEnd, WaitQueue, Waiter, Wake, WakeKey};
pub use work::TaskWork;
