//! `/proc/PID/fd` and `/proc/PID/fdinfo`.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::dirent::{DT_LNK, DT_REG};
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::{Errno, Fd};
use lx_core::caller::Caller;
use lx_core::file::OpenFile;
use lx_vfs::eventfd::EventFile;
use lx_vfs::fs::pseudo::{DirSource, LinkSource, Node};
use lx_vfs::inode::DirListing;
use lx_vfs::location::Path;
use lx_vfs::unnamed;

use super::pid::{Subject, caller_root, ino};
use super::{check_readable, parse_id};

/// Inode numbers of the entries begin here.
const FIRST_ENTRY: u64 = 0x1000;
/// Those in `fdinfo` here.
const FIRST_INFO: u64 = 0x8_0000;

/// One of the two directories.
pub(super) struct FdDir {
    pub(super) subject: Subject,
    /// It is `fdinfo`.
    pub(super) infos: bool,
}

/// The open file behind a descriptor of another process, and whether it closes on exec.
fn open_file(subject: &Subject, caller: &Caller<'_>, fd: Fd) -> Result<(Arc<OpenFile>, bool)> {
    let view = subject.view().map_err(|_| Errno::ENOENT)?;
    let task = view.task.ok_or(Errno::ENOENT)?;
    check_readable(caller, &task)?;
    let files = task.files();
    let file = files.get_any(fd).map_err(|_| Errno::ENOENT)?;
    Ok((file, files.cloexec(fd).unwrap_or(false)))
}

impl FdDir {
    fn ino(&self, fd: Fd) -> u64 {
        let first = if self.infos { FIRST_INFO } else { FIRST_ENTRY };
        ino(self.subject.id, first.saturating_add(u64::from(fd.0.unsigned_abs())))
    }
}

impl DirSource for FdDir {
    fn lookup(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Node> {
        let fd = Fd(parse_id(name).ok_or(Errno::ENOENT)?);
        let (file, _) = open_file(&self.subject, caller, fd)?;
        let info = self.subject.info.number(self.ino(fd));
        let subject = self.subject.clone();
        if self.infos {
            let text = move |caller: &Caller<'_>| {
                let (file, cloexec) = open_file(&subject, caller, fd)?;
                Ok(info_text(caller, &file, cloexec))
            };
            return Ok(info.mode(0o400).text(text));
        }
        let read = if file.is_readable() { 0o500 } else { 0 };
        let write = if file.is_writable() { 0o300 } else { 0 };
        Ok(info.mode(read | write).link_from(FdLink { subject, fd }))
    }

    fn list(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        let view = self.subject.view().map_err(|_| Errno::ENOENT)?;
        let Some(task) = view.task else { return Ok(()) };
        check_readable(caller, &task)?;
        let file_type = if self.infos { DT_REG } else { DT_LNK };
        for fd in task.files().list() {
            listing.push(self.ino(fd), file_type, format!("{fd}").as_bytes());
        }
        Ok(())
    }
}

/// A link to an open file.
struct FdLink {
    subject: Subject,
    fd: Fd,
}

impl LinkSource for FdLink {
    fn target(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        let (file, _) = open_file(&self.subject, caller, self.fd)?;
        Ok(unnamed::link_text(caller, &file, &caller_root(&self.subject.kernel, caller)?))
    }

    fn follow(&self, caller: &Caller<'_>) -> Result<Option<Path>> {
        let (file, _) = open_file(&self.subject, caller, self.fd)?;
        Ok(Some(unnamed::place(caller, &file)))
    }
}

fn info_text(caller: &Caller<'_>, file: &OpenFile, cloexec: bool) -> Vec<u8> {
    let mut flags = file.flags();
    if cloexec {
        flags |= OpenFlags::O_CLOEXEC;
    }
    let mount = Path::of(file).map_or(0, |path| path.mount.id());
    let ino = file.ops().stat(caller, file).map_or(0, |stat| stat.st_ino);
    let mut text = format!(
        "pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{mount}\nino:\t{ino}\n",
        file.position(),
        flags.bits()
    );
    if let Some(event) = file.ops_as::<EventFile>() {
        text.push_str(&format!("eventfd-count: {:16x}\n", event.value()));
    }
    text.into_bytes()
}
