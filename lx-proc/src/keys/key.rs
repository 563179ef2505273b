//! A key: its attributes, its payload, who may do what with it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::keyctl::KeyAccess;
use lx_core::cred::Credentials;
use lx_core::sync::{Mutex, level};

use super::quota::Counting;
use super::{GC_DELAY, Keys};

/// Most bytes of a payload of the types `user` and `logon`.
pub const MAX_PAYLOAD: usize = 32_767;
/// Bytes that a link counts.
const LINK_BYTES: usize = 4;
/// A group that is none.
const NO_GROUP: u32 = u32::MAX;
/// What is shown for it.
const OVERFLOW_GID: u32 = 65_534;

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Links to other keys.
    Keyring,
    /// Any bytes.
    User,
    /// Any bytes that are never given back.
    Logon,
}

impl Kind {
    /// The type with this name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"keyring" => Some(Self::Keyring),
            b"user" => Some(Self::User),
            b"logon" => Some(Self::Logon),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::User => "user",
            Self::Logon => "logon",
        }
    }

    /// Whether it has a payload that can be replaced.
    pub fn has_payload(self) -> bool {
        self != Self::Keyring
    }

    /// Checks the payload of a new key, or of an update.
    ///
    /// # Errors
    /// `EINVAL`.
    pub(super) fn check_payload(self, payload: &[u8]) -> Result<()> {
        let fits = match self {
            Self::Keyring => payload.is_empty(),
            Self::User | Self::Logon => (1..=MAX_PAYLOAD).contains(&payload.len()),
        };
        if fits { Ok(()) } else { Err(Errno::EINVAL.into()) }
    }

    /// Checks the description of a new key.
    ///
    /// # Errors
    /// `EINVAL` for a `logon` key without a service before a colon.
    pub(super) fn check_description(self, description: &[u8]) -> Result<()> {
        let colon = description.iter().position(|byte| *byte == b':');
        match (self, colon) {
            (Self::Logon, None | Some(0)) => Err(Errno::EINVAL.into()),
            _ => Ok(()),
        }
    }

    /// Permissions of a new key for which nobody has said others.
    pub(super) fn default_permissions(self) -> u32 {
        let all = KeyAccess::all();
        let possessor = if self == Self::Logon { all.difference(KeyAccess::READ) } else { all };
        possessor.possessor() | KeyAccess::VIEW.owner()
    }
}

/// A key to be made.
pub(super) struct NewKey<'a> {
    pub(super) kind: Kind,
    pub(super) description: &'a [u8],
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) permissions: u32,
    pub(super) counting: Counting,
    pub(super) payload: Vec<u8>,
}

impl NewKey<'_> {
    /// Bytes that count.
    pub(super) fn quota_bytes(&self) -> usize {
        self.description.len().saturating_add(1).saturating_add(self.payload.len())
    }
}

pub(super) struct State {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) permissions: u32,
    /// Seconds since 1970.
    expiry: Option<i64>,
    /// When it was revoked.
    revoked: Option<i64>,
    invalidated: bool,
    payload: Vec<u8>,
    pub(super) links: Vec<Arc<Key>>,
    /// Bytes that count for the owner.
    bytes: usize,
}

/// A key.
pub struct Key {
    pub(super) serial: i32,
    kind: Kind,
    description: Box<[u8]>,
    /// Whether its bytes count for the owner.
    counted: bool,
    pub(super) keys: Arc<Keys>,
    pub(super) state: Mutex<State, { level::FILE_OBJECT }>,
}

impl Drop for Key {
    fn drop(&mut self) {
        self.keys.by_serial.lock().remove(&self.serial);
        let state = self.state.get_mut();
        if self.counted {
            self.keys.quota.lock().remove_key(state.uid, state.bytes);
        }
    }
}

impl Key {
    /// A key without a number.
    pub(super) fn new(keys: Arc<Keys>, new: NewKey<'_>, bytes: usize) -> Self {
        let state = State {
            uid: new.uid,
            gid: new.gid,
            permissions: new.permissions,
            expiry: None,
            revoked: None,
            invalidated: false,
            payload: new.payload,
            links: Vec::new(),
            bytes,
        };
        Self {
            serial: 0,
            kind: new.kind,
            description: new.description.into(),
            counted: new.counting != Counting::Not,
            keys,
            state: Mutex::new(state),
        }
    }

