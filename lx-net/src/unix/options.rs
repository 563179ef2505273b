//! `getsockopt(2)` and `setsockopt(2)`.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::socket::{SOL_SOCKET, SocketOption, Ucred};
use lx_core::caller::Caller;
use lx_core::error::Result;
use zerocopy::IntoBytes;

use super::{Role, UnixSocket};

impl UnixSocket {
    /// `getsockopt(2)`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for another level, `ENOPROTOOPT` for an unknown option.
    pub fn option(&self, level: i32, name: i32) -> Result<Vec<u8>> {
        if level != SOL_SOCKET {
            lx_core::unsupported::note("getsockopt level", u64::from(level.cast_unsigned()));
            return Err(Errno::EOPNOTSUPP.into());
        }
        let option = SocketOption(name);
        let number = match option {
            SocketOption::SO_ERROR => {
                let error = self.state.lock().error.take();
                error.map_or(0, |errno| i32::from(errno.number()))
            }
            SocketOption::SO_ACCEPTCONN => {
                i32::from(matches!(self.state.lock().role, Role::Listening { .. }))
            }
            SocketOption::SO_PEERCRED => {
                let nobody = Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
                let peer = self.state.lock().peer_cred.unwrap_or(nobody);
                return Ok(peer.as_bytes().to_vec());
            }
            _ => {
                return self.options.get(option).ok_or_else(|| {
                    lx_core::unsupported::note("getsockopt", u64::from(name.cast_unsigned()));
                    Errno::ENOPROTOOPT.into()
                });
            }
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// `setsockopt(2)`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for another level, `ENOPROTOOPT` for an unknown option; `EINVAL`, `EDOM`,
    /// `EPERM`.
    pub fn set_option(
        &self,
        caller: &Caller<'_>,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<()> {
        if level != SOL_SOCKET {
            lx_core::unsupported::note("setsockopt level", u64::from(level.cast_unsigned()));
            return Err(Errno::EOPNOTSUPP.into());
        }
        self.options.set(caller, SocketOption(name), value)
    }
}
