//! The mount tree of a machine.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::SysError;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, ResolveFlags};
use lx_core::caller::Caller;
use lx_core::control::{BindMount, Configure, Root};
use lx_core::cred::Credentials;
use lx_core::host::{Host, HostFd};
use lx_core::io::IoDst;
use lx_core::rlimit::Rlimits;
use lx_core::sync::Waiter;
use lx_proc::{Kernel, procfs};
use lx_vfs::dev::{NODES, NodeKind};
use lx_vfs::fs::devpts::{self, DevPts};
use lx_vfs::fs::drvfs;
use lx_vfs::fs::hostfs::HostFs;
use lx_vfs::fs::overlay::OverlayFs;
use lx_vfs::fs::tmpfs::TmpFs;
use lx_vfs::fs_context::FsContext;
use lx_vfs::inode::{FileSystem, NewKind};
use lx_vfs::location::Path;
use lx_vfs::mount::{MountFlags, MountTree};
use lx_vfs::open::OpenHow;
use lx_vfs::path::Lookup;

use crate::host_env::HostEnv;
use crate::wsl_conf::WslConf;

/// Options of a root file system that is a folder of a drive: it shall keep what Linux keeps, as far
/// as the drive can.
const DRIVE_ROOT: &[u8] = b"metadata,case=dir,umask=022";

/// Why the machine cannot be configured, in one sentence.
type Result<T> = core::result::Result<T, String>;

/// The kernel as a caller of lx-vfs: root, at boot.
pub(crate) struct Boot {
    host: &'static dyn Host,
    cred: Credentials,
    waiter: Arc<Waiter>,
    rlimits: Rlimits,
}

impl Boot {
    pub(crate) fn new(host: &'static dyn Host, cred: Credentials) -> Self {
        Self { host, cred, waiter: Arc::new(Waiter::new()), rlimits: Rlimits::new() }
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            host: self.host,
            identity: &self.cred,
            waiter: &self.waiter,
            rlimits: &self.rlimits,
            tid: 1,
            tgid: 1,
        }
    }
}

/// Builds what `configure` asks for, on the root in memory if there is one, with `/proc`, `/sys`,
/// `/dev`, `/dev/pts` and `/dev/shm`; and tells how guests see the host's files.
///
/// # Errors
/// One sentence for the user.
pub(crate) fn build(
    kernel: &Arc<Kernel>,
    configure: &Configure,
    memory: Option<Arc<TmpFs>>,
) -> Result<(Arc<MountTree>, HostEnv)> {
    let host = kernel.host;
    let (root, source) = root(host, configure, memory)?;
    let tree = MountTree::new(root, source, MountFlags::RELATIME);
    let boot = Boot::new(host, Credentials::new(0, 0, Vec::new()));
    let builder = Builder { host, boot: &boot, fs: FsContext::new(Arc::clone(&tree)), tree: &tree };
    builder.fs.set_umask(0);
    builder.mount(b"/proc", procfs::new(kernel), "proc")?;
    builder.mount(b"/sys", procfs::sysfs::new(kernel), "sysfs")?;
    let dev = TmpFs::new(host, 0o755);
    builder.mount(b"/dev", dev, "devtmpfs")?;
    builder.populate_dev()?;
    let now = host.realtime().cast_signed();
    builder.mount(b"/dev/pts", DevPts::new(now, devpts::Options::USUAL), "devpts")?;
    builder.mount(b"/dev/shm", TmpFs::new(host, 0o1777), "tmpfs")?;
    let host_env = builder.mount_drives()?;
    for mount in &configure.mounts {
        builder.bind(mount)?;
    }
    Ok((tree, host_env))
}

fn root(
    host: &'static dyn Host,
    configure: &Configure,
    memory: Option<Arc<TmpFs>>,
) -> Result<(Arc<dyn FileSystem>, &'static str)> {
    let (path, writable): (&[u8], bool) = match (&configure.root, memory) {
        (Root::HostOverlay, _) => (b"/", false),
        (Root::Directory { path, writable }, _) => (path, *writable),
        (Root::Memory, Some(root)) => return Ok((root, "archive")),
        (Root::Memory, None) => return Err(String::from("there is no root file system in memory")),
    };
    let folder = open_folder(host, path)?;
    let failed = |error: SysError| cannot("use as root file system", path, error.errno());
    if writable && !host.drives().is_empty() {
        let options = drvfs::DriveOptions::parse(DRIVE_ROOT).map_err(failed)?;
        return Ok((drvfs::mount(host, folder, path.to_vec(), options).map_err(failed)?, "lx"));
    }
    if writable {
        let root = HostFs::new_at(host, folder, path).map_err(failed)?;
        return Ok((root, "lx"));
    }
    let overlay = match &configure.root {
        Root::Directory { .. } => OverlayFs::new_kept(host, folder),
        _ => OverlayFs::new(host, folder),
    };
    Ok((overlay.map_err(failed)?, "overlay"))
}

fn open_folder(host: &'static dyn Host, path: &[u8]) -> Result<HostFd> {
    host.open_root(path).map_err(|error| cannot("open", path, error.0))
}

