//! Keys: `include/uapi/linux/keyctl.h`, `keyrings(7)`.

use super::{Errno, FromArg, TraceArg};

abi_values! {
    /// A command of keyctl(2).
    pub struct KeyctlCmd: u32 and {
        KEYCTL_GET_KEYRING_ID = 0,
        KEYCTL_JOIN_SESSION_KEYRING = 1,
        KEYCTL_UPDATE = 2,
        KEYCTL_REVOKE = 3,
        KEYCTL_CHOWN = 4,
        KEYCTL_SETPERM = 5,
        KEYCTL_DESCRIBE = 6,
        KEYCTL_CLEAR = 7,
        KEYCTL_LINK = 8,
        KEYCTL_UNLINK = 9,
        KEYCTL_SEARCH = 10,
        KEYCTL_READ = 11,
        KEYCTL_INSTANTIATE = 12,
        KEYCTL_NEGATE = 13,
        KEYCTL_SET_REQKEY_KEYRING = 14,
        KEYCTL_SET_TIMEOUT = 15,
        KEYCTL_ASSUME_AUTHORITY = 16,
        KEYCTL_GET_SECURITY = 17,
        KEYCTL_REJECT = 19,
        KEYCTL_INSTANTIATE_IOV = 20,
        KEYCTL_INVALIDATE = 21,
        KEYCTL_GET_PERSISTENT = 22,
    }
}

/// The number of a key, or one of those below that stand for a keyring of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub i32);

impl KeyId {
    /// `KEY_SPEC_THREAD_KEYRING`
    pub const THREAD: Self = Self(-1);
    /// `KEY_SPEC_PROCESS_KEYRING`
    pub const PROCESS: Self = Self(-2);
    /// `KEY_SPEC_SESSION_KEYRING`
    pub const SESSION: Self = Self(-3);
    /// `KEY_SPEC_USER_KEYRING`
    pub const USER: Self = Self(-4);
    /// `KEY_SPEC_USER_SESSION_KEYRING`
    pub const USER_SESSION: Self = Self(-5);
    /// `KEY_SPEC_REQKEY_AUTH_KEY`
    pub const REQUEST_AUTHORITY: Self = Self(-7);
    /// `KEY_SPEC_REQUESTOR_KEYRING`
    pub const REQUESTOR: Self = Self(-8);
}

impl FromArg for KeyId {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as i32))
    }
}

impl TraceArg for KeyId {
    fn trace(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::THREAD => f.write_str("KEY_SPEC_THREAD_KEYRING"),
            Self::PROCESS => f.write_str("KEY_SPEC_PROCESS_KEYRING"),
            Self::SESSION => f.write_str("KEY_SPEC_SESSION_KEYRING"),
            Self::USER => f.write_str("KEY_SPEC_USER_KEYRING"),
            Self::USER_SESSION => f.write_str("KEY_SPEC_USER_SESSION_KEYRING"),
            Self(id) => write!(f, "{id}"),
        }
    }
}

bitflags::bitflags! {
    /// What somebody may do with a key: one of the four bytes of its permissions.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyAccess: u32 {
        /// See its attributes.
        const VIEW = 0x01;
        /// Read its payload.
        const READ = 0x02;
        /// Change its payload, add and remove links.
        const WRITE = 0x04;
        /// Find it.
        const SEARCH = 0x08;
        /// Link it.
        const LINK = 0x10;
        /// Change its attributes.
        const SETATTR = 0x20;
    }
}

impl KeyAccess {
    /// As permissions of who possesses the key.
    #[must_use]
    pub const fn possessor(self) -> u32 {
        self.bits() << 24
    }

    /// As permissions of its owner.
    #[must_use]
    pub const fn owner(self) -> u32 {
        self.bits() << 16
    }
}

/// All bits that permissions may have.
pub const KEY_PERMISSIONS: u32 = 0x3f3f_3f3f;
