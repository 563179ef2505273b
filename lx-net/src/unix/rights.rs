//! Files on their way in messages (`SCM_RIGHTS`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use lx_core::abi::Errno;
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
use lx_core::error::Result;
use lx_core::file::OpenFile;
use lx_core::rlimit::Resource;
use lx_core::sync::{Mutex, level};

use super::garbage;

/// How many files each user has on their way.
static IN_FLIGHT: Mutex<BTreeMap<u32, u64>, { level::CACHE }> = Mutex::new(BTreeMap::new());

/// Files that nobody received. They are dropped by one thread after the other, not one inside of
/// the other: a socket may hold messages that hold sockets.
static LEFT: Mutex<Vec<Arc<OpenFile>>, { level::CACHE }> = Mutex::new(Vec::new());
static DROPPING: AtomicBool = AtomicBool::new(false);

/// The files of one message.
#[derive(Default)]
pub(super) struct Rights {
    files: Vec<Arc<OpenFile>>,
    uid: u32,
}

impl Rights {
    /// # Errors
    /// `ETOOMANYREFS` if the sender has more files on their way than it may have open.
    pub(super) fn new(caller: &Caller<'_>, files: Vec<Arc<OpenFile>>) -> Result<Self> {
        let cred = caller.cred();
        let uid = cred.uid;
        if files.is_empty() {
            return Ok(Self { files, uid });
        }
        let free = cred.effective.intersects(Capabilities::SYS_RESOURCE | Capabilities::SYS_ADMIN);
        let limit = caller.rlimits.soft(Resource::Nofile);
        {
            let mut in_flight = IN_FLIGHT.lock();
            let count = in_flight.entry(uid).or_insert(0);
            if *count > limit && !free {
                return Err(Errno::ETOOMANYREFS.into());
            }
            *count += files.len() as u64;
        }
        files.iter().for_each(garbage::departs);
        Ok(Self { files, uid })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files, to look at.
    pub(super) fn files(&self) -> &[Arc<OpenFile>] {
        &self.files
    }

    /// The files, which stay on their way.
    pub(super) fn peek(&self) -> Vec<Arc<OpenFile>> {
        self.files.clone()
    }

    /// The files, which have arrived.
    pub(super) fn take(&mut self) -> Vec<Arc<OpenFile>> {
        let files = core::mem::take(&mut self.files);
        files.iter().for_each(garbage::arrives);
        self.arrived(files.len());
        files
    }

    fn arrived(&self, files: usize) {
        if files == 0 {
            return;
        }
        let mut in_flight = IN_FLIGHT.lock();
        if let Some(count) = in_flight.get_mut(&self.uid) {
            *count = count.saturating_sub(files as u64);
            if *count == 0 {
                in_flight.remove(&self.uid);
            }
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let files = self.take();
        if !files.is_empty() {
            drop_later(files);
        }
    }
}

/// Whether files are being dropped: what that leaves over is looked at when it is done.
pub(super) fn is_dropping() -> bool {
    DROPPING.load(Ordering::Acquire)
}

fn drop_later(files: Vec<Arc<OpenFile>>) {
    LEFT.lock().extend(files);
    while !DROPPING.swap(true, Ordering::AcqRel) {
        loop {
            let next = LEFT.lock().pop();
            match next {
                Some(file) => drop(file),
                None => break,
            }
        }
        DROPPING.store(false, Ordering::Release);
        if LEFT.lock().is_empty() {
            garbage::collect();
            return;
        }
    }
}
