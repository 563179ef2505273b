//! `devpts`: the slaves of pseudo terminals by number, `pts(4)`, and `ptmx`, which makes them.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::{FileType, S_IALLUGO, Statfs};
use lx_core::error::Result;
use lx_core::file::FileOps;
use lx_core::sync::{Mutex, level};

use super::meta::Meta;
use crate::dev;
use crate::dir::DirFile;
use crate::inode::{
    Attr, DirListing, FileSystem, InodeOps, NAME_MAX, NameCaching, NewInode, NewKind, Permissions,
    SetAttr, downcast,
};
use crate::location::Path;
use crate::tty::pty::{Master, Names, Pty, Slave};

const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
/// Terminals of one file system, `kernel.pty.max`.
const MOST: usize = 4096;
/// Inode numbers: of the root, of `ptmx`, and of the first slave.
const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
const FIRST_INO: u64 = 3;

/// Options of the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Group of the slaves; else that of who makes them.
    pub gid: Option<u32>,
    /// Owner of the slaves; else who makes them.
    pub uid: Option<u32>,
    /// Mode of the slaves.
    pub mode: u32,
    /// Mode of `ptmx`.
    pub ptmx_mode: u32,
    /// Most terminals.
    pub max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { gid: None, uid: None, mode: 0o600, ptmx_mode: 0, max: MOST }
    }
}

impl Options {
    /// As distributions mount it: slaves belong to the group `tty`.
    pub const USUAL: Self =
        Self { gid: Some(5), uid: None, mode: 0o620, ptmx_mode: 0o666, max: MOST };

    /// Reads the options of `mount(2)`.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut options = Self::default();
        for option in text.split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
            let option = core::str::from_utf8(option).map_err(|_| Errno::EINVAL)?;
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let number = |radix| {
                u32::from_str_radix(value, radix)
                    .map_err(|_| lx_core::SysError::from(Errno::EINVAL))
            };
            match name {
                "gid" => options.gid = Some(number(10)?),
                "uid" => options.uid = Some(number(10)?),
                "mode" => options.mode = number(8)? & S_IALLUGO,
                "ptmxmode" => options.ptmx_mode = number(8)? & S_IALLUGO,
                "max" => options.max = (number(10)? as usize).min(MOST),
                // Every mount is an instance of its own.
                "newinstance" => {}
                _ => return Err(Errno::EINVAL.into()),
            }
        }
        Ok(options)
    }
}

/// One instance.
pub struct DevPts {
    dev: u64,
    options: Options,
    /// By number; the lowest free one is the next.
    terminals: Mutex<BTreeMap<u32, Arc<Node>>, { level::DIRECTORY }>,
    root: Arc<Root>,
}

impl DevPts {
    /// An instance without terminals.
    pub fn new(now: i64, options: Options) -> Arc<Self> {
        let dev = super::new_dev();
        let meta = |kind, mode| Meta::new(&NewInode { kind, mode, uid: 0, gid: 0 }, now);
        Arc::new_cyclic(|this: &Weak<Self>| {
            let ptmx = Arc::new(Node {
                device: Device::Ptmx(this.clone()),
                dev,
                meta: meta(NewKind::CharDevice(dev::PTMX), options.ptmx_mode),
            });
            let root = Arc::new(Root {
                fs: this.clone(),
                dev,
                meta: meta(NewKind::Directory, 0o755),
                ptmx,
            });
            Self { dev, options, terminals: Mutex::new(BTreeMap::new()), root }
        })
    }

