//! Errors of Winsock and of the driver of sockets.

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult};
use lx_nt::Status;

/// Errors of Winsock that are looked at.
pub(super) const WOULD_BLOCK: u32 = 10035;
pub(super) const MESSAGE_SIZE: u32 = 10040;
pub(super) const NET_RESET: u32 = 10052;
pub(super) const CONNECTION_ABORTED: u32 = 10053;
pub(super) const CONNECTION_RESET: u32 = 10054;
pub(super) const NOT_CONNECTED: u32 = 10057;
pub(super) const SHUT_DOWN: u32 = 10058;
pub(super) const INVALID: u32 = 10022;
pub(super) const IS_CONNECTED: u32 = 10056;

/// What an error of Winsock means to Linux programs.
pub(super) fn errno(error: u32) -> Errno {
    match error {
        10004 => Errno::EINTR,
        6 | 10009 => Errno::EBADF,
        5 | 10013 => Errno::EACCES,
        10014 => Errno::EFAULT,
        87 | INVALID => Errno::EINVAL,
        10024 => Errno::EMFILE,
        WOULD_BLOCK => Errno::EAGAIN,
        10036 => Errno::EINPROGRESS,
        10037 => Errno::EALREADY,
        10038 => Errno::ENOTSOCK,
        10039 => Errno::EDESTADDRREQ,
        MESSAGE_SIZE => Errno::EMSGSIZE,
        10041 => Errno::EPROTOTYPE,
        10042 => Errno::ENOPROTOOPT,
        10043 => Errno::EPROTONOSUPPORT,
        10044 => Errno::ESOCKTNOSUPPORT,
        10045 => Errno::EOPNOTSUPP,
        10046 => Errno::EPFNOSUPPORT,
        10047 => Errno::EAFNOSUPPORT,
        10048 => Errno::EADDRINUSE,
        10049 => Errno::EADDRNOTAVAIL,
        10050 => Errno::ENETDOWN,
        10051 => Errno::ENETUNREACH,
        NET_RESET => Errno::ENETRESET,
        // Linux has no such thing once there is a connection.
        CONNECTION_ABORTED | CONNECTION_RESET => Errno::ECONNRESET,
        8 | 10055 => Errno::ENOBUFS,
        IS_CONNECTED => Errno::EISCONN,
        NOT_CONNECTED => Errno::ENOTCONN,
        SHUT_DOWN => Errno::EPIPE,
        10060 => Errno::ETIMEDOUT,
        10061 => Errno::ECONNREFUSED,
        10064 => Errno::EHOSTDOWN,
        10065 => Errno::EHOSTUNREACH,
        // Winsock is not there, or its table of providers is damaged.
        10091..=10093 | 10101..=10109 => Errno::EAFNOSUPPORT,
        _ => Errno::EIO,
    }
}

/// Why a connection failed, as the driver of sockets tells it.
pub(super) fn of_status(status: Status) -> Errno {
    match status as u32 {
        0xc000_0236 => Errno::ECONNREFUSED,
        0xc000_020d | 0xc000_013b | 0xc000_013c | 0xc000_0241 => Errno::ECONNRESET,
        0xc000_00b5 => Errno::ETIMEDOUT,
        0xc000_023c | 0xc000_023e => Errno::ENETUNREACH,
        0xc000_023d => Errno::EHOSTUNREACH,
        0xc000_0209 | 0xc000_0207 => Errno::EADDRNOTAVAIL,
        0xc000_0022 => Errno::EACCES,
        _ => Errno::ECONNREFUSED,
    }
}

/// The result of a call of Winsock.
pub(super) fn check(error: u32) -> HostResult<()> {
    if error == 0 { Ok(()) } else { Err(HostError(errno(error))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_linux_numbers() {
        assert_eq!(check(0), Ok(()));
        for (error, expected) in [
            (10035, Errno::EAGAIN),
            (10048, Errno::EADDRINUSE),
            (10053, Errno::ECONNRESET),
            (10061, Errno::ECONNREFUSED),
            (10042, Errno::ENOPROTOOPT),
            (10091, Errno::EAFNOSUPPORT),
            (12345, Errno::EIO),
        ] {
            assert_eq!(check(error), Err(HostError(expected)), "{error}");
        }
    }

    #[test]
    fn failed_connections_say_why() {
        assert_eq!(of_status(0xc000_0236_u32 as Status), Errno::ECONNREFUSED);
        assert_eq!(of_status(0xc000_00b5_u32 as Status), Errno::ETIMEDOUT);
    }
}
