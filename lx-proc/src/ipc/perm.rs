//! Who may do what with an object.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::ipc::{IPC_PRIVATE, IpcPerm};
use lx_core::cred::{Capabilities, Credentials};
use lx_core::sync::{Mutex, level};

/// Permission to read, as `IPC_STAT` needs it.
pub const READ: u32 = 0o444;
/// Permission to write or alter.
pub const WRITE: u32 = 0o222;

/// Id, key, owners and mode of an object, `struct ipc_perm`.
pub struct Permissions {
    id: i32,
    owner: Mutex<Owner, { level::IPC_OWNER }>,
    cuid: u32,
    cgid: u32,
}

#[derive(Clone, Copy)]
struct Owner {
    key: i32,
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Permissions {
    pub(super) fn new(id: i32, key: i32, cred: &Credentials, mode: u32) -> Self {
        let owner = Owner { key, uid: cred.euid, gid: cred.egid, mode: mode & 0o777 };
        Self { id, owner: Mutex::new(owner), cuid: cred.euid, cgid: cred.egid }
    }

    /// The object's id.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The key by which it is found; [`IPC_PRIVATE`] if it is not.
    pub fn key(&self) -> i32 {
        self.owner.lock().key
    }

    /// Makes the object unfindable by its key.
    pub(super) fn forget_key(&self) {
        self.owner.lock().key = IPC_PRIVATE;
    }

    /// Adds and removes bits of the mode.
    pub(super) fn change_mode(&self, add: u32, remove: u32) {
        let mut owner = self.owner.lock();
        owner.mode = owner.mode & !remove | add;
    }

    /// The mode, with flags.
    pub fn mode(&self) -> u32 {
        self.owner.lock().mode
    }

    /// Whether `cred` may do what the permission bits of `wanted` say, for whichever class.
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check(&self, cred: &Credentials, wanted: u32) -> Result<()> {
        let owner = *self.owner.lock();
        let wanted = wanted >> 6 | wanted >> 3 | wanted;
        let granted = if [owner.uid, self.cuid].contains(&cred.euid) {
            owner.mode >> 6
        } else if cred.in_group(owner.gid) || cred.in_group(self.cgid) {
            owner.mode >> 3
        } else {
            owner.mode
        };
        if wanted & !granted & 0o7 == 0 || cred.has(Capabilities::IPC_OWNER) {
            Ok(())
        } else {
            Err(Errno::EACCES.into())
        }
    }

    /// Whether `cred` may change or remove the object.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn check_owner(&self, cred: &Credentials) -> Result<()> {
        if cred.has(Capabilities::SYS_ADMIN) { Ok(()) } else { self.check_caller_owns(cred) }
    }

    /// Whether `cred` owns the object or has made it, as `SHM_LOCK` needs it.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn check_caller_owns(&self, cred: &Credentials) -> Result<()> {
        let owns = [self.owner.lock().uid, self.cuid].contains(&cred.euid);
        if owns { Ok(()) } else { Err(Errno::EPERM.into()) }
    }

    /// `IPC_SET`.
    ///
    /// # Errors
    /// `EINVAL` for an id that stands for none.
    pub(super) fn set(&self, new: &IpcPerm) -> Result<()> {
        if new.uid == u32::MAX || new.gid == u32::MAX {
            return Err(Errno::EINVAL.into());
        }
        let mut owner = self.owner.lock();
        (owner.uid, owner.gid) = (new.uid, new.gid);
        owner.mode = owner.mode & !0o777 | new.mode & 0o777;
        Ok(())
    }

    /// As guests see it.
    pub fn to_abi(&self) -> IpcPerm {
        let owner = *self.owner.lock();
        IpcPerm {
            key: owner.key,
            uid: owner.uid,
            gid: owner.gid,
            cuid: self.cuid,
            cgid: self.cgid,
            mode: owner.mode,
            seq: super::table::sequence(self.id),
            ..IpcPerm::default()
        }
    }
}
