//! One direction of a pair: a bounded queue of bytes, or of packets.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::caller::Caller;
use lx_core::error::Result;
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, WaitQueue, level};

/// Bytes that a direction holds, Linux's default `SO_SNDBUF`.
pub(crate) const CAPACITY: usize = 212_992;

/// Bytes that are copied at once: they pass over the stack, because guest memory is not touched
/// while the queue is locked.
const CHUNK: usize = 4096;

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Lengths of the packets that `bytes` holds, in a channel of packets.
    packets: VecDeque<usize>,
    /// No more bytes will come.
    ended: bool,
    /// Nobody will take bytes any more.
    refused: bool,
}

/// One direction.
#[derive(Default)]
pub(crate) struct Channel {
    /// Whether what was sent at once is received at once.
    keeps_packets: bool,
    state: Mutex<State, { level::FILE_OBJECT }>,
    queue: WaitQueue,
}

impl PollSource for Channel {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl Channel {
    /// A channel of packets.
    pub(crate) fn of_packets() -> Self {
        Self { keeps_packets: true, ..Self::default() }
    }

    /// Whether it is one.
    pub(crate) fn keeps_packets(&self) -> bool {
        self.keeps_packets
    }

    /// The sender is done.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.queue.wake_all((PollEvents::READABLE | PollEvents::POLLHUP).bits());
    }

    /// The receiver is done.
    pub(crate) fn refuse(&self) {
        self.state.lock().refused = true;
        self.queue.wake_all((PollEvents::WRITABLE | PollEvents::POLLERR).bits());
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        let state = self.state.lock();
        if self.keeps_packets {
            state.packets.front().copied().unwrap_or(0)
        } else {
            state.bytes.len()
        }
    }

    /// Whether a reader would not wait, and whether the sender is done.
    pub(crate) fn readable(&self) -> (bool, bool) {
        let state = self.state.lock();
        let waiting = !state.bytes.is_empty() || !state.packets.is_empty();
        (waiting || state.ended, state.ended)
    }

