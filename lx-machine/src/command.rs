//! Starting a command.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::SysError;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::signal::{KernelSigAction, SIG_IGN};
use lx_core::abi::{Errno, Signal};
use lx_core::caller::Caller;
use lx_core::control::{Spawn, SpawnFailed, SpawnTerminal, Stage};
use lx_core::cred::Credentials;
use lx_core::fd_table::FdTable;
use lx_core::host::HostFd;
use lx_core::rlimit::Rlimits;
use lx_proc::exec;
use lx_proc::mm::AddressSpace;
use lx_proc::task::{Shared, Task};
use lx_vfs::fs_context::FsContext;
use lx_vfs::host_stream::{self, Place};
use lx_vfs::location::Path;
use lx_vfs::path::Lookup;
use lx_vfs::tty::{self, Terminal};

use crate::machine::System;
use crate::mounts::Boot;
use crate::relay::{self, Relay};

/// Where programs are looked for without `PATH`, as the C library does.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A failure at a stage.
fn failed(id: u64, stage: Stage, errno: Errno, message: &str) -> SpawnFailed {
    SpawnFailed { id, stage, errno: i32::from(errno.number()), message: String::from(message) }
}

/// Starts a command; `announce` gets its id before it runs, with the terminal of its own.
///
/// # Errors
/// What the library reports to its user; nothing is left of the command.
pub(crate) fn start(
    system: &System,
    spawn: &Spawn,
    stdio: Vec<HostFd>,
    announce: impl FnOnce(i32, Option<Arc<Relay>>),
) -> Result<(), SpawnFailed> {
    let id = spawn.id;
    let kernel = &system.kernel;
    let process = |error: SysError| failed(id, Stage::Process, error.errno(), "");
    let user = &spawn.user;
    let cred = Credentials::new(user.uid, user.gid, user.groups.clone());
    let boot = Boot::new(kernel.host, cred.clone());
    let caller = boot.caller();
    let fs = FsContext::new(Arc::clone(&system.mounts));
    fs.set_umask(spawn.umask);
    let cwd = fs
        .lookup(&caller, None, &spawn.cwd, Lookup::FOLLOW | Lookup::DIRECTORY)
        .map_err(|error| failed(id, Stage::Directory, error.errno(), ""))?;
    fs.set_cwd(cwd);
    let files = FdTable::new();
    let (terminal, relay) =
        open_stdio(system, spawn, (&caller, &fs), &files, stdio).map_err(process)?;
    let shared = Shared {
        cred: Arc::new(cred),
        files: Arc::new(files),
        fs: Arc::new(fs),
        mm: AddressSpace::new(Arc::clone(&kernel.text)),
        undo: None,
    };
    let mut env = spawn.env.clone();
    system.host_env.add_to(&mut env, &spawn.host_env);
    let program = find(spawn, &env, &caller, &shared.fs)?;
    let task = kernel.spawn_first(shared, Rlimits::new()).map_err(process)?;
    ignore_signals(&task, spawn.ignored_signals);
    let image = match exec::prepare_first(&task, &program, &spawn.argv, &env) {
        Ok(image) => image,
        Err(failure) => {
            kernel.discard(&task);
            let mut message = String::from(failure.reason);
            if let Some(interpreter) = &failure.interpreter {
                let name = String::from_utf8_lossy(interpreter);
                message = alloc::format!("interpreter {name}: {message}");
            }
            return Err(failed(id, failure.stage, failure.error.errno(), &message));
        }
    };
    if let Some(terminal) = terminal {
        tty::set_session(&terminal, task.group().sid(), task.group().pgid());
    }
    announce(task.tgid(), relay);
    if let Err(error) = exec::launch(&task, image) {
        kernel.discard(&task);
        return Err(process(error));
    }
    Ok(())
}

/// The terminal that controls a session, and who serves it if it is not the host's.
type ControllingTerminal = (Option<Arc<dyn Terminal>>, Option<Arc<Relay>>);

/// Makes descriptors 0, 1 and 2. The terminal is the command's own, or the one among them, if one
/// is.
fn open_stdio(
    system: &System,
    spawn: &Spawn,
    (caller, fs): (&Caller<'_>, &FsContext),
    files: &FdTable,
    mut stdio: Vec<HostFd>,
) -> Result<ControllingTerminal, SysError> {
    let host = system.kernel.host;
    let mut terminal: Option<Arc<dyn Terminal>> = None;
    let mut relay = None;
    let mut own = 0;
    if let SpawnTerminal::Own(asked) = &spawn.terminal {
        let (output, input) = stdio.pop().zip(stdio.pop()).ok_or(Errno::EBADF)?;
        let (opened, slave) =
            relay::open(&system.kernel, (spawn.id, asked), caller.cred(), fs, (input, output))?;
        terminal = Some(Arc::clone(opened.pty()) as _);
        relay = Some(Arc::new(opened));
        own = asked.streams;
        for number in (0..3).filter(|number| own >> number & 1 == 1) {
            files.reserve(number, 16, false)?.install(Arc::clone(&slave));
        }
    }
    for (number, fd) in stdio.into_iter().take(3).enumerate() {
        if own >> number & 1 == 1 {
            continue;
        }
        let flags = if number == 0 { OpenFlags::O_RDONLY } else { OpenFlags::O_WRONLY };
        let flags = if host.is_terminal(&fd) { OpenFlags::O_RDWR } else { flags };
        let place = fs
            .lookup(caller, None, b"/dev/console", Lookup::FOLLOW)
            .ok()
            .map(|path| Place { inode: Arc::clone(path.inode()), location: Arc::new(path) });
        let (file, console) = host_stream::open(host, fd, flags, place)?;
        terminal = terminal.or(console.map(|console| console as _));
        files.reserve(number, 16, false)?.install(file);
    }
    Ok((terminal, relay))
}

/// The program's path: as given, or found in `PATH`.
fn find(
    spawn: &Spawn,
    env: &[Vec<u8>],
    caller: &Caller<'_>,
    fs: &FsContext,
) -> Result<Vec<u8>, SpawnFailed> {
    if !spawn.search_path {
        return Ok(spawn.program.clone());
    }
    let variable = env.iter().find_map(|entry| entry.strip_prefix(b"PATH="));
    let mut denied = false;
    for folder in variable.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':') {
        let folder = if folder.is_empty() { b"." } else { folder };
        let path = [folder, b"/", &spawn.program].concat();
        let found = fs.lookup(caller, None, &path, Lookup::FOLLOW);
        let Ok(at) = found else { continue };
        if is_executable(&at) {
            return Ok(path);
        }
        denied |= !at.dentry.is_dir();
    }
    let errno = if denied { Errno::EACCES } else { Errno::ENOENT };
    Err(failed(spawn.id, Stage::Lookup, errno, ""))
}

/// Whether a search takes this file: what it may really do shows when it is executed.
fn is_executable(at: &Path) -> bool {
    !at.dentry.is_dir() && at.inode().permissions().mode & 0o111 != 0
}

fn ignore_signals(task: &Task, mask: u64) {
    for signal in Signal::all() {
        if mask >> signal.index() & 1 == 1 {
            let ignore = KernelSigAction { handler: SIG_IGN, ..KernelSigAction::default() };
            task.group().with_actions(|actions| actions.set(signal, ignore));
        }
    }
}
