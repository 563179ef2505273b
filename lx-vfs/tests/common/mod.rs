//! A file tree over the scripted host, and shorthands for what tests do with it.
#![allow(dead_code, unreachable_pub, reason = "no test file uses all of it")]

use std::sync::Arc;

use host_mock::{MockHost, MockNode};
use lx_core::abi::fcntl::{OpenFlags, RenameFlags, ResolveFlags};
use lx_core::cred::Credentials;
use lx_core::file::{DirList, OpenFile};
use lx_core::host::HostStorage;
use lx_core::io::{IoDst, IoSrc};
use lx_core::rlimit::Rlimits;
use lx_core::sync::Waiter;
use lx_core::{Caller, Result};
use lx_vfs::fs::drvfs::{self, DriveOptions};
use lx_vfs::fs::hostfs::{HostFs, Trust};
use lx_vfs::fs::overlay::OverlayFs;
use lx_vfs::fs::tmpfs::TmpFs;
use lx_vfs::fs_context::FsContext;
use lx_vfs::inode::{Attr, FileSystem, NewKind};
use lx_vfs::mount::{MountFlags, MountTree};
use lx_vfs::open::OpenHow;
use lx_vfs::path::Lookup;

/// One task and its file tree.
pub struct World {
    pub host: &'static MockHost,
    pub fs: FsContext,
    pub cred: Credentials,
    waiter: Arc<Waiter>,
    rlimits: Rlimits,
}

impl World {
    fn with_root(host: &'static MockHost, root: Arc<dyn FileSystem>) -> Self {
        let mounts = MountTree::new(root, "root", MountFlags::empty());
        Self {
            host,
            fs: FsContext::new(mounts),
            cred: Credentials::new(0, 0, vec![]),
            waiter: Arc::new(Waiter::new()),
            rlimits: Rlimits::new(),
        }
    }

    /// An empty tmpfs.
    pub fn tmpfs() -> Self {
        let host = MockHost::new(1);
        Self::with_root(host, TmpFs::new(host, 0o755))
    }

    /// A small host tree.
    pub fn scripted_host() -> &'static MockHost {
        let host = MockHost::new(1);
        host.add_node("/etc/passwd", MockNode::File(b"root:x:0:0\n".to_vec(), 0o644));
        host.add_node("/etc/empty", MockNode::Directory);
        host.add_node("/bin", MockNode::Symlink("usr/bin".into()));
        host.add_node("/usr/bin/true", MockNode::File(vec![7; 100_000], 0o755));
        host
    }

    /// The host tree, with changes in memory.
    pub fn overlay() -> Self {
        let host = Self::scripted_host();
        let lower = host.open_root(b"/").unwrap();
        Self::with_root(host, OverlayFs::new(host, lower).unwrap())
    }

    /// The host tree itself.
    pub fn hostfs() -> Self {
        let host = Self::scripted_host();
        let root = host.open_root(b"/").unwrap();
        Self::with_root(host, HostFs::new(host, root, Trust::Shared).unwrap())
    }

    /// The host tree as a drive, with these mount options.
    pub fn drive(options: &str) -> Self {
        let host = Self::scripted_host();
        host.play_drive();
        let root = host.open_root(b"/").unwrap();
        let options = DriveOptions::parse(options.as_bytes()).unwrap();
        Self::with_root(host, drvfs::mount(host, root, b"C:\\".to_vec(), options).unwrap())
    }

    pub fn caller(&self) -> Caller<'_> {
        Caller {
            host: self.host,
            identity: &self.cred,
            waiter: &self.waiter,
            rlimits: &self.rlimits,
            tid: 1,
            tgid: 1,
        }
    }

    pub fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<OpenFile>> {
        let how = OpenHow::new(flags, 0o666, ResolveFlags::empty())?;
        self.fs.open(&self.caller(), None, path.as_bytes(), &how)
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let flags = OpenFlags::O_CREAT | OpenFlags::O_WRONLY | OpenFlags::O_TRUNC;
        let file = self.open(path, flags).unwrap();
        let count = file.write(&self.caller(), &mut IoSrc::kernel(bytes)).unwrap();
        assert_eq!(count, bytes.len());
    }

    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.open(path, OpenFlags::empty())?;
        read_all(self, &file)
    }

    pub fn make(&self, path: &str, kind: NewKind<'_>) -> Result<()> {
        self.fs.create(&self.caller(), None, path.as_bytes(), kind, 0o777).map(drop)
    }

    pub fn mkdir(&self, path: &str) -> Result<()> {
        self.make(path, NewKind::Directory)
    }

    pub fn unlink(&self, path: &str) -> Result<()> {
        self.fs.unlink(&self.caller(), None, path.as_bytes())
    }

    pub fn rmdir(&self, path: &str) -> Result<()> {
        self.fs.rmdir(&self.caller(), None, path.as_bytes())
    }

    pub fn rename(&self, from: &str, to: &str, flags: RenameFlags) -> Result<()> {
        self.fs.rename(&self.caller(), (None, from.as_bytes()), (None, to.as_bytes()), flags)
    }

    pub fn stat(&self, path: &str) -> Result<Attr> {
        let path = self.fs.lookup(&self.caller(), None, path.as_bytes(), Lookup::FOLLOW)?;
        path.inode().attr(&self.caller())
    }

    pub fn link(&self, from: &str, to: &str) -> Result<()> {
        let target = self.fs.lookup(&self.caller(), None, from.as_bytes(), Lookup::empty())?;
        self.fs.link(&self.caller(), &target, None, to.as_bytes())
    }

    /// Names in a directory, sorted, without `.` and `..`.
    pub fn list(&self, path: &str) -> Vec<String> {
        let dir = self.open(path, OpenFlags::O_DIRECTORY).unwrap();
        let mut list = DirList::default();
        dir.read_dir(&self.caller(), &mut list).unwrap();
        let names = list.0.into_iter().map(|(_, _, name)| String::from_utf8(name).unwrap());
        let mut names: Vec<_> = names.filter(|name| name != "." && name != "..").collect();
        names.sort();
        names
    }

    /// The absolute path of what `path` names.
    pub fn resolve(&self, path: &str) -> String {
        let found = self.fs.lookup(&self.caller(), None, path.as_bytes(), Lookup::FOLLOW).unwrap();
        String::from_utf8(found.display(&self.fs.root())).unwrap()
    }
}

/// All bytes of an open file from its position on.
pub fn read_all(world: &World, file: &OpenFile) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 10_000];
    loop {
        match file.read(&world.caller(), &mut IoDst::kernel(&mut buffer))? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}
