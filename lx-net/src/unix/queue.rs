//! What a socket has been sent and nobody has received yet.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::socket::Ucred;
use lx_core::file::OpenFile;

use super::UnixSocket;
use super::rights::Rights;

/// What a packet counts besides its bytes, so that empty ones do not come for nothing.
pub(super) const OVERHEAD: usize = 512;

/// What goes with the bytes of one message.
#[derive(Default)]
pub(super) struct Attached {
    pub(super) cred: Option<Ucred>,
    pub(super) rights: Rights,
    /// The sender, whose name the receiver sees: it may get one meanwhile.
    pub(super) from: Option<Arc<UnixSocket>>,
}

struct Record {
    len: usize,
    attached: Attached,
}

/// Bytes, and the messages that they belong to.
#[derive(Default)]
pub(super) struct Queue {
    bytes: VecDeque<u8>,
    records: VecDeque<Record>,
    /// Bytes that count against the sender's buffer besides those in `bytes`.
    overhead: usize,
}

/// What was found at the head of a queue.
pub(super) struct Head {
    pub(super) bytes: usize,
    pub(super) cred: Option<Ucred>,
    pub(super) files: Vec<Arc<OpenFile>>,
}

/// Bytes that were taken from the head of a stream.
pub(super) struct Part {
    pub(super) bytes: usize,
    pub(super) cred: Option<Ucred>,
    /// The files that came with the first of them.
    pub(super) rights: Rights,
    /// Whether there are more of the same message.
    continues: bool,
}

/// A packet that is received.
pub(super) struct Packet {
    /// As much as there is room for.
    pub(super) bytes: Vec<u8>,
    /// Its length and what goes with it.
    pub(super) head: Head,
    /// The sender.
    pub(super) from: Option<Arc<UnixSocket>>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether the peer of a connected socket that is closed gets an error, as there is something
    /// that nobody has received. Linux passes over a first packet without bytes, but over no other.
    pub(super) fn is_missed(&self) -> bool {
        self.first_len() > 0 || self.packets() > 1
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of the first message.
    pub(super) fn first_len(&self) -> usize {
        self.records.front().map_or(0, |record| record.len)
    }

    pub(super) fn packets(&self) -> usize {
        self.records.len()
    }

    /// What counts against the sender's buffer.
    pub(super) fn charge(&self) -> usize {
        self.bytes.len() + self.overhead
    }

    /// The files of all messages, by the addresses of their descriptions.
    pub(super) fn files(&self) -> Vec<usize> {
        let files = self.records.iter().flat_map(|record| record.attached.rights.files());
        files.map(|file| Arc::as_ptr(file).addr()).collect()
    }

    /// Adds to a stream. Bytes that nothing distinguishes become one record.
    pub(super) fn push_stream(&mut self, bytes: &[u8], attached: Attached) {
        self.bytes.extend(bytes);
        if let Some(last) = self.records.back_mut()
            && attached.rights.is_empty()
            && last.attached.rights.is_empty()
            && last.attached.cred == attached.cred
        {
            last.len += bytes.len();
            return;
        }
        self.records.push_back(Record { len: bytes.len(), attached });
    }

    /// Adds a packet.
    pub(super) fn push_packet(&mut self, bytes: &[u8], attached: Attached) {
        self.bytes.extend(bytes);
        self.overhead += OVERHEAD;
        self.records.push_back(Record { len: bytes.len(), attached });
    }

    /// Takes bytes of the first message of a stream into `chunk`, with the files that it carries.
    /// `None` if there are none, or if `only` is not what their sender is.
    pub(super) fn take_stream(
        &mut self,
        chunk: &mut [u8],
        only: Option<Option<Ucred>>,
    ) -> Option<Part> {
        let record = self.records.front_mut()?;
        let cred = record.attached.cred;
        if only.is_some_and(|only| only != cred) {
            return None;
        }
        let count = record.len.min(chunk.len());
        let rights = core::mem::take(&mut record.attached.rights);
        record.len -= count;
        let continues = record.len > 0;
        copy(&self.bytes, 0, chunk.get_mut(..count).unwrap_or_default());
        if count == self.bytes.len() {
            self.bytes.clear();
        } else {
            self.bytes.drain(..count);
        }
        if !continues {
            self.records.pop_front();
        }
        Some(Part { bytes: count, cred, rights, continues })
    }

    /// Puts back what could not be stored of a part, with the files that it still has.
    pub(super) fn put_back(&mut self, bytes: &[u8], part: Part) {
        for byte in bytes.iter().rev() {
            self.bytes.push_front(*byte);
        }
        match self.records.front_mut() {
            Some(first)
                if part.continues
                    && first.attached.cred == part.cred
                    && first.attached.rights.is_empty() =>
            {
                first.len += bytes.len();
                first.attached.rights = part.rights;
            }
            _ => {
                let Part { cred, rights, .. } = part;
                let attached = Attached { cred, rights, ..Attached::default() };
                self.records.push_front(Record { len: bytes.len(), attached });
            }
        }
    }

    /// Copies what a stream would receive, without taking it.
    pub(super) fn peek_stream(&self, max: usize, one_sender: bool) -> Option<(Vec<u8>, Head)> {
        let first = self.records.front()?;
        let cred = first.attached.cred;
        let (mut len, mut files) = (0_usize, Vec::new());
        for record in &self.records {
            if one_sender && record.attached.cred != cred {
                break;
            }
            // Linux looks for the next files even if no bytes are wanted any more.
            len = len.saturating_add(record.len).min(max);
            if !record.attached.rights.is_empty() {
                files = record.attached.rights.peek();
                break;
            }
        }
        let mut bytes = alloc::vec![0; len];
        copy(&self.bytes, 0, &mut bytes);
        Some((bytes, Head { bytes: len, cred, files }))
    }

    /// The first packet: at most `room` of its bytes, its length, and what goes with it. It stays
    /// there if `keep`.
    pub(super) fn packet(&mut self, room: usize, keep: bool) -> Option<Packet> {
        let record = self.records.front_mut()?;
        let len = record.len;
        let mut bytes = alloc::vec![0; len.min(room)];
        copy(&self.bytes, 0, &mut bytes);
        let cred = record.attached.cred;
        let from = record.attached.from.clone();
        let rights = &mut record.attached.rights;
        let files = if keep { rights.peek() } else { rights.take() };
        if !keep {
            self.records.pop_front();
            self.overhead = self.overhead.saturating_sub(OVERHEAD);
            self.bytes.drain(..len);
        }
        Some(Packet { bytes, head: Head { bytes: len, cred, files }, from })
    }
}

/// Copies bytes from `at` on.
fn copy(from: &VecDeque<u8>, at: usize, to: &mut [u8]) {
    let (first, second) = from.as_slices();
    let head = first.get(at..).unwrap_or_default();
    let count = head.len().min(to.len());
    let (to_head, to_tail) = to.split_at_mut(count);
    to_head.copy_from_slice(head.get(..count).unwrap_or_default());
    let skip = at.saturating_sub(first.len());
    let tail = second.get(skip..).unwrap_or_default();
    let count = tail.len().min(to_tail.len());
    if let Some(part) = to_tail.get_mut(..count) {
        part.copy_from_slice(tail.get(..count).unwrap_or_default());
    }
}
