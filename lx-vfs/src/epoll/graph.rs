//! Instances that watch instances: no loops, no long chains.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::sync::{Mutex, MutexGuard, level};

use super::{Epoll, EpollFile};

/// Longest chain of instances.
const MAX_DEPTH: usize = 5;

static GRAPH: Mutex<(), { level::EPOLL_GRAPH }> = Mutex::new(());

/// The right to link instances.
pub(super) struct Graph {
    _guard: MutexGuard<'static, (), { level::EPOLL_GRAPH }>,
}

/// Takes the right.
pub(super) fn lock() -> Graph {
    Graph { _guard: GRAPH.lock() }
}

impl Graph {
    /// Whether `epoll` may watch `target`.
    pub(super) fn check(&self, epoll: &Epoll, target: &Arc<Epoll>) -> Result<()> {
        let mut level = alloc::vec![Arc::clone(target)];
        for _ in 0..MAX_DEPTH {
            let mut next: Vec<Arc<Epoll>> = Vec::new();
            for instance in level {
                if core::ptr::eq(&*instance, epoll) {
                    return Err(Errno::ELOOP.into());
                }
                for child in children(&instance) {
                    if !next.iter().any(|known| Arc::ptr_eq(known, &child)) {
                        next.push(child);
                    }
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            level = next;
        }
        Err(Errno::ELOOP.into())
    }
}

/// The instances that one watches directly.
fn children(epoll: &Epoll) -> Vec<Arc<Epoll>> {
    let files: Vec<_> = {
        let interest = epoll.interest.lock();
        interest.entries.values().filter_map(|entry| entry.item.file()).collect()
    };
    files
        .iter()
        .filter_map(|file| file.ops_as::<EpollFile>())
        .map(|file| Arc::clone(&file.epoll))
        .collect()
}
