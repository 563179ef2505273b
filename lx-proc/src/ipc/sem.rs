//! Sets of semaphores, `semop(2)`, `semctl(2)`.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use arrayvec::ArrayVec;
use lx_core::abi::Errno;
use lx_core::abi::ipc::{IpcPerm, SEM_NOWAIT, SEM_UNDO, Sembuf, SemidDs};
use lx_core::host::Nanos;
use lx_core::sync::{Mutex, WaitEnd, Waiter, level};
use lx_core::{Caller, Result};

use super::table::Object;
use super::{Ipc, Operations, Permissions, UndoList, seconds};

/// Sets that there may be.
pub const SEMMNI: usize = 32_000;
/// Semaphores in a set.
pub const SEMMSL: usize = 32_000;
/// Semaphores in all sets.
pub const SEMMNS: usize = SEMMNI * SEMMSL;
/// Operations of one call.
pub const SEMOPM: usize = 500;
/// Highest value of a semaphore, and of an adjustment.
pub const SEMVMX: i32 = 32_767;

/// Waiters that are woken at once.
const WOKEN_AT_ONCE: usize = 8;

/// A set of semaphores.
pub struct SemaphoreSet {
    permissions: Permissions,
    count: usize,
    state: Mutex<State, { level::FILE_OBJECT }>,
}

#[derive(Clone, Copy, Default)]
struct Semaphore {
    value: i32,
    /// Who changed it last.
    pid: i32,
}

struct State {
    semaphores: Vec<Semaphore>,
    /// Calls that wait, first come first.
    pending: VecDeque<Arc<Pending>>,
    /// Lists with adjustments of the set.
    undo_lists: Vec<Weak<UndoList>>,
    otime: i64,
    ctime: i64,
    removed: bool,
}

/// A call that waits. Whoever makes it possible performs it.
struct Pending {
    operations: Operations,
    tgid: i32,
    undo: Option<Arc<UndoList>>,
    waiter: Arc<Waiter>,
    /// 0 when done, an errno, or [`WAITING`].
    outcome: AtomicI32,
    /// The number of the semaphore that it waits for, times two, plus one if that is to become
    /// zero.
    blocked_on: AtomicU32,
}

const WAITING: i32 = -1;

impl Pending {
    fn outcome(&self) -> Option<Result<()>> {
        match self.outcome.load(Ordering::Acquire) {
            WAITING => None,
            0 => Some(Ok(())),
            errno => Some(Err(Errno::from_number(errno as u16).unwrap_or(Errno::EINVAL).into())),
        }
    }
}

/// What trying the operations of a call comes to.
enum Trial {
    Done,
    /// It has to wait for a semaphore, as [`Pending::blocked_on`] says.
    Blocked {
        on: u32,
        may_wait: bool,
    },
    Failed(Errno),
}

impl Object for SemaphoreSet {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
}

impl SemaphoreSet {
    /// A new set of `count` semaphores with value 0.
    pub fn new(permissions: Permissions, count: usize, caller: &Caller<'_>) -> Self {
        let state = State {
            semaphores: alloc::vec![Semaphore::default(); count],
            pending: VecDeque::new(),
            undo_lists: Vec::new(),
            otime: 0,
            ctime: seconds(caller),
            removed: false,
        };
        Self { permissions, count, state: Mutex::new(state) }
    }

    /// Number of semaphores.
    pub fn count(&self) -> usize {
        self.count
    }

    /// `EFBIG` if there is no semaphore with one of the numbers.
    ///
    /// # Errors
    /// `EFBIG`.
    pub fn check_numbers(&self, operations: &Operations) -> Result<()> {
        let mut numbers = operations.as_slice().iter().map(|operation| usize::from(operation.num));
        if numbers.all(|number| number < self.count) { Ok(()) } else { Err(Errno::EFBIG.into()) }
    }

