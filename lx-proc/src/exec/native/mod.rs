//! Programs of the host: `execve(2)` of a file that Linux cannot run, but the host can.
//!
//! The task stays, without guest code. Its thread waits for the program in the kernel, moves the
//! bytes of standard streams that are not the host's own, and takes signals: what would end a
//! program without handlers ends the native one. The task ends with its exit status.

mod env;
mod pump;

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Fd, Signal};
use lx_core::caller::Caller;
use lx_core::fd_table::FdTable;
use lx_core::file::OpenFile;
use lx_core::host::{Host, HostFd, NativeStart, NativeStream, Resume};
use lx_core::poll::PollEvents;
use lx_vfs::fs_context::FsContext;
use lx_vfs::host_stream::{self, HostStream};
use lx_vfs::location::Path;
use lx_vfs::native_path;
use lx_vfs::poll::{self, PollEntry, Timeout};

use self::pump::Pump;
use super::strings::StringList;
use crate::current::CurrentTask;
use crate::signal;

/// What a program that was ended by Ctrl-C has as its status on Windows.
const STATUS_CONTROL_C_EXIT: u32 = 0xc000_013a;

/// A native program that is ready to be started.
pub(super) struct Native {
    pub(super) file: Arc<OpenFile>,
    path: Vec<u8>,
    directory: Option<Vec<u8>>,
    env: Vec<(Vec<u8>, Vec<u8>)>,
    running: Option<Running>,
}

/// A native program that runs; it is ended with this.
struct Running {
    host: &'static dyn Host,
    process: Arc<OpenFile>,
    pipes: [Option<Arc<OpenFile>>; 3],
}

/// Whether a file looks like a program of Windows.
pub(super) fn is_native(head: &[u8]) -> bool {
    head.starts_with(b"MZ")
}

impl Native {
    /// What is to be known to start the program in `file`; `None` if the host has no path for it.
    pub(super) fn prepare(
        caller: &Caller<'_>,
        fs: &FsContext,
        file: Arc<OpenFile>,
        env: &StringList,
    ) -> Option<Self> {
        let path = native_path::native_path(caller.host, Path::of(&file)?)?;
        let strings = env.iter().collect::<Vec<_>>();
        let env = env::for_native(strings.iter().copied(), |path| {
            native_path::translate(caller, fs, path)
        });
        let directory = native_path::native_path(caller.host, &fs.cwd());
        Some(Self { file, path, directory, env, running: None })
    }

    /// Starts it. The caller's program can still go on if that fails.
    pub(super) fn start(
        &mut self,
        host: &'static dyn Host,
        files: &FdTable,
        args: &StringList,
    ) -> Result<()> {
        let kept = |fd| match files.cloexec(fd) {
            Ok(false) => files.get(fd).ok(),
            _ => None,
        };
        let standard = [0, 1, 2].map(|fd| kept(Fd(fd)));
        let streams = standard.each_ref().map(|file| match host_fd(file.as_deref()) {
            Some(fd) => NativeStream::Host(fd),
            None => NativeStream::Pipe,
        });
        let args: Vec<&[u8]> = args.iter().skip(1).collect();
        let env: Vec<(&[u8], &[u8])> =
            self.env.iter().map(|(name, value)| (&**name, &**value)).collect();
        let child = host.start_native(&NativeStart {
            program: &self.path,
            args: &args,
            directory: self.directory.as_deref(),
            env: &env,
            streams,
        })?;
        let open =
            |fd: HostFd, flags| host_stream::open(host, fd, flags, None).map(|opened| opened.0);
        let process = open(child.process, OpenFlags::O_RDONLY)?;
        let mut running = Running { host, process, pipes: [const { None }; 3] };
        let ends = running.pipes.iter_mut().zip(child.pipes).enumerate();
        for (number, (slot, fd)) in ends {
            let access = if number == 0 { OpenFlags::O_WRONLY } else { OpenFlags::O_RDONLY };
            if let Some(fd) = fd {
                *slot = Some(open(fd, access | OpenFlags::O_NONBLOCK)?);
            }
        }
        self.running = Some(running);
        Ok(())
    }

    /// Waits for its end: the status that the task ends with, unless a signal has ended the task.
    pub(super) fn wait(mut self, current: &CurrentTask<'_>) -> Option<WaitStatus> {
        let mut running = self.running.take()?;
        let pumps = running.pumps(&current.task().files());
        running.serve(current, pumps).then(|| running.status())
    }
}

/// The host's descriptor behind a file, if it is one that a native program can use.
fn host_fd(file: Option<&OpenFile>) -> Option<&HostFd> {
    file?.ops_as::<HostStream>().map(HostStream::host_fd)
}

impl Running {
    fn process(&self) -> Option<&HostFd> {
        host_fd(Some(&self.process))
    }

    /// Connects the pipes with the task's standard streams. A pipe without a file is closed.
    fn pumps(&mut self, files: &FdTable) -> [Option<Pump>; 3] {
        let mut number = -1;
        self.pipes.each_mut().map(|pipe| {
            number += 1;
            let (pipe, file) = (pipe.take()?, files.get(Fd(number)).ok()?);
            Some(if number == 0 { Pump::new(file, pipe) } else { Pump::new(pipe, file) })
        })
    }

    /// Moves bytes until the program has ended and all that it wrote is delivered; `false` if a
    /// signal has ended the task.
    fn serve(&self, current: &CurrentTask<'_>, mut pumps: [Option<Pump>; 3]) -> bool {
        let caller = current.caller();
        loop {
            let ended = self.has_ended();
            for pump in &mut pumps {
                if pump.as_mut().is_some_and(|pump| !pump.step(&caller)) {
                    *pump = None;
                }
            }
            let [_, output, error] = &pumps;
            if ended && [output, error].iter().all(|pump| is_drained(pump.as_ref(), &caller)) {
                return true;
            }
            let process = match ended {
                true => PollEntry::ignored(),
                false => PollEntry::new(Arc::clone(&self.process), PollEvents::POLLIN),
            };
            let waits = pumps.iter().flatten().map(Pump::entry);
            let mut entries: Vec<PollEntry> = core::iter::once(process).chain(waits).collect();
            if poll::wait(&caller, &mut entries, Timeout::Never).is_err() {
                // The task has no handlers: a signal ends it, stops it for a while, or is ignored.
                let _ = signal::deliver(current, None);
                if current.resume() == Resume::Exit {
                    return false;
                }
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.process().is_none_or(|process| self.host.native_status(process).is_some())
    }

    fn status(&self) -> WaitStatus {
        match self.process().and_then(|process| self.host.native_status(process)) {
            Some(STATUS_CONTROL_C_EXIT) => WaitStatus::signaled(Signal::SIGINT, false),
            Some(status) => WaitStatus::exited((status & 0xff).cast_signed()),
            None => WaitStatus::signaled(Signal::SIGKILL, false),
        }
    }
}

/// Whether there is nothing more to move after the program's end. Who has inherited its output may
/// write more, but Linux would not wait for that either.
fn is_drained(pump: Option<&Pump>, caller: &Caller<'_>) -> bool {
    pump.is_none_or(|pump| pump.is_idle(caller))
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(process) = self.process()
            && self.host.native_status(process).is_none()
        {
            self.host.kill_native(process);
        }
    }
}