    /// A new terminal with the lowest free number: its master.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many.
    pub fn open_master(self: &Arc<Self>, caller: &Caller<'_>) -> Result<Master> {
        let signals = caller.identity.jobs().map(|jobs| jobs.signals());
        let this = Arc::downgrade(self);
        let names: Weak<dyn Names> = this;
        let (uid, gid) = (caller.cred().fsuid, caller.cred().fsgid);
        let options = self.options;
        let (now, dev) = (caller.now(), self.dev);
        let mut terminals = self.terminals.lock();
        if terminals.len() >= options.max {
            return Err(Errno::ENOSPC.into());
        }
        let number = (0..).find(|number| !terminals.contains_key(number)).ok_or(Errno::ENOSPC)?;
        let (pty, master) = Pty::new(number, names, signals);
        let new = NewInode {
            kind: NewKind::CharDevice(pty.rdev()),
            mode: options.mode,
            uid: options.uid.unwrap_or(uid),
            gid: options.gid.unwrap_or(gid),
        };
        let (device, meta) = (Device::Slave(pty), Meta::new(&new, now));
        terminals.insert(number, Arc::new(Node { device, dev, meta }));
        drop(terminals);
        Ok(master)
    }

    /// The node of a terminal.
    pub fn node(&self, number: u32) -> Option<Arc<dyn InodeOps>> {
        let node = self.terminals.lock().get(&number).cloned()?;
        Some(node)
    }
}

impl Names for DevPts {
    fn remove(&self, number: u32) {
        let node = self.terminals.lock().remove(&number);
        drop(node);
    }
}

impl FileSystem for DevPts {
    fn name(&self) -> &'static str {
        "devpts"
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(&self.root) as _
    }

    fn statfs(&self, _caller: &Caller<'_>) -> Result<Statfs> {
        Ok(Statfs {
            f_type: DEVPTS_SUPER_MAGIC,
            f_bsize: 4096,
            f_frsize: 4096,
            f_namelen: NAME_MAX as i64,
            ..Statfs::default()
        })
    }

    fn options(&self) -> String {
        let Options { gid, uid, mode, ptmx_mode, max } = self.options;
        let option = |name: &str, number: Option<u32>| {
            number.map_or_else(String::new, |number| format!(",{name}={number}"))
        };
        // As Linux, which names the limit only if it is not the usual one.
        let limit = (max < MOST).then_some(max as u32);
        format!(
            "{}{},mode={mode:03o},ptmxmode={ptmx_mode:03o}{}",
            option("uid", uid),
            option("gid", gid),
            option("max", limit)
        )
    }
}

/// Attributes of a node without contents.
fn attr(dev: u64, ino: u64, file_type: FileType, rdev: u64, meta: &Meta) -> Attr {
    let mut attr =
        Attr { dev, ino, mode: file_type.mode_bits(), rdev, blksize: 1024, ..Attr::default() };
    meta.fill(&mut attr);
    attr
}

fn set_attr(meta: &Meta, change: &SetAttr) {
    // Opening with O_TRUNC changes nothing.
    meta.apply(&SetAttr { size: None, ..*change });
}

struct Root {
    fs: Weak<DevPts>,
    dev: u64,
    meta: Meta,
    ptmx: Arc<Node>,
}

impl Root {
    fn fs(&self) -> Result<Arc<DevPts>> {
        self.fs.upgrade().ok_or(Errno::ENOENT.into())
    }
}

/// The number that a name stands for: without leading zeros or signs.
fn number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let number: u32 = text.parse().ok()?;
    (format!("{number}") == text).then_some(number)
}

impl InodeOps for Root {
    fn file_type(&self) -> FileType {
        FileType::Directory
    }

    fn permissions(&self) -> Permissions {
        self.meta.permissions()
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        let attr = attr(self.dev, ROOT_INO, FileType::Directory, 0, &self.meta);
        Ok(Attr { nlink: 2, ..attr })
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        set_attr(&self.meta, change);
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        _caller: &Caller<'_>,
        _path: &Path,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        Ok(DirFile::open(self))
    }