    /// `semop(2)` and, with a deadline, `semtimedop(2)`. `undo` is the caller's list.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: would have to wait and may not, or no longer.
    /// - `ERANGE`: a value or an adjustment would become too large.
    /// - `EIDRM`: the set was removed. `EINTR`: a signal came.
    pub fn operate(
        &self,
        caller: &Caller<'_>,
        operations: Operations,
        undo: impl FnOnce() -> Arc<UndoList>,
        deadline: Option<Nanos>,
    ) -> Result<()> {
        let undo = operations.any_undo().then(undo);
        let pending = {
            let mut state = self.state.lock();
            if state.removed {
                return Err(Errno::EIDRM.into());
            }
            let id = self.permissions.id();
            if let Some(undo) = &undo {
                state.note_undo_list(undo);
            }
            match state.attempt(id, &operations, caller.tgid, undo.as_ref()) {
                Trial::Done => {
                    state.otime = seconds(caller);
                    drop(state);
                    if operations.alter() {
                        self.wake(seconds(caller));
                    }
                    return Ok(());
                }
                Trial::Failed(errno) => return Err(errno.into()),
                Trial::Blocked { may_wait: false, .. } => return Err(Errno::EAGAIN.into()),
                Trial::Blocked { on, .. } => {
                    let pending = Arc::new(Pending {
                        operations,
                        tgid: caller.tgid,
                        undo,
                        waiter: Arc::clone(caller.waiter),
                        outcome: AtomicI32::new(WAITING),
                        blocked_on: AtomicU32::new(on),
                    });
                    state.pending.push_back(Arc::clone(&pending));
                    pending
                }
            }
        };
        let now = || caller.host.monotonic();
        let end = match caller.waiter.wait_for(deadline, now, true, || pending.outcome()) {
            Ok(outcome) => return outcome,
            Err(WaitEnd::Interrupted) => Errno::EINTR,
            Err(WaitEnd::TimedOut) => Errno::EAGAIN,
        };
        let mut state = self.state.lock();
        state.pending.retain(|other| !Arc::ptr_eq(other, &pending));
        drop(state);
        // It may have been done just before.
        pending.outcome().unwrap_or_else(|| Err(end.into()))
    }

    /// A thread waits no more, and nothing may be performed for it.
    pub(super) fn forget(&self, waiter: &Arc<Waiter>) {
        let mut forgotten = None;
        let mut state = self.state.lock();
        let waits = |pending: &Arc<Pending>| Arc::ptr_eq(&pending.waiter, waiter);
        if let Some(at) = state.pending.iter().position(waits) {
            forgotten = state.pending.remove(at);
        }
        drop(state);
        drop(forgotten);
    }

    /// Performs what has become possible.
    fn wake(&self, now: i64) {
        loop {
            let mut woken: ArrayVec<Arc<Pending>, WOKEN_AT_ONCE> = ArrayVec::new();
            let mut state = self.state.lock();
            if state.pending.is_empty() {
                return;
            }
            state.perform(self.permissions.id(), now, &mut woken);
            drop(state);
            for pending in &woken {
                pending.waiter.wake();
            }
            if !woken.is_full() {
                return;
            }
        }
    }

    /// What a process that has ended leaves to be undone; values stay within their range.
    pub(super) fn adjust(&self, adjustments: &[i16], tgid: i32, now: i64) {
        let mut state = self.state.lock();
        for (semaphore, adjustment) in state.semaphores.iter_mut().zip(adjustments) {
            if *adjustment != 0 {
                let value = semaphore.value.saturating_add(i32::from(*adjustment));
                *semaphore = Semaphore { value: value.clamp(0, SEMVMX), pid: tgid };
            }
        }
        state.otime = now;
        drop(state);
        self.wake(now);
    }

    /// `IPC_RMID`: who waits fails with `EIDRM`.
    ///
    /// # Errors
    /// `EIDRM` if it was removed before.
    pub fn remove(&self, ipc: &Ipc) -> Result<()> {
        if !ipc.semaphores.remove(self) {
            return Err(Errno::EIDRM.into());
        }
        let mut state = self.state.lock();
        state.removed = true;
        let pending = core::mem::take(&mut state.pending);
        state.forget_undo(self.permissions.id(), None);
        drop(state);
        for pending in pending {
            pending.outcome.store(Errno::EIDRM.number().into(), Ordering::Release);
            pending.waiter.wake();
        }
        Ok(())
    }

