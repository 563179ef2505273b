//! File systems whose contents are made when they are looked at: the ground that procfs and sysfs
//! stand on.
//!
//! Nodes are made by functions of [`NodeInfo`]: [`text`](NodeInfo::text),
//! [`directory`](NodeInfo::directory), [`link`](NodeInfo::link), … Contents come from closures or
//! from traits ([`TextSource`], [`DirSource`], [`LinkSource`]).
//!
//! ```ignore
//! let root = info.fixed_directory([
//!     ("version", info.number(2).text(|_| Ok(b"Linux\n".to_vec()))),
//!     ("self", info.number(3).link(|caller| Ok(caller.tgid.to_string().into_bytes()))),
//! ]);
//! let procfs = PseudoFs::new("proc", PROC_SUPER_MAGIC, root);
//! ```

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::{FileType, Stat, Statfs};
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile, seek_in};
use lx_core::io::{IoDst, IoSrc};
use lx_core::sync::{Mutex, level};

use crate::dir::DirFile;
use crate::inode::{
    Attr, DirListing, FileSystem, InodeOps, NAME_MAX, NameCaching, Permissions, SetAttr,
};
use crate::inode_flags::InodeFlags;
use crate::location::Path;

/// A node, as directories give it.
pub type Node = Arc<dyn InodeOps>;

/// Identity, owner and mode of a node to be made.
#[derive(Clone, Copy, Debug)]
pub struct NodeInfo {
    /// Device number of the file system ([`super::new_dev`]).
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Permission bits; by default 0555 for directories and 0444 for files.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// All three times, nanoseconds since 1970.
    pub time: i64,
}

/// Text that is made when the file is read from its start.
pub trait TextSource: Send + Sync + 'static {
    /// The whole text.
    ///
    /// # Errors
    /// What `read(2)` shall return (`ESRCH` for a process that is gone).
    fn text(&self, caller: &Caller<'_>) -> Result<Vec<u8>>;

    /// Takes what one `write(2)` stored.
    ///
    /// # Errors
    /// `EINVAL` for values that make no sense; `EIO` for files that are not written.
    fn store(&self, caller: &Caller<'_>, bytes: &[u8]) -> Result<()> {
        let _ = (caller, bytes);
        Err(Errno::EIO.into())
    }
}

impl<F: Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync + 'static> TextSource for F {
    fn text(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        self(caller)
    }
}

/// Entries that are made when they are looked for.
pub trait DirSource: Send + Sync + 'static {
    /// The node behind a name.
    ///
    /// # Errors
    /// `ENOENT`.
    fn lookup(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Node>;

    /// All entries, but for `.` and `..`.
    ///
    /// # Errors
    /// `ENOENT` if the directory is gone.
    fn list(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()>;

    /// How long the nodes may be kept.
    fn name_caching(&self) -> NameCaching {
        NameCaching::Never
    }

    /// `st_nlink`.
    fn nlink(&self) -> u32 {
        2
    }
}

/// A symbolic link whose target is made when it is read.
pub trait LinkSource: Send + Sync + 'static {
    /// The target's text.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    fn target(&self, caller: &Caller<'_>) -> Result<Vec<u8>>;

    /// For magic links: where following leads, whatever the text says.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    fn follow(&self, caller: &Caller<'_>) -> Result<Option<Path>> {
        let _ = caller;
        Ok(None)
    }
}

impl<F: Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync + 'static> LinkSource for F {
    fn target(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        self(caller)
    }
}

