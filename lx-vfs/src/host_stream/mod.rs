//! Descriptors of the host that a guest was given: standard streams and terminals.
//!
//! A guest thread never blocks in the host: [`Port`] asks whether the descriptor is ready, else
//! arms the host's reactor and sleeps on a wait queue until [`host_ready`] is called.

pub mod console;
mod ioctl;
mod port;

use alloc::sync::Arc;
use core::any::Any;

use lx_core::Caller;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::Stat;
use lx_core::abi::{Errno, Signal};
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::host::{Buf, Host, HostFd, HostFileType, HostOpen};
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::poll::{PollEvents, PollSource, PollTable};
use lx_core::time::split_time;

pub use console::Console;
pub use port::host_ready;

use crate::dev;
use crate::fs::hostfs::guest_type;
use crate::inode::InodeOps;
use crate::tty::control::{self, Terminal};
use port::Port;

/// Most bytes written at once to a host pipe, socket or terminal that says it can be written: a
/// host pipe takes as many without blocking.
const WRITE_AT_ONCE: usize = 4096;

/// An open host descriptor.
pub struct HostStream {
    port: Arc<Port>,
    /// The terminal that it is.
    console: Option<Arc<Console>>,
    /// Through which node it was opened, if so.
    inode: Option<Arc<dyn InodeOps>>,
}

/// Where in the tree a standard stream shall appear: the location for its description, and the
/// inode for `fstat(2)`.
pub struct Place {
    /// Location for [`OpenFile::new`].
    pub location: Arc<dyn Any + Send + Sync>,
    /// The inode there.
    pub inode: Arc<dyn InodeOps>,
}

/// Makes a description of a host descriptor; `flags` with its access mode. If it is a terminal,
/// it comes with its [`Console`], and `terminal_place` (of `/dev/console`) tells where it appears.
///
/// # Errors
/// The host's.
pub fn open(
    host: &'static dyn Host,
    fd: HostFd,
    flags: OpenFlags,
    terminal_place: Option<Place>,
) -> Result<(Arc<OpenFile>, Option<Arc<Console>>)> {
    let port = Port::new(host, fd)?;
    let console = port.is_terminal().then(|| Console::of(&port));
    let place = terminal_place.filter(|_| console.is_some());
    let (location, inode) = match place {
        Some(Place { location, inode }) => (Some(location), Some(inode)),
        None => (None, None),
    };
    let stream = HostStream { port, console: console.clone(), inode };
    Ok((OpenFile::new(Arc::new(stream), flags, location), console))
}

impl HostStream {
    /// For a regular file of the host: another description of it, at position 0.
    ///
    /// # Errors
    /// The host's.
    pub fn reopen(&self, flags: OpenFlags) -> Result<Arc<dyn FileOps>> {
        let mode = flags.access_mode();
        let how = HostOpen {
            read: mode.readable(),
            write: mode.writable(),
            append: flags.contains(OpenFlags::O_APPEND),
            ..HostOpen::default()
        };
        let host = self.port.host();
        let port = Port::new(host, host.open(self.port.fd(), b"", how)?)?;
        Ok(Arc::new(Self { port, console: None, inode: None }))
    }

    /// The descriptor itself.
    pub fn host_fd(&self) -> &HostFd {
        self.port.fd()
    }

    /// The terminal that it is.
    pub fn console(&self) -> Option<&Arc<Console>> {
        self.console.as_ref()
    }

    /// Whether it is a regular file of the host.
    pub fn is_regular(&self) -> bool {
        self.port.file_type() == HostFileType::Regular
    }

    /// Waits for something to read; `false` if a raw terminal's read gives up.
    fn wait_input(&self, caller: &Caller<'_>, nonblocking: bool) -> Result<bool> {
        if self.port.is_ready(PollEvents::POLLIN) {
            return Ok(true);
        }
        if nonblocking {
            return Err(Errno::EAGAIN.into());
        }
        let timeout = match &self.console {
            Some(console) => console.read_timeout()?,
            None => None,
        };
        let deadline = timeout.map(|timeout| caller.host.monotonic().saturating_add(timeout));
        self.port.wait_ready(caller, PollEvents::POLLIN, deadline)
    }

    fn check_job(&self, caller: &Caller<'_>, signal: Signal) -> Result<()> {
        match &self.console {
            Some(console) => console.control().check_foreground(caller, signal),
            None => Ok(()),
        }
    }
}