    /// `IPC_SET`.
    ///
    /// # Errors
    /// `EINVAL` for an id that stands for none.
    pub fn set(&self, caller: &Caller<'_>, new: &IpcPerm) -> Result<()> {
        self.permissions.set(new)?;
        self.state.lock().ctime = seconds(caller);
        Ok(())
    }

    /// `IPC_STAT`.
    pub fn stat(&self) -> SemidDs {
        let state = self.state.lock();
        SemidDs {
            perm: self.permissions.to_abi(),
            otime: state.otime,
            ctime: state.ctime,
            nsems: self.count as u64,
            ..SemidDs::default()
        }
    }

    /// `GETVAL`: a value.
    ///
    /// # Errors
    /// `EINVAL`: no such semaphore.
    pub fn value(&self, number: usize) -> Result<i32> {
        self.semaphore(number).map(|semaphore| semaphore.value)
    }

    /// `GETPID`: who changed a value last.
    ///
    /// # Errors
    /// `EINVAL`: no such semaphore.
    pub fn last_pid(&self, number: usize) -> Result<i32> {
        self.semaphore(number).map(|semaphore| semaphore.pid)
    }

    fn semaphore(&self, number: usize) -> Result<Semaphore> {
        let semaphore = self.state.lock().semaphores.get(number).copied();
        semaphore.ok_or_else(|| Errno::EINVAL.into())
    }

    /// `GETALL`.
    pub fn values(&self) -> Vec<u16> {
        self.state.lock().semaphores.iter().map(|semaphore| semaphore.value as u16).collect()
    }

    /// `GETNCNT` and, for `zero`, `GETZCNT`: calls that wait for a semaphore to grow, or to be 0.
    ///
    /// # Errors
    /// `EINVAL`: no such semaphore.
    pub fn waiting(&self, number: usize, zero: bool) -> Result<usize> {
        self.semaphore(number)?;
        let wanted = blocked_on(number, zero);
        let state = self.state.lock();
        let waits = |pending: &&Arc<Pending>| pending.blocked_on.load(Ordering::Relaxed) == wanted;
        Ok(state.pending.iter().filter(waits).count())
    }

    /// `SETVAL`.
    ///
    /// # Errors
    /// `ERANGE`; `EINVAL`: no such semaphore; `EIDRM`.
    pub fn set_value(&self, caller: &Caller<'_>, number: usize, value: i32) -> Result<()> {
        check_value(value)?;
        self.semaphore(number)?;
        self.replace(caller, Some(number), |_| value)
    }

    /// `SETALL`, with as many values as there are semaphores.
    ///
    /// # Errors
    /// `ERANGE`, `EIDRM`.
    pub fn set_values(&self, caller: &Caller<'_>, values: &[u16]) -> Result<()> {
        values.iter().try_for_each(|value| check_value(i32::from(*value)))?;
        self.replace(caller, None, |number| values.get(number).copied().unwrap_or(0).into())
    }

    /// Gives one or all semaphores new values, which nothing undoes.
    fn replace(
        &self,
        caller: &Caller<'_>,
        only: Option<usize>,
        value: impl Fn(usize) -> i32,
    ) -> Result<()> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM.into());
        }
        for (number, semaphore) in state.semaphores.iter_mut().enumerate() {
            if only.is_none_or(|only| only == number) {
                *semaphore = Semaphore { value: value(number), pid: caller.tgid };
            }
        }
        state.forget_undo(self.permissions.id(), only);
        state.ctime = seconds(caller);
        drop(state);
        self.wake(seconds(caller));
        Ok(())
    }
}

fn check_value(value: i32) -> Result<()> {
    if (0..=SEMVMX).contains(&value) { Ok(()) } else { Err(Errno::ERANGE.into()) }
}

fn blocked_on(number: usize, zero: bool) -> u32 {
    (number as u32) << 1 | u32::from(zero)
}

