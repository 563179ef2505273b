//! Keys and keyrings, `keyrings(7)`: of the types `keyring`, `user` and `logon`.
//!
//! A key lives as long as a keyring has a link to it, or a task has it as its keyring. [`Keys`] finds
//! it by its number. [`Access`] is a task that uses keys: what it may do depends on whether its own
//! keyrings lead to the key.

mod access;
mod key;
mod quota;
mod ring;
mod task_rings;

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::host::Host;
use lx_core::sync::{Mutex, level};

pub use access::{Access, Found};
use key::NewKey;
pub use key::{Key, Kind, MAX_PAYLOAD};
use quota::Counting;
pub use quota::{Account, Quota};
pub use task_rings::TaskRings;

/// Seconds for which revoked and expired keys stay in keyrings (`gc_delay`).
pub const GC_DELAY: i64 = 300;
/// Seconds for which nobody may ask for a persistent keyring before it ends.
pub const PERSISTENT_EXPIRY: i64 = 259_200;

/// Permissions of keyrings that belong to a user, `_uid.0`.
const USER_RING: u32 = 0x1f3f_0000;
/// Permissions of persistent keyrings, `_persistent.0`.
const PERSISTENT_RING: u32 = 0x1f03_0000;

/// The keyrings of a user.
#[derive(Clone)]
struct UserRings {
    /// `_uid.N`
    user: Arc<Key>,
    /// `_uid_ses.N`
    session: Arc<Key>,
}

/// All keys of a system.
pub struct Keys {
    host: &'static dyn Host,
    by_serial: Mutex<BTreeMap<i32, Weak<Key>>, { level::CACHE }>,
    quota: Mutex<Quota, { level::CACHE }>,
    users: Mutex<BTreeMap<u32, UserRings>, { level::IPC_IDS }>,
    persistent: Mutex<BTreeMap<u32, Arc<Key>>, { level::IPC_IDS }>,
    /// Held while a keyring is linked, so that no circle can come about.
    linking: Mutex<(), { level::IPC_IDS }>,
}

impl Keys {
    /// No keys.
    pub fn new(host: &'static dyn Host) -> Arc<Self> {
        Arc::new(Self {
            host,
            by_serial: Mutex::default(),
            quota: Mutex::default(),
            users: Mutex::default(),
            persistent: Mutex::default(),
            linking: Mutex::default(),
        })
    }

    /// Seconds since 1970.
    fn now(&self) -> i64 {
        self.host.realtime().cast_signed().div_euclid(1_000_000_000)
    }

    /// The key with this number.
    ///
    /// # Errors
    /// `ENOKEY`.
    fn get(&self, serial: i32) -> Result<Arc<Key>> {
        let key = self.by_serial.lock().get(&serial).and_then(Weak::upgrade);
        key.ok_or(Errno::ENOKEY.into())
    }

    /// All keys, by number.
    pub fn list(&self) -> Vec<Arc<Key>> {
        self.by_serial.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// What each user has.
    pub fn accounts(&self) -> Vec<(u32, Account)> {
        self.quota.lock().accounts()
    }

    /// Makes a key that no keyring leads to yet.
    ///
    /// # Errors
    /// `EDQUOT`.
    fn add(self: &Arc<Self>, new: NewKey<'_>) -> Result<Arc<Key>> {
        let bytes = new.quota_bytes();
        if new.counting != Counting::Not {
            self.quota.lock().add_key(new.uid, bytes, new.counting == Counting::Overrun)?;
        }
        let mut key = Key::new(Arc::clone(self), new, bytes);
        loop {
            let mut serial = [0; 4];
            self.host.fill(&mut serial);
            let serial = (u32::from_ne_bytes(serial) >> 1).cast_signed();
            let mut known = self.by_serial.lock();
            if serial < 3 || known.contains_key(&serial) {
                continue;
            }
            key.serial = serial;
            let key = Arc::new(key);
            known.insert(serial, Arc::downgrade(&key));
            return Ok(key);
        }
    }

    /// A keyring.
    ///
    /// # Errors
    /// `EDQUOT`.
    fn new_ring(
        self: &Arc<Self>,
        name: &[u8],
        (uid, gid): (u32, u32),
        permissions: u32,
        counting: Counting,
    ) -> Result<Arc<Key>> {
        let kind = Kind::Keyring;
        let payload = Vec::new();
        self.add(NewKey { kind, description: name, uid, gid, permissions, counting, payload })
    }

    /// The keyrings of a user, which are made when they are first asked for and stay.
    ///
    /// # Errors
    /// `EDQUOT`.
    fn user_rings(self: &Arc<Self>, uid: u32) -> Result<UserRings> {
        let known = self.users.lock().get(&uid).cloned();
        if let Some(rings) = known {
            return Ok(rings);
        }
        let ring = |name: alloc::string::String| {
            self.new_ring(name.as_bytes(), (uid, u32::MAX), USER_RING, Counting::Within)
        };
        let user = ring(alloc::format!("_uid.{uid}"))?;
        let session = ring(alloc::format!("_uid_ses.{uid}"))?;
        session.link(&user)?;
        let new = UserRings { user, session };
        let mut users = self.users.lock();
        let rings = users.entry(uid).or_insert_with(|| new.clone()).clone();
        drop(users);
        Ok(rings)
    }

    /// Whether a keyring is the session of somebody who has no session.
    fn is_user_session(&self, ring: &Arc<Key>) -> bool {
        self.users.lock().values().any(|rings| Arc::ptr_eq(&rings.session, ring))
    }

    /// The keyring of a user that outlives sessions.
    ///
    /// # Errors
    /// `EDQUOT`.
    fn persistent_ring(self: &Arc<Self>, uid: u32) -> Result<Arc<Key>> {
        let now = self.now();
        let known = self.persistent.lock().get(&uid).cloned();
        let ring = match known.filter(|ring| ring.check_valid(now).is_ok()) {
            Some(ring) => ring,
            None => {
                let name = alloc::format!("_persistent.{uid}");
                let new = self.new_ring(
                    name.as_bytes(),
                    (uid, u32::MAX),
                    PERSISTENT_RING,
                    Counting::Not,
                )?;
                let mut rings = self.persistent.lock();
                let old = rings.insert(uid, Arc::clone(&new));
                drop(rings);
                drop(old);
                new
            }
        };
        Ok(ring)
    }

    /// Takes a key that is no more out of all keyrings.
    fn forget(&self, key: &Arc<Key>) {
        for ring in self.list().into_iter().filter(|key| key.kind() == Kind::Keyring) {
            ring.drop_link(key);
        }
    }
}
