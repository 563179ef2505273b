//! The memory of other processes, which only their own threads can get at: they copy it when they
//! are asked to, wherever they wait or run.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::take;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::caller::Caller;
use lx_core::host::{Host, Nanos, Prot};
use lx_core::io::{IoDst, IoSrc};
use lx_core::sync::{Mutex, TaskWork, Waiter, level};

use super::AddressSpace;
use super::tree::{page_down, page_up};
use super::vma::{Vma, VmaFlags};
use crate::kernel::Kernel;
use crate::task::Task;

/// Most bytes that are copied at once.
const CHUNK: usize = 64 << 10;

/// What of a process's memory can be got at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What its mappings allow the process itself.
    Mapped,
    /// All that a tracer gets at, `FOLL_FORCE`: what is protected against reading, and private
    /// mappings that are protected against writing.
    Tracer,
}

impl Reach {
    /// What an access beyond it fails with.
    fn error(self) -> Errno {
        match self {
            Self::Mapped => Errno::EFAULT,
            Self::Tracer => Errno::EIO,
        }
    }
}

/// The memory of a process, possibly another one.
pub struct RemoteMemory {
    mm: Arc<AddressSpace>,
}

impl RemoteMemory {
    /// What an address space shows.
    pub fn new(mm: Arc<AddressSpace>) -> Self {
        Self { mm }
    }

    /// Copies `len` bytes at most to `dst`, as many as that takes. How many were copied, and why it
    /// was not more.
    ///
    /// # Errors
    /// `EFAULT` or, for tracers, `EIO`: what comes next is out of reach. `EFAULT` of `dst`. `ESRCH`:
    /// nobody has this memory any more. `EINTR`: the caller is killed. `ENOMEM`.
    pub fn read(
        &self,
        kernel: &Kernel,
        caller: &Caller<'_>,
        addr: u64,
        len: u64,
        reach: Reach,
        dst: &mut IoDst<'_>,
    ) -> (usize, Result<()>) {
        let mut done = 0;
        loop {
            let rest = len.saturating_sub(done as u64).min(dst.remaining() as u64);
            if rest == 0 {
                return (done, Ok(()));
            }
            let at = addr.saturating_add(done as u64);
            let copied = self
                .reachable(kernel, at, rest, Prot::READ, reach)
                .and_then(zeroes)
                .and_then(|bytes| self.transfer(kernel, caller, at, bytes, Prot::READ, None))
                .and_then(|(bytes, count)| dst.put(bytes.get(..count).unwrap_or_default()));
            match copied {
                // Out of reach since it was looked at.
                Ok(0) => return (done, Err(reach.error().into())),
                Ok(count) => done += count,
                Err(error) => return (done, Err(error)),
            }
        }
    }

    /// Copies `len` bytes at most from `src`, as many as that has. How many were copied, and why it
    /// was not more.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(
        &self,
        kernel: &Kernel,
        caller: &Caller<'_>,
        addr: u64,
        len: u64,
        reach: Reach,
        src: &mut IoSrc<'_>,
    ) -> (usize, Result<()>) {
        let mut done = 0;
        loop {
            let rest = len.saturating_sub(done as u64).min(src.remaining() as u64);
            if rest == 0 {
                return (done, Ok(()));
            }
            let at = addr.saturating_add(done as u64);
            let copied = self
                .reachable(kernel, at, rest, Prot::WRITE, reach)
                .and_then(zeroes)
                .and_then(|mut bytes| {
                    let taken = src.take(&mut bytes)?;
                    bytes.truncate(taken);
                    self.transfer(kernel, caller, at, bytes, Prot::WRITE, None)
                });
            match copied {
                Ok((_, 0)) => return (done, Err(reach.error().into())),
                Ok((_, count)) => done += count,
                Err(error) => return (done, Err(error)),
            }
        }
    }

    /// What a mapped range holds, if the process says so soon: one that is busy with a call of the
    /// host may not.
    pub fn peek(
        &self,
        kernel: &Kernel,
        caller: &Caller<'_>,
        (start, end): (u64, u64),
    ) -> Option<Vec<u8>> {
        const PATIENCE: Nanos = 50_000_000;
        let deadline = Some(caller.host.monotonic().saturating_add(PATIENCE));
        let mut all = Vec::new();
        let mut at = start;
        while at < end {
            let len = self.reachable(kernel, at, end - at, Prot::READ, Reach::Mapped).ok()?;
            let bytes = zeroes(len).ok()?;
            let copied = self.transfer(kernel, caller, at, bytes, Prot::READ, deadline).ok()?;
            let (bytes, count) = copied;
            all.try_reserve(count).ok()?;
            all.extend_from_slice(bytes.get(..count).filter(|bytes| !bytes.is_empty())?);
            at = at.saturating_add(count as u64);
        }
        Some(all)
    }

    /// How many bytes from `addr` on are copied at once: some, and `len` at most.
    fn reachable(
        &self,
        kernel: &Kernel,
        addr: u64,
        len: u64,
        access: Prot,
        reach: Reach,
    ) -> Result<usize> {
        let len = usize::try_from(len).map_or(CHUNK, |len| len.min(CHUNK));
        match self.mm.reachable(addr, len, access, reach) {
            0 if self.users(kernel).is_empty() => Err(Errno::ESRCH.into()),
            0 => Err(reach.error().into()),
            len => Ok(len),
        }
    }

    /// The tasks that have the memory.
    fn users(&self, kernel: &Kernel) -> Vec<Arc<Task>> {
        let mut tasks = kernel.pids.tasks();
        tasks.retain(|task| task.mm_id() == self.mm.id());
        tasks
    }

    /// Lets a task copy that has the memory: the caller, or another one.
    fn transfer(
        &self,
        kernel: &Kernel,
        caller: &Caller<'_>,
        addr: u64,
        bytes: Vec<u8>,
        access: Prot,
        deadline: Option<Nanos>,
    ) -> Result<(Vec<u8>, usize)> {
        let mut tasks = self.users(kernel);
        let own = tasks.iter().any(|task| task.tid() == caller.tid);
        // One that sleeps comes at once. Otherwise any may: those in calls of the host come late.
        if let Some(at) = tasks.iter().position(|task| task.waiter().is_parked()) {
            tasks.swap(0, at);
            tasks.truncate(1);
        }
        let transfer = Arc::new(Transfer {
            host: caller.host,
            mm: Arc::clone(&self.mm),
            addr,
            access,
            asked: AtomicUsize::new(tasks.len()),
            taken: AtomicBool::new(false),
            done: AtomicBool::new(false),
            outcome: Mutex::new((bytes, None)),
            requester: Arc::clone(caller.waiter),
        });
        if own {
            transfer.copy();
        } else if tasks.is_empty() {
            return Err(Errno::ESRCH.into());
        } else {
            for task in tasks {
                let errand = Errand { task: Arc::clone(&task), transfer: Arc::clone(&transfer) };
                let errand = Arc::new(errand) as Arc<dyn TaskWork>;
                if !task.waiter().ask(Arc::clone(&errand)) {
                    errand.cancel();
                }
            }
            let ready = || transfer.done.load(Ordering::Acquire).then_some(());
            let now = || caller.host.monotonic();
            caller.waiter.wait_for(deadline, now, false, ready).map_err(|_| Errno::EINTR)?;
        }
        let (bytes, count) = take(&mut *transfer.outcome.lock());
        Ok((bytes, count.ok_or(Errno::ESRCH)?))
    }
}

