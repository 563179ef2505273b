//! The half of `execve(2)` that may fail.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::control::Stage;
use lx_core::error::SysError;
use lx_core::file::OpenFile;
use lx_vfs::fs_context::FsContext;
use lx_vfs::location::Path;
use lx_vfs::mount::MountFlags;
use lx_vfs::path::Lookup;
use lx_vfs::permission::{Access, check_path};
use lx_vfs::write_access::WriteAccess;

use super::cred::for_program;
use super::elf::{Elf, Head, is_elf};
use super::native::{self, Native};
use super::script;
use super::strings::{Budget, StringList, Strings};
use super::{ExecFailure, ExecImage, Program, fail};
use crate::task::Task;

/// Scripts whose interpreters are scripts: so many at most.
const MAX_SCRIPTS: usize = 5;

/// What is to be executed.
#[derive(Clone, Copy)]
pub struct ExecTarget<'a> {
    /// Where a relative path starts; the working directory if `None`.
    pub start: Option<&'a Path>,
    /// The path; empty for the file at `start` itself.
    pub path: &'a [u8],
    /// How the path is resolved.
    pub lookup: Lookup,
    /// The path as the program gets to see it.
    pub name: &'a [u8],
    /// The program will not find the file under `name`: it is a descriptor that closes on exec.
    pub unreachable: bool,
}

/// Finds and checks a program, for the task that `caller` and `fs` belong to.
///
/// # Errors
/// As `execve(2)`.
pub fn prepare(
    caller: &Caller<'_>,
    fs: &FsContext,
    no_new_privs: bool,
    target: &ExecTarget<'_>,
    args: Strings<'_>,
    env: Strings<'_>,
) -> Result<Box<ExecImage>, ExecFailure> {
    let place = fs.lookup(caller, target.start, target.path, target.lookup).map_err(not_found)?;
    let (mut file, mut denial) = open_program(caller, place)?;
    let mut budget = Budget::new(caller.rlimits);
    let copied = copy_strings(&mut budget, target.name, args, env);
    let (mut args, env) = copied.map_err(|error| ExecFailure {
        error,
        stage: Stage::Execute,
        reason: "arguments and environment",
        interpreter: None,
    })?;
    // Scripts: the name by which each one is handed to its interpreter.
    let mut name = target.name.to_vec();
    let mut scripts = 0;
    let (file, head) = loop {
        let head = Head::read(caller, &file)?;
        if !script::is_script(head.bytes()) {
            break (file, head);
        }
        scripts += 1;
        if scripts > MAX_SCRIPTS {
            return Err(fail(Errno::ELOOP, "scripts as interpreters of scripts"));
        }
        if target.unreachable {
            return Err(fail(Errno::ENOENT, "script on a descriptor that closes"));
        }
        let line = script::parse(head.bytes())?;
        args = add_interpreter(&mut budget, &args, &line, &name)?;
        name = line.interpreter.to_vec();
        (file, denial) = open_interpreter(caller, fs, line.interpreter)?;
    };
    let opened = Arc::clone(&file);
    let program = if native::is_native(head.bytes())
        && let Some(native) = Native::prepare(caller, fs, Arc::clone(&file), &env)
    {
        Program::Native(native)
    } else if is_elf(head.bytes()) {
        let program = Elf::parse(caller, file, &head, Errno::ENOEXEC)?;
        let interpreter = match &program.interpreter {
            Some(path) => Some(load_interpreter(caller, fs, path)?),
            None => None,
        };
        Program::Elf { program: program.with_segments(Errno::ENOEXEC)?, interpreter }
    } else {
        return Err(fail(Errno::ENOEXEC, "neither an ELF program nor a script"));
    };
    let Some(place) = Path::of(&opened) else {
        return Err(fail(Errno::EACCES, "no place in the tree"));
    };
    let new = for_program(caller, place, no_new_privs)
        .map_err(|error| fail(error.errno(), "its capabilities"))?;
    Ok(Box::new(ExecImage {
        name: target.name.to_vec(),
        args,
        env,
        cred: new.cred,
        secure: new.secure,
        program,
        denial: Arc::new(denial),
    }))
}