impl FileOps for HostStream {
    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let port = &self.port;
        self.check_job(caller, Signal::SIGTTIN)?;
        loop {
            if !self.wait_input(caller, file.is_nonblocking())? {
                return Ok(0);
            }
            let result = dst.fill(|buffer, done| {
                // Further segments of a vector take what is there, without waiting.
                if done > 0 && !port.is_ready(PollEvents::POLLIN) {
                    return Ok(0);
                }
                Ok(port.host().read(port.fd(), buffer)?)
            });
            match result.map_err(|error| error.errno()) {
                // Somebody else took what was announced.
                Err(Errno::EAGAIN) if !file.is_nonblocking() => {}
                Err(Errno::EINTR) => {}
                other => {
                    port.rearm(PollEvents::POLLIN);
                    return other.map_err(Into::into);
                }
            }
        }
    }

    fn write(&self, caller: &Caller<'_>, file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        let port = &self.port;
        if let Some(console) = &self.console {
            control::check_output(&**console, caller)?;
        }
        let mut done = 0;
        while src.remaining() > 0 {
            if !port.is_ready(PollEvents::POLLOUT) {
                if file.is_nonblocking() {
                    return partial(done, Errno::EAGAIN.into());
                }
                if let Err(error) = port.wait_ready(caller, PollEvents::POLLOUT, None) {
                    return partial(done, error);
                }
            }
            let mut left = if port.is_always_ready() { usize::MAX } else { WRITE_AT_ONCE };
            let result = src.drain(|buffer, _| {
                let part = shorten(buffer, left);
                let count = if left == 0 { 0 } else { port.host().write(port.fd(), part)? };
                left -= count;
                Ok(count)
            });
            match result.map_err(|error| error.errno()) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::EAGAIN) if !file.is_nonblocking() => {}
                Err(Errno::EINTR) => {}
                Err(errno) => return partial(done, errno.into()),
            }
        }
        Ok(done)
    }

    fn read_at(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        if !self.is_regular() {
            return Err(Errno::ESPIPE.into());
        }
        let (host, fd) = (self.port.host(), self.port.fd());
        dst.fill(|buffer, done| Ok(host.read_at(fd, offset.saturating_add(done as u64), buffer)?))
    }

    fn write_at(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        _append: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        if !self.is_regular() {
            return Err(Errno::ESPIPE.into());
        }
        let (host, fd) = (self.port.host(), self.port.fd());
        let count = src.drain(|buffer, done| {
            Ok(host.write_at(fd, offset.saturating_add(done as u64), buffer)?)
        })?;
        Ok((count, offset.saturating_add(count as u64)))
    }

    fn seek(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        _position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        // The host's own position counts, as others outside may share it.
        Ok(self.port.host().seek(self.port.fd(), offset, whence)?)
    }

    fn can_poll(&self) -> bool {
        // A host's /dev/null, as which standard input is often given, is like ours.
        let plain =
            matches!(self.port.file_type(), HostFileType::Regular | HostFileType::Directory);
        !plain && !matches!(self.port.rdev(), dev::NULL | dev::ZERO | dev::FULL)
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        self.port.poll()
    }

    fn poll_register(&self, _file: &OpenFile, interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.port) as Arc<dyn PollSource>);
        self.port.watch(interest);
    }

    fn ioctl(&self, caller: &Caller<'_>, _file: &OpenFile, request: u32, arg: u64) -> Result<u64> {
        match &self.console {
            Some(console) => ioctl::terminal(&self.port, console, caller, request, arg),
            None => Err(Errno::ENOTTY.into()),
        }
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        match &self.inode {
            Some(inode) => Ok(inode.attr(caller)?.to_stat()),
            None => {
                let mut stat = self.port.stat()?;
                if self.port.is_terminal() {
                    // The mode that a login gives; the host user's ids mean nothing here.
                    (stat.st_uid, stat.st_gid) = (caller.cred().uid, caller.cred().gid);
                }
                Ok(stat)
            }
        }
    }

    fn truncate(&self, _caller: &Caller<'_>, _file: &OpenFile, len: u64) -> Result<()> {
        if !self.is_regular() {
            return Err(Errno::EINVAL.into());
        }
        let change = lx_core::host::HostSetAttr { size: Some(len), ..Default::default() };
        Ok(self.port.host().set_attr(self.port.fd(), b"", &change)?)
    }

    fn sync(&self, _caller: &Caller<'_>, _file: &OpenFile, data_only: bool) -> Result<()> {
        if !self.is_regular() {
            return Err(Errno::EINVAL.into());
        }
        Ok(self.port.host().sync_file(self.port.fd(), data_only)?)
    }

    fn readable_bytes(&self) -> Result<usize> {
        self.port.readable_bytes()
    }
}

fn shorten(buffer: Buf<'_>, max: usize) -> Buf<'_> {
    match buffer {
        Buf::Kernel(bytes) => Buf::Kernel(bytes.get(..max).unwrap_or(bytes)),
        Buf::Guest { addr, len } => Buf::Guest { addr, len: len.min(max) },
    }
}

/// As `fstat(2)` shows a host file.
pub(crate) fn host_stat(port: &Port) -> Result<Stat> {
    use lx_core::abi::stat::FileType;
    let stat = port.host().stat(port.fd(), b"")?;
    let kind = guest_type(stat.file_type);
    let time = |time| {
        let (secs, nanos) = split_time(time);
        (secs, i64::from(nanos))
    };
    let (st_atime, st_atime_nsec) = time(stat.atime);
    let (st_mtime, st_mtime_nsec) = time(stat.mtime);
    let (st_ctime, st_ctime_nsec) = time(stat.ctime);
    Ok(Stat {
        st_dev: stat.dev,
        st_ino: stat.ino,
        st_nlink: u64::from(stat.nlink),
        st_mode: kind.mode_bits() | stat.mode,
        st_uid: stat.uid,
        st_gid: stat.gid,
        st_rdev: stat.rdev,
        st_size: stat.size.cast_signed(),
        st_blksize: if kind == FileType::CharDevice { 1024 } else { 4096 },
        st_blocks: stat.blocks.cast_signed(),
        st_atime,
        st_atime_nsec,
        st_mtime,
        st_mtime_nsec,
        st_ctime,
        st_ctime_nsec,
        ..Stat::default()
    })
}