    /// Its number.
    pub fn serial(&self) -> i32 {
        self.serial
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its description; of a keyring the name.
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// Owner, group and permissions, as they are shown.
    pub fn ownership(&self) -> (u32, u32, u32) {
        let state = self.state.lock();
        let gid = if state.gid == NO_GROUP { OVERFLOW_GID } else { state.gid };
        (state.uid, gid, state.permissions)
    }

    /// What `KEYCTL_DESCRIBE` gives, without the NUL.
    pub fn described(&self) -> Vec<u8> {
        let (uid, gid, permissions) = self.ownership();
        let name = self.kind.name();
        let mut text = alloc::format!("{name};{uid};{gid};{permissions:08x};").into_bytes();
        text.extend_from_slice(&self.description);
        text
    }

    /// Whether the key can be used.
    ///
    /// # Errors
    /// `ENOKEY`, `EKEYREVOKED`, `EKEYEXPIRED`.
    pub fn check_valid(&self, now: i64) -> Result<()> {
        self.state.lock().check_valid(now)
    }

    /// Whether it was revoked or invalidated, which nothing undoes.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.state.lock().is_withdrawn()
    }

    /// Whether nobody needs to see any more that it cannot be used.
    pub(super) fn is_over(&self, now: i64) -> bool {
        let state = self.state.lock();
        let since = [state.revoked, state.expiry.filter(|expiry| *expiry <= now)];
        state.invalidated || since.into_iter().flatten().any(|since| now - since >= GC_DELAY)
    }

    /// Whether somebody may do something with it. No capability replaces a permission.
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check_access(
        &self,
        cred: &Credentials,
        possessed: bool,
        wanted: KeyAccess,
    ) -> Result<()> {
        let state = self.state.lock();
        let all = state.permissions;
        let (group, gid) = (all >> 8 & KeyAccess::all().bits(), state.gid);
        let class = if state.uid == cred.fsuid {
            all >> 16
        } else if gid != NO_GROUP && group != 0 && cred.in_group(gid) {
            group
        } else {
            all
        };
        drop(state);
        let may = if possessed { class | all >> 24 } else { class };
        if wanted.bits() & !may == 0 { Ok(()) } else { Err(Errno::EACCES.into()) }
    }

    /// The payload.
    ///
    /// # Errors
    /// `EKEYREVOKED`, `EKEYEXPIRED`; `EOPNOTSUPP` if it is never given back.
    pub fn read(&self, now: i64) -> Result<Vec<u8>> {
        match self.kind {
            Kind::Logon => Err(Errno::EOPNOTSUPP.into()),
            Kind::User => {
                let state = self.state.lock();
                state.check_valid(now)?;
                Ok(state.payload.clone())
            }
            Kind::Keyring => {
                self.check_valid(now)?;
                Ok(self.links().iter().flat_map(|key| key.serial.to_ne_bytes()).collect())
            }
        }
    }

    /// Replaces the payload; it does not expire any more, and has not if it had.
    ///
    /// # Errors
    /// `EOPNOTSUPP`, `EINVAL`, `EKEYREVOKED`, `EDQUOT`.
    pub fn update(&self, payload: Vec<u8>) -> Result<()> {
        if !self.kind.has_payload() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        self.kind.check_payload(&payload)?;
        let mut state = self.state.lock();
        if state.is_withdrawn() {
            return Err(Errno::EKEYREVOKED.into());
        }
        let bytes = state.bytes.saturating_sub(state.payload.len()).saturating_add(payload.len());
        self.resize(&mut state, bytes)?;
        state.payload = payload;
        state.expiry = None;
        Ok(())
    }

    /// Counts one more link, or one less.
    pub(super) fn count_link(&self, state: &mut State, more: bool) -> Result<()> {
        let bytes = match more {
            true => state.bytes.saturating_add(LINK_BYTES),
            false => state.bytes.saturating_sub(LINK_BYTES),
        };
        self.resize(state, bytes)
    }

    /// Counts other bytes than before.
    fn resize(&self, state: &mut State, bytes: usize) -> Result<()> {
        if self.counted {
            self.keys.quota.lock().resize(state.uid, state.bytes, bytes)?;
        }
        state.bytes = bytes;
        Ok(())
    }

