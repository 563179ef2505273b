//! `execve(2)`.
//!
//! Two halves. [`prepare`] does everything that can fail while the old program still runs: it finds
//! the file, checks it, reads the headers, copies arguments and environment into the kernel. The
//! second half replaces the program. There are three ways into it:
//!
//! - [`execute`], in the same host process, for a task that has its memory to itself;
//! - [`execute`] of a task that uses the memory of another process (after `vfork(2)`): the prepared
//!   image goes along with the task to an empty host process, where [`start`] goes on;
//! - [`launch`], for the first program of a command, whose task has not run yet.

mod cred;
mod elf;
mod load;
mod native;
mod prepare;
mod script;
mod stack;
mod strings;
mod vdso;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, GuestRegs, Signal};
use lx_core::control::Stage;
use lx_core::cred::Credentials;
use lx_core::error::SysError;
use lx_core::host::Resume;
use lx_vfs::write_access::WriteAccess;

use crate::current::CurrentTask;
use crate::exit;
use crate::mm::AddressSpace;
use crate::task::Task;
use crate::task_exec;

use elf::Elf;
use load::Image;
use native::Native;
pub use prepare::{ExecTarget, prepare, prepare_first};
use strings::StringList;
pub use strings::Strings;
pub use vdso::VdsoCache;

/// Why a program cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecFailure {
    /// What `execve(2)` returns.
    pub error: SysError,
    /// The step that failed.
    pub stage: Stage,
    /// What the error number does not say, such as `is a directory`; may be empty.
    pub reason: &'static str,
    /// The interpreter, if it is that which cannot be used.
    pub interpreter: Option<Vec<u8>>,
}

impl From<ExecFailure> for SysError {
    fn from(failure: ExecFailure) -> Self {
        failure.error
    }
}

/// The file was found but cannot be executed.
fn fail(errno: Errno, reason: &'static str) -> ExecFailure {
    ExecFailure { error: errno.into(), stage: Stage::Execute, reason, interpreter: None }
}

/// A program that is ready to replace another one.
pub struct ExecImage {
    program: Program,
    /// Keeps writers away from the program's file.
    denial: Arc<WriteAccess>,
    /// The path as it was given, `AT_EXECFN`.
    name: Vec<u8>,
    args: StringList,
    env: StringList,
    cred: Credentials,
    secure: bool,
}

/// What kind of program it is.
enum Program {
    /// Linux's, perhaps with the interpreter that it asks for.
    Elf { program: Elf, interpreter: Option<Elf> },
    /// The host's.
    Native(Native),
}

impl ExecImage {
    /// Starts a program of the host, as long as the old program can still go on.
    fn start_native(&mut self, task: &Task) -> Result<()> {
        match &mut self.program {
            Program::Native(native) => native.start(task.kernel().host, &task.files(), &self.args),
            Program::Elf { .. } => Ok(()),
        }
    }
}

/// Replaces the program of the calling task.
///
/// # Errors
/// As long as the old program can go on: `EAGAIN`, `EINTR` if another task of the process was
/// faster; `ENOMEM` if there is no host process.
pub fn execute(current: &CurrentTask<'_>, mut image: Box<ExecImage>) -> Result<()> {
    image.start_native(current.task())?;
    // The task may go on on another thread.
    current.task().fd_cache().release();
    task_exec::become_single_threaded(current)?;
    let task = current.task();
    task_exec::leave_old_memory(current);
    if uses_own_memory(current) {
        replace(current, image);
        return Ok(());
    }
    task.set_prepared(Some(image));
    match current.host().spawn_process(current.kernel().handler(Arc::clone(task))) {
        Ok(()) => {
            // The task is the other host thread's now.
            current.set_resume(Resume::Exit);
            Ok(())
        }
        Err(error) => {
            task.set_prepared(None);
            Err(error.into())
        }
    }
}

/// Whether nobody else uses the caller's memory.
fn uses_own_memory(current: &CurrentTask<'_>) -> bool {
    if current.host().is_borrowed() || current.group().borrows_memory() {
        return false;
    }
    // The task's own reference, this one, and perhaps one of this call.
    let own = 2_usize.saturating_add(usize::from(current.has_mm()));
    Arc::strong_count(&current.task().mm()) <= own
}

/// Starts the first program of a command in a host process of its own.
///
/// # Errors
/// The host's.
pub fn launch(task: &Arc<Task>, mut image: Box<ExecImage>) -> Result<()> {
    image.start_native(task)?;
    task.set_prepared(Some(image));
    let kernel = task.kernel();
    let started = kernel.host.spawn_process(kernel.handler(Arc::clone(task)));
    if started.is_err() {
        task.set_prepared(None);
    }
    Ok(started?)
}

/// First entry of a task in an empty host process: maps the program that was prepared and sets the
/// registers.
pub fn start(current: &CurrentTask<'_>) {
    match current.task().take_prepared() {
        Some(image) => replace(current, image),
        None => exit::exit_group(current, killed()),
    }
}

fn killed() -> WaitStatus {
    WaitStatus::signaled(Signal::SIGKILL, false)
}

/// The point of no return: the old program is given up, the new one mapped.
fn replace(current: &CurrentTask<'_>, image: Box<ExecImage>) {
    let task = current.task();
    let kernel = current.kernel();
    let space = AddressSpace::new(Arc::clone(&kernel.text));
    let reset = current.host().reset();
    // The old memory's files close here, where no lock is held.
    drop(task.set_mm(Arc::clone(&space)));
    task_exec::reset_for_program(current);
    task.rings().reset_for_program();
    take_identity(current, image.cred.clone(), image.secure);
    task.set_name(base_name(&image.name));
    current.group().set_executable(Some(Arc::clone(&image.denial)));
    let ExecImage { program, args, env, name, cred, secure, .. } = *image;
    let (program, interpreter) = match program {
        Program::Elf { program, interpreter } => (program, interpreter),
        Program::Native(native) => {
            space.set_program(Arc::new(load::shown(&native.file, &args, &env)));
            task.vfork_release();
            if let Some(status) = native.wait(current) {
                exit::exit_group(current, status);
            }
            return;
        }
    };
    let image = Image {
        program: &program,
        interpreter: interpreter.as_ref(),
        args: &args,
        env: &env,
        name: &name,
        cred: &cred,
        secure,
    };
    let loaded = reset
        .map_err(SysError::from)
        .and_then(|()| load::load(&current.caller(), kernel, &space, &image));
    task.vfork_release();
    let Ok(start) = loaded else {
        exit::exit_group(current, killed());
        return;
    };
    current.host().set_fs_base(0);
    let regs = GuestRegs {
        rip: start.entry,
        rsp: start.stack,
        cs: GuestRegs::USER_CS,
        ss: GuestRegs::USER_SS,
        eflags: GuestRegs::INITIAL_EFLAGS,
        orig_rax: GuestRegs::NO_SYSCALL,
        ..GuestRegs::default()
    };
    current.set_regs(regs, Resume::Full);
}

/// Gives the task the credentials of its new program, with what follows from that.
fn take_identity(current: &CurrentTask<'_>, new: Credentials, secure: bool) {
    let (task, group) = (current.task(), current.group());
    let old = task.cred();
    let changed = old.is_changed_by(&new);
    task.set_cred(Arc::new(new));
    group.set_dumpable(u32::from(!changed && old.euid == old.uid && old.egid == old.gid));
    if changed || secure {
        group.set_parent_death_signal(0);
    }
}

/// The last component of a path.
fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}
