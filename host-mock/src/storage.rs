//! Scripted storage: a tree of files in memory that plays the host's disk.

use std::collections::BTreeMap;

use lx_core::abi::Errno;
use lx_core::host::{
    Buf, BufMut, HostDirEntry, HostError, HostFd, HostFileType, HostMemory, HostMetadata, HostOpen,
    HostResult, HostSetAttr, HostStat, HostStatFs, HostStorage,
};

use crate::faults::HostCall;
use crate::memory::efault;
use crate::{EPOCH, MockHost, World};

/// What a test puts on the disk.
#[derive(Clone, Debug)]
pub enum MockNode {
    /// A directory.
    Directory,
    /// A regular file with these contents and permission bits.
    File(Vec<u8>, u32),
    /// A symbolic link.
    Symlink(String),
}

struct Inode {
    file_type: HostFileType,
    mode: u32,
    uid: u32,
    gid: u32,
    rdev: u64,
    nlink: u32,
    mtime: i64,
    data: Vec<u8>,
    children: BTreeMap<Vec<u8>, u64>,
    metadata: HostMetadata,
}

/// The disk and the open descriptors.
pub(crate) struct Storage {
    inodes: BTreeMap<u64, Inode>,
    open: BTreeMap<u64, (u64, u64)>,
    next_ino: u64,
    next_fd: u64,
    /// As a disk of Windows: the case of names does not matter, and metadata can be stored.
    pub(crate) is_drive: bool,
}

const ROOT: u64 = 1;

impl Default for Storage {
    fn default() -> Self {
        let mut storage = Self {
            inodes: BTreeMap::new(),
            open: BTreeMap::new(),
            next_ino: ROOT,
            next_fd: 3,
            is_drive: false,
        };
        storage.make(HostFileType::Directory, 0o755);
        storage
    }
}

fn error<T>(errno: Errno) -> HostResult<T> {
    Err(HostError(errno))
}

impl Storage {
    fn make(&mut self, file_type: HostFileType, mode: u32) -> u64 {
        let ino = self.next_ino;
        self.next_ino += 1;
        self.inodes.insert(
            ino,
            Inode {
                file_type,
                mode,
                uid: 0,
                gid: 0,
                rdev: 0,
                nlink: 1,
                mtime: EPOCH.cast_signed(),
                data: Vec::new(),
                children: BTreeMap::new(),
                metadata: HostMetadata::default(),
            },
        );
        ino
    }

    /// Puts a node at an absolute path.
    pub(crate) fn add(&mut self, path: &str, node: MockNode) {
        let mut names: Vec<&[u8]> =
            path.split('/').filter(|name| !name.is_empty()).map(str::as_bytes).collect();
        let last = names.pop().expect("a path below the root");
        let mut dir = ROOT;
        for name in names {
            dir = match self.child(dir, name) {
                Ok(ino) => ino,
                Err(_) => self.link_new(dir, name, HostFileType::Directory, 0o755),
            };
        }
        match node {
            MockNode::Directory => {
                self.link_new(dir, last, HostFileType::Directory, 0o755);
            }
            MockNode::File(data, mode) => {
                let ino = self.link_new(dir, last, HostFileType::Regular, mode);
                self.inode(ino).expect("just made").data = data;
            }
            MockNode::Symlink(target) => {
                let ino = self.link_new(dir, last, HostFileType::Symlink, 0o777);
                self.inode(ino).expect("just made").data = target.into_bytes();
            }
        }
    }

    fn link_new(&mut self, dir: u64, name: &[u8], file_type: HostFileType, mode: u32) -> u64 {
        let ino = self.make(file_type, mode);
        if let Ok(dir) = self.inode(dir) {
            dir.children.insert(name.to_vec(), ino);
        }
        ino
    }

    /// A descriptor of a new stream.
    pub(crate) fn stream(&mut self, bytes: Vec<u8>) -> u64 {
        let ino = self.make(HostFileType::Fifo, 0o600);
        if let Ok(inode) = self.inode(ino) {
            inode.data = bytes;
        }
        self.new_fd(ino)
    }

