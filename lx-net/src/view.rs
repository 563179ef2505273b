//! Sockets as the tables of `/proc/net` show them.

use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::socket::{SOL_SOCKET, SOL_TCP, SocketKind, SocketOption};
use lx_core::file::SocketView;

use crate::inet::InetSocket;
use crate::netlink::NetlinkSocket;
use crate::unix::UnixSocket;

/// The option whose value begins with the state.
const TCP_INFO: i32 = 11;

fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl UnixSocket {
    pub(crate) fn show(&self, view: &mut SocketView) {
        view.state = match (self.is_listening(), self.peer_name()) {
            (true, _) => SocketView::LISTEN,
            (false, Ok(peer)) => {
                view.peer = peer;
                SocketView::ESTABLISHED
            }
            (false, Err(_)) => SocketView::CLOSE,
        };
        view.name = self.name();
        view.unread = self.readable_bytes().map_or(0, count);
        view.unsent = count(self.unread_by_peer());
    }
}

impl InetSocket {
    pub(crate) fn show(&self, view: &mut SocketView) {
        view.name = self.name(false).unwrap_or_default();
        view.peer = self.name(true).unwrap_or_default();
        view.state = self.state(!view.peer.is_empty());
        let number = |request: IoctlCmd| self.count(request.0).unwrap_or(0).max(0).cast_unsigned();
        view.unread = number(IoctlCmd::FIONREAD);
        view.unsent = number(IoctlCmd::TIOCOUTQ);
    }

    fn state(&self, connected: bool) -> u8 {
        if self.options().kind == SocketKind::SOCK_STREAM {
            // Not every host tells.
            if let Some(state) =
                self.option(SOL_TCP, TCP_INFO, 1).ok().and_then(|v| v.first().copied())
            {
                return state;
            }
            let listens = self.option(SOL_SOCKET, SocketOption::SO_ACCEPTCONN.0, 4);
            if listens.is_ok_and(|value| value.iter().any(|byte| *byte != 0)) {
                return SocketView::LISTEN;
            }
        }
        if connected { SocketView::ESTABLISHED } else { SocketView::CLOSE }
    }
}

impl NetlinkSocket {
    pub(crate) fn show(&self, view: &mut SocketView) {
        view.name = self.name();
        view.state = SocketView::CLOSE;
    }
}
