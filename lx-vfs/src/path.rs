//! Path resolution, `path_resolution(7)`.

use alloc::sync::Arc;

use arrayvec::ArrayVec;
use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::ResolveFlags;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;

use crate::dentry::{Cached, Dentry};
use crate::fs_context::FsContext;
use crate::inode::{NAME_MAX, NameCaching, is_missing};
use crate::location::Path;
use crate::mount::Mount;
use crate::path_cache::{self, Hit, Outcome, UNKNOWN_CHANGES, UNKNOWN_VERSION, Walked};
use crate::permission::{Access, check};
use crate::walk::Walker;

bitflags::bitflags! {
    /// How a path is resolved.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Lookup: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1;
        /// The result must be a directory.
        const DIRECTORY = 2;
        /// An empty path means the start itself, `AT_EMPTY_PATH`.
        const EMPTY = 4;
    }
}

/// The last component of a path.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives on the stack for the time of one call")]
pub enum Last {
    /// A name, not yet looked up. One that is too long is cut after its first byte too many: the
    /// lookup fails, after what comes before it.
    Name(ArrayVec<u8, { NAME_MAX + 1 }>),
    /// The path ends in `.` or `..` or names a root.
    Directory {
        /// It ends in `.`.
        dot: bool,
        /// It ends in `..`.
        dot_dot: bool,
    },
}

impl Last {
    pub(crate) fn name(name: &[u8]) -> Self {
        Self::Name(name.iter().copied().take(NAME_MAX + 1).collect())
    }
}

/// A path resolved up to its last component.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The directory that holds the last component; for [`Last::Directory`] the result itself.
    pub dir: Path,
    /// The last component.
    pub last: Last,
    /// A slash follows it.
    pub trailing_slash: bool,
    /// The mount in which the last component stands, which `..` may leave.
    pub(crate) mount: Arc<Mount>,
}

impl Parent {
    /// The name, for calls that make an entry.
    ///
    /// # Errors
    /// `EEXIST` if the path ends in `.` or `..` or is a root.
    pub fn new_name(&self) -> Result<&[u8]> {
        match &self.last {
            Last::Name(name) => Ok(name),
            Last::Directory { .. } => Err(Errno::EEXIST.into()),
        }
    }

    /// The entry itself, links not followed, but mounts crossed.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`; `ENOTDIR` if a slash follows and it is no directory.
    pub fn target(&self, caller: &Caller<'_>) -> Result<Path> {
        let Last::Name(name) = &self.last else { return Ok(self.dir.clone()) };
        let path = child(caller, &self.dir, name)?.cross_mounts();
        if self.trailing_slash && !path.dentry.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        Ok(path)
    }

    /// As [`target`](Self::target), but `None` if there is no such entry, and mounts not crossed.
    ///
    /// # Errors
    /// `EACCES`; `ENOENT` if the directory was removed, where nothing can be or become; the file
    /// system's.
    pub fn existing(&self, caller: &Caller<'_>) -> Result<Option<Arc<Dentry>>> {
        let Last::Name(name) = &self.last else { return Ok(Some(Arc::clone(&self.dir.dentry))) };
        check_search(caller, &self.dir.dentry)?;
        if self.dir.dentry.is_deleted() {
            return Err(Errno::ENOENT.into());
        }
        lookup_child(caller, &self.dir.dentry, name)
    }
}

/// Whether the caller may search a directory.
///
/// # Errors
/// `EACCES`.
pub fn check_search(caller: &Caller<'_>, dir: &Dentry) -> Result<()> {
    if is_public(dir) {
        return Ok(());
    }
    check(caller.cred(), &dir.inode().permissions(), FileType::Directory, Access::EXEC)
}

/// Whether everybody may search a directory, as is the case for most.
pub(crate) fn is_public(dir: &Dentry) -> bool {
    dir.inode().permissions().mode & 0o111 == 0o111
}

/// The child `name` of a directory, `None` if there is none. Permissions are not looked at.
///
/// # Errors
/// The file system's.
pub fn lookup_child(
    caller: &Caller<'_>,
    dir: &Arc<Dentry>,
    name: &[u8],
) -> Result<Option<Arc<Dentry>>> {
    match find_child(caller, dir, name)? {
        Child::Found(child, _) => Ok(Some(child)),
        Child::Missing(_) => Ok(None),
    }
}

/// A child, with the version that it had in this place; or the directory's change count at a time
/// when there was none.
pub(crate) enum Child {
    Found(Arc<Dentry>, u32),
    Missing(u64),
}

