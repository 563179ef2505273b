//! Advisory locks on files: `flock(2)`, and the record locks of `fcntl(2)`.
//!
//! All locks of the machine are in one table, by inode. A process's record locks end when it
//! closes any descriptor of the file ([`descriptor_closed`]); locks of an open file description
//! end with it.

mod range;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::{HashMap, HashSet};
use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::file::OpenFile;
use lx_core::sync::{Mutex, MutexGuard, WaitQueue, level};

pub use range::{Kind, Owner, Range, Record};

/// Most links of a chain of waiting processes that are followed to find a deadlock.
const MAX_CHAIN: usize = 16;

/// Device and inode number.
type Key = (u64, u64);

/// Locks of one inode.
#[derive(Default)]
struct FileLocks {
    records: Vec<Record>,
    whole: Vec<WholeLock>,
    queue: Arc<WaitQueue>,
    waiters: usize,
}

/// A lock of `flock(2)`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct WholeLock {
    /// The open file description that has it.
    holder: usize,
    exclusive: bool,
    /// Unlike any other's: who waits for this one to go does not mind what comes in its place.
    id: u64,
}

/// Why a lock is not taken.
struct Blocked {
    /// Who is in the way.
    by: Owner,
    /// Those to be woken, if the caller has given up a lock all the same.
    wake: Option<Arc<WaitQueue>>,
}

impl From<Owner> for Blocked {
    fn from(by: Owner) -> Self {
        Self { by, wake: None }
    }
}

impl FileLocks {
    fn is_unused(&self) -> bool {
        self.records.is_empty() && self.whole.is_empty() && self.waiters == 0
    }
}

#[derive(Default)]
struct Table {
    files: HashMap<Key, FileLocks>,
    /// Descriptions with a [`Release`] attached.
    attached: HashSet<usize>,
    /// Which process waits for a record lock of which other one.
    waits: Vec<(i32, i32)>,
}

type Guard = MutexGuard<'static, Option<Table>, { level::CACHE }>;

static TABLE: Mutex<Option<Table>, { level::CACHE }> = Mutex::new(None);
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// Number of record locks that belong to processes: while it is 0, closing needs no look at them.
static PROCESS_RECORDS: AtomicUsize = AtomicUsize::new(0);

fn lock_table() -> Guard {
    TABLE.lock()
}

fn table(guard: &mut Guard) -> &mut Table {
    guard.get_or_insert_default()
}

/// Ends the locks of an open file description together with it.
struct Release {
    key: Key,
    description: usize,
}

impl Drop for Release {
    fn drop(&mut self) {
        let queue = {
            let mut guard = lock_table();
            let table = table(&mut guard);
            table.attached.remove(&self.description);
            change(table, self.key, |locks| {
                locks.whole.retain(|lock| lock.holder != self.description);
                let owner = Owner::Description(self.description);
                locks.records.retain(|record| record.owner != owner);
            })
        };
        queue.wake_all(u32::MAX);
    }
}

/// Changes the locks of a file, keeps the count of record locks, forgets the file if nothing is
/// left. Returns the queue of those to be woken.
fn change(table: &mut Table, key: Key, change: impl FnOnce(&mut FileLocks)) -> Arc<WaitQueue> {
    let locks = table.files.entry(key).or_default();
    let count = |records: &[Record]| {
        records.iter().filter(|record| matches!(record.owner, Owner::Process(_))).count()
    };
    let before = count(&locks.records);
    change(locks);
    let after = count(&locks.records);
    if after >= before {
        PROCESS_RECORDS.fetch_add(after - before, Ordering::Relaxed);
    } else {
        PROCESS_RECORDS.fetch_sub(before - after, Ordering::Relaxed);
    }
    let queue = Arc::clone(&locks.queue);
    if locks.is_unused() {
        table.files.remove(&key);
    }
    queue
}

