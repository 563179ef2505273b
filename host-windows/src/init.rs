//! The init process of a machine: it runs no guest, but waits for everything that comes from
//! outside: the deaths of host processes, host handles that become ready, the kernel's timer, the
//! embedding program. All but the timer come through one completion port.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::host::{Nanos, Supervisor};
use lx_core::sync::LOCK_PARKED;
use lx_nt::{IoStatus, JOB_ABNORMAL_EXIT, JOB_EXIT_PROCESS, port_key};
use lx_x86::vdso::INTERVAL_MS;

use crate::boot::MakeKernel;
use crate::children::Children;
use crate::control::Control;
use crate::nt::{self, nt, status};
use crate::thread::{self, state};
use crate::{
    aside, clock, console, exception, host, interrupt, lose_fs, net, park, process, report,
};

/// Whether a wake is on its way.
static WAKE_SENT: AtomicU32 = AtomicU32::new(0);
/// Set when the machine shall end.
static ENDING: AtomicU32 = AtomicU32::new(0);

/// Makes init look for work: processes for the pool, events to send, a new deadline.
pub(crate) fn wake() {
    if WAKE_SENT.swap(1, Ordering::SeqCst) == 0 {
        // SAFETY: touches no memory.
        let _ = unsafe { nt!(post, nt::port(), port_key::WAKE, 0, 0, 0) };
    }
}

/// Init's life, on its block's kernel stack.
#[expect(improper_ctypes_definitions, reason = "called by `boot` with this very argument")]
pub(crate) unsafe extern "C" fn run(make_kernel: MakeKernel) -> ! {
    exception::install();
    clock::KEEPER.start();
    let supervisor = make_kernel(host());
    supervisor.boot();
    let mut init = Init {
        supervisor,
        packet: Vec::new(),
        control: Control::default(),
        children: Children::new(),
        heard: false,
        repeat_at: 0,
    };
    loop {
        init.turn();
    }
}

struct Init {
    supervisor: Arc<dyn Supervisor>,
    packet: Vec<u8>,
    control: Control,
    children: Children,
    /// The embedding program has sent something, hence put init into its job.
    heard: bool,
    /// When interrupts are sent again that were not seen.
    repeat_at: Nanos,
}

/// What the port delivers.
struct Packet {
    key: usize,
    value: usize,
    count: usize,
}

/// The next packet, waited for at most this long.
fn receive(limit: Nanos) -> Option<Packet> {
    let (mut key, mut value) = (0, 0);
    let mut io = IoStatus::default();
    let timeout = if limit == 0 { 0 } else { nt::relative(limit) };
    // SAFETY: the call writes the variables.
    let result = unsafe { nt!(receive, nt::port(), &mut key, &mut value, &mut io, &timeout) };
    match result {
        0 => Some(Packet { key, value, count: io.information }),
        status::TIMEOUT => None,
        other => report::stop(format_args!("init cannot wait: {other:#x}")),
    }
}

impl Init {
    /// Sends what there is to be sent, waits once and handles what has come.
    fn turn(&mut self) {
        self.send_events();
        let now = clock::monotonic();
        let mut limit = clock::timer().saturating_sub(now).min(INTERVAL_MS as u64 * 1_000_000);
        limit = limit.min(console::poll_interval());
        if lose_fs::is_on() {
            lose_fs::strike();
            limit = 0;
        }
        let mut next = receive(limit);
        while let Some(packet) = next {
            self.handle(&packet);
            next = receive(0);
        }
        let deadline = clock::timer();
        let now = clock::monotonic();
        if deadline <= now {
            clock::clear_timer(deadline);
            self.supervisor.timer_expired(now);
        }
        if now >= self.repeat_at {
            self.repeat_at = now + INTERVAL_MS as u64 * 1_000_000;
            interrupt::repeat();
        }
        console::poll(&*self.supervisor);
        net::serve(&*self.supervisor);
        // Making processes takes a while, and lx waits to hear that its command runs.
        self.send_events();
        if self.heard {
            process::fill_pool(&mut self.children);
        }
        clock::KEEPER.update();
    }

