//! Host files, by calls relative to directory descriptors. Links are never followed.

use alloc::vec;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{
    Buf, BufMut, HostDirEntry, HostError, HostFd, HostFileType, HostMetadata, HostOpen, HostResult,
    HostSetAttr, HostStat, HostStatFs, HostStorage, HostTime,
};

use crate::memory::in_guest;
use crate::path::{Path, descriptor_path};
use crate::sys::{self, SysResult, sys};
use crate::{LinuxHost, host, metadata};

const AT_FDCWD: isize = -100;
const AT_SYMLINK_NOFOLLOW: usize = 0x100;
const AT_REMOVEDIR: usize = 0x200;
const AT_EMPTY_PATH: usize = 0x1000;
const O_WRONLY: usize = 0o1;
const O_RDWR: usize = 0o2;
const O_CREAT: usize = 0o100;
const O_EXCL: usize = 0o200;
const O_NOCTTY: usize = 0o400;
const O_APPEND: usize = 0o2000;
const O_NONBLOCK: usize = 0o4000;
const O_DIRECTORY: usize = 0o200000;
const O_NOFOLLOW: usize = 0o400000;
const O_CLOEXEC: usize = 0o2000000;
const O_PATH: usize = 0o10000000;

fn host_error<T>(result: Result<T, Errno>) -> HostResult<T> {
    result.map_err(HostError)
}

fn new_fd(result: SysResult) -> HostResult<HostFd> {
    result.map(|fd| HostFd::from_raw(fd as u64, host())).map_err(HostError)
}

