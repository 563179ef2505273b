//! The pipes from and to the embedding program.
//!
//! Each message has its length in front, 4 bytes. Behind a request that comes with descriptors are
//! the values of the handles that `lx` has put into init, 8 bytes each.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use lx_core::control::{self, Envelope, MAX_MESSAGE, Request};
use lx_core::host::{HostFd, Supervisor};
use lx_nt::{Handle, IoStatus};

use crate::nt::nt;
use crate::{files, init};

/// Where events go.
static OUTPUT: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn set_output(handle: Handle) {
    OUTPUT.store(handle, Ordering::Relaxed);
}

/// Bytes that have come and are not yet whole messages.
#[derive(Default)]
pub(crate) struct Control {
    bytes: Vec<u8>,
}

impl Control {
    /// Adds bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Hands whole messages to the kernel.
    pub(crate) fn deliver(&mut self, supervisor: &dyn Supervisor) {
        let bytes = core::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while let Some((message, handles, behind)) = split(rest) {
            let mut fds: Vec<HostFd> = handles.map(files::adopt).collect();
            supervisor.control_message(message, &mut fds);
            rest = behind;
        }
        self.bytes = Vec::from(rest);
    }
}

/// The first message, its handles and what follows, if all of it has come.
fn split(bytes: &[u8]) -> Option<(&[u8], impl Iterator<Item = Handle>, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > MAX_MESSAGE {
        // Not what `lx` sends.
        init::end();
    }
    let (message, rest) = rest.split_at_checked(len)?;
    // What is malformed is for the kernel to refuse.
    let count = match control::open(message) {
        Ok(Envelope::Inline(message)) => {
            control::decode::<Request>(message).map_or(0, |request| request.descriptor_count())
        }
        _ => 0,
    };
    let (handles, rest) = rest.split_at_checked(count * size_of::<u64>())?;
    let handles = handles.as_chunks::<8>().0.iter();
    Some((message, handles.map(|bytes| u64::from_le_bytes(*bytes) as Handle), rest))
}

/// Sends one message.
pub(crate) fn send(message: &[u8]) {
    write(&(message.len() as u32).to_le_bytes());
    write(message);
}

fn write(bytes: &[u8]) {
    let mut io = IoStatus::default();
    // SAFETY: the call reads the bytes. If nobody listens, the other pipe says so soon.
    let _ = unsafe {
        nt!(
            write_file,
            OUTPUT.load(Ordering::Relaxed),
            0,
            0,
            0,
            &mut io,
            bytes.as_ptr(),
            bytes.len() as u32,
            core::ptr::null(),
            0
        )
    };
}
