//! Filling a root file system in memory.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::SysError;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, ResolveFlags};
use lx_core::abi::stat::makedev;
use lx_core::caller::Caller;
use lx_core::control::{Entry, EntryKind, Piece};
use lx_core::cred::Credentials;
use lx_core::file::OpenFile;
use lx_core::host::Host;
use lx_core::io::IoSrc;
use lx_vfs::attr::{self, NewTime};
use lx_vfs::fs::tmpfs::TmpFs;
use lx_vfs::fs_context::FsContext;
use lx_vfs::inode::{NewKind, SetAttr};
use lx_vfs::location::Path;
use lx_vfs::mount::{MountFlags, MountTree};
use lx_vfs::open::OpenHow;
use lx_vfs::path::Lookup;

use crate::mounts::Boot;

/// A file system that is being filled.
pub(crate) struct Populate {
    boot: Boot,
    tmpfs: Arc<TmpFs>,
    fs: FsContext,
    /// The regular file that takes data, its path, and its time of modification.
    open: Option<(Arc<OpenFile>, Path, i64)>,
    /// Directories get their times at the end, as every file in them changes these.
    directories: Vec<(Path, i64)>,
}

impl Populate {
    /// An empty file system.
    pub(crate) fn new(host: &'static dyn Host) -> Self {
        let tmpfs = TmpFs::new(host, 0o755);
        let tree = MountTree::new(Arc::clone(&tmpfs) as _, "archive", MountFlags::empty());
        let fs = FsContext::new(tree);
        fs.set_umask(0);
        let boot = Boot::new(host, Credentials::new(0, 0, Vec::new()));
        Self { boot, tmpfs, fs, open: None, directories: Vec::new() }
    }