    fn inode(&mut self, ino: u64) -> HostResult<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or(HostError(Errno::EIO))
    }

    fn child(&mut self, dir: u64, name: &[u8]) -> HostResult<u64> {
        if name.is_empty() {
            return Ok(dir);
        }
        let name = self.spelling(dir, name);
        let dir = self.inode(dir)?;
        if dir.file_type != HostFileType::Directory {
            return error(Errno::ENOTDIR);
        }
        dir.children.get(&name).copied().ok_or(HostError(Errno::ENOENT))
    }

    /// The name as it is in the directory, if it is there.
    fn spelling(&mut self, dir: u64, name: &[u8]) -> Vec<u8> {
        let is_drive = self.is_drive;
        let names = self.inode(dir).into_iter().flat_map(|dir| dir.children.keys());
        let found = names.into_iter().find(|other| is_drive && other.eq_ignore_ascii_case(name));
        found.map_or_else(|| name.to_vec(), Clone::clone)
    }

    fn fd(&self, fd: &HostFd) -> HostResult<u64> {
        self.open.get(&fd.raw()).map(|(ino, _)| *ino).ok_or(HostError(Errno::EBADF))
    }

    fn new_fd(&mut self, ino: u64) -> u64 {
        let fd = self.next_fd;
        self.next_fd += 1;
        self.open.insert(fd, (ino, 0));
        fd
    }

    fn stat(&mut self, ino: u64) -> HostResult<HostStat> {
        let inode = self.inode(ino)?;
        Ok(HostStat {
            file_type: inode.file_type,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            dev: 1,
            ino,
            nlink: inode.nlink,
            rdev: inode.rdev,
            size: inode.data.len() as u64,
            blocks: (inode.data.len() as u64).div_ceil(512),
            atime: inode.mtime,
            mtime: inode.mtime,
            ctime: inode.mtime,
        })
    }

    /// Adds a name that must be new.
    fn create(
        &mut self,
        dir: u64,
        name: &[u8],
        file_type: HostFileType,
        mode: u32,
    ) -> HostResult<u64> {
        match self.child(dir, name) {
            Ok(_) => error(Errno::EEXIST),
            Err(HostError(Errno::ENOENT)) => Ok(self.link_new(dir, name, file_type, mode)),
            Err(other) => Err(other),
        }
    }
}

impl MockHost {
    /// Checks the fault plan and runs `action` on the storage.
    fn disk<R>(
        &self,
        call: HostCall,
        action: impl FnOnce(&mut Storage) -> HostResult<R>,
    ) -> HostResult<R> {
        let mut world = self.world();
        world.faults.check(call)?;
        action(&mut world.storage)
    }

    fn wrap(&self, raw: u64) -> HostFd {
        HostFd::from_raw(raw, self.me().host)
    }

    /// Copies file bytes out, wherever they go.
    fn deliver(&self, bytes: &[u8], dst: BufMut<'_>) -> HostResult<usize> {
        match dst {
            BufMut::Kernel(buffer) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                Ok(count)
            }
            BufMut::Guest { addr, len } => {
                let bytes = &bytes[..bytes.len().min(len)];
                match self.copy_out_partial(addr, bytes) {
                    0 if !bytes.is_empty() => Err(efault()),
                    count => Ok(count),
                }
            }
        }
    }

    fn collect(&self, src: Buf<'_>) -> HostResult<Vec<u8>> {
        match src {
            Buf::Kernel(bytes) => Ok(bytes.to_vec()),
            Buf::Guest { addr, len } => {
                let mut bytes = vec![0; len];
                let count = self.copy_in_partial(addr, &mut bytes);
                bytes.truncate(count);
                if count == 0 && len > 0 { Err(efault()) } else { Ok(bytes) }
            }
        }
    }
}

impl World {
    fn position(&mut self, fd: &HostFd) -> HostResult<&mut (u64, u64)> {
        self.storage.open.get_mut(&fd.raw()).ok_or(HostError(Errno::EBADF))
    }
}

