//! Guest threads: `HostThread` and `HostProcess`.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use lx_core::abi::{Errno, GuestRegs};
use lx_core::host::{
    HostError, HostProcess, HostResult, HostThread, HostThreadId, Nanos, Resume, TrapHandler,
};

use crate::faults::HostCall;
use crate::guest::{Guest, take_child};
use crate::sched::ThreadNo;
use crate::{MockHost, Program};

/// What a guest thread knows of itself.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) host: &'static MockHost,
    pub(crate) no: ThreadNo,
    pub(crate) space: u64,
    pub(crate) handler: Option<Arc<dyn TrapHandler>>,
    pub(crate) pending: Arc<AtomicBool>,
    pub(crate) borrowed: bool,
    pub(crate) fs_base: u64,
}

thread_local! {
    static CURRENT: RefCell<Vec<Current>> = const { RefCell::new(Vec::new()) };
    static OS_THREAD: Cell<u32> = const { Cell::new(0) };
    static LEVELS: Cell<Option<&'static AtomicU64>> = const { Cell::new(None) };
}

/// A number for the calling operating-system thread, for the owner word of locks.
pub(crate) fn os_thread_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    OS_THREAD.with(|id| {
        if id.get() == 0 {
            id.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        id.get()
    })
}

/// The lock levels that the calling thread holds.
pub(crate) fn held_levels() -> &'static AtomicU64 {
    LEVELS.with(|levels| {
        levels.get().unwrap_or_else(|| {
            let fresh: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
            levels.set(Some(fresh));
            fresh
        })
    })
}

/// Calls with the innermost guest of the calling thread (a borrower hides its parent).
pub(crate) fn with_current<R>(f: impl FnOnce(&Current) -> R) -> Option<R> {
    let current = CURRENT.with(|stack| stack.borrow().last().cloned());
    current.map(|current| f(&current))
}

pub(crate) fn push_current(current: Current) {
    CURRENT.with(|stack| stack.borrow_mut().push(current));
}

pub(crate) fn pop_current() {
    CURRENT.with(|stack| stack.borrow_mut().pop());
}

pub(crate) fn change_current(change: impl FnOnce(&mut Current)) {
    CURRENT.with(|stack| {
        if let Some(current) = stack.borrow_mut().last_mut() {
            change(current);
        }
    });
}

impl MockHost {
    /// Makes the calling thread a guest thread of this host with an empty address space.
    pub(crate) fn adopt_thread(&'static self) {
        let (no, space) = {
            let mut world = self.world();
            (world.sched.add(), world.new_space())
        };
        self.note_os_thread(os_thread_id());
        push_current(self.current_for(no, space, None));
    }

    /// The calling guest thread. A thread that belongs to no host is a bug of the test.
    pub(crate) fn me(&self) -> Current {
        with_current(Current::clone).expect("the calling thread is no guest thread of a mock host")
    }

    fn current_for(
        &'static self,
        no: ThreadNo,
        space: u64,
        handler: Option<Arc<dyn TrapHandler>>,
    ) -> Current {
        let pending = self.world().sched_pending(no);
        Current { host: self, no, space, handler, pending, borrowed: false, fs_base: 0 }
    }

    /// Starts a guest thread that runs `body` when its turn comes.
    fn start_thread(
        &'static self,
        space: u64,
        handler: Arc<dyn TrapHandler>,
        body: impl FnOnce(&mut Guest) + Send + 'static,
    ) {
        let no = self.world().sched.add();
        let current = self.current_for(no, space, Some(Arc::clone(&handler)));
        std::thread::spawn(move || {
            self.note_os_thread(os_thread_id());
            push_current(current);
            self.wait_turn(no);
            handler.attached(HostThreadId(no));
            body(&mut Guest::new(self));
            drop(handler);
            pop_current();
            self.leave(no);
        });
    }

    fn fail(&self, call: HostCall) -> HostResult<()> {
        self.world().faults.check(call)
    }

    fn this(&self) -> &'static Self {
        self.me().host
    }
}

/// The closure that the guest has prepared for the child of the next `clone`.
fn child_body() -> HostResult<Program> {
    take_child().ok_or(HostError(Errno::ENOSYS))
}

impl HostThread for MockHost {
    fn spawn_thread(
        &self,
        handler: Arc<dyn TrapHandler>,
        _regs: &GuestRegs,
        _fs_base: u64,
    ) -> HostResult<()> {
        self.fail(HostCall::SpawnThread)?;
        let body = child_body()?;
        let me = self.me();
        self.this().start_thread(me.space, handler, move |guest| body(guest));
        Ok(())
    }

    fn park(&self, word: &AtomicU32, expected: u32, deadline: Option<Nanos>) {
        let me = self.me();
        self.sleep(me.no, std::ptr::from_ref(word).addr(), deadline, || {
            word.load(Ordering::SeqCst) == expected
        });
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        self.world().sched.wake(std::ptr::from_ref(word).addr(), count);
    }

    fn interrupt(&self, thread: HostThreadId) {
        self.world().sched_pending(thread.0).store(true, Ordering::SeqCst);
    }

    fn current(&self) -> HostThreadId {
        HostThreadId(self.me().no)
    }

    fn yield_now(&self) {
        self.reschedule(self.me().no);
    }

    fn fs_base(&self) -> u64 {
        self.me().fs_base
    }

    fn set_fs_base(&self, base: u64) {
        change_current(|current| current.fs_base = base);
    }

    fn save_xstate(&self, _area: &mut [u8]) -> usize {
        0
    }

    fn load_xstate(&self, _area: &[u8]) -> HostResult<()> {
        Ok(())
    }

    fn xstate_size(&self) -> usize {
        0
    }

    fn xstate_features(&self) -> u64 {
        0
    }

    fn cpu_count(&self) -> u32 {
        1
    }

    fn current_cpu(&self) -> u32 {
        0
    }
}

impl HostProcess for MockHost {
    fn fork(&self, handler: Arc<dyn TrapHandler>, _regs: &GuestRegs) -> HostResult<()> {
        self.fail(HostCall::Fork)?;
        let body = child_body()?;
        let space = {
            let from = self.me().space;
            self.world().copy_space(from)
        };
        self.this().start_thread(space, handler, move |guest| body(guest));
        Ok(())
    }

    fn run_borrowed(&self, handler: Arc<dyn TrapHandler>, _regs: &GuestRegs) -> HostResult<()> {
        let body = child_body()?;
        let me = self.me();
        let mut child = me.clone();
        child.handler = Some(Arc::clone(&handler));
        child.borrowed = true;
        push_current(child);
        handler.attached(HostThreadId(me.no));
        body(&mut Guest::new(me.host));
        pop_current();
        if let Some(parent) = &me.handler {
            parent.attached(HostThreadId(me.no));
        }
        Ok(())
    }

    fn is_borrowed(&self) -> bool {
        self.me().borrowed
    }

    fn spawn_process(&self, handler: Arc<dyn TrapHandler>) -> HostResult<()> {
        self.fail(HostCall::SpawnProcess)?;
        let host = self.this();
        let space = self.world().new_space();
        let starter = Arc::clone(&handler);
        host.start_thread(space, handler, move |guest| {
            let mut regs = GuestRegs::default();
            if starter.start(&mut regs) != Resume::Exit {
                guest.enter(&regs);
            }
        });
        Ok(())
    }

    fn notify_supervisor(&self) {}

    fn shut_down(&self) -> ! {
        panic!("the machine was shut down")
    }

    fn stop_machine(&self, report: &str) -> ! {
        panic!("kernel bug: {report}")
    }
}
