//! Path resolution, `path_resolution(7)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::ResolveFlags;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;

use crate::dentry::{Cached, Dentry};
use crate::fs_context::{FsContext, Places};
use crate::inode::{NAME_MAX, NameCaching, is_missing};
use crate::location::Path;
use crate::mount::Mount;
use crate::path_cache::{self, Hit, Outcome, UNKNOWN_CHANGES, UNKNOWN_VERSION, Walked};
use crate::permission::{Access, check};

/// Most symbolic links that one resolution follows.
const MAX_LINKS: usize = 40;

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
pub enum Last {
    /// A name, not yet looked up.
    Name(ArrayVec<u8, NAME_MAX>),
    /// The path ends in `.` or `..` or names a root.
    Directory {
        /// It ends in `.`.
        dot: bool,
        /// It ends in `..`.
        dot_dot: bool,
    },
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
    /// `EACCES` and the file system's.
    pub fn existing(&self, caller: &Caller<'_>) -> Result<Option<Arc<Dentry>>> {
        let Last::Name(name) = &self.last else { return Ok(Some(Arc::clone(&self.dir.dentry))) };
        check_search(caller, &self.dir.dentry)?;
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
fn is_public(dir: &Dentry) -> bool {
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
enum Child {
    Found(Arc<Dentry>, u32),
    Missing(u64),
}

fn find_child(caller: &Caller<'_>, dir: &Arc<Dentry>, name: &[u8]) -> Result<Child> {
    if dir.name_caching() == NameCaching::Revalidate && !dir.inode().names_unchanged(caller) {
        dir.forget_all();
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
        match self.cached(start, path, how.contains(Lookup::FOLLOW)) {
            Some((hit, public)) if public || may_search_all(caller) => match hit {
                Hit::Missing => Err(Errno::ENOENT.into()),
                Hit::Found(path) if how.contains(Lookup::DIRECTORY) && !path.dentry.is_dir() => {
                    Err(Errno::ENOTDIR.into())
                }
                Hit::Found(path) => Ok(path),
            },
            _ => self.lookup_restricted(caller, start, path, how, ResolveFlags::empty()),
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
                let walked = Walked { outcome, generation, public: walker.public };
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
        let last = Last::Name(name.try_into().map_err(|_| Errno::ENAMETOOLONG)?);
        let dir = match dir {
            b"" => start.cloned().unwrap_or_else(|| self.cwd()),
            dir => self.lookup(caller, start, dir, Lookup::FOLLOW | Lookup::DIRECTORY)?,
        };
        if !dir.dentry.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        Ok(Parent { dir, last, trailing_slash })
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

fn may_search_all(caller: &Caller<'_>) -> bool {
    let cred = caller.cred();
    cred.has(Capabilities::DAC_OVERRIDE) || cred.has(Capabilities::DAC_READ_SEARCH)
}

/// A symbolic link's target that is being walked.
struct Link {
    text: Arc<[u8]>,
    at: usize,
}

/// One resolution.
pub(crate) struct Walker<'a> {
    caller: &'a Caller<'a>,
    places: &'a Places,
    /// Root of this resolution, if it is not the context's (`RESOLVE_IN_ROOT`, `RESOLVE_BENEATH`).
    scope: Option<Path>,
    path: &'a [u8],
    at: usize,
    links: Vec<Link>,
    followed: usize,
    resolve: ResolveFlags,
    mount: Arc<Mount>,
    dentry: Arc<Dentry>,
    /// The version of `dentry` when it was found.
    version: u32,
    /// The change count of `dentry` when a name was missing there.
    missing: Option<u64>,
    /// Whether the result depends on nothing but names and permissions that can be cached.
    cacheable: bool,
    /// Whether everybody may search all directories on the way.
    public: bool,
}

/// What comes next in the text of a path.
enum Component {
    /// Nothing.
    End,
    /// The bytes from..to of the innermost link, or of the path if there is none.
    Name { from: usize, to: usize },
}

fn next_component(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = text.get(at..)?;
    let from = at + rest.iter().position(|&byte| byte != b'/')?;
    let rest = text.get(from..)?;
    let len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    Some((from, from + len))
}

fn only_slashes(text: &[u8], at: usize) -> bool {
    text.get(at..).is_none_or(|rest| rest.iter().all(|&byte| byte == b'/'))
}

impl<'a> Walker<'a> {
    pub(crate) fn new(
        caller: &'a Caller<'a>,
        places: &'a Places,
        start: Option<&Path>,
        path: &'a [u8],
        resolve: ResolveFlags,
    ) -> Result<Self> {
        if path.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        let beneath = resolve.contains(ResolveFlags::RESOLVE_BENEATH);
        let in_root = resolve.contains(ResolveFlags::RESOLVE_IN_ROOT);
        let absolute = path.first() == Some(&b'/');
        if beneath && absolute {
            return Err(Errno::EXDEV.into());
        }
        let relative = start.unwrap_or(&places.cwd);
        let from = if absolute && !in_root { &places.root } else { relative };
        if !from.dentry.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        Ok(Self {
            caller,
            places,
            scope: (beneath || in_root).then(|| relative.clone()),
            path,
            at: 0,
            links: Vec::new(),
            followed: 0,
            resolve,
            mount: Arc::clone(&from.mount),
            dentry: Arc::clone(&from.dentry),
            version: from.dentry.version(),
            missing: None,
            cacheable: resolve.is_empty(),
            public: true,
        })
    }

    fn here(&self) -> Path {
        Path { mount: Arc::clone(&self.mount), dentry: Arc::clone(&self.dentry) }
    }

    fn next(&mut self) -> Component {
        while let Some(link) = self.links.last_mut() {
            if let Some((from, to)) = next_component(&link.text, link.at) {
                link.at = to;
                return Component::Name { from, to };
            }
            self.links.pop();
        }
        match next_component(self.path, self.at) {
            Some((from, to)) => {
                self.at = to;
                Component::Name { from, to }
            }
            None => Component::End,
        }
    }

    /// The text that `next` has just taken a component of.
    fn text(&self) -> &[u8] {
        self.links.last().map_or(self.path, |link| &link.text)
    }

    /// Whether nothing but slashes is left.
    fn is_last(&self) -> bool {
        only_slashes(self.path, self.at)
            && self.links.iter().all(|link| only_slashes(&link.text, link.at))
    }

    /// Whether a slash follows the last component.
    fn has_trailing_slash(&self) -> bool {
        self.at < self.path.len() || self.links.iter().any(|link| link.at < link.text.len())
    }

    /// Resolves everything.
    fn walk_all(&mut self, how: Lookup) -> Result<Path> {
        loop {
            let Component::Name { from, to } = self.next() else { break };
            self.public &= is_public(&self.dentry);
            self.cacheable &= self.dentry.name_caching() == NameCaching::Always;
            let name = self.text().get(from..to).unwrap_or_default();
            if name == b"." {
                check_search(self.caller, &self.dentry)?;
                continue;
            }
            if name == b".." {
                self.step_up()?;
                continue;
            }
            check_search(self.caller, &self.dentry)?;
            let (child, version) = match find_child(self.caller, &self.dentry, name)? {
                Child::Found(child, version) => (child, version),
                Child::Missing(changes) => {
                    self.missing = Some(changes);
                    return Err(Errno::ENOENT.into());
                }
            };
            if child.file_type() == FileType::Directory {
                (self.dentry, self.version) = (child, version);
                self.cross_mounts()?;
                continue;
            }
            let last = self.is_last();
            if child.file_type() == FileType::Symlink {
                let follow = how.contains(Lookup::FOLLOW) || self.has_trailing_slash();
                if !last || follow {
                    self.follow(child)?;
                    continue;
                }
            } else if !last {
                return Err(Errno::ENOTDIR.into());
            }
            if last && self.has_trailing_slash() {
                return Err(Errno::ENOTDIR.into());
            }
            (self.dentry, self.version) = (child, version);
            self.cross_mounts()?;
        }
        if how.contains(Lookup::DIRECTORY) && !self.dentry.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        Ok(self.here())
    }

    /// Resolves up to the last component. May be called again after [`follow`](Self::follow).
    pub(crate) fn walk_parent(&mut self) -> Result<Parent> {
        loop {
            let Component::Name { from, to } = self.next() else {
                let last = Last::Directory { dot: false, dot_dot: false };
                return Ok(Parent { dir: self.here(), last, trailing_slash: false });
            };
            let last = self.is_last();
            let name = self.text().get(from..to).unwrap_or_default();
            let (dot, dot_dot) = (name == b".", name == b"..");
            if dot || dot_dot {
                if dot {
                    check_search(self.caller, &self.dentry)?;
                } else {
                    self.step_up()?;
                }
                if last {
                    let last = Last::Directory { dot, dot_dot };
                    return Ok(Parent { dir: self.here(), last, trailing_slash: true });
                }
                continue;
            }
            if last {
                let name = name.try_into().map_err(|_| Errno::ENAMETOOLONG)?;
                return Ok(Parent {
                    dir: self.here(),
                    last: Last::Name(name),
                    trailing_slash: self.has_trailing_slash(),
                });
            }
            check_search(self.caller, &self.dentry)?;
            let Some(child) = lookup_child(self.caller, &self.dentry, name)? else {
                return Err(Errno::ENOENT.into());
            };
            match child.file_type() {
                FileType::Directory => {
                    self.dentry = child;
                    self.cross_mounts()?;
                }
                FileType::Symlink => self.follow(child)?,
                _ => return Err(Errno::ENOTDIR.into()),
            }
        }
    }

    fn root(&self) -> &Path {
        self.scope.as_ref().unwrap_or(&self.places.root)
    }

    fn step_up(&mut self) -> Result<()> {
        self.cacheable = false;
        check_search(self.caller, &self.dentry)?;
        let here = self.here();
        if here == *self.root() {
            if self.resolve.contains(ResolveFlags::RESOLVE_BENEATH) {
                return Err(Errno::EXDEV.into());
            }
            return Ok(());
        }
        if let Some(parent) = here.parent() {
            let parent = parent.cross_mounts();
            if self.resolve.contains(ResolveFlags::RESOLVE_NO_XDEV)
                && !Arc::ptr_eq(&parent.mount, &self.mount)
            {
                return Err(Errno::EXDEV.into());
            }
            (self.mount, self.dentry) = (parent.mount, parent.dentry);
        }
        Ok(())
    }

    fn cross_mounts(&mut self) -> Result<()> {
        if !self.dentry.is_mountpoint() {
            return Ok(());
        }
        let top = self.here().cross_mounts();
        if self.resolve.contains(ResolveFlags::RESOLVE_NO_XDEV)
            && !Arc::ptr_eq(&top.mount, &self.mount)
        {
            return Err(Errno::EXDEV.into());
        }
        self.version = top.dentry.version();
        (self.mount, self.dentry) = (top.mount, top.dentry);
        Ok(())
    }

    /// Goes on with the target of a symbolic link in the present directory.
    pub(crate) fn follow(&mut self, link: Arc<Dentry>) -> Result<()> {
        self.followed += 1;
        if self.followed > MAX_LINKS || self.resolve.contains(ResolveFlags::RESOLVE_NO_SYMLINKS) {
            return Err(Errno::ELOOP.into());
        }
        self.check_protected(&link)?;
        self.cacheable &= link.inode().has_fixed_target();
        if let Some(target) = link.inode().follow(self.caller)? {
            if self.resolve.contains(ResolveFlags::RESOLVE_NO_MAGICLINKS) {
                return Err(Errno::ELOOP.into());
            }
            let elsewhere = !Arc::ptr_eq(&target.mount, &self.mount);
            if self.scope.is_some()
                || (elsewhere && self.resolve.contains(ResolveFlags::RESOLVE_NO_XDEV))
            {
                return Err(Errno::EXDEV.into());
            }
            if !target.dentry.is_dir() && !self.is_last() {
                return Err(Errno::ENOTDIR.into());
            }
            (self.mount, self.dentry) = (target.mount, target.dentry);
            return Ok(());
        }
        let text = link.inode().read_link(self.caller)?;
        if text.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        if text.first() == Some(&b'/') {
            if self.resolve.contains(ResolveFlags::RESOLVE_BENEATH) {
                return Err(Errno::EXDEV.into());
            }
            let root = self.root().clone();
            if self.resolve.contains(ResolveFlags::RESOLVE_NO_XDEV)
                && !Arc::ptr_eq(&root.mount, &self.mount)
            {
                return Err(Errno::EXDEV.into());
            }
            self.version = root.dentry.version();
            (self.mount, self.dentry) = (root.mount, root.dentry);
        }
        self.links.push(Link { text, at: 0 });
        Ok(())
    }

    /// `fs.protected_symlinks`: in sticky directories that everybody may write, only links of the
    /// follower or of the directory's owner are followed.
    fn check_protected(&mut self, link: &Dentry) -> Result<()> {
        let dir = self.dentry.inode().permissions();
        if dir.mode & 0o1002 != 0o1002 {
            return Ok(());
        }
        // It depends on who follows.
        self.cacheable = false;
        let owner = link.inode().permissions().uid;
        if owner == dir.uid || owner == self.caller.cred().fsuid {
            return Ok(());
        }
        Err(Errno::EACCES.into())
    }
}
