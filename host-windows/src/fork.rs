//! Twins of a process. NT offers programs no `fork`, so the parent copies its private memory to the
//! region, and a process of the pool copies it from there to the same addresses. Its other threads
//! stand still meanwhile.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::{Errno, GuestRegs};
use lx_core::host::{HostError, HostResult, Prot};
use lx_x86::thread_block::Frame;
use lx_x86::user_copy;

use crate::process::{self, Process};
use crate::ranges::{Kind, Range};
use crate::siblings;
use crate::thread::{self, Block};
use crate::views::Source;

const PAGE: usize = 4096;
/// Memory is copied in pieces of at most this many bytes.
const PIECE: usize = 1 << 20;
/// Pages that other threads may fill while the copy is prepared, at the first try.
const SPARE_PAGES: usize = 64;

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
    len: usize,
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
    let space = process.space.lock();
    let ranges: Vec<Range> = space.ranges.iter().copied().collect();
    let is_hidden = |range: &&Range| {
        range.kind == Kind::Private && !range.prot.intersects(Prot::READ | Prot::WRITE | Prot::EXEC)
    };
    for range in ranges.iter().filter(is_hidden) {
        space.set_protection(range, Prot::READ)?;
    }
    let pieces = copy_memory(block, process, &ranges);
    for range in ranges.iter().filter(is_hidden) {
        space.set_protection(range, range.prot)?;
    }
    drop(space);
    let pieces = pieces?;
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

/// Copies the private memory of the calling process as it is at one instant.
fn copy_memory(
    block: &'static Block,
    process: &Arc<Process>,
    ranges: &[Range],
) -> HostResult<Vec<Piece>> {
    let mut pieces = plan(ranges)?;
    if process.is_single() {
        pieces.iter_mut().for_each(Piece::fill);
        return Ok(pieces);
    }
    let mut room = SPARE_PAGES;
    loop {
        // While the others stand still nothing can be allocated, so there is room beforehand, also
        // for pages that they fill until then.
        let mut spare = Vec::new();
        spare.try_reserve_exact(room).map_err(|_| HostError(Errno::ENOMEM))?;
        for _ in 0..room {
            spare.push(Piece::new(0, PAGE)?);
        }
        let stopped = siblings::stop(block, process);
        pieces.iter_mut().for_each(Piece::fill);
        let used = fill_others(ranges, &pieces, &mut spare);
        drop(stopped);
        spare.truncate(used.unwrap_or(room));
        pieces.append(&mut spare);
        if used.is_some() {
            return Ok(pieces);
        }
        pieces.sort_unstable_by_key(|piece| piece.start);
        room *= 4;
    }
}

impl Piece {
    /// Room for `len` bytes.
    fn new(start: u64, len: usize) -> HostResult<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| HostError(Errno::ENOMEM))?;
        Ok(Self { start, len, bytes })
    }

    /// Copies the guest's memory. Allocates nothing.
    fn fill(&mut self) {
        // SAFETY: there is room for `len` bytes; the other side is the guest's.
        unsafe {
            let copied = user_copy::copy(self.bytes.as_mut_ptr() as u64, self.start, self.len);
            self.bytes.set_len(copied);
        }
    }
}

/// Room for the pages that are not zero, in the order of their addresses.
fn plan(ranges: &[Range]) -> HostResult<Vec<Piece>> {
    let mut pieces = Vec::new();
    for range in ranges.iter().filter(|range| range.kind == Kind::Private) {
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
            pieces.push(Piece::new(at, len)?);
            at += len as u64;
        }
    }
    Ok(pieces)
}

/// Copies the pages without a place in `pieces` that are not zero: how many of `spare` that took,
/// `None` if there were not enough. Allocates nothing.
fn fill_others(ranges: &[Range], pieces: &[Piece], spare: &mut [Piece]) -> Option<usize> {
    let mut pieces = pieces.iter().peekable();
    let mut used = 0;
    for range in ranges.iter().filter(|range| range.kind == Kind::Private) {
        let mut at = range.start;
        while at < range.end {
            while pieces.next_if(|piece| piece.start + piece.len as u64 <= at).is_some() {}
            if let Some(piece) = pieces.peek().filter(|piece| piece.start <= at) {
                at = piece.start + piece.len as u64;
                continue;
            }
            if !is_zero(at) {
                let piece = spare.get_mut(used)?;
                piece.start = at;
                piece.fill();
                used += 1;
            }
            at += PAGE as u64;
        }
    }
    Some(used)
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
    let mut sources = BTreeMap::new();
    for range in &snapshot.ranges {
        if let Kind::File { raw, .. } = range.kind
            && !sources.contains_key(&raw)
            && let Ok(source) = Source::file(raw)
        {
            sources.insert(raw, source);
        }
    }
    let mut space = process.space.lock();
    for range in &snapshot.ranges {
        match range.kind {
            Kind::File { raw, offset } => {
                // What cannot be mapped any more, because the file was cut, is a bus error.
                if let Some(source) = sources.get(&raw) {
                    let place = (range.start, range.end);
                    let _ = space.map_file(source, place, range.prot, raw, offset);
                }
            }
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
