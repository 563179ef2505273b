//! `open(2)`: from flags to an open file description.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{AccessMode, OpenFlags, ResolveFlags};
use lx_core::abi::stat::{FileType, S_IALLUGO};
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile};

use crate::dentry::Dentry;
use crate::dir::PathFile;
use crate::fs_context::FsContext;
use crate::inode::{NewInode, NewKind, SetAttr};
use crate::inode_flags::check_not_append;
use crate::lease;
use crate::location::Path;
use crate::mount::MountFlags;
use crate::notify;
use crate::path::{Last, Lookup, Parent, check_search, lookup_child};
use crate::permission::{Access, check_path, inherit, is_on_disk, is_owner, set_id_to_drop};
use crate::walk::Walker;
use crate::write_access::WriteAccess;

/// What `open(2)`, `openat2(2)` and `creat(2)` ask for.
#[derive(Clone, Copy, Debug)]
pub struct OpenHow {
    /// Access mode, creation and status flags.
    pub flags: OpenFlags,
    /// Mode of a file that is created, before the umask.
    pub mode: u32,
    /// Restrictions of the resolution.
    pub resolve: ResolveFlags,
}

impl OpenHow {
    /// Checks combinations of flags and drops what has no meaning, as Linux does.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn new(flags: OpenFlags, mode: u32, resolve: ResolveFlags) -> Result<Self> {
        let mut flags = flags;
        if flags.contains(OpenFlags::O_PATH) {
            flags &= OpenFlags::O_PATH
                | OpenFlags::O_DIRECTORY
                | OpenFlags::O_NOFOLLOW
                | OpenFlags::O_CLOEXEC;
            return Ok(Self { flags, mode: 0, resolve });
        }
        if flags.contains(OpenFlags::O_TMPFILE) {
            if flags.contains(OpenFlags::O_CREAT) || flags.access_mode() == AccessMode::ReadOnly {
                return Err(Errno::EINVAL.into());
            }
        } else if flags.contains(OpenFlags::O_CREAT | OpenFlags::O_DIRECTORY)
            // The bit that `O_TMPFILE` adds to `O_DIRECTORY` means nothing alone.
            || flags.bits() & OpenFlags::O_TMPFILE.bits() & !OpenFlags::O_DIRECTORY.bits() != 0
        {
            return Err(Errno::EINVAL.into());
        }
        flags |= OpenFlags::O_LARGEFILE;
        Ok(Self { flags, mode: mode & S_IALLUGO, resolve })
    }

    /// Opening an existing file to read it.
    pub fn read_only() -> Self {
        Self { flags: OpenFlags::O_LARGEFILE, mode: 0, resolve: ResolveFlags::empty() }
    }

    fn access(&self) -> Access {
        let mut access = match self.flags.access_mode() {
            AccessMode::ReadOnly => Access::READ,
            AccessMode::WriteOnly => Access::WRITE,
            AccessMode::ReadWrite | AccessMode::IoctlOnly => Access::READ | Access::WRITE,
        };
        if self.flags.contains(OpenFlags::O_TRUNC) {
            access |= Access::WRITE;
        }
        access
    }
}

