//! Results of whole path resolutions.
//!
//! A walk costs a lock and a hash per component; this cache costs one of each per path. An entry
//! says what a text means from a start, as seen from a root, and how to tell that this is over:
//! - the dentry found was moved or removed: its version has changed;
//! - of a missing name, the directory's entries have changed: its change count differs;
//! - something happened that could matter to any path (a directory or link was moved, permissions
//!   changed, something was mounted): the [generation](bump_generation) is another one.
//!
//! Walks that meet `..`, magic links or directories whose names may not be cached are not entered.
//! Those through directories that the host may change are believed for a second.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::sync::atomic::{AtomicU64, Ordering};

use hashbrown::DefaultHashBuilder;
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
use lx_core::host::Nanos;
use lx_core::sync::{Mutex, level};

use crate::dentry::Dentry;
use crate::location::Path;
use crate::mount::Mount;

/// Independent parts, each with a lock of its own.
const SHARDS: usize = 64;
/// Entries of a part.
const SHARD_LEN: usize = 256;
/// Longer paths are walked.
const MAX_LEN: usize = 256;

/// A version that no dentry reaches.
pub(crate) const UNKNOWN_VERSION: u32 = u32::MAX;
/// A change count that no directory reaches.
pub(crate) const UNKNOWN_CHANGES: u64 = u64::MAX;

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Ends the validity of everything that is cached now.
pub(crate) fn bump_generation() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
}

/// The present generation; to be read before a walk whose result is entered.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Where a resolution starts and what its text is.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) start: &'a Path,
    pub(crate) root: &'a Path,
    pub(crate) follow: bool,
    pub(crate) text: &'a [u8],
}

type Ids = [u64; 4];

impl Key<'_> {
    fn ids(&self) -> Ids {
        let (start, root) = (self.start, self.root);
        [start.dentry.id(), start.mount.id(), root.dentry.id(), root.mount.id()]
    }
}

/// What a walk found.
pub(crate) enum Outcome {
    /// This, with the version that the dentry had then.
    Found(Path, u32),
    /// The last component is missing in this directory, which had this change count then.
    Missing(Arc<Dentry>, u64),
}

/// A walk's result, and what it depends on.
pub(crate) struct Walked {
    pub(crate) outcome: Outcome,
    pub(crate) generation: u64,
    pub(crate) terms: Terms,
}

/// Under which terms a result may be used.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// Everybody may search all the directories on the way.
    pub(crate) public: bool,
    /// Until when names that the host may change are believed.
    pub(crate) expires: Nanos,
}

impl Terms {
    /// For a walk that has not started.
    pub(crate) const NONE: Self = Self { public: true, expires: Nanos::MAX };

    /// Whether the caller may use the result now.
    pub(crate) fn hold_for(&self, caller: &Caller<'_>) -> bool {
        (self.public || may_search_all(caller))
            && (self.expires == Nanos::MAX || caller.host.monotonic() < self.expires)
    }
}

fn may_search_all(caller: &Caller<'_>) -> bool {
    let cred = caller.cred();
    cred.has(Capabilities::DAC_OVERRIDE) || cred.has(Capabilities::DAC_READ_SEARCH)
}

struct Entry {
    ids: Ids,
    follow: bool,
    terms: Terms,
    text: Box<[u8]>,
    generation: u64,
    /// The dentry found, or the directory that lacks the name.
    dentry: Weak<Dentry>,
    /// `None` for a missing name.
    mount: Option<Weak<Mount>>,
    /// Version or change count.
    stamp: u64,
}

/// What the cache says of a path.
pub(crate) enum Hit {
    Found(Path),
    Missing,
}

/// The cache of one mount tree.
pub(crate) struct PathCache {
    hasher: DefaultHashBuilder,
    shards: [Mutex<Vec<Option<Entry>>, { level::CACHE }>; SHARDS],
}

impl PathCache {
    pub(crate) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: [const { Mutex::new(Vec::new()) }; SHARDS],
        }
    }

    /// The part and the place in it for a text; the start is left out, since the same text from
    /// two starts is rare.
    fn slot(&self, key: &Key<'_>) -> (&Mutex<Vec<Option<Entry>>, { level::CACHE }>, usize) {
        let hash = self.hasher.hash_one(key.text);
        let at = (hash >> 6) as usize % SHARD_LEN;
        let [first, ..] = &self.shards;
        (self.shards.get(hash as usize % SHARDS).unwrap_or(first), at)
    }

    /// What is known of a path, and the terms, which the caller checks when its locks are free.
    pub(crate) fn get(&self, key: &Key<'_>) -> Option<(Hit, Terms)> {
        if key.text.len() > MAX_LEN {
            return None;
        }
        let (shard, at) = self.slot(key);
        let shard = shard.lock();
        let entry = shard.get(at)?.as_ref()?;
        if *entry.text != *key.text
            || entry.generation != generation()
            || entry.follow != key.follow
            || entry.ids != key.ids()
        {
            return None;
        }
        let dentry = entry.dentry.upgrade()?;
        let hit = match &entry.mount {
            Some(mount) if u64::from(dentry.version()) == entry.stamp => {
                Hit::Found(Path { mount: mount.upgrade()?, dentry })
            }
            None if dentry.changes() == entry.stamp => Hit::Missing,
            _ => return None,
        };
        Some((hit, entry.terms))
    }

    pub(crate) fn put(&self, key: &Key<'_>, walked: &Walked) {
        if key.text.len() > MAX_LEN {
            return;
        }
        let (dentry, mount, stamp) = match &walked.outcome {
            // Just read from the file system: the next walk will find it among the dentries.
            Outcome::Found(_, UNKNOWN_VERSION) | Outcome::Missing(_, UNKNOWN_CHANGES) => return,
            Outcome::Found(path, version) => {
                let mount = Some(Arc::downgrade(&path.mount));
                (Arc::downgrade(&path.dentry), mount, u64::from(*version))
            }
            Outcome::Missing(dir, changes) => (Arc::downgrade(dir), None, *changes),
        };
        let entry = Entry {
            ids: key.ids(),
            follow: key.follow,
            terms: walked.terms,
            text: key.text.into(),
            generation: walked.generation,
            dentry,
            mount,
            stamp,
        };
        let (shard, at) = self.slot(key);
        let mut shard = shard.lock();
        if shard.is_empty() {
            shard.resize_with(SHARD_LEN, || None);
        }
        if let Some(slot) = shard.get_mut(at) {
            *slot = Some(entry);
        }
    }
}
