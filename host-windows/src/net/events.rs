//! Readiness: what the driver of sockets tells, as `poll(2)` tells it.

use lx_core::poll::PollEvents;

use super::state::{Phase, State};

/// `AFD_POLL_*`
pub(super) mod afd {
    pub(crate) const RECEIVE: u32 = 1;
    pub(crate) const RECEIVE_EXPEDITED: u32 = 2;
    pub(crate) const SEND: u32 = 4;
    pub(crate) const DISCONNECT: u32 = 8;
    pub(crate) const ABORT: u32 = 0x10;
    pub(crate) const LOCAL_CLOSE: u32 = 0x20;
    pub(crate) const CONNECT: u32 = 0x40;
    pub(crate) const ACCEPT: u32 = 0x80;
    pub(crate) const CONNECT_FAIL: u32 = 0x100;
    /// What ends a connection.
    pub(crate) const BROKEN: u32 = ABORT | CONNECT_FAIL;
    pub(crate) const ALL: u32 = 0x1ff;
}

/// What both directions say when there is no connection any more.
const OVER: PollEvents = PollEvents::POLLIN
    .union(PollEvents::POLLOUT)
    .union(PollEvents::POLLHUP)
    .union(PollEvents::POLLRDHUP);

/// What the driver is to wait for.
pub(super) fn wanted(interest: PollEvents) -> u32 {
    let mut mask = afd::BROKEN | afd::LOCAL_CLOSE;
    if interest.intersects(PollEvents::POLLIN | PollEvents::POLLRDHUP) {
        mask |= afd::RECEIVE | afd::ACCEPT | afd::DISCONNECT;
    }
    if interest.contains(PollEvents::POLLPRI) {
        mask |= afd::RECEIVE_EXPEDITED;
    }
    if interest.contains(PollEvents::POLLOUT) {
        mask |= afd::SEND | afd::CONNECT;
    }
    mask
}

/// What holds whatever the driver says; `None` if it has to be asked.
pub(super) fn known(state: &State) -> Option<PollEvents> {
    let mut events = match state.phase {
        Phase::Fresh if state.is_stream() => PollEvents::POLLOUT | PollEvents::POLLHUP,
        Phase::Fresh if !state.bound => PollEvents::POLLOUT,
        Phase::Failed | Phase::Over => OVER,
        _ => return None,
    };
    if state.read_shut {
        events |= PollEvents::POLLIN | PollEvents::POLLRDHUP;
    }
    if state.error.is_some() {
        events |= PollEvents::POLLERR;
    }
    Some(events)
}

/// What holds when the driver says this.
pub(super) fn holds(state: &State, events: u32) -> PollEvents {
    let mut result = PollEvents::empty();
    if events & (afd::RECEIVE | afd::ACCEPT) != 0 {
        result |= PollEvents::POLLIN;
    }
    if state.phase == Phase::Listening {
        return result;
    }
    if events & afd::RECEIVE_EXPEDITED != 0 {
        result |= PollEvents::POLLPRI;
    }
    if events & afd::SEND != 0 && state.phase != Phase::Connecting || state.write_shut {
        result |= PollEvents::POLLOUT;
    }
    let ended = state.is_stream() && events & afd::DISCONNECT != 0;
    if ended || state.read_shut {
        result |= PollEvents::POLLIN | PollEvents::POLLRDHUP;
        if state.write_shut {
            result |= PollEvents::POLLHUP;
        }
    }
    if events & afd::BROKEN != 0 && state.is_stream() {
        result |= OVER | PollEvents::POLLERR;
    }
    result
}

#[cfg(test)]
mod tests {
    use lx_core::abi::Errno;
    use lx_core::abi::socket::{AddressFamily, SocketKind};

    use super::*;

    fn stream(phase: Phase) -> State {
        State { phase, ..State::new(AddressFamily::AF_INET, SocketKind::SOCK_STREAM, 6) }
    }

    #[test]
    fn the_driver_is_asked_for_what_is_wanted_and_for_the_end() {
        assert_eq!(wanted(PollEvents::empty()), 0x130);
        assert_eq!(wanted(PollEvents::POLLIN), 0x130 | 1 | 0x80 | 8);
        assert_eq!(wanted(PollEvents::POLLOUT), 0x130 | 4 | 0x40);
        assert_eq!(wanted(PollEvents::POLLPRI), 0x130 | 2);
    }

    #[test]
    fn a_new_stream_hangs_up() {
        let fresh = known(&stream(Phase::Fresh));
        assert_eq!(fresh, Some(PollEvents::POLLOUT | PollEvents::POLLHUP));
        let datagrams = State::new(AddressFamily::AF_INET, SocketKind::SOCK_DGRAM, 17);
        assert_eq!(known(&datagrams), Some(PollEvents::POLLOUT));
        assert_eq!(known(&State { bound: true, ..datagrams }), None);
        assert_eq!(known(&stream(Phase::Connected)), None);
    }

    #[test]
    fn a_failed_connection_has_an_error_until_it_is_told() {
        let mut state = stream(Phase::Failed);
        assert_eq!(known(&state), Some(OVER));
        state.error = Some(Errno::ECONNREFUSED);
        assert_eq!(known(&state), Some(OVER | PollEvents::POLLERR));
    }

    #[test]
    fn the_end_of_one_direction_is_no_hang_up() {
        let mut state = stream(Phase::Connected);
        let ended = PollEvents::POLLIN | PollEvents::POLLRDHUP;
        assert_eq!(holds(&state, afd::DISCONNECT), ended);
        state.write_shut = true;
        let both = ended | PollEvents::POLLHUP | PollEvents::POLLOUT;
        assert_eq!(holds(&state, afd::DISCONNECT), both);
        assert_eq!(holds(&state, 0), PollEvents::POLLOUT);
    }

    #[test]
    fn a_reset_is_everything_at_once() {
        let state = stream(Phase::Connected);
        assert_eq!(holds(&state, afd::ABORT), OVER | PollEvents::POLLERR);
    }

    #[test]
    fn a_listener_is_readable_only() {
        let state = stream(Phase::Listening);
        assert_eq!(holds(&state, afd::ACCEPT | afd::SEND), PollEvents::POLLIN);
        assert_eq!(holds(&state, afd::SEND), PollEvents::empty());
    }
}
