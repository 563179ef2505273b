//! What Linux remembers of a socket and Windows does not tell, by the file's number. It lies in the
//! region, as any process may use the socket.

use alloc::collections::BTreeMap;

use lx_core::abi::Errno;
use lx_core::abi::socket::{AddressFamily, SocketKind};
use lx_core::host::{HostError, HostResult};
use lx_core::sync::Mutex;

/// Lock level of the list.
const LEVEL: u8 = 61;

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Neither connected nor listening.
    Fresh,
    /// A connection was begun, and nobody has heard how it ended.
    Connecting,
    /// The connection is there, but the call that tells so is still to come.
    Arrived,
    /// It has a peer.
    Connected,
    /// It takes connections.
    Listening,
    /// The connection was not made, and no call has told so.
    Failed,
    /// The connection was reset.
    Over,
}

/// One socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) family: AddressFamily,
    pub(super) kind: SocketKind,
    pub(super) protocol: i32,
    pub(super) phase: Phase,
    /// It has an address.
    pub(super) bound: bool,
    /// `shutdown(2)`, by this side.
    pub(super) read_shut: bool,
    pub(super) write_shut: bool,
    /// What the next call, or `SO_ERROR`, tells.
    pub(super) error: Option<Errno>,
    /// The bits of the options that are only kept.
    pub(super) kept: u32,
    /// Control messages may come with datagrams.
    pub(super) control: bool,
    /// As Linux tells them; 0 if they were never set.
    pub(super) send_buffer: i32,
    pub(super) receive_buffer: i32,
    /// `SO_LINGER`
    pub(super) linger: [i32; 2],
    /// `IP_MTU_DISCOVER`, if it was set.
    pub(super) discover: Option<i32>,
}

static SOCKETS: Mutex<BTreeMap<u64, State>, LEVEL> = Mutex::new(BTreeMap::new());

impl State {
    /// A new socket's.
    pub(super) fn new(family: AddressFamily, kind: SocketKind, protocol: i32) -> Self {
        Self {
            family,
            kind,
            protocol,
            phase: Phase::Fresh,
            bound: false,
            read_shut: false,
            write_shut: false,
            error: None,
            kept: 0,
            control: false,
            send_buffer: 0,
            receive_buffer: 0,
            linger: [0; 2],
            discover: None,
        }
    }

    /// That of a connection that this one, which listens, has taken.
    pub(super) fn accepted(&self) -> Self {
        Self { phase: Phase::Connected, bound: true, error: None, ..*self }
    }

    /// The connection is broken, and this is why.
    pub(super) fn fail(&mut self, error: Errno) {
        let phase = match self.phase {
            Phase::Connecting => Phase::Failed,
            Phase::Arrived | Phase::Connected => Phase::Over,
            _ => return,
        };
        self.phase = phase;
        self.error = Some(error);
    }

    pub(super) fn is_stream(&self) -> bool {
        self.kind == SocketKind::SOCK_STREAM
    }
}

/// Begins to remember.
pub(super) fn insert(raw: u64, state: State) {
    SOCKETS.lock().insert(raw, state);
}

/// The socket is closed: what was known of it.
pub(super) fn remove(raw: u64) -> Option<State> {
    SOCKETS.lock().remove(&raw)
}

/// What is known of a socket.
pub(super) fn get(raw: u64) -> HostResult<State> {
    SOCKETS.lock().get(&raw).copied().ok_or(HostError(Errno::ENOTSOCK))
}

/// Changes what is known.
pub(super) fn update<T>(raw: u64, change: impl FnOnce(&mut State) -> T) -> Option<T> {
    SOCKETS.lock().get_mut(&raw).map(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_fails_once() {
        let mut state = State::new(AddressFamily::AF_INET, SocketKind::SOCK_STREAM, 6);
        state.fail(Errno::ECONNRESET);
        assert_eq!((state.phase, state.error), (Phase::Fresh, None));
        state.phase = Phase::Connecting;
        state.fail(Errno::ECONNREFUSED);
        assert_eq!((state.phase, state.error), (Phase::Failed, Some(Errno::ECONNREFUSED)));
        state.fail(Errno::ECONNRESET);
        assert_eq!(state.error, Some(Errno::ECONNREFUSED));
        state.phase = Phase::Connected;
        state.fail(Errno::ECONNRESET);
        assert_eq!(state.phase, Phase::Over);
    }
}
