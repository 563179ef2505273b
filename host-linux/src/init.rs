//! The init process of a machine: it runs no guest, but waits for everything that comes from
//! outside: the deaths of host processes, host descriptors that become ready, the kernel's timer,
//! the control socket.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use lx_core::abi::Errno;
use lx_core::host::Supervisor;
use lx_core::sync::LOCK_PARKED;
use lx_x86::vdso::INTERVAL_MS;

use crate::boot::MakeKernel;
use crate::reactor::{self, Source};
use crate::sys::{self, sys};
use crate::thread::{self, state};
use crate::{clock, control, host, park, process, report};

/// Wakes init's loop.
static WAKE_FD: AtomicI32 = AtomicI32::new(-1);
/// Set when the machine shall end.
static ENDING: AtomicU32 = AtomicU32::new(0);
/// Whether a wake is on its way.
static WAKE_SENT: AtomicU32 = AtomicU32::new(0);

/// Processes that have ended since init last looked.
static EXITS: AtomicU32 = AtomicU32::new(0);
/// So many may wait until somebody calls init.
const MANY_EXITS: u32 = 16;
/// `wait4(2)`: children that send no signal, too.
const NOHANG_ALL: usize = 1 | 0x4000_0000;

const NONBLOCK_CLOEXEC: usize = 0o4000 | 0o2000000;

/// Makes init look for work: processes for the pool, events to send.
pub(crate) fn wake() {
    if WAKE_SENT.swap(1, Ordering::SeqCst) == 0 {
        let one = 1u64;
        // SAFETY: the kernel reads the counter.
        let _ = unsafe {
            sys!(sys::__NR_write, WAKE_FD.load(Ordering::Relaxed), &raw const one, 8usize)
        };
    }
}

/// A host process is about to end by itself.
pub(crate) fn note_exit() {
    if EXITS.fetch_add(1, Ordering::Relaxed) == MANY_EXITS {
        wake();
    }
}

/// Init's life, on its block's kernel stack.
#[expect(improper_ctypes_definitions, reason = "called by `boot` with this very argument")]
pub(crate) unsafe extern "C" fn run(make_kernel: MakeKernel) -> ! {
    // SAFETY: touches no memory.
    let wake_fd = unsafe { sys!(sys::__NR_eventfd2, 0usize, NONBLOCK_CLOEXEC) };
    let wake_fd = wake_fd.map_or(-1, |fd| fd as i32);
    WAKE_FD.store(wake_fd, Ordering::Relaxed);
    let timer = clock::create_timer();
    reactor::create();
    clock::KEEPER.start();
    let supervisor = make_kernel(host());
    for (fd, source) in
        [(wake_fd, Source::Wake), (timer, Source::Timer), (control::FD, Source::Control)]
    {
        reactor::watch(fd, source);
    }
    process::fill_pool();
    supervisor.boot();
    let mut init = Init { supervisor, wake_fd, timer, packet: Vec::new() };
    loop {
        init.turn();
    }
}

struct Init {
    supervisor: Arc<dyn Supervisor>,
    wake_fd: i32,
    timer: i32,
    packet: Vec<u8>,
}

impl Init {
    /// Sends what there is to be sent, waits once and handles what has come.
    fn turn(&mut self) {
        self.send_events();
        let mut ready = reactor::Ready::new();
        for (source, events) in reactor::wait(&mut ready, INTERVAL_MS) {
            match source {
                Source::Wake => {
                    drain(self.wake_fd);
                    WAKE_SENT.store(0, Ordering::SeqCst);
                    if ENDING.load(Ordering::SeqCst) != 0 {
                        self.supervisor.ending();
                        end();
                    }
                }
                Source::Timer => {
                    drain(self.timer);
                    self.supervisor.timer_expired(clock::monotonic());
                }
                Source::Control => control::receive(&*self.supervisor),
                Source::Guest(token) => self.supervisor.host_ready(token, events),
            }
        }
        self.reap();
        process::fill_pool();
        clock::KEEPER.update();
    }

    fn send_events(&mut self) {
        self.supervisor.work();
        loop {
            self.packet.clear();
            if !self.supervisor.next_event(&mut self.packet) {
                return;
            }
            control::send(&self.packet);
        }
    }

