//! Resource limits, `getrlimit(2)`.

use core::sync::atomic::{AtomicU64, Ordering};

/// No limit.
pub const RLIM_INFINITY: u64 = u64::MAX;
/// Number of resources.
pub const RLIM_NLIMITS: usize = 16;

/// A resource, numbered as in `RLIMIT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "named after RLIMIT_*")]
pub enum Resource {
    Cpu,
    Fsize,
    Data,
    Stack,
    Core,
    Rss,
    Nproc,
    Nofile,
    Memlock,
    As,
    Locks,
    Sigpending,
    Msgqueue,
    Nice,
    Rtprio,
    Rttime,
}

impl Resource {
    /// The resource with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        const ALL: [Resource; RLIM_NLIMITS] = [
            Resource::Cpu,
            Resource::Fsize,
            Resource::Data,
            Resource::Stack,
            Resource::Core,
            Resource::Rss,
            Resource::Nproc,
            Resource::Nofile,
            Resource::Memlock,
            Resource::As,
            Resource::Locks,
            Resource::Sigpending,
            Resource::Msgqueue,
            Resource::Nice,
            Resource::Rtprio,
            Resource::Rttime,
        ];
        ALL.get(number as usize).copied()
    }
}

/// Soft and hard limits of a thread group; read without a lock.
#[derive(Debug)]
pub struct Rlimits {
    soft: [AtomicU64; RLIM_NLIMITS],
    hard: [AtomicU64; RLIM_NLIMITS],
}

impl Rlimits {
    /// Linux's defaults for the first process.
    pub fn new() -> Self {
        let limits = Self {
            soft: [const { AtomicU64::new(RLIM_INFINITY) }; RLIM_NLIMITS],
            hard: [const { AtomicU64::new(RLIM_INFINITY) }; RLIM_NLIMITS],
        };
        limits.set(Resource::Stack, 8 << 20, RLIM_INFINITY);
        limits.set(Resource::Core, 0, RLIM_INFINITY);
        limits.set(Resource::Nproc, 95_000, 95_000);
        limits.set(Resource::Nofile, 1024, 1 << 20);
        limits.set(Resource::Memlock, 8 << 20, 8 << 20);
        limits.set(Resource::Sigpending, 95_000, 95_000);
        limits.set(Resource::Msgqueue, 819_200, 819_200);
        limits.set(Resource::Nice, 0, 0);
        limits.set(Resource::Rtprio, 0, 0);
        limits
    }

    /// Soft and hard limit.
    pub fn get(&self, resource: Resource) -> (u64, u64) {
        let at = resource as usize;
        let load = |list: &[AtomicU64]| {
            list.get(at).map_or(RLIM_INFINITY, |limit| limit.load(Ordering::Relaxed))
        };
        (load(&self.soft), load(&self.hard))
    }

    /// The soft limit.
    pub fn soft(&self, resource: Resource) -> u64 {
        self.get(resource).0
    }

    /// Sets both; permission and order were checked by the handler.
    pub fn set(&self, resource: Resource, soft: u64, hard: u64) {
        let at = resource as usize;
        if let (Some(s), Some(h)) = (self.soft.get(at), self.hard.get(at)) {
            s.store(soft, Ordering::Relaxed);
            h.store(hard, Ordering::Relaxed);
        }
    }

    /// A copy for a child.
    pub fn duplicate(&self) -> Self {
        let copy = |list: &[AtomicU64; RLIM_NLIMITS]| {
            core::array::from_fn(|at| {
                AtomicU64::new(list.get(at).map_or(0, |limit| limit.load(Ordering::Relaxed)))
            })
        };
        Self { soft: copy(&self.soft), hard: copy(&self.hard) }
    }
}

impl Default for Rlimits {
    fn default() -> Self {
        Self::new()
    }
}