impl FsContext {
    /// Opens the file that `path` names, seen from `start` or the working directory.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open(
        &self,
        caller: &Caller<'_>,
        start: Option<&Path>,
        path: &[u8],
        how: &OpenHow,
    ) -> Result<Arc<OpenFile>> {
        if how.flags.contains(OpenFlags::O_TMPFILE) && !how.flags.contains(OpenFlags::O_PATH) {
            return self.open_unnamed(caller, start, path, how);
        }
        if how.flags.contains(OpenFlags::O_CREAT) {
            return self.open_or_create(caller, start, path, how);
        }
        let mut lookup = Lookup::empty();
        lookup.set(Lookup::FOLLOW, !how.flags.contains(OpenFlags::O_NOFOLLOW));
        lookup.set(Lookup::DIRECTORY, how.flags.contains(OpenFlags::O_DIRECTORY));
        let path = if how.resolve.is_empty() {
            self.lookup(caller, start, path, lookup)?
        } else {
            self.lookup_restricted(caller, start, path, lookup, how.resolve)?
        };
        open_path(caller, path, how)
    }

    fn open_or_create(
        &self,
        caller: &Caller<'_>,
        start: Option<&Path>,
        path: &[u8],
        how: &OpenHow,
    ) -> Result<Arc<OpenFile>> {
        if how.resolve.is_empty() {
            let parent = self.lookup_parent(caller, start, path)?;
            if let Some(file) = self.open_in(caller, parent, how)? {
                return Ok(file);
            }
        }
        // There is a link to follow, or restrictions to obey: step by step.
        let places = self.places();
        let mut walker = Walker::new(caller, &places, start, path, how.resolve)?;
        loop {
            let parent = walker.walk_parent()?;
            let link = match &parent.last {
                Last::Name(name) => lookup_child(caller, &parent.dir.dentry, name)?,
                Last::Directory { .. } => None,
            };
            if let Some(file) = self.open_in(caller, parent, how)? {
                return Ok(file);
            }
            // A link that vanished meanwhile is looked for once more by the next round.
            walker.follow(link.ok_or(Errno::ENOENT)?)?;
        }
    }

    /// Opens or makes the last component of a path; `None` if it is a link to be followed.
    fn open_in(
        &self,
        caller: &Caller<'_>,
        parent: Parent,
        how: &OpenHow,
    ) -> Result<Option<Arc<OpenFile>>> {
        let exclusive = how.flags.contains(OpenFlags::O_EXCL);
        let Last::Name(name) = &parent.last else {
            return open_existing(caller, parent.dir, how).map(Some);
        };
        if parent.trailing_slash {
            return Err(Errno::EISDIR.into());
        }
        check_search(caller, &parent.dir.dentry)?;
        let changes = parent.dir.dentry.changes();
        if let Some(child) = lookup_child(caller, &parent.dir.dentry, name)? {
            let is_link = child.file_type() == FileType::Symlink;
            if is_link && !exclusive && !how.flags.contains(OpenFlags::O_NOFOLLOW) {
                return Ok(None);
            }
            let path = parent.dir.with(child).cross_mounts();
            if how.resolve.contains(ResolveFlags::RESOLVE_NO_XDEV)
                && !Arc::ptr_eq(&path.mount, &parent.dir.mount)
            {
                return Err(Errno::EXDEV.into());
            }
            return open_existing(caller, path, how).map(Some);
        }
        match self.create_file(caller, &parent, name, how, changes) {
            // Somebody else was faster: open theirs, unless it had to be ours.
            Err(error) if !exclusive && error.errno() == Errno::EEXIST => {
                parent.dir.dentry.forget(name);
                let found = lookup_child(caller, &parent.dir.dentry, name)?;
                let dentry = found.ok_or(Errno::ENOENT)?;
                let path = parent.dir.with(dentry).cross_mounts();
                open_existing(caller, path, how).map(Some)
            }
            other => other.map(Some),
        }
    }

    fn create_file(
        &self,
        caller: &Caller<'_>,
        parent: &Parent,
        name: &[u8],
        how: &OpenHow,
        changes: u64,
    ) -> Result<Arc<OpenFile>> {
        check_can_add(caller, &parent.dir)?;
        let new = self.new_inode(caller, &parent.dir, NewKind::Regular, how.mode);
        let dir = &parent.dir.dentry;
        let inode = dir.inode().create(caller, name, &new)?;
        let dentry = dir.added(name, inode, changes);
        notify::created(&parent.dir, name, &dentry);
        // The mode of a new file does not restrict who made it.
        finish_open(caller, parent.dir.with(dentry), how)
    }

    /// Mode and owner of an inode that the caller makes in `dir`.
    pub(crate) fn new_inode<'k>(
        &self,
        caller: &Caller<'_>,
        dir: &Path,
        kind: NewKind<'k>,
        mode: u32,
    ) -> NewInode<'k> {
        let (mode, umask) = match kind {
            NewKind::Symlink(_) => (0o777, 0),
            _ => (mode & S_IALLUGO, self.umask()),
        };
        let cred = caller.cred();
        // What the mode says before the umask decides on the set-group-id bit.
        let (mode, gid) = inherit(cred, &dir.inode().permissions(), kind.file_type(), mode);
        NewInode { kind, mode: mode & !umask, uid: cred.fsuid, gid }
    }

    fn open_unnamed(
        &self,
        caller: &Caller<'_>,
        start: Option<&Path>,
        path: &[u8],
        how: &OpenHow,
    ) -> Result<Arc<OpenFile>> {
        let mut lookup = Lookup::DIRECTORY;
        lookup.set(Lookup::FOLLOW, !how.flags.contains(OpenFlags::O_NOFOLLOW));
        let dir = self.lookup_restricted(caller, start, path, lookup, how.resolve)?;
        // A removed directory will do: there is no name to be made.
        check_can_change(caller, &dir)?;
        let new = self.new_inode(caller, &dir, NewKind::Regular, how.mode);
        let inode = dir.inode().create_unnamed(caller, &new)?;
        let name = alloc::format!("#{}", inode.attr(caller)?.ino);
        let dentry = Dentry::new_unlinked(&dir.dentry, name.as_bytes(), inode);
        finish_open(caller, dir.with(dentry), how)
    }
}

