//! Leases, `F_SETLEASE` of `fcntl(2)`: who holds one is told before somebody else opens or truncates
//! the file, and has time to give it up.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use lx_core::abi::stat::FileType;
use lx_core::abi::{Errno, Signal};
use lx_core::caller::{Caller, JobSignals};
use lx_core::cred::Capabilities;
use lx_core::file::OpenFile;
use lx_core::host::Nanos;
use lx_core::sync::{Mutex, WaitEnd, WaitQueue, level};
use lx_core::{Result, SysError};

use crate::location::Path;
use crate::write_access::WriteAccess;

/// How long a lease may be kept by somebody who was told: `/proc/sys/fs/lease-break-time`.
const BREAK_TIME: Nanos = 45_000_000_000;

/// What a lease keeps others from, until its holder was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opening to write, and truncating.
    Read,
    /// Opening at all.
    Write,
}

/// What has become of a lease that somebody is waiting for.
#[derive(Clone, Copy)]
struct Break {
    /// What may remain.
    to: Option<Kind>,
    deadline: Nanos,
}

struct Lease {
    file: Weak<OpenFile>,
    kind: Kind,
    breaking: Option<Break>,
    /// Who tells the holder.
    signals: Option<Arc<dyn JobSignals>>,
}

impl Lease {
    fn is_of(&self, file: *const OpenFile) -> bool {
        core::ptr::eq(self.file.as_ptr(), file)
    }

    fn conflicts(&self, wanted: Kind) -> bool {
        wanted == Kind::Write || self.kind == Kind::Write
    }
}

/// Device and inode number.
type Key = (u64, u64);

#[derive(Default)]
struct FileLeases {
    leases: Vec<Lease>,
    queue: Arc<WaitQueue>,
}

static TABLE: Mutex<Option<HashMap<Key, FileLeases>>, { level::CACHE }> = Mutex::new(None);
/// Number of leases: while it is 0, opening needs no look at them.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Changes the leases of a file and wakes who waits for them.
fn change<T>(key: Key, change: impl FnOnce(&mut Vec<Lease>) -> T) -> T {
    let (result, queue) = {
        let mut guard = TABLE.lock();
        let table = guard.get_or_insert_default();
        let file = table.entry(key).or_default();
        let before = file.leases.len();
        let result = change(&mut file.leases);
        let (after, queue) = (file.leases.len(), Arc::clone(&file.queue));
        if after >= before {
            COUNT.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
        } else {
            COUNT.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        }
        // Who still waits holds the queue, and finds nothing in its way.
        if after == 0 {
            table.remove(&key);
        }
        (result, queue)
    };
    queue.wake_all(u32::MAX);
    result
}

/// Ends the lease of an open file description together with it.
struct Release {
    key: Key,
    file: usize,
}

impl Drop for Release {
    fn drop(&mut self) {
        change(self.key, |leases| leases.retain(|lease| lease.file.as_ptr().addr() != self.file));
    }
}

/// The file's place and identity.
fn place<'f>(caller: &Caller<'_>, file: &'f OpenFile) -> Result<(&'f Path, Key)> {
    let path = Path::of(file).filter(|path| path.dentry.file_type() == FileType::Regular);
    let path = path.ok_or(Errno::EINVAL)?;
    Ok((path, key(caller, path)?))
}

fn key(caller: &Caller<'_>, path: &Path) -> Result<Key> {
    let attr = path.inode().attr(caller)?;
    Ok((attr.dev, attr.ino))
}

/// `F_SETLEASE`: takes a lease or changes it, or (`None`) gives it up. `shared` says whether the
/// file is open in other places.
///
/// # Errors
/// `EINVAL` if it is no regular file; `EACCES` unless the caller owns it; `EAGAIN` if it is open
/// otherwise, or there is nothing to give up.
pub fn set(
    caller: &Caller<'_>,
    file: &Arc<OpenFile>,
    kind: Option<Kind>,
    shared: impl FnOnce() -> bool,
) -> Result<()> {
    let owner = file.ops().stat(caller, file)?.st_uid;
    if caller.cred().fsuid != owner && !caller.cred().has(Capabilities::LEASE) {
        return Err(Errno::EACCES.into());
    }
    let (path, key) = place(caller, file)?;
    let me = Arc::as_ptr(file);
    let Some(kind) = kind else {
        let had = change(key, |leases| {
            let before = leases.len();
            leases.retain(|lease| !lease.is_of(me));
            leases.len() < before
        });
        return if had { Ok(()) } else { Err(Errno::EAGAIN.into()) };
    };
    let in_the_way = match kind {
        Kind::Read => WriteAccess::is_written(path.inode()),
        Kind::Write => shared(),
    };
    if in_the_way {
        return Err(Errno::EAGAIN.into());
    }
    let signals = caller.identity.jobs().map(|jobs| jobs.signals());
    let fresh = change(key, |leases| {
        let conflicts = |lease: &Lease| !lease.is_of(me) && lease.conflicts(kind);
        if leases.iter().any(conflicts) {
            return Err(Errno::EAGAIN);
        }
        match leases.iter_mut().find(|lease| lease.is_of(me)) {
            // It is to be given up: nothing else will do.
            Some(Lease { breaking: Some(Break { to: None, .. }), .. }) => Err(Errno::EAGAIN),
            Some(Lease { breaking: Some(_), .. }) if kind == Kind::Write => Err(Errno::EAGAIN),
            Some(lease) => {
                (lease.kind, lease.breaking) = (kind, None);
                Ok(false)
            }
            None => {
                let file = Arc::downgrade(file);
                leases.push(Lease { file, kind, breaking: None, signals });
                Ok(true)
            }
        }
    })?;
    if fresh {
        file.attach(Box::new(Release { key, file: me.addr() }));
    }
    if file.owner() == 0 {
        file.set_owner(caller.tgid);
    }
    Ok(())
}

