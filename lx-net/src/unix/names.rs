//! Names of `AF_UNIX` sockets: paths, abstract names, and who is bound to them.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::abi::Errno;
use lx_core::abi::socket::{AddressFamily, SockaddrUn, SocketKind};
use lx_core::error::Result;
use lx_core::sync::{Mutex, level};

use super::UnixSocket;

/// Where the path or name begins in a `struct sockaddr_un`.
const PATH: usize = 2;

/// An address, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixAddress<'a> {
    /// No name: `bind` chooses one.
    Unnamed,
    /// A path in the file system.
    Path(&'a [u8]),
    /// A name outside of it, without the leading zero byte.
    Abstract(&'a [u8]),
}

impl<'a> UnixAddress<'a> {
    /// Decodes what a guest gave.
    ///
    /// # Errors
    /// `EINVAL` for another family or a length that no such address has.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (family, name) = bytes.split_at_checked(PATH).ok_or(Errno::EINVAL)?;
        if bytes.len() > size_of::<SockaddrUn>() || family != family_bytes() {
            return Err(Errno::EINVAL.into());
        }
        Ok(match name.split_first() {
            None => Self::Unnamed,
            Some((0, name)) => Self::Abstract(name),
            Some(_) => Self::Path(name.split(|byte| *byte == 0).next().unwrap_or_default()),
        })
    }

    /// Decodes the name of another socket.
    ///
    /// # Errors
    /// `EINVAL` also without a name.
    pub fn parse_name(bytes: &'a [u8]) -> Result<Self> {
        match Self::parse(bytes)? {
            Self::Unnamed => Err(Errno::EINVAL.into()),
            name => Ok(name),
        }
    }

    /// As `getsockname(2)` shows it.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = family_bytes().to_vec();
        match self {
            Self::Unnamed => {}
            Self::Path(path) => {
                bytes.extend_from_slice(path);
                bytes.push(0);
            }
            Self::Abstract(name) => {
                bytes.push(0);
                bytes.extend_from_slice(name);
            }
        }
        bytes
    }
}

fn family_bytes() -> [u8; 2] {
    (AddressFamily::AF_UNIX.0 as u16).to_ne_bytes()
}

/// What a socket is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Device and inode of its node.
    Node(u64, u64),
    /// Kind and abstract name: each kind has names of its own.
    Abstract(u32, Vec<u8>),
}

static BOUND: Mutex<BTreeMap<Key, Weak<UnixSocket>>, { level::CACHE }> =
    Mutex::new(BTreeMap::new());

/// Enters a socket; `false` if another one has that name.
pub(super) fn enter(key: &Key, socket: &Weak<UnixSocket>) -> bool {
    let mut bound = BOUND.lock();
    if let Key::Abstract(..) = key
        && bound.get(key).is_some_and(|known| known.strong_count() > 0)
    {
        return false;
    }
    bound.insert(key.clone(), Weak::clone(socket));
    true
}

/// Takes a socket's name back.
pub(super) fn leave(key: &Key, socket: &Weak<UnixSocket>) {
    let mut bound = BOUND.lock();
    if bound.get(key).is_some_and(|known| Weak::ptr_eq(known, socket)) {
        bound.remove(key);
    }
}

pub(super) fn find(key: &Key) -> Option<Arc<UnixSocket>> {
    BOUND.lock().get(key)?.upgrade()
}

/// A free abstract name of five hexadecimal digits, entered for `socket`.
pub(super) fn choose(kind: SocketKind, socket: &Weak<UnixSocket>) -> Result<(Key, Vec<u8>)> {
    const NAMES: u32 = 0x10_0000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..NAMES {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % NAMES;
        let name = format!("{number:05x}").into_bytes();
        let key = Key::Abstract(kind.0, name.clone());
        if enter(&key, socket) {
            return Ok((key, name));
        }
    }
    Err(Errno::ENOSPC.into())
}
