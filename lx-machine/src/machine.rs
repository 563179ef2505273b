//! The machine: requests in, events out.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, Signal};
use lx_core::control::{
    self, Configure, Envelope, Event, Piece, Request, Root, SignalTarget, Spawn, TerminalSettings,
    WindowSize,
};
use lx_core::host::{BufMut, Host, HostFd, HostThreadId, Nanos, ReadyToken, Supervisor};
use lx_core::poll::PollEvents;
use lx_core::sync::{Mutex, level};
use lx_proc::Kernel;
use lx_proc::report::Reporter;
use lx_proc::signal;
use lx_vfs::fs::tmpfs::TmpFs;
use lx_vfs::mount::MountTree;
use lx_vfs::tty;

use crate::host_env::HostEnv;
use crate::populate::Populate;
use crate::relay::Relay;
use crate::{command, guard, mounts, stats};

/// One Linux and its commands.
pub struct Machine {
    host: &'static dyn Host,
    this: Weak<Machine>,
    state: Mutex<State, { level::MACHINE }>,
}

#[derive(Default)]
struct State {
    /// The root file system, while it is filled.
    populate: Option<Populate>,
    system: Option<System>,
    /// Commands that have not ended: id of the library, thread group id.
    commands: Vec<(u64, i32)>,
    /// Terminals of commands.
    relays: Vec<Arc<Relay>>,
    /// A terminal of the host that must not stay raw.
    guarded: Option<(HostFd, TerminalSettings)>,
    events: VecDeque<Event>,
}

/// A configured machine.
#[derive(Clone)]
pub(crate) struct System {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) mounts: Arc<MountTree>,
    pub(crate) host_env: Arc<HostEnv>,
}

/// The supervisor for a host that has just booted.
pub fn make(host: &'static dyn Host) -> Arc<dyn Supervisor> {
    Arc::new_cyclic(|this| Machine {
        host,
        this: this.clone(),
        state: Mutex::new(State::default()),
    })
}

impl Machine {
    fn system(&self) -> Option<System> {
        self.state.lock().system.clone()
    }

    /// Queues an event for the library.
    fn report(&self, event: Event) {
        self.state.lock().events.push_back(event);
        self.host.notify_supervisor();
    }

    fn stopped(&self, reason: String) {
        self.report(Event::MachineStopped { reason });
    }

    fn handle(&self, request: Request, fds: &mut Vec<HostFd>) {
        match (request, self.system()) {
            (Request::Populate(pieces), None) => self.populate(&pieces),
            (Request::Configure(configure), None) => self.configure(&configure, fds),
            (Request::Configure(_) | Request::Populate(_), Some(_)) => {
                self.stopped(String::from("the machine was configured twice"));
            }
            (Request::Shutdown, _) => {
                self.ending();
                self.host.shut_down();
            }
            (_, None) => self.stopped(String::from("the machine was not configured first")),
            (Request::Spawn(spawn), Some(system)) => self.spawn(&system, &spawn, fds),
            (Request::Signal { target, signal }, Some(system)) => {
                self.signal(&system.kernel, target, signal);
            }
            (Request::WindowSize { id, size }, Some(system)) => {
                self.resize(&system.kernel, id, size);
            }
            (Request::GuardTerminal(settings), Some(_)) => {
                self.state.lock().guarded = fds.pop().map(|fd| (fd, settings));
            }
            (Request::Stats, Some(system)) => {
                self.report(Event::Stats(stats::collect(&system.kernel)));
            }
        }
    }

    fn populate(&self, pieces: &[Piece]) {
        let populate = self.state.lock().populate.take();
        let mut populate = populate.unwrap_or_else(|| Populate::new(self.host));
        match populate.take(pieces) {
            Ok(()) => self.state.lock().populate = Some(populate),
            Err(reason) => self.stopped(reason),
        }
    }

    /// The file system of `Root::Memory`; empty if nothing was put into it.
    fn memory_root(&self) -> Result<Arc<TmpFs>, String> {
        let populate = self.state.lock().populate.take();
        populate.unwrap_or_else(|| Populate::new(self.host)).finish()
    }

    fn configure(&self, configure: &Configure, fds: &mut Vec<HostFd>) {
        let kernel = Arc::new(Kernel::new(self.host, lx_syscall::dispatch::trap_handler));
        if let Some(this) = self.this.upgrade() {
            kernel.reports.set_reporter(this);
        }
        if configure.strace {
            if fds.is_empty() {
                return self.stopped(String::from("--strace came without a file to write to"));
            }
            kernel.reports.set_trace(fds.remove(0));
        }
        kernel.observe.enable(configure.stats, configure.strace);
        if configure.stats {
            self.host.enable_counting();
        }
        kernel.uts.set_host_name(configure.hostname.clone());
        let root = match &configure.root {
            Root::Memory => self.memory_root().map(Some),
            _ => Ok(None),
        };
        match root.and_then(|root| mounts::build(&kernel, configure, root)) {
            Ok((mounts, host_env)) => {
                let host_env = Arc::new(host_env);
                self.state.lock().system = Some(System { kernel, mounts, host_env });
                self.report(Event::Ready { version: control::VERSION });
            }
            Err(reason) => self.stopped(reason),
        }
    }

    fn spawn(&self, system: &System, spawn: &Spawn, fds: &mut Vec<HostFd>) {
        let id = spawn.id;
        // The lock keeps the end of a very short command from overtaking its start: `ended` finds
        // the command only after it was entered here, and events are sent in order.
        match command::start(system, spawn, core::mem::take(fds), |tgid, relay| {
            let mut state = self.state.lock();
            state.commands.push((id, tgid));
            state.relays.extend(relay);
            state.events.push_back(Event::Spawned { id, pid: tgid.cast_unsigned() });
        }) {
            Ok(()) => self.host.notify_supervisor(),
            Err(failure) => self.report(Event::SpawnFailed(failure)),
        }
    }

