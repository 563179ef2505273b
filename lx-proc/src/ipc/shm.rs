//! Segments of shared memory, `shmat(2)`, `shmctl(2)`.
//!
//! A segment's memory is a file that has no name, and one [`PageMapping`] of it: each attachment is a
//! reference to that mapping in some address space. So the number of attachments is the number of
//! references, whatever ended a process, and a removed segment goes with the last one.

use alloc::format;
use alloc::sync::{Arc, Weak};

use lx_core::abi::ipc::{IpcPerm, SHM_DEST, SHM_LOCKED, ShmatFlags, ShmidDs};
use lx_core::abi::mman::MapFlags;
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::file::MapSource;
use lx_core::host::Prot;
use lx_core::sync::{Mutex, level};
use lx_core::{Caller, Result};
use lx_vfs::memfd;

use super::table::Object;
use super::{Ipc, Permissions, seconds};
use crate::mm::{AddressSpace, PageMapping};

/// Segments that there may be.
pub const SHMMNI: usize = 4096;
/// Bytes of a segment.
pub const SHMMAX: u64 = u64::MAX - (1 << 24);
/// Pages of all segments.
pub const SHMALL: u64 = u64::MAX - (1 << 24);

/// A segment of shared memory.
pub struct Segment {
    permissions: Permissions,
    size: u64,
    memory: Weak<PageMapping>,
    state: Mutex<State, { level::FILE_OBJECT }>,
}

struct State {
    /// Keeps the memory while the segment is not removed.
    own: Option<Arc<PageMapping>>,
    atime: i64,
    dtime: i64,
    ctime: i64,
    cpid: i32,
    lpid: i32,
}

impl Object for Segment {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    fn is_gone(&self) -> bool {
        self.memory.strong_count() == 0
    }
}

impl Segment {
    /// A new segment of `size` zeroed bytes.
    ///
    /// # Errors
    /// `EINVAL` for a size that no segment may have, `ENOSPC` for one that is none in pages; the
    /// file's.
    pub fn new(permissions: Permissions, size: u64, caller: &Caller<'_>) -> Result<Self> {
        if size == 0 || size > SHMMAX {
            return Err(Errno::EINVAL.into());
        }
        let pages = size.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOSPC)?;
        let name = format!("SYSV{:08x}", permissions.key());
        let file = memfd::segment(caller, name.as_bytes(), permissions.id())?;
        file.ops().truncate(caller, &file, pages)?;
        let MapSource::Pages(source) = file.ops().map_source(caller, &file, true)? else {
            return Err(Errno::ENOMEM.into());
        };
        let memory = PageMapping::of_file(source, file, false);
        let state = State {
            own: Some(Arc::clone(&memory)),
            atime: 0,
            dtime: 0,
            ctime: seconds(caller),
            cpid: caller.tgid,
            lpid: 0,
        };
        let memory = Arc::downgrade(&memory);
        Ok(Self { permissions, size, memory, state: Mutex::new(state) })
    }

    /// Bytes, as they were asked for.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn is_shown_by(&self, mapping: &Arc<PageMapping>) -> bool {
        core::ptr::eq(self.memory.as_ptr(), Arc::as_ptr(mapping))
    }

    /// `shmat(2)`: the address.
    ///
    /// # Errors
    /// `EINVAL` for a bad address or one that is in use, `EACCES`, `EIDRM`; as
    /// [`AddressSpace::map`].
    pub fn attach(
        &self,
        caller: &Caller<'_>,
        mm: &AddressSpace,
        addr: u64,
        flags: ShmatFlags,
    ) -> Result<u64> {
        let mut prot = Prot::READ;
        let mut wanted = 0o444;
        if !flags.contains(ShmatFlags::SHM_RDONLY) {
            prot |= Prot::WRITE;
            wanted |= 0o222;
        }
        if flags.contains(ShmatFlags::SHM_EXEC) {
            prot |= Prot::EXEC;
            wanted |= 0o111;
        }
        self.permissions.check(caller.cred(), wanted)?;
        let memory = self.memory.upgrade().ok_or(Errno::EIDRM)?;
        let mut map_flags = MapFlags::MAP_SHARED;
        if addr != 0 {
            let replaces = flags.contains(ShmatFlags::SHM_REMAP);
            map_flags |= if replaces { MapFlags::MAP_FIXED } else { MapFlags::MAP_FIXED_NOREPLACE };
        }
        let addr = mm.attach_segment(caller, memory, addr, prot, map_flags)?;
        let mut state = self.state.lock();
        state.atime = seconds(caller);
        state.lpid = caller.tgid;
        Ok(addr)
    }

    /// A process has given up an attachment by `shmdt(2)`.
    pub fn note_detached(&self, caller: &Caller<'_>) {
        let mut state = self.state.lock();
        state.dtime = seconds(caller);
        state.lpid = caller.tgid;
    }

    /// `IPC_RMID`: it can no longer be found by its key, and goes with its last attachment.
    pub fn remove(&self, ipc: &Ipc) {
        let own = self.state.lock().own.take();
        if self.attachments(own.as_ref()) == 0 {
            ipc.segments.remove(self);
        } else {
            self.permissions.forget_key();
            self.permissions.change_mode(SHM_DEST, 0);
        }
        drop(own);
    }

    fn attachments(&self, own: Option<&Arc<PageMapping>>) -> usize {
        self.memory.strong_count().saturating_sub(usize::from(own.is_some()))
    }

    /// `IPC_SET`.
    ///
    /// # Errors
    /// `EINVAL` for an id that stands for none.
    pub fn set(&self, caller: &Caller<'_>, new: &IpcPerm) -> Result<()> {
        self.permissions.set(new)?;
        self.state.lock().ctime = seconds(caller);
        Ok(())
    }

    /// `SHM_LOCK` and `SHM_UNLOCK`: noted; the host decides what stays in memory.
    pub fn set_locked(&self, locked: bool) {
        match locked {
            true => self.permissions.change_mode(SHM_LOCKED, 0),
            false => self.permissions.change_mode(0, SHM_LOCKED),
        }
    }

    /// `IPC_STAT`.
    pub fn stat(&self) -> ShmidDs {
        let state = self.state.lock();
        ShmidDs {
            perm: self.permissions.to_abi(),
            segsz: self.size,
            atime: state.atime,
            dtime: state.dtime,
            ctime: state.ctime,
            cpid: state.cpid,
            lpid: state.lpid,
            nattch: self.attachments(state.own.as_ref()) as u64,
            ..ShmidDs::default()
        }
    }
}