pub(crate) fn find_child(caller: &Caller<'_>, dir: &Arc<Dentry>, name: &[u8]) -> Result<Child> {
    if dir.name_caching() == NameCaching::Revalidate && !dir.inode().names_unchanged(caller) {
        dir.doubt_all();
    }
    match dir.cached_child(name) {
        Cached::Positive(child, version) => Ok(Child::Found(child, version)),
        Cached::Negative(changes) => Ok(Child::Missing(changes)),
        Cached::Unknown(changes) => {
            if name.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG.into());
            }
            match dir.inode().lookup(caller, name) {
                Ok(inode) => match dir.insert(name, Some(inode), changes) {
                    Some(child) => Ok(Child::Found(child, UNKNOWN_VERSION)),
                    None => Ok(Child::Missing(UNKNOWN_CHANGES)),
                },
                Err(error) if is_missing(error) => {
                    dir.insert(name, None, changes);
                    Ok(Child::Missing(UNKNOWN_CHANGES))
                }
                Err(error) => Err(error),
            }
        }
    }
}

/// The entry `name` of a directory, with the permission to search it, before mounts.
///
/// # Errors
/// `ENOENT`, `EACCES`.
pub fn child(caller: &Caller<'_>, dir: &Path, name: &[u8]) -> Result<Path> {
    check_search(caller, &dir.dentry)?;
    match lookup_child(caller, &dir.dentry, name)? {
        Some(dentry) => Ok(dir.with(dentry)),
        None => Err(Errno::ENOENT.into()),
    }
}

impl FsContext {
    /// Resolves a path from `start`, or from the working directory.
    ///
    /// # Errors
    /// As `path_resolution(7)`.
    pub fn lookup(
        &self,
        caller: &Caller<'_>,
        start: Option<&Path>,
        path: &[u8],
        how: Lookup,
    ) -> Result<Path> {
        match self.cached(caller, start, path, how.contains(Lookup::FOLLOW)) {
            Some(Hit::Missing) => Err(Errno::ENOENT.into()),
            Some(Hit::Found(path)) => {
                if how.contains(Lookup::DIRECTORY) && !path.dentry.is_dir() {
                    return Err(Errno::ENOTDIR.into());
                }
                Ok(path)
            }
            None => self.lookup_restricted(caller, start, path, how, ResolveFlags::empty()),
        }
    }

    /// As [`lookup`](Self::lookup), with the restrictions of `openat2(2)`.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn lookup_restricted(
        &self,
        caller: &Caller<'_>,
        start: Option<&Path>,
        path: &[u8],
        how: Lookup,
        resolve: ResolveFlags,
    ) -> Result<Path> {
        if path.is_empty() && how.contains(Lookup::EMPTY) {
            return Ok(start.cloned().unwrap_or_else(|| self.cwd()));
        }
        let places = self.places();
        let generation = path_cache::generation();
        let mut walker = Walker::new(caller, &places, start, path, resolve)?;
        let result = walker.walk_all(how);
        if walker.cacheable {
            let outcome = match (&result, walker.missing) {
                (Ok(path), _) => Some(Outcome::Found(path.clone(), walker.version)),
                (Err(_), Some(changes)) => {
                    Some(Outcome::Missing(Arc::clone(&walker.dentry), changes))
                }
                (Err(_), None) => None,
            };
            if let Some(outcome) = outcome {
                let key = places.key(start, path, how.contains(Lookup::FOLLOW));
                let walked = Walked { outcome, generation, terms: walker.terms };
                self.mounts().paths.put(&key, &walked);
            }
        }
        result
    }

    /// Resolves a path up to its last component.
    ///
    /// # Errors
    /// As `path_resolution(7)`.
    pub fn lookup_parent(
        &self,
        caller: &Caller<'_>,
        start: Option<&Path>,
        path: &[u8],
    ) -> Result<Parent> {
        let Some((dir, name, trailing_slash)) = split_last(path) else {
            let places = self.places();
            let mut walker = Walker::new(caller, &places, start, path, ResolveFlags::empty())?;
            return walker.walk_parent();
        };
        let last = Last::name(name);
        let dir = match dir {
            b"" => start.cloned().unwrap_or_else(|| self.cwd()),
            dir => self.lookup(caller, start, dir, Lookup::FOLLOW | Lookup::DIRECTORY)?,
        };
        if !dir.dentry.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        check_search(caller, &dir.dentry)?;
        let mount = Arc::clone(&dir.mount);
        Ok(Parent { dir, last, trailing_slash, mount })
    }
}

/// The directory's part of a path with its slash (empty if there is none), the last name, and
/// whether a slash follows. `None` if the last component is no plain name.
fn split_last(path: &[u8]) -> Option<(&[u8], &[u8], bool)> {
    let end = path.iter().rposition(|&byte| byte != b'/')?.saturating_add(1);
    let text = path.get(..end)?;
    let start = text.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at.saturating_add(1));
    let (dir, name) = text.split_at_checked(start)?;
    (name != b"." && name != b"..").then_some((dir, name, end < path.len()))
}