fn key(caller: &Caller<'_>, file: &OpenFile) -> Result<Key> {
    let stat = file.ops().stat(caller, file)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn description(file: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(file).addr()
}

fn attach_release(file: &Arc<OpenFile>, key: Key) {
    let description = description(file);
    let fresh = table(&mut lock_table()).attached.insert(description);
    if fresh {
        file.attach(Box::new(Release { key, description }));
    }
}

/// Takes a step, or waits for the queue of the file until it can be taken. `step` gets the locks
/// and says whether it was done, or who is in the way. `waiter` is the process of which a deadlock
/// is found: only among record locks of processes.
fn acquire(
    caller: &Caller<'_>,
    key: Key,
    waiter: Option<i32>,
    wait: bool,
    mut step: impl FnMut(&mut Table) -> core::result::Result<Arc<WaitQueue>, Blocked>,
) -> Result<()> {
    let first = step(table(&mut lock_table()));
    if let Err(Blocked { wake: Some(given_up), .. }) = &first {
        given_up.wake_all(u32::MAX);
    }
    let changed = match first {
        Ok(queue) => queue,
        Err(_) if !wait => return Err(Errno::EAGAIN.into()),
        Err(_) => {
            let queue = {
                let mut guard = lock_table();
                let locks = table(&mut guard).files.entry(key).or_default();
                locks.waiters += 1;
                Arc::clone(&locks.queue)
            };
            let result = caller.wait(&queue, u32::MAX, || {
                let mut guard = lock_table();
                let table = table(&mut guard);
                match step(table) {
                    Ok(queue) => Some(Ok(queue)),
                    Err(Blocked { by: Owner::Process(blocker), .. })
                        if waiter.is_some_and(|waiter| deadlocks(table, waiter, blocker)) =>
                    {
                        Some(Err(Errno::EDEADLK))
                    }
                    Err(Blocked { by, wake }) => {
                        set_waiting(table, waiter, Some(by));
                        drop(guard);
                        if let Some(given_up) = wake {
                            given_up.wake_all(u32::MAX);
                        }
                        None
                    }
                }
            });
            {
                let mut guard = lock_table();
                let table = table(&mut guard);
                set_waiting(table, waiter, None);
                if let Some(locks) = table.files.get_mut(&key) {
                    locks.waiters = locks.waiters.saturating_sub(1);
                    if locks.is_unused() {
                        table.files.remove(&key);
                    }
                }
            }
            result??
        }
    };
    // A lock may have become weaker or smaller.
    changed.wake_all(u32::MAX);
    Ok(())
}

fn set_waiting(table: &mut Table, waiter: Option<i32>, blocker: Option<Owner>) {
    let Some(tgid) = waiter else { return };
    table.waits.retain(|(waiter, _)| *waiter != tgid);
    if let Some(Owner::Process(blocker)) = blocker {
        table.waits.push((tgid, blocker));
    }
}

/// Whether `blocker` waits, over others perhaps, for `tgid`.
fn deadlocks(table: &Table, tgid: i32, blocker: i32) -> bool {
    let mut at = blocker;
    for _ in 0..MAX_CHAIN {
        match table.waits.iter().find(|(waiter, _)| *waiter == at) {
            Some((_, next)) if *next == tgid => return true,
            Some((_, next)) => at = *next,
            None => return false,
        }
    }
    false
}

/// `flock(2)`: takes a shared or exclusive lock, or (`None`) releases the one there is.
///
/// # Errors
/// `EAGAIN` without `wait`; `Restart` when a signal ended the wait.
pub fn flock(
    caller: &Caller<'_>,
    file: &Arc<OpenFile>,
    exclusive: Option<bool>,
    wait: bool,
) -> Result<()> {
    let key = key(caller, file)?;
    let me = description(file);
    let Some(exclusive) = exclusive else {
        let queue = {
            let mut guard = lock_table();
            let forget = |locks: &mut FileLocks| locks.whole.retain(|lock| lock.holder != me);
            change(table(&mut guard), key, forget)
        };
        queue.wake_all(u32::MAX);
        return Ok(());
    };
    attach_release(file, key);
    let mut blocker: Option<WholeLock> = None;
    acquire(caller, key, None, wait, |table| {
        let mut given_up = false;
        let queue = change(table, key, |locks| {
            // Somebody else may have been woken: as long as the lock is there, nothing is tried,
            // since trying costs what the description has got meanwhile.
            if blocker.is_some_and(|blocker| locks.whole.contains(&blocker)) {
                return;
            }
            blocker = None;
            if locks.whole.iter().any(|lock| lock.holder == me && lock.exclusive == exclusive) {
                return;
            }
            // A conversion gives the old lock up first, as on Linux.
            let before = locks.whole.len();
            locks.whole.retain(|lock| lock.holder != me);
            given_up = locks.whole.len() < before;
            blocker = locks.whole.iter().find(|lock| exclusive || lock.exclusive).copied();
            if blocker.is_none() {
                let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
                locks.whole.push(WholeLock { holder: me, exclusive, id });
            }
        });
        match blocker {
            Some(WholeLock { holder, .. }) => {
                Err(Blocked { by: Owner::Description(holder), wake: given_up.then_some(queue) })
            }
            None => Ok(queue),
        }
    })
}

/// Who owns a record lock that is asked for through `file`: the process, or the description
/// (`F_OFD_SETLK`).
pub fn owner(caller: &Caller<'_>, file: &Arc<OpenFile>, of_description: bool) -> Owner {
    if of_description { Owner::Description(description(file)) } else { Owner::Process(caller.tgid) }
}

/// `F_SETLK`, `F_SETLKW`: takes a lock on a range, or (`None`) releases what is held there.
///
/// # Errors
/// `EAGAIN` without `wait`, `EDEADLK`; `Restart` when a signal ended the wait.
pub fn set_record(
    caller: &Caller<'_>,
    file: &Arc<OpenFile>,
    owner: Owner,
    kind: Option<Kind>,
    range: Range,
    wait: bool,
) -> Result<()> {
    let key = key(caller, file)?;
    if matches!(owner, Owner::Description(_)) {
        attach_release(file, key);
    }
    let waiter = match owner {
        Owner::Process(tgid) => Some(tgid),
        Owner::Description(_) => None,
    };
    acquire(caller, key, waiter, wait, |table| {
        let records = table.files.get(&key).map_or(&[][..], |locks| &locks.records);
        if let Some(kind) = kind
            && let Some(conflict) = range::conflict(records, owner, kind, range)
        {
            return Err(conflict.owner.into());
        }
        Ok(change(table, key, |locks| range::set(&mut locks.records, owner, kind, range)))
    })
}

/// `F_GETLK`: a lock that stands in the way of one like this.
///
/// # Errors
/// The file's.
pub fn conflicting_record(
    caller: &Caller<'_>,
    file: &Arc<OpenFile>,
    owner: Owner,
    kind: Kind,
    range: Range,
) -> Result<Option<Record>> {
    let key = key(caller, file)?;
    let mut guard = lock_table();
    let records = table(&mut guard).files.get(&key).map_or(&[][..], |locks| &locks.records);
    Ok(range::conflict(records, owner, kind, range))
}

/// `F_OFD_GETLK` of `F_UNLCK`: the owner's first lock in the range.
///
/// # Errors
/// The file's.
pub fn own_record(
    caller: &Caller<'_>,
    file: &Arc<OpenFile>,
    owner: Owner,
    range: Range,
) -> Result<Option<Record>> {
    let key = key(caller, file)?;
    let mut guard = lock_table();
    let records = table(&mut guard).files.get(&key).map_or(&[][..], |locks| &locks.records);
    Ok(range::own(records, owner, range))
}

/// The caller's process closed a descriptor of `file`: its record locks on that file end, unless
/// the descriptor only stood for a place.
pub fn descriptor_closed(caller: &Caller<'_>, file: &OpenFile) {
    if PROCESS_RECORDS.load(Ordering::Relaxed) == 0 || file.is_path_only() {
        return;
    }
    let Ok(key) = key(caller, file) else { return };
    let queue = {
        let mut guard = lock_table();
        let owner = Owner::Process(caller.tgid);
        change(table(&mut guard), key, |locks| {
            locks.records.retain(|record| record.owner != owner);
        })
    };
    queue.wake_all(u32::MAX);
}
