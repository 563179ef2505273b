//! What keyrings lead to.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::keyctl::KeyAccess;
use lx_core::cred::Credentials;

use super::{Key, Kind};

/// Keyrings within each other that are searched (`KEYRING_SEARCH_MAX_DEPTH`).
const MAX_DEPTH: usize = 6;

/// What is searched for.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// A key of this type with this description that can be used.
    Named(Kind, &'a [u8]),
    /// As `Named`; that one has expired is not told apart from that there is none.
    Unexpired(Kind, &'a [u8]),
    /// This key, in whatever state.
    Key(&'a Arc<Key>),
}

/// A search in progress.
pub(super) struct Search<'a> {
    pub(super) wanted: Wanted<'a>,
    pub(super) cred: &'a Credentials,
    pub(super) possessed: bool,
    pub(super) now: i64,
    /// Why a key that was found is none.
    pub(super) failed: Errno,
}

impl Search<'_> {
    /// Searches a keyring and, first come first served, those within.
    pub(super) fn run(&mut self, ring: &Arc<Key>, depth: usize) -> Option<Arc<Key>> {
        let links = ring.links();
        if let Some(found) = links.iter().find(|key| self.is_it(key)) {
            return Some(Arc::clone(found));
        }
        if depth >= MAX_DEPTH {
            return None;
        }
        let rings = links.iter().filter(|key| key.kind() == Kind::Keyring);
        let mut open = rings.filter(|ring| self.may_search(ring)).collect::<Vec<_>>().into_iter();
        open.find_map(|ring| self.run(ring, depth.saturating_add(1)))
    }

    fn may_search(&self, key: &Arc<Key>) -> bool {
        key.check_access(self.cred, self.possessed, KeyAccess::SEARCH).is_ok()
    }

    fn is_it(&mut self, key: &Arc<Key>) -> bool {
        match self.wanted {
            Wanted::Key(wanted) => Arc::ptr_eq(wanted, key) && self.may_search(key),
            Wanted::Named(kind, description) | Wanted::Unexpired(kind, description) => {
                if key.kind() != kind || key.description() != description {
                    return false;
                }
                if let Err(error) = key.check_valid(self.now) {
                    self.failed = match (error.errno(), self.wanted) {
                        (Errno::EKEYEXPIRED, Wanted::Unexpired(..)) => self.failed,
                        (Errno::ENOKEY, _) => Errno::EKEYREVOKED,
                        (errno, _) => errno,
                    };
                    return false;
                }
                let may = self.may_search(key);
                if !may {
                    self.failed = Errno::EACCES;
                }
                may
            }
        }
    }
}

impl Key {
    /// The keys in a keyring, without those that have been of no use for long.
    pub fn links(&self) -> Vec<Arc<Key>> {
        let links = self.state.lock().links.clone();
        let now = self.keys.now();
        let (over, kept): (Vec<_>, Vec<_>) = links.into_iter().partition(|key| key.is_over(now));
        for key in &over {
            self.drop_link(key);
        }
        kept
    }

    /// Whether it is a keyring.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn check_ring(&self) -> Result<()> {
        if self.kind() == Kind::Keyring { Ok(()) } else { Err(Errno::ENOTDIR.into()) }
    }

    /// The key of this type and description that is in the keyring itself.
    pub(super) fn child(&self, kind: Kind, description: &[u8]) -> Option<Arc<Key>> {
        let is_it = |key: &Arc<Key>| key.kind() == kind && key.description() == description;
        self.links().into_iter().find(is_it)
    }

    /// Adds a link, in place of one to a key with the same type and description.
    ///
    /// # Errors
    /// `ENOTDIR`; `EKEYREVOKED`; `EDQUOT`; `EDEADLK`: a circle; `ELOOP`: too many within each other.
    pub(super) fn link(&self, key: &Arc<Key>) -> Result<()> {
        self.check_ring()?;
        let linking = self.keys.linking.lock();
        if key.kind() == Kind::Keyring {
            self.check_circle(key, 0)?;
        }
        let mut state = self.state.lock();
        let same = |other: &Arc<Key>| {
            other.kind() == key.kind() && other.description() == key.description()
        };
        let old = match state.links.iter_mut().find(|other| same(other)) {
            Some(link) => Some(core::mem::replace(link, Arc::clone(key))),
            None => {
                self.count_link(&mut state, true)?;
                state.links.push(Arc::clone(key));
                None
            }
        };
        drop(state);
        drop(linking);
        drop(old);
        Ok(())
    }

    /// Whether this keyring may be linked into what `key` leads to.
    fn check_circle(&self, key: &Arc<Key>, depth: usize) -> Result<()> {
        if core::ptr::eq(self, &**key) {
            return Err(Errno::EDEADLK.into());
        }
        if depth > MAX_DEPTH {
            return Err(Errno::ELOOP.into());
        }
        let links = key.state.lock().links.clone();
        let mut rings = links.iter().filter(|key| key.kind() == Kind::Keyring);
        rings.try_for_each(|ring| self.check_circle(ring, depth.saturating_add(1)))
    }

    /// Removes a link, if there is one.
    pub(super) fn drop_link(&self, key: &Arc<Key>) -> bool {
        let mut state = self.state.lock();
        let Some(at) = state.links.iter().position(|link| Arc::ptr_eq(link, key)) else {
            return false;
        };
        let link = state.links.remove(at);
        // Less never exceeds a limit.
        let _ = self.count_link(&mut state, false);
        drop(state);
        drop(link);
        true
    }

    /// `KEYCTL_CLEAR`.
    pub(super) fn clear(&self) {
        let links = self.state.lock().links.clone();
        for key in &links {
            self.drop_link(key);
        }
    }
}