/// `F_GETLEASE`: the lease, or what may remain of it.
///
/// # Errors
/// The file's.
pub fn get(caller: &Caller<'_>, file: &Arc<OpenFile>) -> Result<Option<Kind>> {
    let Ok((_, key)) = place(caller, file) else { return Ok(None) };
    let guard = TABLE.lock();
    let leases = guard.as_ref().and_then(|table| table.get(&key)).map_or(&[][..], |f| &f.leases);
    let mine = leases.iter().find(|lease| lease.is_of(Arc::as_ptr(file)));
    Ok(mine.and_then(|lease| lease.breaking.map_or(Some(lease.kind), |it| it.to)))
}

/// Before a regular file is opened, or truncated (`Kind::Write`): tells those whose leases are in the
/// way, and waits until they have given them up, unless `nonblock`.
///
/// # Errors
/// `EWOULDBLOCK`; `Restart` when a signal ended the wait.
pub fn break_for(caller: &Caller<'_>, path: &Path, wanted: Kind, nonblock: bool) -> Result<()> {
    if COUNT.load(Ordering::Relaxed) == 0 || path.dentry.file_type() != FileType::Regular {
        return Ok(());
    }
    let key = key(caller, path)?;
    loop {
        let Some((queue, deadline, told)) = begin(caller.host.monotonic(), key, wanted) else {
            return Ok(());
        };
        for (signals, owner) in told {
            match owner {
                1.. => signals.to_process(owner, Signal::SIGIO),
                0 => {}
                _ => signals.to_group(owner.saturating_neg(), Signal::SIGIO),
            }
        }
        if nonblock {
            return Err(Errno::EAGAIN.into());
        }
        let changed = || (!is_leased(key, wanted, &queue)).then_some(());
        match caller.wait_until(&queue, u32::MAX, Some(deadline), changed) {
            Ok(()) | Err(WaitEnd::TimedOut) => {}
            Err(end) => return Err(SysError::from_wait(end)),
        }
    }
}

/// Whether something is in the way still, and says on `queue` when it is not.
fn is_leased(key: Key, wanted: Kind, queue: &Arc<WaitQueue>) -> bool {
    let guard = TABLE.lock();
    let file = guard.as_ref().and_then(|table| table.get(&key));
    file.is_some_and(|file| {
        Arc::ptr_eq(&file.queue, queue) && file.leases.iter().any(|lease| lease.conflicts(wanted))
    })
}

/// Who is to be told, through whom.
type Told = Vec<(Arc<dyn JobSignals>, i32)>;

/// Ends leases whose time is over, and marks the others that are in the way. What to wait for, how
/// long, and who must be told; `None` if the way is free.
fn begin(now: Nanos, key: Key, wanted: Kind) -> Option<(Arc<WaitQueue>, Nanos, Told)> {
    change(key, |leases| {
        for lease in leases.iter_mut() {
            if let Some(Break { to: Some(kind), deadline }) = lease.breaking
                && deadline <= now
            {
                (lease.kind, lease.breaking) = (kind, None);
            }
        }
        leases.retain(|lease| lease.breaking.is_none_or(|it| it.deadline > now));
    });
    let to = match wanted {
        Kind::Write => None,
        Kind::Read => Some(Kind::Read),
    };
    let mut told: Vec<(Arc<dyn JobSignals>, Weak<OpenFile>)> = Vec::new();
    let mut deadline = Nanos::MAX;
    let queue = {
        let mut guard = TABLE.lock();
        let file = guard.as_mut()?.get_mut(&key)?;
        for lease in file.leases.iter_mut().filter(|lease| lease.conflicts(wanted)) {
            let known = lease.breaking.filter(|it| it.to.is_none() || it.to == to);
            let breaking = known.unwrap_or(Break { to, deadline: now.saturating_add(BREAK_TIME) });
            if known.is_none()
                && let Some(signals) = &lease.signals
            {
                told.push((Arc::clone(signals), Weak::clone(&lease.file)));
            }
            lease.breaking = Some(breaking);
            deadline = deadline.min(breaking.deadline);
        }
        (deadline != Nanos::MAX).then(|| Arc::clone(&file.queue))?
    };
    // Outside the lock, which the end of a description takes.
    let owner = |file: Weak<OpenFile>| file.upgrade().map_or(0, |file| file.owner());
    let told = told.into_iter().map(|(signals, file)| (signals, owner(file))).collect();
    Some((queue, deadline, told))
}