    /// Thread group of a command.
    fn command(&self, id: u64) -> Option<i32> {
        self.state.lock().commands.iter().find(|(known, _)| *known == id).map(|(_, tgid)| *tgid)
    }

    fn signal(&self, kernel: &Kernel, target: SignalTarget, number: u32) {
        let Some(signal) = i32::try_from(number).ok().and_then(Signal::new) else { return };
        let (SignalTarget::Process(id) | SignalTarget::Group(id) | SignalTarget::Foreground(id)) =
            target;
        let Some(group) = self.command(id).and_then(|tgid| kernel.pids.group(tgid)) else { return };
        let process_group = match target {
            SignalTarget::Process(_) => {
                // A standard signal from the kernel always finds room.
                let info = SigInfo::kernel(signal);
                let _ = signal::send_to_group(kernel, &group, signal, info, None);
                return;
            }
            SignalTarget::Group(_) => group.pgid(),
            SignalTarget::Foreground(_) => foreground(group.sid()).unwrap_or(group.pgid()),
        };
        signal::send_to_process_group(kernel, process_group, signal);
    }

    /// The console's size lives in the host's terminal, which has it already.
    fn resize(&self, kernel: &Kernel, id: u64, size: WindowSize) {
        let relay = self.state.lock().relays.iter().find(|relay| relay.is_of(id)).cloned();
        if let Some(relay) = relay {
            return relay.resize(size);
        }
        let group = self.command(id).and_then(|tgid| kernel.pids.group(tgid));
        if let Some(pgid) = group.and_then(|group| foreground(group.sid())) {
            signal::send_to_process_group(kernel, pgid, Signal::SIGWINCH);
        }
    }

    /// The whole of a message that came as a file.
    fn read_large(&self, file: &HostFd, len: usize) -> Result<Vec<u8>, Errno> {
        let mut message = Vec::new();
        message.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        message.resize(len, 0);
        let mut done = 0;
        while let Some(rest) = message.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.host.read_at(file, done as u64, BufMut::Kernel(rest))? {
                0 => return Err(Errno::EIO),
                count => done += count,
            }
        }
        Ok(message)
    }

    fn decode(&self, packet: &[u8], fds: &mut Vec<HostFd>) -> Result<Request, String> {
        let explain = |error: control::DecodeError| format!("bad control message: {error}");
        match control::open(packet).map_err(explain)? {
            Envelope::Inline(message) => control::decode(message).map_err(explain),
            Envelope::Large { len } => {
                if fds.is_empty() {
                    return Err(String::from("a large control message came without its file"));
                }
                let file = fds.remove(0);
                let message = self
                    .read_large(&file, len)
                    .map_err(|errno| format!("cannot read a large control message: {errno}"))?;
                control::decode(&message).map_err(explain)
            }
        }
    }
}

/// The foreground process group of a session's terminal.
fn foreground(session: i32) -> Option<i32> {
    let pgid = tty::of_session(session)?.control().foreground();
    (pgid > 0).then_some(pgid)
}

impl Reporter for Machine {
    fn ended(&self, tgid: i32, status: WaitStatus) {
        let mut state = self.state.lock();
        let Some(at) = state.commands.iter().position(|(_, known)| *known == tgid) else { return };
        let (id, _) = state.commands.remove(at);
        if let Some(relay) = state.relays.iter().find(|relay| relay.is_of(id)) {
            relay.finish();
        }
        state.events.push_back(Event::Exited { id, status: status.0.cast_signed() });
        drop(state);
        self.host.notify_supervisor();
    }

    fn stopped(&self, tgid: i32, signal: Signal) {
        let mut state = self.state.lock();
        let Some(&(id, _)) = state.commands.iter().find(|(_, known)| *known == tgid) else {
            return;
        };
        state.events.push_back(Event::Stopped { id, signal: signal.number().cast_unsigned() });
        drop(state);
        self.host.notify_supervisor();
    }
}

impl Supervisor for Machine {
    fn boot(&self) {}

    fn timer_expired(&self, now: Nanos) {
        if let Some(system) = self.system() {
            system.kernel.timer_expired(now);
        }
    }

    fn host_ready(&self, token: ReadyToken, events: PollEvents) {
        if !lx_net::inet::host_ready(token, events) {
            lx_vfs::host_stream::host_ready(token, events);
        }
    }

    fn host_thread_died(&self, thread: HostThreadId, signal: u8) {
        if let Some(system) = self.system() {
            system.kernel.host_thread_died(thread, signal);
        }
    }

    fn control_message(&self, packet: &[u8], fds: &mut Vec<HostFd>) {
        match self.decode(packet, fds) {
            Ok(request) => self.handle(request, fds),
            Err(reason) => self.stopped(reason),
        }
    }

    fn work(&self) {
        let relays = self.state.lock().relays.clone();
        for relay in relays {
            if !relay.pump() {
                let mut state = self.state.lock();
                let at = state.relays.iter().position(|known| Arc::ptr_eq(known, &relay));
                let ended = at.map(|at| state.relays.swap_remove(at));
                // Hangs the terminal up, so it happens without the lock.
                drop(state);
                drop(ended);
            }
        }
    }

    fn ending(&self) {
        let guarded = self.state.lock().guarded.take();
        if let Some((terminal, settings)) = guarded {
            guard::restore(self.host, &terminal, &settings);
        }
    }

    fn next_event(&self, packet: &mut Vec<u8>) -> bool {
        let event = self.state.lock().events.pop_front();
        match event {
            Some(event) => {
                control::encode(&event, packet);
                true
            }
            None => false,
        }
    }
}