/// Whether the caller may make or remove entries of `dir`.
///
/// # Errors
/// `ENOENT` if the directory was removed; `EROFS`, `EACCES`.
pub fn check_can_add(caller: &Caller<'_>, dir: &Path) -> Result<()> {
    if dir.dentry.is_deleted() {
        return Err(Errno::ENOENT.into());
    }
    check_can_change(caller, dir)
}

fn check_can_change(caller: &Caller<'_>, dir: &Path) -> Result<()> {
    dir.mount.check_writable()?;
    check_path(caller.cred(), dir, Access::WRITE | Access::EXEC)
}

/// A file that `O_CREAT` found in place.
fn open_existing(caller: &Caller<'_>, path: Path, how: &OpenHow) -> Result<Arc<OpenFile>> {
    if how.flags.contains(OpenFlags::O_EXCL) {
        return Err(Errno::EEXIST.into());
    }
    if path.dentry.is_dir() {
        return Err(Errno::EISDIR.into());
    }
    open_path(caller, path, how)
}

/// Opens a place that was found, with all permission checks.
///
/// # Errors
/// As `open(2)`.
pub fn open_path(caller: &Caller<'_>, path: Path, how: &OpenHow) -> Result<Arc<OpenFile>> {
    let flags = how.flags;
    let file_type = path.dentry.file_type();
    if flags.contains(OpenFlags::O_DIRECTORY) && file_type != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    if flags.contains(OpenFlags::O_PATH) {
        let ops = PathFile::open(Arc::clone(path.inode()));
        return Ok(OpenFile::new(ops, flags, Some(Arc::new(path))));
    }
    let access = how.access();
    match file_type {
        FileType::Symlink => return Err(Errno::ELOOP.into()),
        FileType::Directory if access.contains(Access::WRITE) => {
            return Err(Errno::EISDIR.into());
        }
        FileType::CharDevice | FileType::BlockDevice
            if path.mount.flags().contains(MountFlags::NODEV) =>
        {
            return Err(Errno::EACCES.into());
        }
        _ => {}
    }
    let truncates = flags.contains(OpenFlags::O_TRUNC) && file_type == FileType::Regular;
    if truncates {
        path.mount.check_writable()?;
    }
    check_path(caller.cred(), &path, access)?;
    let written =
        flags.access_mode() != AccessMode::ReadOnly && !flags.contains(OpenFlags::O_APPEND);
    if written || flags.contains(OpenFlags::O_TRUNC) {
        check_not_append(&path.inode().permissions())?;
    }
    if flags.contains(OpenFlags::O_NOATIME) && !is_owner(caller.cred(), &path.inode().permissions())
    {
        return Err(Errno::EPERM.into());
    }
    if flags.access_mode().writable() && is_on_disk(file_type) {
        path.mount.check_writable()?;
    }
    // `O_TRUNC` alone is in nobody's way, unlike truncate(2).
    let lease = match flags.access_mode() {
        AccessMode::ReadOnly => lease::Kind::Read,
        _ => lease::Kind::Write,
    };
    lease::break_for(caller, &path, lease, flags.contains(OpenFlags::O_NONBLOCK))?;
    if truncates {
        let inode = path.inode();
        let _writing = WriteAccess::get(inode)?;
        let mode = set_id_to_drop(caller, &path.inode().permissions());
        let change = SetAttr { size: Some(0), mode, now: caller.now(), ..SetAttr::default() };
        inode.set_attr(caller, &change)?;
        let file = finish_open(caller, path.clone(), how)?;
        notify::modified(&path);
        return Ok(file);
    }
    finish_open(caller, path, how)
}

fn finish_open(caller: &Caller<'_>, path: Path, how: &OpenHow) -> Result<Arc<OpenFile>> {
    let writing = match how.flags.access_mode().writable() {
        true => Some(WriteAccess::get(path.inode())?),
        false => None,
    };
    let ops: Arc<dyn FileOps> = Arc::clone(path.inode()).open(caller, &path, how.flags)?;
    if how.flags.contains(OpenFlags::O_DIRECT) {
        ops.check_flags(OpenFlags::O_DIRECT)?;
    }
    // A directory's own flag stays visible to F_GETFL; the others that only opening needs do not.
    notify::opened(&path);
    let file = OpenFile::new(ops, how.flags, Some(Arc::new(path)));
    if let Some(writing) = writing {
        writing.keep_with(&file);
    }
    Ok(file)
}
