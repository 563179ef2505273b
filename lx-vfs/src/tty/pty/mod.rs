//! Pseudo terminals, `pty(7)`.
//!
//! What is written to the master is typed at the terminal; what programs write to the slave, the
//! master reads. Both ends share one [`Pty`]. When the master is closed the terminal is hung up.

mod ioctl;
mod master;
mod slave;
mod status;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use lx_core::Caller;
use lx_core::abi::stat::makedev;
use lx_core::abi::tty::{ControlFlags, LocalFlags, Termios, VMIN, VTIME, Winsize};
use lx_core::abi::{Errno, Signal};
use lx_core::caller::JobSignals;
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::host::Nanos;
use lx_core::io::{IoSrc, partial};
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, MutexGuard, WaitQueue, level};
use lx_core::time::NANOS_PER_SEC;
use zerocopy::FromZeros;

use super::control::{Control, Terminal};
use super::discipline::Discipline;
use crate::inode::InodeOps;

pub use master::Master;
pub use slave::Slave;
use status::Packet;

/// Bytes that were written to the master and do not fit into the line discipline.
const BACKLOG: usize = 8192;
/// Bytes that are handled with the lock held once.
const CHUNK: usize = 256;
/// Major number of the slaves: minor number N is `/dev/pts/N`.
const SLAVE_MAJOR: u32 = 136;

/// The wait queue of one end.
#[derive(Default)]
struct Side {
    queue: WaitQueue,
}

impl PollSource for Side {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

/// Takes the name of a pseudo terminal away when its master is closed.
pub trait Names: Send + Sync {
    /// The terminal of this number is gone.
    fn remove(&self, number: u32);
}

/// Both ends.
pub struct Pty {
    number: u32,
    control: Control,
    names: Weak<dyn Names>,
    state: Mutex<State, { level::FILE_OBJECT }>,
    master: Arc<Side>,
    slave: Arc<Side>,
}

struct State {
    discipline: Discipline,
    /// Typed, and not processed yet.
    backlog: VecDeque<u8>,
    window: Winsize,
    /// Slaves cannot be opened yet, `TIOCSPTLCK`.
    locked: bool,
    /// No more slaves than there are, `TIOCEXCL`.
    exclusive: bool,
    master_open: bool,
    /// What is written to the master has to wait, `TCXONC` there.
    master_stopped: bool,
    /// Open descriptions of the slave.
    slaves: usize,
    /// A slave was open before, so that none now means that all are closed.
    slave_was_open: bool,
    packet: Packet,
    /// Who sends signals when the master is closed.
    signals: Option<Arc<dyn JobSignals>>,
}

/// What a change means for those who wait, carried out without the lock.
#[derive(Default)]
struct Wakes {
    master: PollEvents,
    slave: PollEvents,
    signals: Vec<Signal>,
}

impl Pty {
    /// A terminal whose slave is locked, and its master.
    pub fn new(
        number: u32,
        names: Weak<dyn Names>,
        signals: Option<Arc<dyn JobSignals>>,
    ) -> (Arc<Self>, Master) {
        let mut discipline = Discipline::new();
        // Nobody hangs up a line that does not exist.
        let settings = *discipline.settings();
        let c_cflag = settings.c_cflag & !ControlFlags::HUPCL.bits();
        discipline.set_settings(Termios { c_cflag, ..settings });
        let state = State {
            discipline,
            backlog: VecDeque::new(),
            window: Winsize::new_zeroed(),
            locked: true,
            exclusive: false,
            master_open: true,
            master_stopped: false,
            slaves: 0,
            slave_was_open: false,
            packet: Packet::default(),
            signals,
        };
        let pty = Arc::new(Self {
            number,
            control: Control::new(),
            names,
            state: Mutex::new(state),
            master: Arc::new(Side::default()),
            slave: Arc::new(Side::default()),
        });
        let master = Master::new(Arc::clone(&pty));
        (pty, master)
    }

    /// N of `/dev/pts/N`.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The slave's device number.
    pub fn rdev(&self) -> u64 {
        makedev(SLAVE_MAJOR, self.number)
    }

    /// Whether slaves can be opened, `TIOCSPTLCK`.
    pub fn set_locked(&self, locked: bool) {
        self.lock().locked = locked;
    }

    /// Sets who sends signals, for a terminal that no task has made.
    pub fn set_signals(&self, signals: Arc<dyn JobSignals>) {
        self.lock().signals = Some(signals);
    }

    fn lock(&self) -> MutexGuard<'_, State, { level::FILE_OBJECT }> {
        self.state.lock()
    }

    /// Wakes and signals, with no lock held. Signals go to the foreground process group.
    fn carry_out(&self, wakes: Wakes) {
        if !wakes.signals.is_empty() {
            let signals = self.lock().signals.clone();
            let foreground = self.control.foreground();
            if let Some(signals) = signals.filter(|_| foreground > 0) {
                for signal in wakes.signals {
                    signals.to_group(foreground, signal);
                }
            }
        }
        for (side, events) in [(&self.master, wakes.master), (&self.slave, wakes.slave)] {
            if !events.is_empty() {
                side.queue.wake_all(events.bits());
            }
        }
    }