/// How a file of another kind is opened.
type Open = dyn Fn(&Caller<'_>, OpenFlags) -> Result<Arc<dyn FileOps>> + Send + Sync;

impl NodeInfo {
    /// Of a node that belongs to root and has the default mode.
    pub fn new(dev: u64, ino: u64, time: i64) -> Self {
        Self { dev, ino, mode: None, uid: 0, gid: 0, time }
    }

    /// The same with another inode number.
    pub fn number(self, ino: u64) -> Self {
        Self { ino, ..self }
    }

    /// The same with other permission bits.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// The same with another owner.
    pub fn owner(self, uid: u32, gid: u32) -> Self {
        Self { uid, gid, ..self }
    }

    /// A text file.
    pub fn text(
        self,
        source: impl Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Node {
        self.text_from(source)
    }

    /// A text file that may be written, or whose source has state.
    pub fn text_from(self, source: impl TextSource) -> Node {
        self.node(FileType::Regular, 0o444, Body::Text(Arc::new(source)))
    }

    /// A directory whose entries come and go.
    pub fn directory(self, source: impl DirSource) -> Node {
        self.node(FileType::Directory, 0o555, Body::Directory(Arc::new(source)))
    }

    /// A directory whose entries stay.
    pub fn fixed_directory(self, entries: impl IntoIterator<Item = (&'static str, Node)>) -> Node {
        self.directory(FixedDirectory { entries: entries.into_iter().collect() })
    }

    /// A symbolic link.
    pub fn link(
        self,
        target: impl Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Node {
        self.link_from(target)
    }

    /// A symbolic link that may be magic.
    pub fn link_from(self, source: impl LinkSource) -> Node {
        self.node(FileType::Symlink, 0o777, Body::Link(Arc::new(source)))
    }

    /// A file of another kind.
    pub fn file(
        self,
        file_type: FileType,
        open: impl Fn(&Caller<'_>, OpenFlags) -> Result<Arc<dyn FileOps>> + Send + Sync + 'static,
    ) -> Node {
        self.node(file_type, 0o444, Body::Other(Arc::new(open)))
    }

    fn node(self, file_type: FileType, mode: u32, body: Body) -> Node {
        let mode = self.mode.unwrap_or(mode);
        Arc::new(PseudoInode { info: self, mode, file_type, body })
    }
}

struct FixedDirectory {
    entries: BTreeMap<&'static str, Node>,
}

impl DirSource for FixedDirectory {
    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Node> {
        let name = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        self.entries.get(name).cloned().ok_or(Errno::ENOENT.into())
    }

    fn list(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        for (name, node) in &self.entries {
            let ino = node.attr(caller)?.ino;
            listing.push(ino, node.file_type().dirent_type(), name.as_bytes());
        }
        Ok(())
    }

    fn name_caching(&self) -> NameCaching {
        NameCaching::Always
    }

    fn nlink(&self) -> u32 {
        let dirs = self.entries.values().filter(|node| node.file_type() == FileType::Directory);
        dirs.count().saturating_add(2) as u32
    }
}

enum Body {
    Text(Arc<dyn TextSource>),
    Directory(Arc<dyn DirSource>),
    Link(Arc<dyn LinkSource>),
    Other(Arc<Open>),
}

struct PseudoInode {
    info: NodeInfo,
    mode: u32,
    file_type: FileType,
    body: Body,
}

impl InodeOps for PseudoInode {
    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn permissions(&self) -> Permissions {
        Permissions {
            mode: self.mode,
            uid: self.info.uid,
            gid: self.info.gid,
            flags: InodeFlags::empty(),
        }
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        let info = &self.info;
        Ok(Attr {
            dev: info.dev,
            ino: info.ino,
            mode: self.file_type.mode_bits() | self.mode,
            nlink: match &self.body {
                Body::Directory(source) => source.nlink(),
                _ => 1,
            },
            uid: info.uid,
            gid: info.gid,
            blksize: 4096,
            atime: info.time,
            mtime: info.time,
            ctime: info.time,
            ..Attr::default()
        })
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        // Shells open files to be written with O_TRUNC.
        let only_size = change.mode.is_none() && change.uid.is_none() && change.gid.is_none();
        if change.size.is_some() && only_size { Ok(()) } else { Err(Errno::EPERM.into()) }
    }

    fn open(
        self: Arc<Self>,
        caller: &Caller<'_>,
        _path: &Path,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        match &self.body {
            Body::Text(_) => Ok(Arc::new(TextFile { inode: self, text: Mutex::new(None) })),
            Body::Directory(_) => Ok(DirFile::open(self)),
            Body::Link(_) => Err(Errno::ELOOP.into()),
            Body::Other(open) => open(caller, flags),
        }
    }

    fn name_caching(&self) -> NameCaching {
        match &self.body {
            Body::Directory(source) => source.name_caching(),
            _ => NameCaching::Always,
        }
    }

    fn lookup(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        match &self.body {
            Body::Directory(source) => source.lookup(caller, name),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    fn list(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        match &self.body {
            Body::Directory(source) => source.list(caller, listing),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    fn read_link(&self, caller: &Caller<'_>) -> Result<Arc<[u8]>> {
        match &self.body {
            Body::Link(source) => Ok(source.target(caller)?.into()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn has_fixed_target(&self) -> bool {
        false
    }

    fn follow(&self, caller: &Caller<'_>) -> Result<Option<Path>> {
        match &self.body {
            Body::Link(source) => source.follow(caller),
            _ => Ok(None),
        }
    }
}

/// An open text file. The text is made by a read at offset 0, so that rewinding shows what is new,
/// and a reader of many small pieces gets one consistent text.
struct TextFile {
    inode: Arc<PseudoInode>,
    text: Mutex<Option<Arc<Vec<u8>>>, { level::FILE_OBJECT }>,
}

impl TextFile {
    fn source(&self) -> Result<&Arc<dyn TextSource>> {
        match &self.inode.body {
            Body::Text(source) => Ok(source),
            _ => Err(Errno::EIO.into()),
        }
    }
}

impl FileOps for TextFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        let kept = if offset == 0 { None } else { self.text.lock().clone() };
        let text = match kept {
            Some(text) => text,
            None => {
                let text = Arc::new(self.source()?.text(caller)?);
                *self.text.lock() = Some(Arc::clone(&text));
                text
            }
        };
        dst.put_behind(offset, &text)
    }

    fn write_at(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        _append: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        let mut buffer = alloc::vec![0; src.remaining().min(4096)];
        let count = if buffer.is_empty() { 0 } else { src.take(&mut buffer)? };
        self.source()?.store(caller, buffer.get(..count).unwrap_or_default())?;
        Ok((count, offset.saturating_add(count as u64)))
    }

    fn seek(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        seek_in(position, 0, offset, whence)
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.inode.attr(caller)?.to_stat())
    }
}

/// A mounted pseudo file system.
pub struct PseudoFs {
    name: &'static str,
    magic: i64,
    root: Node,
}

impl PseudoFs {
    /// One with the given name in `/proc/mounts`, `f_type` of `statfs(2)` and root directory.
    pub fn new(name: &'static str, magic: i64, root: Node) -> Arc<Self> {
        Arc::new(Self { name, magic, root })
    }
}

impl FileSystem for PseudoFs {
    fn name(&self) -> &'static str {
        self.name
    }

    /// As on Linux, whose proc and sysfs leave it at what old programs can count.
    fn max_file_size(&self) -> u64 {
        i32::MAX as u64
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(&self.root)
    }

    fn statfs(&self, _caller: &Caller<'_>) -> Result<Statfs> {
        Ok(Statfs {
            f_type: self.magic,
            f_bsize: 4096,
            f_frsize: 4096,
            f_namelen: NAME_MAX as i64,
            ..Statfs::default()
        })
    }
}