    /// Whether no byte can be sent any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.ended || state.refused
    }

    /// Whether a writer would not wait.
    pub(crate) fn writable(&self) -> bool {
        let state = self.state.lock();
        state.refused || state.bytes.len() < CAPACITY
    }

    /// Puts what fits of `bytes` into the queue; `None` if it is full.
    fn put(&self, bytes: &[u8]) -> Option<Result<usize>> {
        let mut state = self.state.lock();
        if state.refused || state.ended {
            return Some(Err(Errno::EPIPE.into()));
        }
        let room = CAPACITY.saturating_sub(state.bytes.len()).min(bytes.len());
        if room == 0 {
            return None;
        }
        state.bytes.extend(bytes.get(..room).unwrap_or_default());
        Some(Ok(room))
    }

    /// Puts one packet into the queue; `None` if there is no room.
    fn put_packet(&self, packet: &[u8]) -> Option<Result<usize>> {
        let mut state = self.state.lock();
        if state.refused || state.ended {
            return Some(Err(Errno::EPIPE.into()));
        }
        if CAPACITY.saturating_sub(state.bytes.len()) < packet.len() {
            return None;
        }
        state.bytes.extend(packet);
        state.packets.push_back(packet.len());
        Some(Ok(packet.len()))
    }

    fn send_packet(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        nonblocking: bool,
    ) -> Result<usize> {
        let len = src.remaining();
        if len > CAPACITY {
            return Err(Errno::EMSGSIZE.into());
        }
        let mut packet = alloc::vec![0_u8; len];
        let taken = src.take(&mut packet)?;
        packet.truncate(taken);
        let sent = match self.put_packet(&packet) {
            Some(sent) => sent?,
            None if nonblocking => return Err(Errno::EAGAIN.into()),
            None => caller
                .wait(&self.queue, PollEvents::WRITABLE.bits(), || self.put_packet(&packet))??,
        };
        self.queue.wake_all(PollEvents::READABLE.bits());
        Ok(sent)
    }

    /// The next packet, empty at the end; `None` if there is none yet. `keep` leaves it there.
    fn take_packet(&self, keep: bool) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        let Some(&len) = state.packets.front() else {
            return (state.ended || state.refused).then(Vec::new);
        };
        let packet = state.bytes.iter().take(len).copied().collect();
        if !keep {
            state.packets.pop_front();
            state.bytes.drain(..len);
        }
        Some(packet)
    }

    /// Receives one packet; what does not fit into `dst` is lost, as `MSG_TRUNC` says.
    fn receive_packet(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        nonblocking: bool,
        keep: bool,
    ) -> Result<usize> {
        let packet = match self.take_packet(keep) {
            Some(packet) => packet,
            None if nonblocking => return Err(Errno::EAGAIN.into()),
            None => {
                caller.wait(&self.queue, PollEvents::READABLE.bits(), || self.take_packet(keep))?
            }
        };
        if !keep {
            self.queue.wake_all(PollEvents::WRITABLE.bits());
        }
        let len = packet.len().min(dst.remaining());
        dst.put(packet.get(..len).unwrap_or_default())
    }

    /// Sends everything that `src` has.
    ///
    /// # Errors
    /// `EPIPE`; `EAGAIN` if the queue is full; `EFAULT`; `EMSGSIZE` for a packet that never fits.
    /// Only if nothing was sent before.
    pub(crate) fn send(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        nonblocking: bool,
    ) -> Result<usize> {
        if self.keeps_packets {
            return self.send_packet(caller, src, nonblocking);
        }
        let mut chunk = [0_u8; CHUNK];
        let mut sent = 0;
        while src.remaining() > 0 {
            let len = src.remaining().min(CHUNK);
            let taken = match src.take(chunk.get_mut(..len).unwrap_or_default()) {
                Ok(taken) => taken,
                Err(error) => return lx_core::io::partial(sent, error),
            };
            let mut rest = chunk.get(..taken).unwrap_or_default();
            while !rest.is_empty() {
                let put = match self.put(rest) {
                    Some(put) => put,
                    None if nonblocking => Err(Errno::EAGAIN.into()),
                    None => caller
                        .wait(&self.queue, PollEvents::WRITABLE.bits(), || self.put(rest))
                        .and_then(|put| put),
                };
                match put {
                    Ok(count) => {
                        sent += count;
                        rest = rest.get(count..).unwrap_or_default();
                        self.queue.wake_all(PollEvents::READABLE.bits());
                    }
                    Err(error) => return lx_core::io::partial(sent, error),
                }
            }
        }
        Ok(sent)
    }

    /// Copies waiting bytes into `chunk` without taking them; `None` if there are none yet.
    fn peek(&self, chunk: &mut [u8]) -> Option<usize> {
        let state = self.state.lock();
        if state.bytes.is_empty() && !state.ended && !state.refused {
            return None;
        }
        let count = chunk.len().min(state.bytes.len());
        for (to, from) in chunk.iter_mut().zip(&state.bytes) {
            *to = *from;
        }
        Some(count)
    }

    /// Receives what is there, at least one byte unless the sender is done.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there; `EFAULT`.
    pub(crate) fn receive(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        nonblocking: bool,
        keep: bool,
    ) -> Result<usize> {
        if self.keeps_packets {
            return self.receive_packet(caller, dst, nonblocking, keep);
        }
        let mut chunk = [0_u8; CHUNK];
        let mut done = 0;
        while dst.remaining() > 0 {
            let len = dst.remaining().min(CHUNK);
            let part = chunk.get_mut(..len).unwrap_or_default();
            let ready = match self.peek(part) {
                Some(count) => count,
                None if done > 0 => break,
                None if nonblocking => return Err(Errno::EAGAIN.into()),
                None => {
                    caller.wait(&self.queue, PollEvents::READABLE.bits(), || self.peek(part))?
                }
            };
            if ready == 0 {
                break;
            }
            let count = match dst.put(part.get(..ready).unwrap_or_default()) {
                Ok(count) => count,
                Err(error) => return lx_core::io::partial(done, error),
            };
            done += count;
            if keep {
                break;
            }
            self.state.lock().bytes.drain(..count);
            self.queue.wake_all(PollEvents::WRITABLE.bits());
        }
        Ok(done)
    }
}
