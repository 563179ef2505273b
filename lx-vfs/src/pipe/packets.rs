//! Where packets begin and end in a pipe, `O_DIRECT` in `pipe(2)`.
//!
//! On Linux a packet has a buffer of the pipe, one page, to itself. The ring has no such buffers,
//! so a packet counts as a page: what it lacks of that is *padding*, room that nobody gets.

use alloc::collections::VecDeque;

use super::PIPE_BUF;

/// A run of bytes of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// How many.
    pub len: usize,
    /// They are a packet, or the rest of one.
    pub is_packet: bool,
}

impl Segment {
    /// What the segment lacks of a page.
    fn padding(self) -> usize {
        if self.is_packet { PIPE_BUF.saturating_sub(self.len) } else { 0 }
    }
}

/// All bytes of a pipe by their kind, oldest first; empty while there is no packet.
#[derive(Default)]
pub(super) struct Packets {
    segments: VecDeque<Segment>,
    padding: usize,
}

impl Packets {
    pub(super) const fn new() -> Self {
        Self { segments: VecDeque::new(), padding: 0 }
    }

    /// Whether the pipe has none.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Room that the packets take besides their bytes.
    #[inline(always)]
    pub(super) fn padding(&self) -> usize {
        self.padding
    }

    /// The bytes of one kind that come `skip` bytes after the oldest.
    pub(super) fn at(&self, mut skip: usize) -> Option<Segment> {
        for segment in &self.segments {
            if skip < segment.len {
                return Some(Segment { len: segment.len - skip, ..*segment });
            }
            skip -= segment.len;
        }
        None
    }

    /// A packet comes behind `before` bytes; `false` if there is no memory to note that.
    pub(super) fn push(&mut self, before: usize, len: usize) -> bool {
        if self.segments.try_reserve(2).is_err() {
            return false;
        }
        if self.segments.is_empty() && before > 0 {
            self.segments.push_back(Segment { len: before, is_packet: false });
        }
        let packet = Segment { len, is_packet: true };
        self.padding += packet.padding();
        self.segments.push_back(packet);
        true
    }

    /// How much of `len` bytes of packets goes to the page of plain bytes that are the newest in a
    /// pipe of `filled` bytes. Linux fills such a page first, whoever writes.
    pub(super) fn merged(&self, filled: usize, len: usize) -> usize {
        let plain = match self.segments.back() {
            Some(segment) if segment.is_packet => 0,
            Some(segment) => segment.len,
            None => filled,
        };
        let (in_page, part) = (plain % PIPE_BUF, len % PIPE_BUF);
        if in_page > 0 && in_page + part <= PIPE_BUF { part } else { 0 }
    }

    /// Plain bytes were added behind the packets.
    #[cold]
    pub(super) fn push_plain(&mut self, len: usize) {
        match self.segments.back_mut() {
            Some(segment) if !segment.is_packet => segment.len += len,
            _ => self.segments.push_back(Segment { len, is_packet: false }),
        }
    }

    /// Plain bytes were put back in front of everything.
    #[cold]
    pub(super) fn unread_plain(&mut self, len: usize) {
        match self.segments.front_mut() {
            Some(segment) if !segment.is_packet => segment.len += len,
            _ => self.segments.push_front(Segment { len, is_packet: false }),
        }
    }

    /// The oldest bytes were taken away.
    #[cold]
    pub(super) fn consume(&mut self, mut len: usize) {
        while len > 0
            && let Some(front) = self.segments.front_mut()
        {
            let part = len.min(front.len);
            len -= part;
            self.padding -= front.padding();
            front.len -= part;
            if front.len == 0 {
                self.segments.pop_front();
            } else {
                self.padding += front.padding();
            }
        }
        if !self.segments.iter().any(|segment| segment.is_packet) {
            *self = Self::new();
        }
    }
}