    fn handle(&mut self, packet: &Packet) {
        match packet.key {
            port_key::WAKE => {
                WAKE_SENT.store(0, Ordering::SeqCst);
                if ENDING.load(Ordering::SeqCst) != 0 {
                    self.supervisor.ending();
                    end();
                }
            }
            port_key::CONTROL => {
                if packet.count == 0 {
                    self.supervisor.ending();
                    end();
                }
                // SAFETY: the loader's buffer, which it leaves alone until it is told.
                let bytes =
                    unsafe { core::slice::from_raw_parts(packet.value as *const u8, packet.count) };
                self.heard = true;
                self.control.take(bytes);
                // SAFETY: touches no memory.
                unsafe { nt!(control_taken) };
                self.control.deliver(&*self.supervisor);
            }
            port_key::SOCKET => net::complete(packet.value, &*self.supervisor),
            port_key::JOB if [JOB_EXIT_PROCESS, JOB_ABNORMAL_EXIT].contains(&packet.count) => {
                self.process_ended(packet.value as u32);
            }
            _ => {}
        }
    }

    fn send_events(&mut self) {
        self.supervisor.work();
        loop {
            self.packet.clear();
            if !self.supervisor.next_event(&mut self.packet) {
                return;
            }
            crate::control::send(&self.packet);
        }
    }

    /// Tells the kernel about the tasks of a process that did not end by itself.
    fn process_ended(&mut self, pid: u32) {
        process::forget(pid);
        let Some(status) = self.children.ended(pid) else { return };
        aside::process_ended(pid);
        let mut guests = 0;
        for block in thread::all() {
            if block.pid.load(Ordering::Acquire) == pid {
                guests += u32::from(self.block_died(block));
            }
        }
        if guests > 0 {
            report::note(format_args!(
                "host process {pid} was ended from outside (status {status:#x}), \
                 and the guest process in it with it"
            ));
        }
    }

    /// The thread of this block is gone without having given the block back. Whether it ran a guest.
    fn block_died(&self, block: &'static thread::Block) -> bool {
        const SIGKILL: u8 = 9;
        let was = block.state.swap(state::DEAD, Ordering::AcqRel);
        block.engine.host_tid.store(0, Ordering::SeqCst);
        block.pid.store(0, Ordering::Release);
        park::bury(block);
        aside::forget_thread(block.index);
        interrupt::inherit(block);
        // A lock that it held will never be free.
        let owner = block.owner_id();
        let waited_for = thread::all().any(|other| {
            other.parked.load(Ordering::SeqCst) != 0
                && other.park_value.load(Ordering::Relaxed) == owner | LOCK_PARKED
        });
        if waited_for {
            check_owner(owner);
        }
        if was == state::IDLE {
            process::forget_idle(block);
        }
        if was == state::ACTIVE {
            self.supervisor.host_thread_died(block.id(), SIGKILL);
        }
        was == state::ACTIVE
    }
}

/// Stops the machine if the owner of a lock is dead.
pub(crate) fn check_owner(owner: u32) {
    let Some(block) = thread::by_owner(owner) else { return };
    if block.state.load(Ordering::Acquire) == state::DEAD {
        report::stop(format_args!(
            "host process of thread block {} was killed while it held a lock",
            block.index
        ));
    }
}

/// Ends the machine: with init its job ends, and with that every process.
pub(crate) fn end() -> ! {
    if !thread::is_init() {
        ENDING.store(1, Ordering::SeqCst);
        WAKE_SENT.store(0, Ordering::SeqCst);
        wake();
        loop {
            // Killed soon.
            park::park(&ENDING, 1, None);
        }
    }
    report::kill_machine(0)
}