    /// `KEYCTL_REVOKE`: whoever uses it gets `EKEYREVOKED`. What it held is gone.
    pub fn revoke(&self, now: i64) {
        let mut state = self.state.lock();
        state.revoked.get_or_insert(now);
        let (payload, links) =
            (core::mem::take(&mut state.payload), core::mem::take(&mut state.links));
        // Less never exceeds a limit.
        let _ = self.resize(&mut state, 0);
        drop(state);
        drop((payload, links));
    }

    /// `KEYCTL_INVALIDATE`: the key is gone at once.
    pub fn invalidate(self: &Arc<Self>) {
        self.state.lock().invalidated = true;
        self.keys.forget(self);
    }

    /// `KEYCTL_SET_TIMEOUT`: it expires so many seconds from now, or never.
    pub fn set_timeout(&self, now: i64, seconds: u32) {
        let expiry = (seconds != 0).then(|| now.saturating_add(seconds.into()));
        self.state.lock().expiry = expiry;
    }

    /// `KEYCTL_SETPERM`.
    pub fn set_permissions(&self, permissions: u32) {
        self.state.lock().permissions = permissions;
    }

    /// `KEYCTL_CHOWN`.
    ///
    /// # Errors
    /// `EDQUOT`: more than the new owner may have.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(uid) = uid.filter(|uid| *uid != state.uid) {
            if self.counted {
                let mut quota = self.keys.quota.lock();
                quota.add_key(uid, state.bytes, false)?;
                quota.remove_key(state.uid, state.bytes);
            }
            state.uid = uid;
        }
        state.gid = gid.unwrap_or(state.gid);
        Ok(())
    }

    /// As `/proc/keys` shows it: flags, time left, what its type says of it.
    pub fn shown(&self, now: i64) -> (String, String, String) {
        let state = self.state.lock();
        let flag = |set, letter| if set { letter } else { '-' };
        let flags = [
            'I',
            flag(state.revoked.is_some(), 'R'),
            '-',
            flag(self.counted, 'Q'),
            '-',
            '-',
            flag(state.invalidated, 'i'),
        ];
        let left = match state.expiry {
            None => "perm".into(),
            Some(expiry) if expiry <= now => "expd".into(),
            Some(expiry) => time_left(expiry - now),
        };
        let content = match (self.kind, state.links.len()) {
            (Kind::Keyring, 0) => "empty".into(),
            (Kind::Keyring, links) => alloc::format!("{links}"),
            _ => alloc::format!("{}", state.payload.len()),
        };
        (flags.into_iter().collect(), left, content)
    }
}

impl State {
    fn is_withdrawn(&self) -> bool {
        self.invalidated || self.revoked.is_some()
    }

    fn check_valid(&self, now: i64) -> Result<()> {
        let error = if self.invalidated {
            Errno::ENOKEY
        } else if self.revoked.is_some() {
            Errno::EKEYREVOKED
        } else if self.expiry.is_some_and(|expiry| expiry <= now) {
            Errno::EKEYEXPIRED
        } else {
            return Ok(());
        };
        Err(error.into())
    }
}

/// Seconds in the largest unit that there is one of.
fn time_left(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const WEEK: i64 = 7 * DAY;
    let (unit, letter) = if seconds < MINUTE {
        (1, 's')
    } else if seconds < HOUR {
        (MINUTE, 'm')
    } else if seconds < DAY {
        (HOUR, 'h')
    } else if seconds < WEEK {
        (DAY, 'd')
    } else {
        (WEEK, 'w')
    };
    alloc::format!("{}{letter}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shown_in_its_largest_unit() {
        let shown = [59, 60, 3599, 3600, 86_400, 604_799, 604_800].map(time_left);
        assert_eq!(shown, ["59s", "1m", "59m", "1h", "1d", "6d", "1w"]);
    }

    #[test]
    fn types_check_what_they_are_given() {
        let refused = Err(Errno::EINVAL.into());
        assert_eq!(Kind::Keyring.check_payload(b"x"), refused);
        assert_eq!(Kind::User.check_payload(b""), refused);
        assert_eq!(Kind::User.check_payload(b"x"), Ok(()));
        assert_eq!(Kind::Logon.check_description(b":b"), refused);
        assert_eq!(Kind::Logon.check_description(b"a:"), Ok(()));
        assert_eq!(Kind::Logon.default_permissions(), 0x3d01_0000);
    }
}