/// A buffer.
fn zeroes(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// A piece of memory to be copied by one of the tasks that are asked.
struct Transfer {
    host: &'static dyn Host,
    mm: Arc<AddressSpace>,
    addr: u64,
    access: Prot,
    /// Tasks that have been asked and not answered.
    asked: AtomicUsize,
    /// One of them does it.
    taken: AtomicBool,
    done: AtomicBool,
    /// The bytes, and how many were copied; `None` if nobody could.
    outcome: Mutex<(Vec<u8>, Option<usize>), { level::CACHE }>,
    requester: Arc<Waiter>,
}

impl Transfer {
    fn copy(&self) {
        // Without the lock, as memory may have to be brought in.
        let mut bytes = take(&mut self.outcome.lock().0);
        let mut count = 0;
        for part in self.mm.parts(self.addr, self.addr.saturating_add(bytes.len() as u64)).0 {
            let rest = bytes.get_mut(count..).unwrap_or_default();
            let len = rest.len().min(part.len() as usize);
            let copied = self.copy_part(&part, rest.get_mut(..len).unwrap_or_default());
            count += copied;
            if copied < len {
                break;
            }
        }
        *self.outcome.lock() = (bytes, Some(count));
        self.finish();
    }

    /// Copies from or to the start of a part of one mapping.
    fn copy_part(&self, part: &Vma, bytes: &mut [u8]) -> usize {
        let forced = !part.prot.contains(self.access);
        if forced {
            // Its pages are what the guest's threads see meanwhile, too: there is no other way in.
            self.protect(part, Prot::READ | self.access | part.prot);
        }
        let count = match self.access.contains(Prot::WRITE) {
            true => self.host.copy_out_partial(part.start, bytes),
            false => self.host.copy_in_partial(part.start, bytes),
        };
        if forced {
            self.protect(part, part.prot);
        }
        count
    }

    /// Changes the access rights of the pages of a part, for the host only.
    fn protect(&self, part: &Vma, prot: Prot) {
        let start = page_down(part.start);
        let end = page_up(part.end).unwrap_or(part.end);
        // What fails here shows in the copy.
        let _ = self.host.protect(start, end.saturating_sub(start), prot);
    }

    fn finish(&self) {
        self.done.store(true, Ordering::Release);
        self.requester.wake();
    }
}

/// A transfer that a task is asked for.
struct Errand {
    task: Arc<Task>,
    transfer: Arc<Transfer>,
}

impl TaskWork for Errand {
    fn run(&self) {
        // It may have executed another program meanwhile.
        if self.task.mm_id() != self.transfer.mm.id() {
            return self.cancel();
        }
        if !self.transfer.taken.swap(true, Ordering::AcqRel) {
            self.transfer.copy();
        }
    }

    fn cancel(&self) {
        let last = self.transfer.asked.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && !self.transfer.taken.swap(true, Ordering::AcqRel) {
            self.transfer.finish();
        }
    }
}

impl AddressSpace {
    /// Bytes from `addr` on, `len` at most, that are within reach for this access.
    fn reachable(&self, addr: u64, len: usize, access: Prot, reach: Reach) -> usize {
        let allows = |vma: &Vma| match reach {
            _ if vma.is_invisible() => false,
            _ if vma.prot.contains(access) => true,
            Reach::Mapped => false,
            Reach::Tracer => access == Prot::READ || !vma.flags.contains(VmaFlags::SHARED),
        };
        let end = addr.saturating_add(len as u64);
        let inner = self.inner.lock();
        let mut at = addr;
        while at < end {
            match inner.tree.find(at) {
                Some(vma) if allows(vma) => at = vma.end,
                _ => break,
            }
        }
        at.min(end).saturating_sub(addr) as usize
    }
}