    /// Takes dead host processes; tells the kernel about those that did not end by themselves.
    fn reap(&self) {
        EXITS.store(0, Ordering::Relaxed);
        loop {
            let mut status = 0i32;
            // SAFETY: the kernel writes the status.
            let pid =
                unsafe { sys!(sys::__NR_wait4, -1isize, &raw mut status, NOHANG_ALL, 0usize) };
            let pid = match pid {
                Ok(pid) if pid > 0 => pid as u32,
                Err(Errno::EINTR) => continue,
                _ => break,
            };
            let signal = (status & 0x7f) as u8;
            thread::of_process(pid).for_each(|block| self.block_died(block, signal));
        }
    }

    /// The thread of this block is gone without having given the block back.
    fn block_died(&self, block: &'static thread::Block, signal: u8) {
        let was = block.state.swap(state::DEAD, Ordering::AcqRel);
        block.engine.host_tid.store(0, Ordering::SeqCst);
        block.pid.store(0, Ordering::Release);
        // A lock that it held will never be free.
        let owner = block.owner_id();
        thread::all().for_each(|other| {
            let value = other.park_value.load(Ordering::Relaxed);
            if other.parked.load(Ordering::SeqCst) != 0 && value == owner | LOCK_PARKED {
                check_owner(owner);
            }
        });
        if was == state::IDLE {
            process::forget_idle(block);
        }
        if was == state::ACTIVE {
            self.supervisor.host_thread_died(block.id(), signal);
        }
    }
}

/// Stops the machine if the owner of a lock is dead.
pub(crate) fn check_owner(owner: u32) {
    let Some(block) = thread::by_owner(owner) else { return };
    if block.state.load(Ordering::Acquire) == state::DEAD || is_dead(block) {
        report::stop(format_args!(
            "host process of thread block {} was killed while it held a lock",
            block.index
        ));
    }
}

/// For init itself, which cannot reap while it waits for a lock.
fn is_dead(block: &thread::Block) -> bool {
    const P_PID: usize = 1;
    const EXITED_NOHANG_NOWAIT: usize = 4 | 1 | 0x0100_0000 | 0x4000_0000;
    if thread::current().state.load(Ordering::Relaxed) != state::INIT {
        return false;
    }
    let pid = block.pid.load(Ordering::Acquire);
    let mut info = [0u32; 32];
    // SAFETY: the kernel fills the structure.
    let result = unsafe {
        sys!(sys::__NR_waitid, P_PID, pid, info.as_mut_ptr(), EXITED_NOHANG_NOWAIT, 0usize)
    };
    // The pid field is zero if nobody has died.
    pid != 0 && result.is_ok() && info.get(3).is_some_and(|&pid| pid != 0)
}

/// Ends the machine: kills every host process and waits until they are gone.
pub(crate) fn end() -> ! {
    const SIGKILL: usize = 9;
    if thread::current().state.load(Ordering::Relaxed) != state::INIT {
        ENDING.store(1, Ordering::SeqCst);
        WAKE_SENT.store(0, Ordering::SeqCst);
        wake();
        loop {
            // Killed soon.
            park::park(&ENDING, 1, None);
        }
    }
    let limit = clock::monotonic().saturating_add(5_000_000_000);
    while clock::monotonic() < limit {
        thread::all().for_each(|block| {
            let pid = block.pid.load(Ordering::Acquire);
            if pid != 0 && pid != report::init_pid() {
                // SAFETY: one of our processes, which stays a zombie until it is waited for here.
                let _ = unsafe { sys!(sys::__NR_kill, pid, SIGKILL) };
            }
        });
        // SAFETY: touches no memory.
        match unsafe { sys!(sys::__NR_wait4, -1isize, 0usize, NOHANG_ALL, 0usize) } {
            Err(Errno::ECHILD) => break,
            Ok(0) => {
                let _ = sys::futex_wait(
                    ENDING.as_ptr(),
                    ENDING.load(Ordering::Relaxed),
                    Some(clock::monotonic().saturating_add(200_000)),
                );
            }
            _ => {}
        }
    }
    report::kill_machine(0)
}

/// Empties a counter or a queue of signals.
fn drain(fd: i32) {
    let mut bytes = [0u8; 1024];
    // SAFETY: the kernel writes the buffer.
    let _ = unsafe { sys!(sys::__NR_read, fd, bytes.as_mut_ptr(), bytes.len()) };
}
