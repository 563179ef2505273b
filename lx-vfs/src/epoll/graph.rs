//! Instances that watch instances: no loops, no long chains.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::sync::{Mutex, MutexGuard, level};

use super::Epoll;

/// Most links of a chain of instances, as Linux's `EP_MAX_NESTS`: readiness is asked recursively.
const MAX_LINKS: usize = 4;

/// One instance watches another.
struct Link {
    watcher: Weak<Epoll>,
    watched: Weak<Epoll>,
}

static LINKS: Mutex<Vec<Link>, { level::EPOLL_GRAPH }> = Mutex::new(Vec::new());

/// All links, locked: nobody else may link instances between the check and the insertion.
pub(super) struct Graph {
    links: MutexGuard<'static, Vec<Link>, { level::EPOLL_GRAPH }>,
}

/// Locks the links.
pub(super) fn lock() -> Graph {
    let mut links = LINKS.lock();
    links.retain(|link| link.watcher.strong_count() > 0 && link.watched.strong_count() > 0);
    Graph { links }
}

impl Graph {
    /// Whether `watcher` may watch `target`.
    pub(super) fn check(&self, watcher: &Epoll, target: &Arc<Epoll>) -> Result<()> {
        let target = Arc::as_ptr(target);
        let links = self.below(target) + 1 + self.above(watcher);
        if self.reaches(target, watcher) || links > MAX_LINKS {
            return Err(Errno::ELOOP.into());
        }
        Ok(())
    }

    /// Notes that `watcher` watches `target` now.
    pub(super) fn add(&mut self, watcher: &Weak<Epoll>, target: &Arc<Epoll>) {
        self.links.push(Link { watcher: Weak::clone(watcher), watched: Arc::downgrade(target) });
    }

    /// Takes one such note back.
    pub(super) fn remove(&mut self, watcher: &Weak<Epoll>, target: &Arc<Epoll>) {
        let at = self.links.iter().position(|link| {
            link.watcher.ptr_eq(watcher) && link.watched.as_ptr() == Arc::as_ptr(target)
        });
        if let Some(at) = at {
            self.links.swap_remove(at);
        }
    }

    /// Links of the longest chain that begins with `instance`. There are no loops.
    fn below(&self, instance: *const Epoll) -> usize {
        let links = self.links.iter().filter(|link| link.watcher.as_ptr() == instance);
        links.map(|link| 1 + self.below(link.watched.as_ptr())).max().unwrap_or(0)
    }

    /// Links of the longest chain that ends with `instance`.
    fn above(&self, instance: *const Epoll) -> usize {
        let links = self.links.iter().filter(|link| link.watched.as_ptr() == instance);
        links.map(|link| 1 + self.above(link.watcher.as_ptr())).max().unwrap_or(0)
    }

    fn reaches(&self, from: *const Epoll, to: *const Epoll) -> bool {
        from == to
            || self
                .links
                .iter()
                .filter(|link| link.watcher.as_ptr() == from)
                .any(|link| self.reaches(link.watched.as_ptr(), to))
    }
}
