//! How many keys a user has, and how many bytes they take.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;

/// What a user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Keys.
    pub keys: usize,
    /// Bytes of their descriptions and payloads.
    pub bytes: usize,
}

/// How a new key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counting {
    /// Within the limits.
    Within,
    /// It may exceed the limits.
    Overrun,
    /// Not at all.
    Not,
}

/// What all users have.
#[derive(Default)]
pub struct Quota(BTreeMap<u32, Account>);

impl Quota {
    /// Keys and bytes that a user may have.
    pub const fn limits(uid: u32) -> Account {
        match uid {
            0 => Account { keys: 1_000_000, bytes: 25_000_000 },
            _ => Account { keys: 200, bytes: 20_000 },
        }
    }

    pub(super) fn accounts(&self) -> Vec<(u32, Account)> {
        self.0.iter().map(|(uid, account)| (*uid, *account)).collect()
    }

    /// Changes what a user has.
    fn change(&mut self, uid: u32, to: Account) {
        if to == Account::default() {
            self.0.remove(&uid);
        } else {
            self.0.insert(uid, to);
        }
    }

    fn get(&self, uid: u32) -> Account {
        self.0.get(&uid).copied().unwrap_or_default()
    }

    /// One more key.
    ///
    /// # Errors
    /// `EDQUOT`, unless it may overrun the limits.
    pub(super) fn add_key(&mut self, uid: u32, bytes: usize, overrun: bool) -> Result<()> {
        let (has, most) = (self.get(uid), Self::limits(uid));
        let new =
            Account { keys: has.keys.saturating_add(1), bytes: has.bytes.saturating_add(bytes) };
        if !overrun && (new.keys > most.keys || new.bytes > most.bytes) {
            return Err(Errno::EDQUOT.into());
        }
        self.change(uid, new);
        Ok(())
    }

    /// One key less.
    pub(super) fn remove_key(&mut self, uid: u32, bytes: usize) {
        let has = self.get(uid);
        let new =
            Account { keys: has.keys.saturating_sub(1), bytes: has.bytes.saturating_sub(bytes) };
        self.change(uid, new);
    }

    /// A key has other bytes than before.
    ///
    /// # Errors
    /// `EDQUOT` for too many more.
    pub(super) fn resize(&mut self, uid: u32, before: usize, after: usize) -> Result<()> {
        let has = self.get(uid);
        let bytes = has.bytes.saturating_sub(before).saturating_add(after);
        if after > before && bytes > Self::limits(uid).bytes {
            return Err(Errno::EDQUOT.into());
        }
        self.change(uid, Account { bytes, ..has });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u32 = 1000;

    #[test]
    fn a_user_has_what_the_limits_allow() {
        let mut quota = Quota::default();
        let full = Err(Errno::EDQUOT.into());
        assert_eq!(quota.add_key(USER, 20_001, false), full);
        assert_eq!(quota.add_key(USER, 19_000, false), Ok(()));
        assert_eq!(quota.resize(USER, 19_000, 20_001), full);
        assert_eq!(quota.resize(USER, 19_000, 20_000), Ok(()));
        assert_eq!(quota.add_key(USER, 1, false), full);
        assert_eq!(quota.add_key(USER, 1, true), Ok(()));
        assert_eq!(quota.add_key(0, 20_001, false), Ok(()));
        assert_eq!(quota.accounts().len(), 2);
        quota.remove_key(USER, 1);
        quota.remove_key(USER, 20_000);
        assert_eq!(quota.accounts(), [(0, Account { keys: 1, bytes: 20_001 })]);
    }
}
