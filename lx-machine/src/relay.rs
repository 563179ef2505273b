//! The master of a command's own terminal: bytes go between the library's pipes and the terminal.
//!
//! Init moves them, without ever waiting: what is ready rings a [`Bell`], which makes the host call
//! the supervisor.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use lx_core::SysError;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, ResolveFlags};
use lx_core::abi::tty::{Termios, Winsize};
use lx_core::caller::Caller;
use lx_core::control::{OwnTerminal, WindowSize};
use lx_core::cred::Credentials;
use lx_core::file::OpenFile;
use lx_core::host::{Host, HostFd};
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollTable};
use lx_core::sync::{Mutex, Wake, WakeKey, level};
use lx_proc::Kernel;
use lx_vfs::fs_context::FsContext;
use lx_vfs::host_stream;
use lx_vfs::open::OpenHow;
use lx_vfs::tty::pty::{Master, Pty};

use crate::mounts::Boot;

/// Bytes that are moved at once.
const CHUNK: usize = 4096;
/// Rounds after which init sees to others.
const ROUNDS: usize = 64;
/// Most bytes that are still shown when the command has ended: what it left running may print on.
const LAST_WORDS: usize = 64 << 10;

/// Rung by what becomes ready.
struct Bell {
    host: &'static dyn Host,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake_by(&self, _key: WakeKey) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.host.notify_supervisor();
        }
    }
}

/// Both directions of one terminal.
pub(crate) struct Relay {
    command: u64,
    boot: Boot,
    bell: Arc<Bell>,
    pty: Arc<Pty>,
    master: Arc<OpenFile>,
    input: Arc<OpenFile>,
    output: Arc<OpenFile>,
    /// Keeps the bell on the wait queues.
    _watched: PollTable,
    flow: Mutex<Flow, { level::MACHINE }>,
    finishing: AtomicBool,
}

/// What was taken and not handed over yet.
#[derive(Default)]
struct Flow {
    typed: Vec<u8>,
    shown: Vec<u8>,
    /// Bytes shown since the command has ended.
    last_words: usize,
}

/// What a step has come to.
enum Step {
    Moved(usize),
    /// Nothing is there, or nothing is taken.
    Stuck,
    /// One side is gone.
    Over,
}

/// A new terminal for a command, and its slave.
///
/// # Errors
/// `ENOENT`, `ENODEV` if there is no `/dev/pts`; the host's.
pub(crate) fn open(
    kernel: &Arc<Kernel>,
    (id, own): (u64, &OwnTerminal),
    cred: &Credentials,
    fs: &FsContext,
    (input, output): (HostFd, HostFd),
) -> Result<(Relay, Arc<OpenFile>), SysError> {
    let host = kernel.host;
    let boot = Boot::new(host, cred.clone());
    let caller = boot.caller();
    let flags = OpenFlags::O_RDWR | OpenFlags::O_NOCTTY;
    let how = |flags| OpenHow::new(flags, 0, ResolveFlags::empty());
    let master = fs.open(&caller, None, b"/dev/ptmx", &how(flags | OpenFlags::O_NONBLOCK)?)?;
    let pty = Arc::clone(master.ops_as::<Master>().ok_or(Errno::ENODEV)?.pty());
    pty.set_locked(false);
    pty.set_signals(Arc::clone(kernel) as _);
    pty.set_settings(Termios::from(&own.settings), false);
    pty.resize(winsize(own.size));
    let name = format!("/dev/pts/{}", pty.number());
    let slave = fs.open(&caller, None, name.as_bytes(), &how(flags)?)?;
    let (read, write) = (OpenFlags::O_RDONLY, OpenFlags::O_WRONLY);
    let (input, _) = host_stream::open(host, input, read | OpenFlags::O_NONBLOCK, None)?;
    let (output, _) = host_stream::open(host, output, write | OpenFlags::O_NONBLOCK, None)?;
    // It is looked at once without a reason: that is when the host is first asked.
    let bell = Arc::new(Bell { host, rung: AtomicBool::new(true) });
    let mut watched = PollTable::new(Arc::clone(&bell) as _);
    for (file, interest) in [
        (&input, PollEvents::READABLE),
        (&output, PollEvents::WRITABLE),
        (&master, PollEvents::READABLE | PollEvents::WRITABLE),
    ] {
        watched.set_interest(interest);
        file.ops().poll_register(file, interest, &mut watched);
    }
    let relay = Relay {
        command: id,
        boot,
        bell,
        pty,
        master,
        input,
        output,
        _watched: watched,
        flow: Mutex::new(Flow::default()),
        finishing: AtomicBool::new(false),
    };
    Ok((relay, slave))
}