/// Makes a call again when a host signal came in between.
fn restarting(mut call: impl FnMut() -> SysResult) -> SysResult {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

fn guest_buffer(addr: u64, len: usize) -> HostResult<(u64, usize)> {
    if in_guest(addr, len) { Ok((addr, len)) } else { Err(HostError(Errno::EFAULT)) }
}

pub(crate) fn target(dst: BufMut<'_>) -> HostResult<(u64, usize)> {
    match dst {
        BufMut::Kernel(bytes) => Ok((bytes.as_mut_ptr() as u64, bytes.len())),
        BufMut::Guest { addr, len } => guest_buffer(addr, len),
    }
}

pub(crate) fn source(src: Buf<'_>) -> HostResult<(u64, usize)> {
    match src {
        Buf::Kernel(bytes) => Ok((bytes.as_ptr() as u64, bytes.len())),
        Buf::Guest { addr, len } => guest_buffer(addr, len),
    }
}

fn file_type(mode: u32) -> HostFileType {
    match mode & 0o170000 {
        0o040000 => HostFileType::Directory,
        0o120000 => HostFileType::Symlink,
        0o020000 => HostFileType::CharDevice,
        0o060000 => HostFileType::BlockDevice,
        0o010000 => HostFileType::Fifo,
        0o140000 => HostFileType::Socket,
        _ => HostFileType::Regular,
    }
}

fn entry_type(kind: u8) -> Option<HostFileType> {
    // DT_* are the type bits of the mode.
    (kind != 0).then(|| file_type(u32::from(kind) << 12))
}

fn host_time(seconds: u64, nanos: u64) -> HostTime {
    (seconds as i64).saturating_mul(1_000_000_000).saturating_add(nanos as i64)
}

fn timespec(time: Option<HostTime>) -> sys::__kernel_timespec {
    const OMIT: i64 = (1 << 30) - 2;
    match time {
        None => sys::__kernel_timespec { tv_sec: 0, tv_nsec: OMIT },
        Some(time) => sys::__kernel_timespec {
            tv_sec: time.div_euclid(1_000_000_000),
            tv_nsec: time.rem_euclid(1_000_000_000),
        },
    }
}

/// One transfer that does not wait: streams are asked for readiness first, but somebody else may
/// have been faster.
fn without_waiting(
    number: u32,
    plain: u32,
    fd: &HostFd,
    addr: u64,
    len: usize,
) -> HostResult<usize> {
    const NOWAIT: usize = 8;
    let iov = [addr as usize, len];
    // SAFETY: the buffer is the guest's, or a slice of the caller's.
    let result = restarting(|| unsafe {
        sys!(number, fd.raw(), iov.as_ptr(), 1usize, -1isize, -1isize, NOWAIT)
    });
    host_error(match result {
        // Some files cannot promise not to wait.
        Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => {
            // SAFETY: as above.
            unsafe { sys!(plain, fd.raw(), addr, len) }
        }
        result => result,
    })
}

impl HostStorage for LinuxHost {
    fn open_root(&self, path: &[u8]) -> HostResult<HostFd> {
        let path = Path::new(path)?;
        let flags = O_PATH | O_CLOEXEC;
        // SAFETY: the kernel reads the path.
        new_fd(unsafe { sys!(sys::__NR_openat, AT_FDCWD, path.as_ptr(), flags) })
    }

    fn close(&self, raw: u64) {
        sys::close(raw as i32);
    }

    fn stat(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostStat> {
        let path = Path::new(name)?;
        // SAFETY: all zeros is a value of the plain structure.
        let mut stat: sys::stat = unsafe { core::mem::zeroed() };
        let flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
        // SAFETY: the kernel reads the path and fills the structure.
        host_error(unsafe {
            sys!(sys::__NR_newfstatat, dir.raw(), path.as_ptr(), &raw mut stat, flags)
        })?;
        Ok(HostStat {
            file_type: file_type(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            dev: stat.st_dev,
            ino: stat.st_ino,
            nlink: stat.st_nlink as u32,
            rdev: stat.st_rdev,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            atime: host_time(stat.st_atime, stat.st_atime_nsec),
            mtime: host_time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: host_time(stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    fn open(&self, dir: &HostFd, name: &[u8], how: HostOpen) -> HostResult<HostFd> {
        let mut flags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
        flags |= match (how.read, how.write) {
            (false, false) => O_PATH,
            (true, false) => 0,
            (false, true) => O_WRONLY,
            (true, true) => O_RDWR,
        };
        if how.append {
            flags |= O_APPEND;
        }
        if how.directory {
            flags |= O_DIRECTORY;
        } else if how.read || how.write {
            // A FIFO without a partner must not hold the thread.
            flags |= O_NONBLOCK;
        }
        if how.create.is_some() {
            flags |= O_CREAT | O_EXCL;
        }
        let mode = how.create.unwrap_or(0);
        let path = match (name.is_empty(), how.directory) {
            (false, _) => Path::new(name)?,
            (true, true) => Path::new(b".")?,
            (true, false) => {
                flags &= !O_NOFOLLOW;
                descriptor_path(dir.raw())
            }
        };
        // SAFETY: the kernel reads the path.
        new_fd(restarting(|| unsafe {
            sys!(sys::__NR_openat, dir.raw(), path.as_ptr(), flags, mode)
        }))
    }

    fn read_at(&self, fd: &HostFd, offset: u64, dst: BufMut<'_>) -> HostResult<usize> {
        let (addr, len) = target(dst)?;
        // SAFETY: the buffer is the guest's, or a slice of the caller's.
        host_error(restarting(|| unsafe { sys!(sys::__NR_pread64, fd.raw(), addr, len, offset) }))
    }

    fn write_at(&self, fd: &HostFd, offset: u64, src: Buf<'_>) -> HostResult<usize> {
        let (addr, len) = source(src)?;
        // SAFETY: as above.
        host_error(restarting(|| unsafe { sys!(sys::__NR_pwrite64, fd.raw(), addr, len, offset) }))
    }

    fn read(&self, fd: &HostFd, dst: BufMut<'_>) -> HostResult<usize> {
        let (addr, len) = target(dst)?;
        without_waiting(sys::__NR_preadv2, sys::__NR_read, fd, addr, len)
    }

    fn write(&self, fd: &HostFd, src: Buf<'_>) -> HostResult<usize> {
        let (addr, len) = source(src)?;
        without_waiting(sys::__NR_pwritev2, sys::__NR_write, fd, addr, len)
    }

    fn seek(&self, fd: &HostFd, offset: i64, whence: u32) -> HostResult<u64> {
        // SAFETY: touches no memory.
        let position = unsafe { sys!(sys::__NR_lseek, fd.raw(), offset, whence) };
        host_error(position.map(|position| position as u64))
    }

    fn read_dir(&self, dir: &HostFd) -> HostResult<Vec<HostDirEntry>> {
        // A descriptor of its own: positions are shared otherwise.
        let how = HostOpen { read: true, directory: true, ..HostOpen::default() };
        let own = self.open(dir, b"", how)?;
        let mut entries = Vec::new();
        let mut buffer = vec![0u8; 32 * 1024];
        loop {
            // SAFETY: the kernel writes the buffer.
            let len = host_error(unsafe {
                sys!(sys::__NR_getdents64, own.raw(), buffer.as_mut_ptr(), buffer.len())
            })?;
            if len == 0 {
                return Ok(entries);
            }
            parse_entries(buffer.get(..len).unwrap_or_default(), &mut entries);
        }
    }

    fn read_link(&self, dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
        let path = Path::new(name)?;
        let mut bytes = vec![0u8; 4096];
        // SAFETY: the kernel reads the path and writes the buffer.
        let len = host_error(unsafe {
            sys!(sys::__NR_readlinkat, dir.raw(), path.as_ptr(), bytes.as_mut_ptr(), bytes.len())
        })?;
        bytes.truncate(len);
        Ok(bytes)
    }

    fn make_dir(&self, dir: &HostFd, name: &[u8], mode: u32) -> HostResult<()> {
        let path = Path::new(name)?;
        // SAFETY: the kernel reads the path.
        let result = unsafe { sys!(sys::__NR_mkdirat, dir.raw(), path.as_ptr(), mode) };
        host_error(result.map(drop))
    }

    fn make_node(&self, dir: &HostFd, name: &[u8], mode: u32, rdev: u64) -> HostResult<()> {
        let path = Path::new(name)?;
        // SAFETY: the kernel reads the path.
        let result = unsafe { sys!(sys::__NR_mknodat, dir.raw(), path.as_ptr(), mode, rdev) };
        host_error(result.map(drop))
    }

    fn make_symlink(&self, dir: &HostFd, name: &[u8], target: &[u8]) -> HostResult<()> {
        let (path, target) = (Path::new(name)?, Path::new(target)?);
        // SAFETY: the kernel reads both.
        let result =
            unsafe { sys!(sys::__NR_symlinkat, target.as_ptr(), dir.raw(), path.as_ptr()) };
        host_error(result.map(drop))
    }

    fn make_link(
        &self,
        from_dir: &HostFd,
        from: &[u8],
        dir: &HostFd,
        name: &[u8],
    ) -> HostResult<()> {
        let (from, path) = (Path::new(from)?, Path::new(name)?);
        // SAFETY: the kernel reads both.
        let result = unsafe {
            sys!(sys::__NR_linkat, from_dir.raw(), from.as_ptr(), dir.raw(), path.as_ptr(), 0usize)
        };
        host_error(result.map(drop))
    }

    fn remove(&self, dir: &HostFd, name: &[u8], directory: bool) -> HostResult<()> {
        let path = Path::new(name)?;
        let flags = if directory { AT_REMOVEDIR } else { 0 };
        // SAFETY: the kernel reads the path.
        let result = unsafe { sys!(sys::__NR_unlinkat, dir.raw(), path.as_ptr(), flags) };
        host_error(result.map(drop))
    }

    fn rename(
        &self,
        from_dir: &HostFd,
        from: &[u8],
        to_dir: &HostFd,
        to: &[u8],
        flags: u32,
    ) -> HostResult<()> {
        let (from, to) = (Path::new(from)?, Path::new(to)?);
        // SAFETY: the kernel reads both.
        let result = unsafe {
            sys!(
                sys::__NR_renameat2,
                from_dir.raw(),
                from.as_ptr(),
                to_dir.raw(),
                to.as_ptr(),
                flags
            )
        };
        host_error(result.map(drop))
    }

    fn set_attr(&self, dir: &HostFd, name: &[u8], change: &HostSetAttr) -> HostResult<()> {
        let path = Path::new(name)?;
        if change.uid.is_some() || change.gid.is_some() {
            let uid = change.uid.unwrap_or(u32::MAX);
            let gid = change.gid.unwrap_or(u32::MAX);
            let flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
            // SAFETY: the kernel reads the path.
            host_error(unsafe {
                sys!(sys::__NR_fchownat, dir.raw(), path.as_ptr(), uid, gid, flags)
            })?;
        }
        if let Some(mode) = change.mode {
            let path = if name.is_empty() { descriptor_path(dir.raw()) } else { Path::new(name)? };
            // SAFETY: the kernel reads the path.
            host_error(unsafe { sys!(sys::__NR_fchmodat, dir.raw(), path.as_ptr(), mode) })?;
        }
        if let Some(size) = change.size {
            let how = HostOpen { write: true, ..HostOpen::default() };
            let file = self.open(dir, name, how)?;
            // SAFETY: touches no memory.
            host_error(unsafe { sys!(sys::__NR_ftruncate, file.raw(), size) })?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let times = [timespec(change.atime), timespec(change.mtime)];
            let flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
            // SAFETY: the kernel reads path and times.
            host_error(unsafe {
                sys!(sys::__NR_utimensat, dir.raw(), path.as_ptr(), times.as_ptr(), flags)
            })?;
        }
        Ok(())
    }

    fn sync_file(&self, fd: &HostFd, data_only: bool) -> HostResult<()> {
        let number = if data_only { sys::__NR_fdatasync } else { sys::__NR_fsync };
        // SAFETY: touches no memory.
        host_error(unsafe { sys!(number, fd.raw()) }.map(drop))
    }

    fn stat_fs(&self, fd: &HostFd) -> HostResult<HostStatFs> {
        // SAFETY: all zeros is a value of the plain structure.
        let mut stat: sys::statfs = unsafe { core::mem::zeroed() };
        // SAFETY: the kernel fills the structure.
        host_error(unsafe { sys!(sys::__NR_fstatfs, fd.raw(), &raw mut stat) })?;
        Ok(HostStatFs {
            block_size: stat.f_bsize as u64,
            blocks: stat.f_blocks as u64,
            free: stat.f_bfree as u64,
            available: stat.f_bavail as u64,
            files: stat.f_files as u64,
            files_free: stat.f_ffree as u64,
        })
    }

    fn metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
        metadata::of_file(dir, name)
    }

    fn set_metadata(&self, dir: &HostFd, name: &[u8], values: &HostMetadata) -> HostResult<()> {
        metadata::keep(dir, name, values)
    }

    fn forget_metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<()> {
        metadata::forget_file(dir, name)
    }

    fn link_metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
        metadata::of_link(dir, name)
    }

    fn set_link_metadata(
        &self,
        dir: &HostFd,
        name: &[u8],
        values: &HostMetadata,
    ) -> HostResult<()> {
        metadata::keep_link(dir, name, values)
    }

    fn forget_link_metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<()> {
        metadata::forget_link(dir, name)
    }

    fn keeps_owners(&self) -> bool {
        // SAFETY: touches no memory.
        unsafe { sys!(sys::__NR_geteuid) }.is_ok_and(|user| user != 0)
    }

    fn get_xattr(&self, dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<Vec<u8>> {
        metadata::get(dir, name, attribute)
    }

    fn set_xattr(
        &self,
        dir: &HostFd,
        name: &[u8],
        attribute: &[u8],
        value: &[u8],
        flags: u32,
    ) -> HostResult<()> {
        metadata::set(dir, name, attribute, value, flags)
    }

    fn list_xattr(&self, dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
        metadata::list(dir, name)
    }

    fn remove_xattr(&self, dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<()> {
        metadata::remove(dir, name, attribute)
    }

    fn allocate(&self, fd: &HostFd, mode: u32, offset: u64, len: u64) -> HostResult<()> {
        // SAFETY: touches no memory.
        let result =
            restarting(|| unsafe { sys!(sys::__NR_fallocate, fd.raw(), mode, offset, len) });
        host_error(result.map(drop))
    }
}

/// Takes the entries out of a buffer of `getdents64(2)`.
fn parse_entries(mut bytes: &[u8], entries: &mut Vec<HostDirEntry>) {
    const NAME: usize = 19;
    while let (Some(ino), Some(len), Some(&kind)) = (
        bytes.first_chunk::<8>(),
        bytes.get(16..18).and_then(|len| len.first_chunk::<2>()),
        bytes.get(18),
    ) {
        let len = usize::from(u16::from_le_bytes(*len));
        let name = bytes.get(NAME..len).unwrap_or_default();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if !name.is_empty() && name != b"." && name != b".." {
            entries.push(HostDirEntry {
                name: name.to_vec(),
                ino: u64::from_le_bytes(*ino),
                file_type: entry_type(kind),
            });
        }
        if len < NAME {
            return;
        }
        bytes = bytes.get(len..).unwrap_or_default();
    }
}
