//! `/proc/sys/fs/mqueue`, `mq_overview(7)`: limits of message queues.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_vfs::fs::mqueue::Limit;
use lx_vfs::fs::pseudo::Node;

use super::{Number, Numbers};
use crate::kernel::Kernel;

/// The files of the directory.
pub(super) fn entries(kernel: &Arc<Kernel>, numbers: &mut Numbers) -> Vec<(&'static str, Node)> {
    let node = |limit: Limit| {
        let (read, written) = (Arc::clone(kernel), Arc::clone(kernel));
        let get = move || read.mqueues.limits().get(limit);
        let set = move |value| written.mqueues.limits().set(limit, value);
        (limit.name(), numbers.next().mode(0o644).text_from(Number { get, set }))
    };
    Limit::ALL.into_iter().map(node).collect()
}
