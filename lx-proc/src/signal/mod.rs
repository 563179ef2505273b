//! Signals, `signal(7)`.
//!
//! [`send`] puts a `SigInfo` into the queue of a task or a thread group and wakes a task that
//! takes it; [`deliver`] runs on the way out of a trap and acts on what the task finds:
//! dispositions are in [`action`], the frame that a handler runs on in [`frame`].

pub mod action;
mod altstack;
mod deliver;
mod frame;
mod mask;
mod pending;
mod send;
mod signalfd;
mod task_signals;
mod wait;

pub use action::SignalActions;
pub use altstack::set_alternate_stack;
pub use deliver::{Outcome, Restart, deliver, fault, force};
pub use frame::sigreturn;
pub use mask::{change_mask, set_action};
pub use pending::{PendingQueue, Queued};
pub use send::{
    ToWake, may_signal, send_to_group, send_to_group_by, send_to_one_of_many,
    send_to_process_group, send_to_task,
};
pub use signalfd::{SignalFile, SignalQueue};
pub use task_signals::TaskSignals;
pub use wait::{suspend, take, timed_wait};

pub(crate) use frame::copy_xstate;
pub(crate) use send::{may_signal_child, queue_for_group, send_in_tree};
