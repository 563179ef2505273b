//! Packet mode, `TIOCPKT`: the master reads what happens to the terminal, too.

bitflags::bitflags! {
    /// What has happened, the first byte of a read in packet mode.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Status: u8 {
        /// `TIOCPKT_FLUSHREAD`
        const FLUSH_READ = 1;
        /// `TIOCPKT_FLUSHWRITE`
        const FLUSH_WRITE = 2;
        /// `TIOCPKT_STOP`
        const STOP = 4;
        /// `TIOCPKT_START`
        const START = 8;
        /// `TIOCPKT_NOSTOP`
        const NO_STOP = 16;
        /// `TIOCPKT_DOSTOP`
        const DO_STOP = 32;
    }
}

/// Packet mode of one master.
#[derive(Debug, Default)]
pub(super) struct Packet {
    on: bool,
    status: Status,
}

impl Packet {
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn set(&mut self, on: bool) {
        if on != self.on {
            self.on = on;
            self.status = Status::empty();
        }
    }

    /// Whether there is something to tell.
    pub(super) fn is_pending(&self) -> bool {
        !self.status.is_empty()
    }

    pub(super) fn take(&mut self) -> u8 {
        core::mem::take(&mut self.status).bits()
    }

    fn tell(&mut self, status: Status, instead_of: Status) {
        if self.on {
            self.status = (self.status - instead_of) | status;
        }
    }

    /// Both queues were emptied by a signal.
    pub(super) fn flushed(&mut self) {
        self.tell(Status::FLUSH_READ | Status::FLUSH_WRITE, Status::empty());
    }

    pub(super) fn flushed_read(&mut self) {
        self.tell(Status::FLUSH_READ, Status::empty());
    }

    pub(super) fn flushed_write(&mut self) {
        self.tell(Status::FLUSH_WRITE, Status::empty());
    }

    /// Output was stopped, or goes on.
    pub(super) fn flow(&mut self, before: bool, now: bool) {
        match (before, now) {
            (false, true) => self.tell(Status::STOP, Status::START),
            (true, false) => self.tell(Status::START, Status::STOP),
            _ => {}
        }
    }

    /// Whether `^S` and `^Q` stop output was changed.
    pub(super) fn flow_keys(&mut self, usual: bool) {
        match usual {
            true => self.tell(Status::DO_STOP, Status::NO_STOP),
            false => self.tell(Status::NO_STOP, Status::DO_STOP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_state_of_output_is_told_once() {
        let mut packet = Packet::default();
        packet.flow(false, true);
        assert!(!packet.is_pending(), "off");
        packet.set(true);
        packet.flow(false, true);
        packet.flow(true, false);
        packet.flushed_read();
        assert_eq!(packet.take(), (Status::START | Status::FLUSH_READ).bits());
        assert!(!packet.is_pending());
    }
}
