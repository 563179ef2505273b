//! A task that uses keys.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::keyctl::{KeyAccess, KeyId};
use lx_core::cred::{Capabilities, Credentials};
use lx_core::{Caller, Result, SysError};

use super::key::NewKey;
use super::quota::Counting;
use super::ring::{Search, Wanted};
use super::{Key, Keys, Kind, PERSISTENT_EXPIRY};
use crate::task::Task;

/// Permissions of the keyrings of a thread or a process.
const TASK_RING: u32 = 0x3f01_0000;
/// Permissions of a session without a name.
const SESSION_RING: u32 = 0x3f03_0000;
/// Permissions of one with a name, which others of the user may join.
const NAMED_SESSION_RING: u32 = 0x3f13_0000;
/// `KEYCTL_SET_REQKEY_KEYRING`: nothing changes.
const DEFAULT_UNCHANGED: i32 = -1;

/// A key that was found, and whether the task's own keyrings lead to it.
#[derive(Clone)]
pub struct Found {
    /// The key.
    pub key: Arc<Key>,
    /// Whether the task possesses it.
    pub possessed: bool,
}

/// A task that uses keys.
pub struct Access<'a> {
    keys: &'a Arc<Keys>,
    task: &'a Task,
    cred: &'a Credentials,
    /// Seconds since 1970.
    now: i64,
}

impl<'a> Access<'a> {
    /// The task `task` with the credentials of `caller`, which it is.
    pub fn new(keys: &'a Arc<Keys>, task: &'a Task, caller: &'a Caller<'_>) -> Self {
        Self { keys, task, cred: caller.cred(), now: keys.now() }
    }

    fn owner(&self) -> (u32, u32) {
        (self.cred.uid, self.cred.gid)
    }

    /// The key that `id` stands for, if the task may do with it what it wants to; a keyring of its
    /// own is made if it shall be.
    ///
    /// # Errors
    /// `EINVAL` for no id; `ENOKEY`, `EKEYREVOKED`, `EKEYEXPIRED`, `EACCES`, `EDQUOT`.
    pub fn find(&self, id: KeyId, make: bool, wanted: KeyAccess) -> Result<Found> {
        let found = self.find_any(id, make)?;
        found.key.check_valid(self.now)?;
        self.check(&found, wanted)?;
        Ok(found)
    }