    /// The master is closed: readers of the slave find the end, the session's leader is told.
    fn hang_up(&self) {
        let signals = {
            let mut state = self.lock();
            state.master_open = false;
            state.signals.clone()
        };
        if let Some(names) = self.names.upgrade() {
            names.remove(self.number);
        }
        let all = PollEvents::all().bits();
        self.slave.queue.wake_all(all);
        let session = self.control.session();
        if let Some(signals) = signals.filter(|_| session > 0) {
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                signals.to_process(session, signal);
            }
        }
    }
}

impl Terminal for Pty {
    fn control(&self) -> &Control {
        &self.control
    }

    fn rdev(&self) -> u64 {
        Pty::rdev(self)
    }

    fn stops_output(&self) -> Result<bool> {
        Ok(self.lock().discipline.settings().local().contains(LocalFlags::TOSTOP))
    }

    fn open_again(self: Arc<Self>, inode: &Arc<dyn InodeOps>) -> Result<Arc<dyn FileOps>> {
        Ok(Slave::open(&self, inode)?)
    }
}

/// Writes to one end. `step` takes as many bytes as there is room for, `None` if there is none; then
/// it is tried again when the queue is woken with `key`.
fn write_chunks(
    caller: &Caller<'_>,
    file: &OpenFile,
    src: &mut IoSrc<'_>,
    (queue, key): (&WaitQueue, PollEvents),
    mut step: impl FnMut(&[u8]) -> Option<Result<usize>>,
) -> Result<usize> {
    let mut done = 0;
    while src.remaining() > 0 {
        let mut bytes = [0; CHUNK];
        let part = bytes.get_mut(..src.remaining().min(CHUNK)).unwrap_or_default();
        let count = match src.take(part) {
            Ok(count) => count,
            Err(error) => return partial(done, error),
        };
        let mut rest = bytes.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let taken = match step(rest) {
                Some(result) => result,
                None if file.is_nonblocking() => Err(Errno::EAGAIN.into()),
                None => caller.wait(queue, key.bits(), || step(rest)).and_then(|result| result),
            };
            match taken {
                Ok(taken) => {
                    done += taken;
                    rest = rest.get(taken..).unwrap_or_default();
                }
                Err(error) => return partial(done, error),
            }
        }
    }
    Ok(done)
}

/// How a read of the slave that is not canonical waits, `termios(3)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RawRead {
    /// Bytes that it waits for.
    least: usize,
    /// How long it waits for the first one; `None` for ever.
    first: Option<Nanos>,
    /// How long it waits for each of the others.
    next: Option<Nanos>,
}

impl State {
    /// Hands typed bytes to the discipline as long as it takes them.
    fn process_backlog(&mut self, wakes: &mut Wakes) {
        let (stopped, output) = (self.discipline.is_stopped(), self.discipline.output_len());
        while self.discipline.accepts() {
            let Some(byte) = self.backlog.pop_front() else { break };
            let effect = self.discipline.receive(byte);
            wakes.signals.extend(effect.signal);
            if effect.flushed {
                self.packet.flushed();
                wakes.slave |= PollEvents::WRITABLE;
            }
        }
        self.discipline.input_ends();
        self.packet.flow(stopped, self.discipline.is_stopped());
        // A reader takes what there is though more is wanted before others call it readable.
        if self.has_input() {
            wakes.slave |= PollEvents::READABLE;
        }
        if stopped && !self.discipline.is_stopped() {
            wakes.slave |= PollEvents::WRITABLE;
        }
        if self.discipline.output_len() != output || self.packet.is_pending() {
            wakes.master |= PollEvents::READABLE;
        }
        if self.typing_room() > 0 {
            wakes.master |= PollEvents::WRITABLE;
        }
    }

    /// Whether there is anything for a read.
    fn has_input(&self) -> bool {
        let input = self.discipline.input();
        if self.discipline.is_canonical() { input.has_line() } else { input.len() > 0 }
    }

    /// Whether the slave has input, as `poll(2)` sees it.
    fn can_read(&self) -> bool {
        let input = self.discipline.input();
        if self.discipline.is_canonical() {
            return input.has_line();
        }
        let settings = self.discipline.settings();
        let least = if settings.cc(VTIME) == 0 { settings.cc(VMIN).max(1) } else { 1 };
        input.len() >= usize::from(least)
    }

    /// How a read waits; `None` in canonical mode.
    fn raw_read(&self) -> Option<RawRead> {
        if self.discipline.is_canonical() {
            return None;
        }
        let settings = self.discipline.settings();
        let least = usize::from(settings.cc(VMIN));
        let tenths = Nanos::from(settings.cc(VTIME));
        let time = tenths * (NANOS_PER_SEC / 10);
        Some(match (least, tenths) {
            (0, _) => RawRead { least: 1, first: Some(time), next: None },
            (_, 0) => RawRead { least, first: None, next: None },
            _ => RawRead { least, first: None, next: Some(time) },
        })
    }

    /// Bytes that can be written to the master.
    fn typing_room(&self) -> usize {
        if self.master_stopped { 0 } else { BACKLOG.saturating_sub(self.backlog.len()) }
    }

    /// All slaves are closed.
    fn slaves_are_gone(&self) -> bool {
        self.slaves == 0 && self.slave_was_open
    }

    /// `EIO` after the terminal was hung up.
    fn check_connected(&self) -> Result<()> {
        if self.master_open { Ok(()) } else { Err(Errno::EIO.into()) }
    }
}
