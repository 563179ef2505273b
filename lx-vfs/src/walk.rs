//! One path resolution, component by component.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::ResolveFlags;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::host::Nanos;

use crate::dentry::Dentry;
use crate::fs_context::Places;
use crate::inode::NameCaching;
use crate::location::Path;
use crate::mount::Mount;
use crate::path::{Child, Last, Lookup, Parent, check_search, find_child, is_public, lookup_child};
use crate::path_cache::Terms;

/// How long a path is believed through directories that the host may change.
const MAX_AGE: Nanos = 1_000_000_000;
/// Most symbolic links that one resolution follows.
const MAX_LINKS: usize = 40;

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
    /// Whether the walk has met the root. Before that Linux takes it for another mount.
    met_root: bool,
    mount: Arc<Mount>,
    pub(crate) dentry: Arc<Dentry>,
    /// The version of `dentry` when it was found.
    pub(crate) version: u32,
    /// The change count of `dentry` when a name was missing there.
    pub(crate) missing: Option<u64>,
    /// Whether the result depends on nothing but names and permissions that can be cached.
    pub(crate) cacheable: bool,
    /// Who may use the result, and how long.
    pub(crate) terms: Terms,
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
            met_root: absolute || beneath || in_root,
            mount: Arc::clone(&from.mount),
            dentry: Arc::clone(&from.dentry),
            version: from.dentry.version(),
            missing: None,
            cacheable: resolve.is_empty(),
            terms: Terms::NONE,
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
    pub(crate) fn walk_all(&mut self, how: Lookup) -> Result<Path> {
        while let Component::Name { from, to } = self.next() {
            self.note_terms();
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
            }
            (self.dentry, self.version) = (child, version);
            self.cross_mounts()?;
            if !last || self.has_trailing_slash() {
                return Err(Errno::ENOTDIR.into());
            }
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
                let mount = Arc::clone(&self.mount);
                return Ok(Parent { dir: self.here(), last, trailing_slash: false, mount });
            };
            let last = self.is_last();
            let name = self.text().get(from..to).unwrap_or_default();
            let (dot, dot_dot) = (name == b".", name == b"..");
            if dot || dot_dot {
                let mount = Arc::clone(&self.mount);
                if dot {
                    check_search(self.caller, &self.dentry)?;
                } else {
                    self.step_up()?;
                }
                if last {
                    let last = Last::Directory { dot, dot_dot };
                    return Ok(Parent { dir: self.here(), last, trailing_slash: true, mount });
                }
                continue;
            }
            if last {
                check_search(self.caller, &self.dentry)?;
                return Ok(Parent {
                    dir: self.here(),
                    last: Last::name(name),
                    trailing_slash: self.has_trailing_slash(),
                    mount: Arc::clone(&self.mount),
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
                _ => {
                    self.dentry = child;
                    self.cross_mounts()?;
                    return Err(Errno::ENOTDIR.into());
                }
            }
        }
    }

    /// What the present directory means for the use of the result by others.
    fn note_terms(&mut self) {
        self.terms.public &= is_public(&self.dentry);
        match self.dentry.name_caching() {
            NameCaching::Always => {}
            NameCaching::Revalidate if self.terms.expires == Nanos::MAX => {
                let now = self.caller.host.monotonic();
                self.terms.expires = now.saturating_add(MAX_AGE);
            }
            NameCaching::Revalidate => {}
            NameCaching::Never => self.cacheable = false,
        }
    }

    fn root(&self) -> &Path {
        self.scope.as_ref().unwrap_or(&self.places.root)
    }

    fn step_up(&mut self) -> Result<()> {
        self.cacheable = false;
        self.met_root = true;
        check_search(self.caller, &self.dentry)?;
        let Some(parent) = self.here().parent_within(self.root()) else {
            if self.resolve.contains(ResolveFlags::RESOLVE_BENEATH) {
                return Err(Errno::EXDEV.into());
            }
            // At the top one stays, but on what is mounted there.
            return self.cross_mounts();
        };
        let parent = parent.cross_mounts();
        if self.resolve.contains(ResolveFlags::RESOLVE_NO_XDEV)
            && !Arc::ptr_eq(&parent.mount, &self.mount)
        {
            return Err(Errno::EXDEV.into());
        }
        (self.mount, self.dentry) = (parent.mount, parent.dentry);
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
                && !(self.met_root && Arc::ptr_eq(&root.mount, &self.mount))
            {
                return Err(Errno::EXDEV.into());
            }
            self.met_root = true;
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
