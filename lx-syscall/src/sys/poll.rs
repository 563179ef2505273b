//! `poll(2)`, `select(2)` and their variants.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use lx_core::Result;
use lx_core::abi::poll::{PollEvents, PollFd};
use lx_core::abi::time::{Timespec, Timeval};
use lx_core::abi::{Errno, Fd, SigSet, UserPtr};
use lx_core::error::SysError;
use lx_core::host::Nanos;
use lx_core::rlimit::Resource;
use lx_core::time::{NANOS_PER_SEC, from_timespec, to_timespec, to_timeval};
use lx_proc::CurrentTask;
use lx_vfs::poll::{self, PollEntry, Timeout};

/// Descriptors that are polled without allocating.
const FEW: usize = 16;

/// A timeout in milliseconds, negative for ever.
pub(super) fn timeout_ms(task: &CurrentTask<'_>, timeout: i32) -> Timeout {
    let span = u64::try_from(timeout).ok().map(|ms| ms * 1_000_000);
    Timeout::after(&task.caller(), span)
}

/// An optional signal mask.
pub(super) fn read_mask(
    task: &CurrentTask<'_>,
    mask: UserPtr<SigSet>,
    size: usize,
) -> Result<Option<SigSet>> {
    if mask.is_null() {
        return Ok(None);
    }
    if size != SigSet::SIZE {
        return Err(Errno::EINVAL.into());
    }
    task.memory().read(mask).map(Some)
}

/// `poll(2)`.
pub(crate) fn sys_poll(
    task: &CurrentTask<'_>,
    fds: UserPtr<PollFd>,
    count: u32,
    timeout: i32,
) -> Result<usize> {
    poll_fds(task, fds, count, timeout_ms(task, timeout))
}

/// `ppoll(2)`; stores what is left of the time.
pub(crate) fn sys_ppoll(
    task: &CurrentTask<'_>,
    fds: UserPtr<PollFd>,
    count: u32,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<SigSet>,
    mask_size: usize,
) -> Result<usize> {
    let span = task.memory().read_unless_null(timeout)?.map(from_timespec).transpose()?;
    let mask = read_mask(task, mask, mask_size)?;
    let wait = Timeout::after(&task.caller(), span);
    let result = task.with_signal_mask(mask, |task| poll_fds(task, fds, count, wait));
    let left = wait.remaining(&task.caller());
    store_left(left, result, |left| task.memory().write_unless_null(timeout, &to_timespec(left)))
}

/// Stores the time left. If that is impossible, the result stands, but a restart would begin with
/// the whole time again: the call fails then.
fn store_left(
    left: Option<Nanos>,
    result: Result<usize>,
    store: impl FnOnce(Nanos) -> Result<()>,
) -> Result<usize> {
    let stored = match left {
        Some(left) => store(left),
        None => Ok(()),
    };
    match (result, stored) {
        (Err(SysError::RestartNoHandler), Err(_)) => Err(Errno::EINTR.into()),
        (result, _) => result,
    }
}

fn poll_fds(
    task: &CurrentTask<'_>,
    fds: UserPtr<PollFd>,
    count: u32,
    timeout: Timeout,
) -> Result<usize> {
    if u64::from(count) > task.group().rlimits().soft(Resource::Nofile) {
        return Err(Errno::EINVAL.into());
    }
    let count = count as usize;
    if count <= FEW {
        let mut list = [PollFd::default(); FEW];
        let mut entries: ArrayVec<PollEntry, FEW> = ArrayVec::new();
        let list = list.get_mut(..count).ok_or(Errno::EINVAL)?;
        for (at, slot) in list.iter_mut().enumerate() {
            *slot = task.memory().read(fds.offset(at as u64)?)?;
            entries.push(entry(task, *slot));
        }
        return poll_entries(task, fds, list, &mut entries, timeout);
    }
    let mut list = task.memory().read_array(fds, count)?;
    let mut entries: Vec<PollEntry> = list.iter().map(|slot| entry(task, *slot)).collect();
    poll_entries(task, fds, &mut list, &mut entries, timeout)
}

fn entry(task: &CurrentTask<'_>, slot: PollFd) -> PollEntry {
    if slot.fd < 0 {
        return PollEntry::ignored();
    }
    match task.files().get(Fd(slot.fd)) {
        Ok(file) => PollEntry::new(file, PollEvents::from_bits_truncate(u32::from(slot.events))),
        Err(_) => PollEntry::not_open(),
    }
}

fn poll_entries(
    task: &CurrentTask<'_>,
    fds: UserPtr<PollFd>,
    list: &mut [PollFd],
    entries: &mut [PollEntry],
    timeout: Timeout,
) -> Result<usize> {
    let found = poll::wait(&task.caller(), entries, timeout)?;
    for (slot, entry) in list.iter_mut().zip(entries.iter()) {
        // The events of poll(2) are the low half.
        slot.revents = entry.found.bits() as u16;
    }
    task.memory().write_array(fds, list)?;
    Ok(found)
}

/// One of the three sets of `select(2)`: as many words as the descriptors need.
#[derive(Default)]
struct FdSet {
    words: Vec<u64>,
}

impl FdSet {
    fn read(task: &CurrentTask<'_>, ptr: UserPtr<u64>, count: usize) -> Result<Self> {
        let words = count.div_ceil(64);
        let words = if ptr.is_null() {
            alloc::vec![0; words]
        } else {
            task.memory().read_array(ptr, words)?
        };
        Ok(Self { words })
    }

    fn empty_like(&self) -> Self {
        Self { words: alloc::vec![0; self.words.len()] }
    }

    fn contains(&self, fd: usize) -> bool {
        self.words.get(fd / 64).is_some_and(|word| word >> (fd % 64) & 1 != 0)
    }