/// As [`prepare`], for a task that does not run yet; strings are the kernel's. The error line of
/// the command is made from what this returns.
///
/// # Errors
/// As `execve(2)`.
pub fn prepare_first(
    task: &Arc<Task>,
    path: &[u8],
    args: &[Vec<u8>],
    env: &[Vec<u8>],
) -> Result<Box<ExecImage>, ExecFailure> {
    let cred = task.cred();
    let caller = Caller {
        host: task.kernel().host,
        identity: &*cred,
        waiter: task.waiter(),
        rlimits: task.group().rlimits(),
        tid: task.tid(),
        tgid: task.tgid(),
    };
    let target =
        ExecTarget { start: None, path, lookup: Lookup::FOLLOW, name: path, unreachable: false };
    let (args, env) = (Strings::Kernel(args), Strings::Kernel(env));
    prepare(&caller, &task.fs(), task.no_new_privs(), &target, args, env)
}

fn not_found(error: SysError) -> ExecFailure {
    ExecFailure { error, stage: Stage::Lookup, reason: "", interpreter: None }
}

/// Opens a file to execute it, and keeps writers out.
fn open_program(
    caller: &Caller<'_>,
    path: Path,
) -> Result<(Arc<OpenFile>, WriteAccess), ExecFailure> {
    match path.dentry.file_type() {
        FileType::Regular => {}
        FileType::Symlink => return Err(fail(Errno::ELOOP, "")),
        FileType::Directory => return Err(fail(Errno::EACCES, "is a directory")),
        _ => return Err(fail(Errno::EACCES, "is not a regular file")),
    }
    if path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(fail(Errno::EACCES, "the file system is mounted noexec"));
    }
    let stopped = |error: SysError| fail(error.errno(), "");
    check_path(caller.cred(), &path, Access::EXEC).map_err(stopped)?;
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_LARGEFILE;
    let ops = Arc::clone(path.inode()).open(caller, &path, flags).map_err(stopped)?;
    let denial = WriteAccess::deny(path.inode());
    let denial = denial.map_err(|error| fail(error.errno(), ""))?;
    Ok((OpenFile::new(ops, flags, Some(Arc::new(path))), denial))
}

/// Opens an interpreter of a script or a program.
fn open_interpreter(
    caller: &Caller<'_>,
    fs: &FsContext,
    path: &[u8],
) -> Result<(Arc<OpenFile>, WriteAccess), ExecFailure> {
    let of_interpreter = |failure: ExecFailure| ExecFailure {
        stage: Stage::Execute,
        interpreter: Some(path.to_vec()),
        ..failure
    };
    let place = fs
        .lookup(caller, None, path, Lookup::FOLLOW)
        .map_err(|error| of_interpreter(not_found(error)))?;
    open_program(caller, place).map_err(of_interpreter)
}

fn load_interpreter(caller: &Caller<'_>, fs: &FsContext, path: &[u8]) -> Result<Elf, ExecFailure> {
    // Once it is loaded it may be written, as on Linux.
    let (file, _denial) = open_interpreter(caller, fs, path)?;
    let head = Head::read(caller, &file)?;
    Elf::parse(caller, file, &head, Errno::ELIBBAD)
        .and_then(|elf| elf.with_segments(Errno::ELIBBAD))
        .map_err(|failure| ExecFailure { interpreter: Some(path.to_vec()), ..failure })
}

fn copy_strings(
    budget: &mut Budget,
    name: &[u8],
    args: Strings<'_>,
    env: Strings<'_>,
) -> Result<(StringList, StringList), SysError> {
    budget.take(name.len().saturating_add(1))?;
    let mut args = args.copy(budget)?;
    let env = env.copy(budget)?;
    if args.len() == 0 {
        // Programs rely on argv[0]: Linux gives them an empty one.
        budget.take(1)?;
        args.push(b"");
    }
    Ok((args, env))
}

/// The arguments of a script's interpreter: itself, its argument, the script, the script's own.
fn add_interpreter(
    budget: &mut Budget,
    args: &StringList,
    line: &script::Shebang<'_>,
    script_name: &[u8],
) -> Result<StringList, ExecFailure> {
    let mut first: [&[u8]; 3] = [line.interpreter, script_name, &[]];
    let mut count = 2;
    if let Some(argument) = line.argument {
        first = [line.interpreter, argument, script_name];
        count = 3;
    }
    let first = first.get(..count).unwrap_or_default();
    for string in first {
        let room = budget.take(string.len().saturating_add(1));
        room.map_err(|_| fail(Errno::E2BIG, "arguments and environment"))?;
    }
    Ok(args.with_first(first))
}