    fn name_caching(&self) -> NameCaching {
        NameCaching::Never
    }

    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        if name == b"ptmx" {
            return Ok(Arc::clone(&self.ptmx) as _);
        }
        let fs = self.fs()?;
        number(name).and_then(|number| fs.node(number)).ok_or(Errno::ENOENT.into())
    }

    fn list(&self, _caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        let kind = FileType::CharDevice.dirent_type();
        for number in self.fs()?.terminals.lock().keys() {
            listing.push(FIRST_INO + u64::from(*number), kind, format!("{number}").as_bytes());
        }
        listing.push(PTMX_INO, kind, b"ptmx");
        Ok(())
    }
}

/// What a device node of the file system leads to.
enum Device {
    /// `ptmx`: a new master.
    Ptmx(Weak<DevPts>),
    /// The slave of this terminal.
    Slave(Arc<Pty>),
}

/// A device node.
struct Node {
    device: Device,
    dev: u64,
    meta: Meta,
}

impl Node {
    /// Inode number and device number.
    fn numbers(&self) -> (u64, u64) {
        match &self.device {
            Device::Ptmx(_) => (PTMX_INO, dev::PTMX),
            Device::Slave(pty) => (FIRST_INO + u64::from(pty.number()), pty.rdev()),
        }
    }
}

impl InodeOps for Node {
    fn file_type(&self) -> FileType {
        FileType::CharDevice
    }

    fn permissions(&self) -> Permissions {
        self.meta.permissions()
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        let (ino, rdev) = self.numbers();
        Ok(attr(self.dev, ino, FileType::CharDevice, rdev, &self.meta))
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        set_attr(&self.meta, change);
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        caller: &Caller<'_>,
        _path: &Path,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        let inode: Arc<dyn InodeOps> = Arc::clone(&self) as _;
        match &self.device {
            Device::Ptmx(fs) => {
                let fs = fs.upgrade().ok_or(Errno::EIO)?;
                Ok(Arc::new(fs.open_master(caller)?.opened_by(&inode)))
            }
            Device::Slave(pty) => Slave::open_by(caller, pty, &inode, flags),
        }
    }
}

/// `/dev/ptmx`, opened at `path`: a terminal of the instance that is mounted at `pts` beside it.
///
/// # Errors
/// `ENODEV` if there is none.
pub(crate) fn open_ptmx(
    caller: &Caller<'_>,
    path: &Path,
    inode: &Arc<dyn InodeOps>,
) -> Result<Arc<dyn FileOps>> {
    let dir = path.parent().ok_or(Errno::ENODEV)?;
    let pts = crate::path::child(caller, &dir, b"pts").map_err(|_| Errno::ENODEV)?;
    let root = downcast::<Root>(pts.cross_mounts().inode()).ok_or(Errno::ENODEV)?;
    Ok(Arc::new(root.fs()?.open_master(caller)?.opened_by(inode)))
}

/// The place of the slave whose master was opened at `ptmx`: for `TIOCGPTPEER`.
///
/// # Errors
/// `ENODEV` if there is no such instance any more.
pub fn slave_path(caller: &Caller<'_>, ptmx: &Path, number: u32) -> Result<Path> {
    let dir = ptmx.parent().ok_or(Errno::ENODEV)?;
    let root = match downcast::<Root>(dir.inode()) {
        Some(_) => dir,
        None => crate::path::child(caller, &dir, b"pts").map_err(|_| Errno::ENODEV)?.cross_mounts(),
    };
    downcast::<Root>(root.inode()).ok_or(Errno::ENODEV)?;
    crate::path::child(caller, &root, format!("{number}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_numbers() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"17"), Some(17));
        for bad in [&b"01"[..], b"+1", b"", b"x", b"-1"] {
            assert_eq!(number(bad), None);
        }
    }

    #[test]
    fn options_of_distributions() {
        let options = Options::parse(b"gid=5,mode=620,ptmxmode=666");
        assert_eq!(options, Ok(Options::USUAL));
        assert_eq!(Options::parse(b"max=2").map(|options| options.max), Ok(2));
        assert!(Options::parse(b"gid=tty").is_err());
        assert!(Options::parse(b"speed=1").is_err());
    }
}