    fn insert(&mut self, fd: usize) {
        if let Some(word) = self.words.get_mut(fd / 64) {
            *word |= 1 << (fd % 64);
        }
    }

    fn write(&self, task: &CurrentTask<'_>, ptr: UserPtr<u64>) -> Result<()> {
        if ptr.is_null() { Ok(()) } else { task.memory().write_array(ptr, &self.words) }
    }
}

/// The three sets.
#[derive(Clone, Copy)]
struct Sets {
    read: UserPtr<u64>,
    write: UserPtr<u64>,
    except: UserPtr<u64>,
}

/// `select(2)`; stores what is left of the time.
pub(crate) fn sys_select(
    task: &CurrentTask<'_>,
    count: i32,
    read: UserPtr<u64>,
    write: UserPtr<u64>,
    except: UserPtr<u64>,
    timeout: UserPtr<Timeval>,
) -> Result<usize> {
    let span = match task.memory().read_unless_null(timeout)? {
        // Microseconds beyond a second are carried over here, unlike elsewhere.
        Some(Timeval { tv_sec, tv_usec }) => {
            let secs = u64::try_from(tv_sec).map_err(|_| Errno::EINVAL)?;
            let micros = u64::try_from(tv_usec).map_err(|_| Errno::EINVAL)?;
            let nanos = secs.saturating_mul(NANOS_PER_SEC);
            Some(nanos.saturating_add(micros.saturating_mul(1000)))
        }
        None => None,
    };
    let wait = Timeout::after(&task.caller(), span);
    let result = select(task, count, Sets { read, write, except }, wait);
    let left = wait.remaining(&task.caller());
    store_left(left, result, |left| task.memory().write_unless_null(timeout, &to_timeval(left)))
}

/// `pselect(2)`: the sixth argument points to the signal mask's address and size.
pub(crate) fn sys_pselect6(
    task: &CurrentTask<'_>,
    count: i32,
    read: UserPtr<u64>,
    write: UserPtr<u64>,
    except: UserPtr<u64>,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<[u64; 2]>,
) -> Result<usize> {
    let mask = match task.memory().read_unless_null(mask)? {
        Some([mask, size]) => {
            let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
            read_mask(task, UserPtr::new(mask), size)?
        }
        None => None,
    };
    let span = task.memory().read_unless_null(timeout)?.map(from_timespec).transpose()?;
    let wait = Timeout::after(&task.caller(), span);
    let sets = Sets { read, write, except };
    let result = task.with_signal_mask(mask, |task| select(task, count, sets, wait));
    let left = wait.remaining(&task.caller());
    store_left(left, result, |left| task.memory().write_unless_null(timeout, &to_timespec(left)))
}

fn select(task: &CurrentTask<'_>, count: i32, sets: Sets, timeout: Timeout) -> Result<usize> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    // Numbers beyond the table are not looked at.
    let highest = task.files().list().last().map_or(0, |fd| fd.0.unsigned_abs() as usize + 1);
    let count = count.min(highest.max(64).next_multiple_of(64));
    let read = FdSet::read(task, sets.read, count)?;
    let write = FdSet::read(task, sets.write, count)?;
    let except = FdSet::read(task, sets.except, count)?;

    let mut entries = Vec::new();
    let mut numbers = Vec::new();
    for fd in 0..count {
        let mut events = PollEvents::empty();
        if read.contains(fd) {
            events |= PollEvents::SELECT_IN;
        }
        if write.contains(fd) {
            events |= PollEvents::SELECT_OUT;
        }
        if except.contains(fd) {
            events |= PollEvents::SELECT_EX;
        }
        if !events.is_empty() {
            let number = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
            entries.push(PollEntry::new(task.files().get(Fd(number))?, events));
            numbers.push(fd);
        }
    }
    wait_selected(task, &read, &write, &except, &numbers, &mut entries, timeout)?;

    let mut found = [read.empty_like(), write.empty_like(), except.empty_like()];
    let mut bits = 0;
    let wanted = [&read, &write, &except];
    let masks = [PollEvents::SELECT_IN, PollEvents::SELECT_OUT, PollEvents::SELECT_EX];
    for (entry, fd) in entries.iter().zip(numbers) {
        for ((found, wanted), mask) in found.iter_mut().zip(wanted).zip(masks) {
            if wanted.contains(fd) && entry.found.intersects(mask) {
                found.insert(fd);
                bits += 1;
            }
        }
    }
    let [read, write, except] = &found;
    read.write(task, sets.read)?;
    write.write(task, sets.write)?;
    except.write(task, sets.except)?;
    Ok(bits)
}

/// Waits until a file is ready for what its sets ask for. A hang-up alone, which `poll` reports
/// always, does not count for a file that is only in the set for writing.
fn wait_selected(
    task: &CurrentTask<'_>,
    read: &FdSet,
    write: &FdSet,
    except: &FdSet,
    numbers: &[usize],
    entries: &mut [PollEntry],
    timeout: Timeout,
) -> Result<usize> {
    let caller = task.caller();
    loop {
        let found = poll::wait(&caller, entries, timeout)?;
        if found == 0 {
            return Ok(0);
        }
        let counts = |(entry, fd): (&PollEntry, &usize)| {
            (read.contains(*fd) && entry.found.intersects(PollEvents::SELECT_IN))
                || (write.contains(*fd) && entry.found.intersects(PollEvents::SELECT_OUT))
                || (except.contains(*fd) && entry.found.intersects(PollEvents::SELECT_EX))
        };
        if entries.iter().zip(numbers).any(counts) {
            return Ok(found);
        }
        // Only such hang-ups: leave those files out, or the wait would end at once again.
        for entry in entries.iter_mut() {
            if !entry.found.is_empty() {
                *entry = PollEntry::ignored();
            }
        }
    }
}