/// The folder that the last name of a path is in.
fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..slash).filter(|folder| !folder.is_empty()).unwrap_or(b"/")
}

fn cannot(what: &str, path: &[u8], errno: Errno) -> String {
    format!("cannot {what} {}: {errno}", String::from_utf8_lossy(path))
}

struct Builder<'a> {
    host: &'static dyn Host,
    boot: &'a Boot,
    fs: FsContext,
    tree: &'a MountTree,
}

impl Builder<'_> {
    /// The directory at a path; made if it is missing.
    fn directory(&self, path: &[u8]) -> Result<Path> {
        self.found_or_made(path, NewKind::Directory, 0o755)
    }

    /// What is at a path; made if it is missing, with the directories above it.
    fn found_or_made(&self, path: &[u8], kind: NewKind<'_>, mode: u32) -> Result<Path> {
        let caller = self.boot.caller();
        let found = self.fs.lookup(&caller, None, path, Lookup::FOLLOW);
        match found.map_err(SysError::errno) {
            Ok(at) => Ok(at),
            Err(Errno::ENOENT) => {
                self.directory(parent(path))?;
                self.fs
                    .create(&caller, None, path, kind, mode)
                    .map_err(|error| cannot("make", path, error.errno()))
            }
            Err(errno) => Err(cannot("find", path, errno)),
        }
    }

    fn mount(&self, path: &[u8], fs: Arc<dyn FileSystem>, source: &str) -> Result<()> {
        let at = self.directory(path)?;
        self.tree
            .mount(fs, &at, source, MountFlags::RELATIME)
            .map(drop)
            .map_err(|error| cannot("mount on", path, error.errno()))
    }

    /// The host's drives, if it has any, as the file system's `/etc/wsl.conf` wants them. Drives
    /// that cannot be read now, as those without a disk, are left out.
    fn mount_drives(&self) -> Result<HostEnv> {
        let drives = self.host.drives();
        if drives.is_empty() {
            return Ok(HostEnv::default());
        }
        let conf = WslConf::parse(&self.read(b"/etc/wsl.conf"));
        let options = drvfs::DriveOptions::parse(&conf.options)
            .map_err(|error| cannot("use the options in", b"/etc/wsl.conf", error.errno()))?;
        let mut host_env = HostEnv::new(conf.append_path);
        for drive in drives.iter().filter(|_| conf.enabled) {
            let Ok(root) = self.host.open_root(&drive.path) else { continue };
            let Ok(fs) = drvfs::mount(self.host, root, drive.path.clone(), options) else {
                continue;
            };
            let at = [&*conf.root, &drive.name].concat();
            self.mount(&at, fs, &String::from_utf8_lossy(&drive.path))?;
            host_env.add_drive(&drive.path, &at);
        }
        Ok(host_env)
    }

    /// The first bytes of a file; none if it cannot be read.
    fn read(&self, path: &[u8]) -> Vec<u8> {
        const MOST: usize = 64 << 10;
        let caller = self.boot.caller();
        let mut bytes = alloc::vec![0; MOST];
        let read = OpenHow::new(OpenFlags::O_RDONLY, 0, ResolveFlags::empty())
            .and_then(|how| self.fs.open(&caller, None, path, &how))
            .and_then(|file| file.read(&caller, &mut IoDst::kernel(&mut bytes)));
        bytes.truncate(read.unwrap_or(0));
        bytes
    }

    fn populate_dev(&self) -> Result<()> {
        let caller = self.boot.caller();
        for node in NODES {
            let path = format!("/dev/{}", node.name).into_bytes();
            let (kind, mode) = match node.kind {
                NodeKind::Char { mode, rdev } => (NewKind::CharDevice(rdev), mode),
                NodeKind::Directory { mode } => (NewKind::Directory, mode),
                NodeKind::Symlink { target } => (NewKind::Symlink(target.as_bytes()), 0o777),
            };
            self.fs
                .create(&caller, None, &path, kind, mode)
                .map_err(|error| cannot("make", &path, error.errno()))?;
        }
        Ok(())
    }

    /// `-v HOST:GUEST`: a folder, or a file as the one name of its folder that the guest sees.
    fn bind(&self, mount: &BindMount) -> Result<()> {
        let (host_path, path) = (&*mount.host_path, &*mount.guest_path);
        let failed = |error: SysError| cannot("mount", host_path, error.errno());
        let mut flags = MountFlags::RELATIME;
        flags.set(MountFlags::RDONLY, mount.read_only);
        let folder = open_folder(self.host, host_path)?;
        let fs = HostFs::new_at(self.host, folder, host_path).map_err(failed)?;
        let shown = MountTree::new(fs, &String::from_utf8_lossy(host_path), flags);
        let (from, at) = match &*mount.file_name {
            [] => (shown.root(), self.directory(path)?),
            name => {
                let caller = self.boot.caller();
                let found = FsContext::new(shown).lookup(&caller, None, name, Lookup::empty());
                (found.map_err(failed)?, self.found_or_made(path, NewKind::Regular, 0o644)?)
            }
        };
        self.tree
            .bind(&from, &at, flags)
            .map(drop)
            .map_err(|error| cannot("mount on", path, error.errno()))
    }
}