    /// Takes the next pieces.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn take(&mut self, pieces: &[Piece]) -> Result<(), String> {
        for piece in pieces {
            match piece {
                Piece::Entry(entry) => self.entry(entry).map_err(|error| {
                    let path = String::from_utf8_lossy(&entry.path);
                    explain(&format!("cannot make '{path}' of the root file system"), &error)
                })?,
                Piece::Data(bytes) => self.data(bytes).map_err(|error| {
                    explain("cannot fill a file of the root file system", &error)
                })?,
            }
        }
        Ok(())
    }

    /// The file system, when all is in it.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn finish(mut self) -> Result<Arc<TmpFs>, String> {
        let fail = |error| explain("cannot finish the root file system", &error);
        self.close().map_err(fail)?;
        let caller = self.boot.caller();
        for (path, mtime) in &self.directories {
            set_time(&caller, path, *mtime).map_err(fail)?;
        }
        Ok(self.tmpfs)
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), SysError> {
        self.close()?;
        let path = [b"/", entry.path.as_slice()].concat();
        if let Some(parent) = path.iter().rposition(|byte| *byte == b'/')
            && let Some(parent) = path.get(..parent)
        {
            self.make_directories(parent)?;
        }
        let made = match &entry.kind {
            EntryKind::HardLink { target } => return self.link(target, &path),
            EntryKind::Directory => {
                let made = self.directory(&path)?;
                self.directories.push((made.clone(), entry.mtime));
                made
            }
            EntryKind::Regular => self.regular(&path, entry.mtime)?,
            EntryKind::Symlink { target } => self.node(&path, NewKind::Symlink(target))?,
            EntryKind::CharDevice { major, minor } => {
                self.node(&path, NewKind::CharDevice(makedev(*major, *minor)))?
            }
            EntryKind::BlockDevice { major, minor } => {
                self.node(&path, NewKind::BlockDevice(makedev(*major, *minor)))?
            }
            EntryKind::Fifo => self.node(&path, NewKind::Fifo)?,
        };
        let caller = self.boot.caller();
        let is_link = matches!(entry.kind, EntryKind::Symlink { .. });
        let change = SetAttr {
            mode: (!is_link).then_some(entry.mode & 0o7777),
            uid: Some(entry.uid),
            gid: Some(entry.gid),
            now: caller.now(),
            ..SetAttr::default()
        };
        made.inode().set_attr(&caller, &change)?;
        set_time(&caller, &made, entry.mtime)
    }

    fn data(&self, bytes: &[u8]) -> Result<(), SysError> {
        let Some((file, _, _)) = &self.open else { return Err(Errno::EINVAL.into()) };
        let caller = self.boot.caller();
        let mut source = IoSrc::kernel(bytes);
        while source.remaining() > 0 {
            if file.write(&caller, &mut source)? == 0 {
                return Err(Errno::ENOSPC.into());
            }
        }
        Ok(())
    }

    /// Ends the file that took data.
    fn close(&mut self) -> Result<(), SysError> {
        match self.open.take() {
            Some((_, path, mtime)) => set_time(&self.boot.caller(), &path, mtime),
            None => Ok(()),
        }
    }

    /// Removes what has this name, unless it is a directory.
    fn clear(&self, path: &[u8]) -> Result<(), SysError> {
        match self.fs.unlink(&self.boot.caller(), None, path) {
            Err(error) if error.errno() != Errno::ENOENT => Err(error),
            _ => Ok(()),
        }
    }

    fn node(&self, path: &[u8], kind: NewKind<'_>) -> Result<Path, SysError> {
        self.clear(path)?;
        self.fs.create(&self.boot.caller(), None, path, kind, 0)
    }

    fn regular(&mut self, path: &[u8], mtime: i64) -> Result<Path, SysError> {
        self.clear(path)?;
        let flags = OpenFlags::O_CREAT | OpenFlags::O_EXCL | OpenFlags::O_WRONLY;
        let how = OpenHow::new(flags, 0o600, ResolveFlags::empty())?;
        let file = self.fs.open(&self.boot.caller(), None, path, &how)?;
        let made = self.fs.lookup(&self.boot.caller(), None, path, Lookup::empty())?;
        self.open = Some((file, made.clone(), mtime));
        Ok(made)
    }

    fn link(&self, target: &[u8], path: &[u8]) -> Result<(), SysError> {
        let caller = self.boot.caller();
        let target = [b"/", target].concat();
        let target = self.fs.lookup(&caller, None, &target, Lookup::empty())?;
        self.clear(path)?;
        self.fs.link(&caller, &target, None, path)
    }

    /// The directory at a path, which replaces a file; a link to a directory serves as one.
    fn directory(&self, path: &[u8]) -> Result<Path, SysError> {
        let caller = self.boot.caller();
        match self.fs.lookup(&caller, None, path, Lookup::FOLLOW) {
            Ok(found) if found.dentry.is_dir() => Ok(found),
            Ok(_) => self.node(path, NewKind::Directory),
            Err(error) if error.errno() == Errno::ENOENT => {
                self.clear(path)?;
                self.fs.create(&caller, None, path, NewKind::Directory, 0o755)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the directories of a path that are missing.
    fn make_directories(&self, path: &[u8]) -> Result<(), SysError> {
        let found = self.fs.lookup(&self.boot.caller(), None, path, Lookup::FOLLOW);
        if path.is_empty() || found.is_ok() {
            return Ok(());
        }
        let ends = path.iter().enumerate().filter(|(at, byte)| *at > 0 && **byte == b'/');
        for (end, _) in ends {
            self.directory(path.get(..end).unwrap_or_default())?;
        }
        self.directory(path).map(drop)
    }
}

fn set_time(caller: &Caller<'_>, path: &Path, mtime: i64) -> Result<(), SysError> {
    attr::set_times(caller, path, NewTime::At(mtime), NewTime::At(mtime))
}

fn explain(what: &str, error: &SysError) -> String {
    match error.errno() {
        Errno::ENOSPC | Errno::ENOMEM => format!("{what}: it does not fit into memory"),
        errno => format!("{what}: {}", errno.text()),
    }
}
