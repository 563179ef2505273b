//! Sends and receives messages of the control protocol over a socket.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use lx_core::control::{self, Envelope, MAX_DESCRIPTORS, MAX_INLINE, MAX_MESSAGE, Message};
use rustix::fs::MemfdFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

const ANCILLARY_LEN: usize = rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS));

/// A connected pair of control sockets. Both are closed on exec, so that no other child of the
/// calling process can keep the machine alive.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Sends one message and the descriptors that belong to it.
///
/// # Errors
///
/// `E2BIG` if the message is longer than the protocol allows, else what the socket reports.
pub(crate) fn send<M: Message>(
    socket: BorrowedFd<'_>,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut bytes = Vec::new();
    control::encode(message, &mut bytes);
    if bytes.len() > MAX_MESSAGE {
        return Err(rustix::io::Errno::TOOBIG.into());
    }
    if bytes.len() <= MAX_INLINE {
        return send_packet(socket, &bytes, descriptors);
    }
    let mut file = File::from(rustix::fs::memfd_create("lx-message", MemfdFlags::CLOEXEC)?);
    file.write_all(&bytes)?;
    let mut all = vec![file.as_fd()];
    all.extend_from_slice(descriptors);
    send_packet(socket, &control::large_packet(bytes.len()), &all)
}

fn send_packet(
    socket: BorrowedFd<'_>,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); ANCILLARY_LEN];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors in a control message"));
    }
    let flags = SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(packet)], &mut ancillary, flags))?;
    Ok(())
}

/// Waits for one message and returns it with the descriptors that belong to it, or nothing at the
/// end of the connection.
///
/// # Errors
///
/// `InvalidData` if what arrives is no such message, else what the socket reports.
pub(crate) fn receive<M: Message>(socket: BorrowedFd<'_>) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut packet = vec![0; MAX_INLINE];
    let mut space = [MaybeUninit::uninit(); ANCILLARY_LEN];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut packet)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
    });
    let len = match received {
        Ok(received) => received.bytes,
        // The other side died with our messages unread.
        Err(rustix::io::Errno::CONNRESET) => 0,
        Err(errno) => return Err(errno.into()),
    };
    if len == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    packet.truncate(len);
    let message = match control::open(&packet).map_err(invalid_data)? {
        Envelope::Inline(bytes) => control::decode(bytes).map_err(invalid_data)?,
        Envelope::Large { len } => {
            if descriptors.is_empty() {
                return Err(invalid_data("large control message without its file"));
            }
            let file = File::from(descriptors.remove(0));
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, 0)?;
            control::decode(&bytes).map_err(invalid_data)?
        }
    };
    Ok(Some((message, descriptors)))
}

fn invalid_data(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