impl State {
    fn note_undo_list(&mut self, undo: &Arc<UndoList>) {
        let known = |other: &Weak<UndoList>| core::ptr::eq(other.as_ptr(), Arc::as_ptr(undo));
        if !self.undo_lists.iter().any(known) {
            self.undo_lists.retain(|other| other.strong_count() > 0);
            self.undo_lists.push(Arc::downgrade(undo));
        }
    }

    fn forget_undo(&self, id: i32, number: Option<usize>) {
        for undo in self.undo_lists.iter().filter_map(Weak::upgrade) {
            undo.forget(id, number);
        }
    }

    /// Performs a call's operations, all or none.
    fn attempt(
        &mut self,
        id: i32,
        operations: &Operations,
        tgid: i32,
        undo: Option<&Arc<UndoList>>,
    ) -> Trial {
        let count = self.semaphores.len();
        match undo {
            Some(undo) => undo.with(id, count, |adjustments| {
                self.attempt_with(operations.as_slice(), tgid, adjustments)
            }),
            None => self.attempt_with(operations.as_slice(), tgid, &mut []),
        }
    }

    fn attempt_with(&mut self, operations: &[Sembuf], tgid: i32, adjustments: &mut [i16]) -> Trial {
        for (done, operation) in operations.iter().enumerate() {
            if let Err(trial) = self.step(operation, adjustments) {
                for done in operations.iter().take(done).rev() {
                    self.take_back(done, adjustments);
                }
                return trial;
            }
        }
        for operation in operations {
            if let Some(semaphore) = self.semaphores.get_mut(usize::from(operation.num)) {
                semaphore.pid = tgid;
            }
        }
        Trial::Done
    }

    /// One operation.
    fn step(
        &mut self,
        operation: &Sembuf,
        adjustments: &mut [i16],
    ) -> core::result::Result<(), Trial> {
        let number = usize::from(operation.num);
        let semaphore = self.semaphores.get_mut(number).ok_or(Trial::Failed(Errno::EFBIG))?;
        let value = semaphore.value + i32::from(operation.op);
        let zero = operation.op == 0;
        if value < 0 || zero && semaphore.value != 0 {
            let may_wait = operation.flags & SEM_NOWAIT == 0;
            return Err(Trial::Blocked { on: blocked_on(number, zero), may_wait });
        }
        if value > SEMVMX {
            return Err(Trial::Failed(Errno::ERANGE));
        }
        if operation.flags & SEM_UNDO != 0
            && let Some(adjustment) = adjustments.get_mut(number)
        {
            let new = i32::from(*adjustment) - i32::from(operation.op);
            *adjustment = i16::try_from(new).map_err(|_| Trial::Failed(Errno::ERANGE))?;
        }
        semaphore.value = value;
        Ok(())
    }

    fn take_back(&mut self, operation: &Sembuf, adjustments: &mut [i16]) {
        let number = usize::from(operation.num);
        if let Some(semaphore) = self.semaphores.get_mut(number) {
            semaphore.value -= i32::from(operation.op);
        }
        if operation.flags & SEM_UNDO != 0
            && let Some(adjustment) = adjustments.get_mut(number)
        {
            *adjustment = adjustment.wrapping_add(operation.op);
        }
    }

    /// Performs waiting calls that have become possible, until none is, or `woken` is full.
    fn perform(&mut self, id: i32, now: i64, woken: &mut ArrayVec<Arc<Pending>, WOKEN_AT_ONCE>) {
        let mut at = 0;
        while let Some(pending) = self.pending.get(at).cloned() {
            let undo = pending.undo.as_ref();
            let outcome = match self.attempt(id, &pending.operations, pending.tgid, undo) {
                Trial::Blocked { on, .. } => {
                    pending.blocked_on.store(on, Ordering::Relaxed);
                    at += 1;
                    continue;
                }
                Trial::Done => 0,
                Trial::Failed(errno) => errno.number().into(),
            };
            self.pending.remove(at);
            if outcome == 0 {
                self.otime = now;
                // What comes before it may be possible now.
                if pending.operations.alter() {
                    at = 0;
                }
            }
            pending.outcome.store(outcome, Ordering::Release);
            woken.push(pending);
            if woken.is_full() {
                return;
            }
        }
    }
}
