//! `ioctl(2)`: the requests that concern any descriptor; the rest is the file's.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::stat::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::error::SysError;
use lx_core::file::OpenFile;
use lx_core::rlimit::Resource;
use lx_proc::CurrentTask;
use lx_vfs::fs::devpts;
use lx_vfs::inode_flags;
use lx_vfs::location::Path;
use lx_vfs::tty::pty::Master;

/// `ioctl(2)`.
pub(crate) fn sys_ioctl(
    task: &CurrentTask<'_>,
    fd: Fd,
    request: IoctlCmd,
    arg: u64,
) -> Result<u64> {
    let file = task.files().get(fd)?;
    match request {
        IoctlCmd::FIOCLEX => task.files().set_cloexec(fd, true)?,
        IoctlCmd::FIONCLEX => task.files().set_cloexec(fd, false)?,
        IoctlCmd::FIONBIO => {
            let on: i32 = task.memory().read(UserPtr::new(arg))?;
            let flag = OpenFlags::O_NONBLOCK;
            file.set_flags(if on != 0 { flag } else { OpenFlags::empty() }, flag);
        }
        IoctlCmd::FIOASYNC => {
            let on: i32 = task.memory().read(UserPtr::new(arg))?;
            if (on != 0) != file.flags().contains(OpenFlags::O_ASYNC) {
                lx_core::unsupported::note("ioctl FIOASYNC", arg);
                return Err(Errno::ENOTTY.into());
            }
        }
        IoctlCmd::FIONREAD => {
            let count = match readable_bytes(task, &file) {
                Err(SysError::Errno(Errno::ENOTTY)) => {
                    return file.ops().ioctl(&task.caller(), &file, request.0, arg);
                }
                other => other?,
            };
            task.memory().write(UserPtr::new(arg), &count)?;
        }
        IoctlCmd::FIOQSIZE => {
            let stat = file.ops().stat(&task.caller(), &file)?;
            if !matches!(stat.st_mode & S_IFMT, S_IFREG | S_IFDIR | S_IFLNK) {
                return Err(Errno::ENOTTY.into());
            }
            task.memory().write(UserPtr::new(arg), &stat.st_size)?;
        }
        IoctlCmd::FS_IOC_GETFLAGS => {
            let flags = inode_flags::get(Path::of(&file).ok_or(Errno::ENOTTY)?)?;
            task.memory().write(UserPtr::new(arg), &flags.bits())?;
        }
        IoctlCmd::FS_IOC_SETFLAGS => {
            let path = Path::of(&file).ok_or(Errno::ENOTTY)?;
            let flags: u32 = task.memory().read(UserPtr::new(arg))?;
            inode_flags::set(&task.caller(), path, flags)?;
        }
        IoctlCmd::TIOCGPTPEER => return open_slave(task, &file, arg),
        _ => return file.ops().ioctl(&task.caller(), &file, request.0, arg),
    }
    Ok(0)
}

/// `TIOCGPTPEER`: a descriptor of the slave that belongs to a master, whatever name it has.
fn open_slave(task: &CurrentTask<'_>, file: &OpenFile, flags: u64) -> Result<u64> {
    let master = file.ops_as::<Master>().ok_or(Errno::ENOTTY)?;
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let ptmx = Path::of(file).ok_or(Errno::ENODEV)?;
    let path = devpts::slave_path(&task.caller(), ptmx, master.pty().number())?;
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let fd = task.files().reserve(0, limit, flags.contains(OpenFlags::O_CLOEXEC))?;
    let ops = Arc::clone(path.inode()).open(&task.caller(), &path, flags)?;
    let number = fd.number();
    fd.install(OpenFile::new(ops, flags, Some(Arc::new(path))));
    Ok(number.0 as u64)
}

/// `FIONREAD`: of a regular file, what is left of it.
fn readable_bytes(task: &CurrentTask<'_>, file: &OpenFile) -> Result<i32> {
    let count = if file.is_seekable() {
        let stat = file.ops().stat(&task.caller(), file)?;
        if stat.st_mode & S_IFMT != S_IFREG {
            return Err(Errno::ENOTTY.into());
        }
        stat.st_size.saturating_sub(file.position().cast_signed())
    } else {
        i64::try_from(file.ops().readable_bytes()?).unwrap_or(i64::MAX)
    };
    Ok(i32::try_from(count).unwrap_or(if count < 0 { i32::MIN } else { i32::MAX }))
}