    /// As [`find`](Self::find), whatever may be done with the key.
    ///
    /// # Errors
    /// `EINVAL`, `ENOKEY`, `EDQUOT`.
    pub fn find_any(&self, id: KeyId, make: bool) -> Result<Found> {
        let rings = self.task.rings().get();
        let key = match id {
            KeyId::THREAD => match rings.thread {
                Some(ring) => ring,
                None if make => self.make_thread_ring()?,
                None => return Err(Errno::ENOKEY.into()),
            },
            KeyId::PROCESS => match rings.process {
                Some(ring) => ring,
                None if make => self.make_process_ring()?,
                None => return Err(Errno::ENOKEY.into()),
            },
            KeyId::SESSION => {
                // To that of the user nothing shall be added by chance.
                let fits = |ring: &Arc<Key>| !make || !self.keys.is_user_session(ring);
                match rings.session.filter(fits) {
                    Some(ring) => ring,
                    None if make => self.join_session(None)?,
                    None => {
                        let ring = self.keys.user_rings(self.cred.uid)?.session;
                        self.set_session(&ring);
                        ring
                    }
                }
            }
            KeyId::USER => self.keys.user_rings(self.cred.uid)?.user,
            KeyId::USER_SESSION => self.keys.user_rings(self.cred.uid)?.session,
            // Those of a task that makes a key for another one, which there is none.
            KeyId::REQUEST_AUTHORITY | KeyId::REQUESTOR => return Err(Errno::ENOKEY.into()),
            KeyId(serial) if serial > 0 => {
                let key = self.keys.get(serial)?;
                let possessed = self.possesses(&key)?;
                return Ok(Found { key, possessed });
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        Ok(Found { key, possessed: true })
    }

    /// Whether the task may do something with a key.
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check(&self, found: &Found, wanted: KeyAccess) -> Result<()> {
        found.key.check_access(self.cred, found.possessed, wanted)
    }

    /// The keyrings that the task possesses, in the order in which they are searched.
    fn own_rings(&self) -> Result<Vec<Arc<Key>>> {
        let rings = self.task.rings().get();
        let session = match rings.session {
            Some(session) => session,
            None => self.keys.user_rings(self.cred.uid)?.session,
        };
        Ok([rings.thread, rings.process, Some(session)].into_iter().flatten().collect())
    }

    /// Whether the task's own keyrings lead to a key.
    ///
    /// # Errors
    /// `EDQUOT`: it has no keyrings yet and gets none.
    pub fn possesses(&self, key: &Arc<Key>) -> Result<bool> {
        for ring in self.own_rings()? {
            if ring.check_access(self.cred, true, KeyAccess::SEARCH).is_err() {
                continue;
            }
            let mut search = self.search_for(Wanted::Key(key), true);
            if Arc::ptr_eq(&ring, key) || search.run(&ring, 0).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn search_for<'s>(&'s self, wanted: Wanted<'s>, possessed: bool) -> Search<'s> {
        Search { wanted, cred: self.cred, possessed, now: self.now, failed: Errno::EAGAIN }
    }

    /// Searches a keyring for a key that can be used.
    ///
    /// # Errors
    /// `ENOTDIR`, `EACCES`; `EAGAIN` without one; or why the one that there is cannot be used.
    fn search(&self, ring: &Found, wanted: Wanted<'_>) -> Result<Found> {
        ring.key.check_ring()?;
        self.check(ring, KeyAccess::SEARCH)?;
        let possessed = ring.possessed;
        let mut search = self.search_for(wanted, possessed);
        match search.run(&ring.key, 0) {
            Some(key) => Ok(Found { key, possessed }),
            None => Err(search.failed.into()),
        }
    }

    /// `KEYCTL_SEARCH`.
    ///
    /// # Errors
    /// As [`search`](Self::search), but `ENOKEY` without one.
    pub fn search_ring(&self, ring: &Found, kind: Kind, description: &[u8]) -> Result<Found> {
        let no_key = |error: SysError| match error.errno() {
            Errno::EAGAIN => Errno::ENOKEY.into(),
            _ => error,
        };
        self.search(ring, Wanted::Named(kind, description)).map_err(no_key)
    }

    /// Searches all keyrings of the task.
    ///
    /// # Errors
    /// `ENOKEY` without a key; or why the one that there is cannot be used.
    pub fn request(&self, kind: Kind, description: &[u8]) -> Result<Found> {
        let mut missing = false;
        let mut failed = Errno::ENOKEY;
        for key in self.own_rings()? {
            let wanted = Wanted::Unexpired(kind, description);
            let found = self.search(&Found { key, possessed: true }, wanted);
            match found.map_err(SysError::errno) {
                Ok(found) => return Ok(found),
                Err(Errno::EAGAIN) => missing = true,
                Err(errno) => failed = errno,
            }
        }
        // Where one keyring has none, what is wrong with another's is not said.
        Err(if missing { Errno::ENOKEY } else { failed }.into())
    }

    /// `add_key(2)`: a new key in a keyring, or the one that is there with another payload.
    ///
    /// # Errors
    /// `ENOTDIR`, `EINVAL`, `EACCES`, `EDQUOT`.
    pub fn add(
        &self,
        ring: &Found,
        kind: Kind,
        description: &[u8],
        payload: Vec<u8>,
    ) -> Result<i32> {
        ring.key.check_ring()?;
        kind.check_payload(&payload)?;
        let known = ring.key.child(kind, description).filter(|_| kind.has_payload());
        // One that has expired becomes valid again.
        if let Some(key) = known.filter(|key| !key.is_withdrawn()) {
            let found = Found { key, possessed: ring.possessed };
            self.check(&found, KeyAccess::WRITE)?;
            found.key.update(payload)?;
            return Ok(found.key.serial());
        }
        kind.check_description(description)?;
        let (uid, gid) = (self.cred.fsuid, self.cred.fsgid);
        let permissions = kind.default_permissions();
        let counting = Counting::Within;
        let new = NewKey { kind, description, uid, gid, permissions, counting, payload };
        let key = self.keys.add(new)?;
        ring.key.link(&key)?;
        Ok(key.serial())
    }

    /// `KEYCTL_LINK`.
    ///
    /// # Errors
    /// `ENOTDIR`, `EDQUOT`, `EDEADLK`, `ELOOP`.
    pub fn link(&self, ring: &Found, key: &Found) -> Result<()> {
        ring.key.link(&key.key)
    }

    /// `KEYCTL_UNLINK`.
    ///
    /// # Errors
    /// `ENOTDIR`; `ENOENT` if the key is not there.
    pub fn unlink(&self, ring: &Found, key: &Found) -> Result<()> {
        ring.key.check_ring()?;
        if ring.key.drop_link(&key.key) { Ok(()) } else { Err(Errno::ENOENT.into()) }
    }

    /// `KEYCTL_CLEAR`.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn clear(&self, ring: &Found) -> Result<()> {
        ring.key.check_ring()?;
        ring.key.clear();
        Ok(())
    }

    /// `KEYCTL_READ`: who possesses a key may read it as well as who has the permission.
    ///
    /// # Errors
    /// `ENOKEY`, `EACCES`; as [`Key::read`].
    pub fn read(&self, id: KeyId) -> Result<Vec<u8>> {
        let found = self.find_any(id, false)?;
        if self.check(&found, KeyAccess::READ).is_err() && !found.possessed {
            return Err(Errno::EACCES.into());
        }
        found.key.read(self.now)
    }

    /// `KEYCTL_REVOKE`.
    pub fn revoke(&self, found: &Found) {
        found.key.revoke(self.now);
    }

    /// `KEYCTL_SET_TIMEOUT`.
    pub fn set_timeout(&self, found: &Found, seconds: u32) {
        found.key.set_timeout(self.now, seconds);
    }

    /// `KEYCTL_SETPERM`.
    ///
    /// # Errors
    /// `EACCES`: another one's key.
    pub fn set_permissions(&self, found: &Found, permissions: u32) -> Result<()> {
        let (uid, ..) = found.key.ownership();
        if uid != self.cred.fsuid && !self.cred.has(Capabilities::SYS_ADMIN) {
            return Err(Errno::EACCES.into());
        }
        found.key.set_permissions(permissions);
        Ok(())
    }

    /// `KEYCTL_CHOWN`.
    ///
    /// # Errors
    /// `EACCES`: not to be given away, or not to this group. `EDQUOT`.
    pub fn set_owner(&self, found: &Found, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        if !self.cred.has(Capabilities::SYS_ADMIN) {
            let (old_uid, old_gid, _) = found.key.ownership();
            let other_user = uid.is_some_and(|uid| uid != old_uid);
            let other_group = gid.is_some_and(|gid| gid != old_gid && !self.cred.in_group(gid));
            if other_user || other_group {
                return Err(Errno::EACCES.into());
            }
        }
        found.key.set_owner(uid, gid)
    }

    fn make_thread_ring(&self) -> Result<Arc<Key>> {
        let ring = self.keys.new_ring(b"_tid", self.owner(), TASK_RING, Counting::Overrun)?;
        self.task.rings().change(|rings| rings.thread = Some(Arc::clone(&ring)));
        Ok(ring)
    }

    fn make_process_ring(&self) -> Result<Arc<Key>> {
        let ring = self.keys.new_ring(b"_pid", self.owner(), TASK_RING, Counting::Overrun)?;
        self.task.rings().change(|rings| rings.process = Some(Arc::clone(&ring)));
        Ok(ring)
    }

    fn set_session(&self, ring: &Arc<Key>) {
        self.task.rings().change(|rings| rings.session = Some(Arc::clone(ring)));
    }

    /// A new session keyring, or the one with this name.
    fn join_session(&self, name: Option<&[u8]>) -> Result<Arc<Key>> {
        let counting = match self.task.rings().get().session {
            Some(_) => Counting::Within,
            None => Counting::Overrun,
        };
        let ring = match name {
            None => self.keys.new_ring(b"_ses", self.owner(), SESSION_RING, counting)?,
            Some(name) => match self.session_named(name) {
                Some(ring) => ring,
                None => {
                    self.keys.new_ring(name, self.owner(), NAMED_SESSION_RING, Counting::Within)?
                }
            },
        };
        self.set_session(&ring);
        Ok(ring)
    }

    /// A keyring with this name that the task may search without possessing it.
    fn session_named(&self, name: &[u8]) -> Option<Arc<Key>> {
        let may_join = |key: &Arc<Key>| {
            key.kind() == Kind::Keyring
                && key.description() == name
                && key.check_valid(self.now).is_ok()
                && key.check_access(self.cred, false, KeyAccess::SEARCH).is_ok()
        };
        self.keys.list().into_iter().find(may_join)
    }

    /// `KEYCTL_JOIN_SESSION_KEYRING`: the number of the keyring, 0 if it is the session's already.
    ///
    /// # Errors
    /// `EDQUOT`.
    pub fn join(&self, name: Option<&[u8]>) -> Result<i32> {
        let before = self.task.rings().get().session;
        let ring = self.join_session(name)?;
        let same = before.is_some_and(|before| Arc::ptr_eq(&before, &ring));
        Ok(if same { 0 } else { ring.serial() })
    }

    /// `KEYCTL_SET_REQKEY_KEYRING`: the former default.
    ///
    /// # Errors
    /// `EINVAL`, `EDQUOT`.
    pub fn set_default(&self, default: i32) -> Result<i32> {
        let rings = self.task.rings().get();
        match default {
            DEFAULT_UNCHANGED => return Ok(rings.default),
            1 if rings.thread.is_none() => drop(self.make_thread_ring()?),
            2 if rings.process.is_none() => drop(self.make_process_ring()?),
            0..=5 | 7 => {}
            _ => return Err(Errno::EINVAL.into()),
        }
        self.task.rings().change(|rings| rings.default = default);
        Ok(rings.default)
    }

    /// `KEYCTL_GET_PERSISTENT`: links a user's persistent keyring into `ring`; its number.
    ///
    /// # Errors
    /// `EPERM`: another user's. `ENOTDIR`, `EDQUOT`, `EDEADLK`, `ELOOP`.
    pub fn persistent(&self, uid: Option<u32>, ring: &Found) -> Result<i32> {
        let persistent = self.keys.persistent_ring(uid.unwrap_or(self.cred.uid))?;
        ring.key.link(&persistent)?;
        persistent.set_timeout(self.now, PERSISTENT_EXPIRY as u32);
        Ok(persistent.serial())
    }

    /// The present time, seconds since 1970.
    pub fn now(&self) -> i64 {
        self.now
    }
}
