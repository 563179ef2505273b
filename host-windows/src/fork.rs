//! Twins of a process. NT offers programs no `fork`, so the parent copies its private memory to the
//! region, and a process of the pool copies it from there to the same addresses.

use alloc::boxed::Box;
use alloc::vec::Vec;

use lx_core::abi::{Errno, GuestRegs};
use lx_core::host::{HostError, HostMemory, HostResult, Prot};
use lx_x86::thread_block::Frame;
use lx_x86::user_copy;

use crate::ranges::{Kind, Range};
use crate::thread::{self, Block};
use crate::{host, process};

const PAGE: usize = 4096;
/// Memory is copied in pieces of at most this many bytes.
const PIECE: usize = 1 << 20;

/// What a twin begins with.
pub(crate) struct Snapshot {
    ranges: Vec<Range>,
    /// Pages that are not zero.
    pieces: Vec<Piece>,
    frame: Frame,
    guest_fs: u64,
    xstate: Vec<u8>,
}

struct Piece {
    start: u64,
    bytes: Vec<u8>,
}

// SAFETY: plain data.
unsafe impl Send for Snapshot {}

impl Snapshot {
    /// The registers that it begins with.
    pub(crate) fn regs(&self) -> &GuestRegs {
        &self.frame.regs
    }
}

/// Describes the calling process for a twin that enters the guest with `regs`.
pub(crate) fn take(block: &'static Block, regs: &GuestRegs) -> HostResult<Box<Snapshot>> {
    let process = block.process().ok_or(HostError(Errno::EAGAIN))?;
    let ranges: Vec<Range> = process.space.lock().ranges.iter().copied().collect();
    let mut pieces = Vec::new();
    for range in ranges.iter().filter(|range| range.kind == Kind::Private) {
        let readable = range.prot.intersects(Prot::READ | Prot::WRITE | Prot::EXEC);
        let len = range.end - range.start;
        if !readable {
            host().protect(range.start, len, Prot::READ)?;
        }
        copy_pages(range, &mut pieces)?;
        if !readable {
            host().protect(range.start, len, range.prot)?;
        }
    }
    let mut xstate = Vec::new();
    // SAFETY: own area and frame; the frame was filled when the thread entered the kernel.
    let frame = unsafe {
        let layout = thread::xstate_layout();
        xstate.resize(layout.size(), 0);
        let len = layout.save(&mut xstate, &*block.engine.frame(), block.xstate());
        xstate.truncate(len);
        let mut frame = block.engine.frame().read();
        frame.regs = *regs;
        frame
    };
    let guest_fs = block.guest_fs.get();
    Ok(Box::new(Snapshot { ranges, pieces, frame, guest_fs, xstate }))
}

/// Copies the pages of a range that are not zero.
fn copy_pages(range: &Range, pieces: &mut Vec<Piece>) -> HostResult<()> {
    let mut at = range.start;
    while at < range.end {
        if is_zero(at) {
            at += PAGE as u64;
            continue;
        }
        let mut len = PAGE;
        while len < PIECE && at + (len as u64) < range.end && !is_zero(at + len as u64) {
            len += PAGE;
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| HostError(Errno::ENOMEM))?;
        // SAFETY: there is room for `len` bytes; the other side is the guest's. What could not be
        // copied, because another thread has just unmapped it, is left out.
        unsafe {
            let copied = user_copy::copy(bytes.as_mut_ptr() as u64, at, len);
            bytes.set_len(copied);
        }
        pieces.push(Piece { start: at, bytes });
        at += len as u64;
    }
    Ok(())
}

/// Whether a page holds zeros only; an unreadable one counts as zero.
fn is_zero(page: u64) -> bool {
    let mut sample = [0u64; 64];
    let step = size_of_val(&sample);
    (0..PAGE / step).all(|part| {
        let from = page + (part * step) as u64;
        // SAFETY: the guest's memory to ours.
        let copied = unsafe { user_copy::copy(sample.as_mut_ptr() as u64, from, step) };
        copied != step || sample.iter().all(|&word| word == 0)
    })
}

/// Makes the calling process, an empty one, the twin.
pub(crate) fn restore(block: &'static Block, snapshot: Snapshot) -> HostResult<()> {
    let process = process::current().ok_or(HostError(Errno::ENOMEM))?;
    let mut space = process.space.lock();
    for range in &snapshot.ranges {
        match range.kind {
            Kind::Private => {
                space.map_private(range.start, range.end, Prot::READ | Prot::WRITE)?;
            }
            Kind::Reserved => space.map_private(range.start, range.end, Prot::empty())?,
            Kind::View(address) => space.map_views(range.start, range.end, range.prot, address)?,
        }
    }
    for piece in &snapshot.pieces {
        // SAFETY: the memory was mapped just now.
        unsafe { user_copy::copy(piece.start, piece.bytes.as_ptr() as u64, piece.bytes.len()) };
    }
    for range in &snapshot.ranges {
        if range.kind == Kind::Private && range.prot != Prot::READ | Prot::WRITE {
            space.protect(range.start, range.end, range.prot)?;
        }
    }
    drop(space);
    // SAFETY: own frame and area; nobody else uses them.
    unsafe {
        block.engine.frame().write(snapshot.frame);
        thread::xstate_layout().load(&snapshot.xstate, block.xstate())?;
    }
    process::set_fs_base(snapshot.guest_fs);
    Ok(())
}