fn winsize(size: WindowSize) -> Winsize {
    let WindowSize { rows, columns, x_pixels, y_pixels } = size;
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: x_pixels, ws_ypixel: y_pixels }
}

impl Relay {
    /// Whether it is the terminal of this command.
    pub(crate) fn is_of(&self, command: u64) -> bool {
        self.command == command
    }

    /// The terminal.
    pub(crate) fn pty(&self) -> &Arc<Pty> {
        &self.pty
    }

    /// Changes the size; the foreground hears of it.
    pub(crate) fn resize(&self, size: WindowSize) {
        self.pty.resize(winsize(size));
    }

    /// The command has ended: what it has printed is shown, and that is all.
    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        // The caller notifies the supervisor.
        self.bell.rung.store(true, Ordering::Release);
    }

    /// Moves what can be moved now. `false` when there will be nothing more.
    pub(crate) fn pump(&self) -> bool {
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return true;
        }
        let finishing = self.finishing.load(Ordering::Acquire);
        let caller = self.boot.caller();
        // Only init comes here.
        let mut flow = core::mem::take(&mut *self.flow.lock());
        let mut goes_on = true;
        for round in 0.. {
            if round == ROUNDS {
                self.bell.wake_by(WakeKey::MAX);
                break;
            }
            let shown = step(&caller, &mut flow.shown, &self.master, &self.output);
            // Nobody reads any more what is typed now.
            let typed = match finishing {
                true => Step::Stuck,
                false => step(&caller, &mut flow.typed, &self.input, &self.master),
            };
            if matches!(shown, Step::Over) || matches!(typed, Step::Over) {
                goes_on = false;
                break;
            }
            if let Step::Moved(count) = shown
                && finishing
            {
                flow.last_words += count;
            }
            if matches!(shown, Step::Moved(_)) || matches!(typed, Step::Moved(_)) {
                continue;
            }
            // To ask is to have it announced if it is not so.
            let ready = |file: &OpenFile, events| file.poll(&caller).intersects(events);
            let input = flow.typed.is_empty() && ready(&self.input, PollEvents::POLLIN);
            let output = !flow.shown.is_empty() && ready(&self.output, PollEvents::POLLOUT);
            if (finishing || !input) && !output {
                break;
            }
        }
        if finishing {
            let more = self.master.poll(&caller).intersects(PollEvents::POLLIN);
            let silent = flow.shown.is_empty() && !more;
            goes_on &= !silent && flow.last_words < LAST_WORDS;
        }
        *self.flow.lock() = flow;
        goes_on
    }
}

/// Hands over what was taken from one side, or takes more.
fn step(caller: &Caller<'_>, bytes: &mut Vec<u8>, from: &OpenFile, to: &OpenFile) -> Step {
    if bytes.is_empty() {
        bytes.resize(CHUNK, 0);
        let taken = from.read(caller, &mut IoDst::kernel(bytes)).map_err(SysError::errno);
        bytes.truncate(taken.unwrap_or(0));
        match taken {
            Ok(0) => return Step::Over,
            Ok(_) => {}
            // `EIO` is what a master says that has no slaves: others may be opened.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::EIO) => return Step::Stuck,
            Err(_) => return Step::Over,
        }
    }
    match to.write(caller, &mut IoSrc::kernel(bytes)).map_err(SysError::errno) {
        Ok(count) => {
            bytes.drain(..count.min(bytes.len()));
            Step::Moved(count)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Step::Stuck,
        Err(_) => Step::Over,
    }
}