impl HostStorage for MockHost {
    fn open_root(&self, path: &[u8]) -> HostResult<HostFd> {
        let raw = self.disk(HostCall::Open, |disk| {
            let mut ino = ROOT;
            for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
                ino = disk.child(ino, name)?;
            }
            Ok(disk.new_fd(ino))
        })?;
        Ok(self.wrap(raw))
    }

    fn close(&self, raw: u64) {
        self.world().storage.open.remove(&raw);
    }

    fn stat(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostStat> {
        self.disk(HostCall::Stat, |disk| {
            let dir = disk.fd(dir)?;
            let ino = disk.child(dir, name)?;
            disk.stat(ino)
        })
    }

    fn open(&self, dir: &HostFd, name: &[u8], how: HostOpen) -> HostResult<HostFd> {
        let raw = self.disk(HostCall::Open, |disk| {
            let dir = disk.fd(dir)?;
            let ino = match how.create {
                Some(mode) => disk.create(dir, name, HostFileType::Regular, mode)?,
                None => disk.child(dir, name)?,
            };
            let file_type = disk.inode(ino)?.file_type;
            match file_type {
                HostFileType::Symlink => error(Errno::ELOOP),
                HostFileType::Directory if how.write => error(Errno::EISDIR),
                other if how.directory && other != HostFileType::Directory => error(Errno::ENOTDIR),
                _ => Ok(disk.new_fd(ino)),
            }
        })?;
        Ok(self.wrap(raw))
    }

    fn read_at(&self, fd: &HostFd, offset: u64, dst: BufMut<'_>) -> HostResult<usize> {
        let bytes = self.disk(HostCall::Read, |disk| {
            let ino = disk.fd(fd)?;
            let inode = disk.inode(ino)?;
            Ok(inode.data.get(offset as usize..).unwrap_or_default().to_vec())
        })?;
        self.deliver(&bytes, dst)
    }

    fn write_at(&self, fd: &HostFd, offset: u64, src: Buf<'_>) -> HostResult<usize> {
        let bytes = self.collect(src)?;
        self.disk(HostCall::Write, |disk| {
            let ino = disk.fd(fd)?;
            let inode = disk.inode(ino)?;
            let end = offset as usize + bytes.len();
            if inode.data.len() < end {
                inode.data.resize(end, 0);
            }
            inode.data[offset as usize..end].copy_from_slice(&bytes);
            Ok(bytes.len())
        })
    }

    fn read(&self, fd: &HostFd, dst: BufMut<'_>) -> HostResult<usize> {
        let offset = self.world().position(fd)?.1;
        let count = self.read_at(fd, offset, dst)?;
        self.world().position(fd)?.1 += count as u64;
        Ok(count)
    }

    fn write(&self, fd: &HostFd, src: Buf<'_>) -> HostResult<usize> {
        let offset = self.world().position(fd)?.1;
        let count = self.write_at(fd, offset, src)?;
        self.world().position(fd)?.1 += count as u64;
        Ok(count)
    }

    fn seek(&self, fd: &HostFd, offset: i64, whence: u32) -> HostResult<u64> {
        let mut world = self.world();
        let ino = world.storage.fd(fd)?;
        let size = world.storage.inode(ino)?.data.len() as u64;
        let position = world.position(fd)?;
        let new = lx_core::file::seek_in(position.1, size, offset, whence)
            .map_err(|error| HostError(error.errno()))?;
        position.1 = new;
        Ok(new)
    }

    fn read_dir(&self, dir: &HostFd) -> HostResult<Vec<HostDirEntry>> {
        self.disk(HostCall::ReadDir, |disk| {
            let dir = disk.fd(dir)?;
            let children = disk.inode(dir)?.children.clone();
            children
                .into_iter()
                .map(|(name, ino)| {
                    let file_type = Some(disk.inode(ino)?.file_type);
                    Ok(HostDirEntry { name, ino, file_type })
                })
                .collect()
        })
    }

    fn read_link(&self, dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
        self.disk(HostCall::Stat, |disk| {
            let dir = disk.fd(dir)?;
            let ino = disk.child(dir, name)?;
            let inode = disk.inode(ino)?;
            if inode.file_type == HostFileType::Symlink {
                Ok(inode.data.clone())
            } else {
                error(Errno::EINVAL)
            }
        })
    }

    fn make_dir(&self, dir: &HostFd, name: &[u8], mode: u32) -> HostResult<()> {
        self.disk(HostCall::Modify, |disk| {
            let dir = disk.fd(dir)?;
            disk.create(dir, name, HostFileType::Directory, mode).map(drop)
        })
    }

    fn make_node(&self, dir: &HostFd, name: &[u8], mode: u32, rdev: u64) -> HostResult<()> {
        let file_type = match mode & 0o170_000 {
            0o010_000 => HostFileType::Fifo,
            0o020_000 => HostFileType::CharDevice,
            0o060_000 => HostFileType::BlockDevice,
            0o140_000 => HostFileType::Socket,
            0o100_000 | 0 => HostFileType::Regular,
            _ => return error(Errno::EINVAL),
        };
        self.disk(HostCall::Modify, |disk| {
            let dir = disk.fd(dir)?;
            let ino = disk.create(dir, name, file_type, mode & 0o7777)?;
            disk.inode(ino)?.rdev = rdev;
            Ok(())
        })
    }

    fn make_symlink(&self, dir: &HostFd, name: &[u8], target: &[u8]) -> HostResult<()> {
        self.disk(HostCall::Modify, |disk| {
            let dir = disk.fd(dir)?;
            let ino = disk.create(dir, name, HostFileType::Symlink, 0o777)?;
            disk.inode(ino)?.data = target.to_vec();
            Ok(())
        })
    }

    fn make_link(
        &self,
        from_dir: &HostFd,
        from: &[u8],
        dir: &HostFd,
        name: &[u8],
    ) -> HostResult<()> {
        self.disk(HostCall::Modify, |disk| {
            let from_dir = disk.fd(from_dir)?;
            let ino = disk.child(from_dir, from)?;
            let dir = disk.fd(dir)?;
            if disk.child(dir, name).is_ok() {
                return error(Errno::EEXIST);
            }
            disk.inode(ino)?.nlink += 1;
            disk.inode(dir)?.children.insert(name.to_vec(), ino);
            Ok(())
        })
    }

    fn remove(&self, dir: &HostFd, name: &[u8], directory: bool) -> HostResult<()> {
        self.disk(HostCall::Modify, |disk| {
            let dir = disk.fd(dir)?;
            let ino = disk.child(dir, name)?;
            let inode = disk.inode(ino)?;
            match (inode.file_type == HostFileType::Directory, directory) {
                (true, false) => return error(Errno::EISDIR),
                (false, true) => return error(Errno::ENOTDIR),
                (true, true) if !inode.children.is_empty() => return error(Errno::ENOTEMPTY),
                _ => inode.nlink = inode.nlink.saturating_sub(1),
            }
            let name = disk.spelling(dir, name);
            disk.inode(dir)?.children.remove(&name);
            Ok(())
        })
    }

    fn rename(
        &self,
        from_dir: &HostFd,
        from: &[u8],
        to_dir: &HostFd,
        to: &[u8],
        flags: u32,
    ) -> HostResult<()> {
        const NOREPLACE: u32 = 1;
        self.disk(HostCall::Modify, |disk| {
            let (from_dir, to_dir) = (disk.fd(from_dir)?, disk.fd(to_dir)?);
            let ino = disk.child(from_dir, from)?;
            if flags & !NOREPLACE != 0 {
                return error(Errno::EINVAL);
            }
            if flags & NOREPLACE != 0 && disk.child(to_dir, to).is_ok() {
                return error(Errno::EEXIST);
            }
            let (from, old) = (disk.spelling(from_dir, from), disk.spelling(to_dir, to));
            disk.inode(from_dir)?.children.remove(&from);
            disk.inode(to_dir)?.children.remove(&old);
            disk.inode(to_dir)?.children.insert(to.to_vec(), ino);
            Ok(())
        })
    }

    fn set_attr(&self, dir: &HostFd, name: &[u8], change: &HostSetAttr) -> HostResult<()> {
        self.disk(HostCall::Modify, |disk| {
            let dir = disk.fd(dir)?;
            let ino = disk.child(dir, name)?;
            let inode = disk.inode(ino)?;
            inode.mode = change.mode.unwrap_or(inode.mode);
            inode.uid = change.uid.unwrap_or(inode.uid);
            inode.gid = change.gid.unwrap_or(inode.gid);
            inode.mtime = change.mtime.unwrap_or(inode.mtime);
            if let Some(size) = change.size {
                inode.data.resize(size as usize, 0);
            }
            Ok(())
        })
    }

    fn sync_file(&self, _fd: &HostFd, _data_only: bool) -> HostResult<()> {
        Ok(())
    }

    fn stat_fs(&self, _fd: &HostFd) -> HostResult<HostStatFs> {
        Ok(HostStatFs { block_size: 4096, blocks: 1 << 20, free: 1 << 19, ..HostStatFs::default() })
    }

    fn metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
        self.disk(HostCall::Stat, |disk| {
            let dir = disk.fd(dir)?;
            let ino = disk.child(dir, name)?;
            Ok(disk.inode(ino)?.metadata)
        })
    }

    fn set_metadata(&self, dir: &HostFd, name: &[u8], values: &HostMetadata) -> HostResult<()> {
        self.disk(HostCall::Modify, |disk| {
            if !disk.is_drive {
                return error(Errno::EOPNOTSUPP);
            }
            let dir = disk.fd(dir)?;
            let ino = disk.child(dir, name)?;
            let old = &mut disk.inode(ino)?.metadata;
            old.uid = values.uid.or(old.uid);
            old.gid = values.gid.or(old.gid);
            old.mode = values.mode.or(old.mode);
            old.rdev = values.rdev.or(old.rdev);
            Ok(())
        })
    }
}
