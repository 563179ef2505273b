//! The guest's part of a host process's address space.
//!
//! NT hands out addresses in units of 64 KB, and releases only whole reservations. So private guest
//! memory lies in *arenas*, reservations that are made when the guest first maps something near and
//! in which pages are committed and decommitted one by one. Pages are committed when they are
//! mapped, not when they are touched: a fault would overwrite the guest's red zone.
//!
//! The first touch of a page costs the host some microseconds, and a program that is executed touches
//! most pages of its libraries by being copied there. So pages stay when a program ends or executes
//! another one, out of anybody's reach: *stale* ones, for the next program in the process.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult, Prot};
use lx_nt::{CURRENT_PROCESS, LOW_RANGE};
use lx_x86::user_copy;

use crate::nt::{self, nt};
use crate::ranges::{Kind, Range, Ranges};
use crate::region::REGION_BASE;

const MEM_COMMIT: u32 = 0x1000;
const MEM_RESERVE: u32 = 0x2000;
const MEM_DECOMMIT: u32 = 0x4000;
const MEM_RELEASE: u32 = 0x8000;

/// Arenas are multiples of this where nothing is in the way.
const ARENA: u64 = 16 << 20;
/// Most memory that stays for the next program: that of a small one with its libraries.
const STALE_BYTES: u64 = 8 << 20;
/// The longest mapping that does: pages of longer ones, such as stacks, are mostly untouched.
const STALE_RANGE: u64 = 2 << 20;
/// The longest stale part that is zeroed; new pages are cheaper if most are not touched.
const ZEROED: u64 = 256 << 10;
/// Most arenas that do.
const STALE_ARENAS: usize = 16;
/// The unit of addresses.
pub(crate) const UNIT: u64 = 1 << 16;

/// Protection of pages, as the host names it.
fn protection(prot: Prot) -> u32 {
    match (prot.contains(Prot::EXEC), prot.contains(Prot::WRITE), prot.contains(Prot::READ)) {
        (true, true, _) => 0x40,
        (true, false, _) => 0x20,
        (false, true, _) => 0x04,
        (false, false, true) => 0x02,
        (false, false, false) => 0x01,
    }
}

/// Mappings of one host process.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) ranges: Ranges,
    /// Pages of former programs, committed and inaccessible. None is under accessible memory.
    stale: Ranges,
    /// Reservations, sorted; the first is the low range, which stays.
    arenas: Vec<(u64, u64)>,
}

impl Space {
    /// That of a process as the loader has prepared it.
    pub(crate) fn new() -> Self {
        let (ranges, stale) = Default::default();
        Self { ranges, stale, arenas: alloc::vec![LOW_RANGE] }
    }

    /// Calls `act` for the part of each arena between two addresses, as no call of the host may
    /// span two reservations.
    fn each_arena(
        &self,
        start: u64,
        end: u64,
        mut act: impl FnMut(u64, u64) -> HostResult<()>,
    ) -> HostResult<()> {
        for &(low, high) in &self.arenas {
            let (from, to) = (low.max(start), high.min(end));
            if from < to {
                act(from, to)?;
            }
        }
        Ok(())
    }

    /// Makes sure that arenas cover the range.
    pub(crate) fn reserve(&mut self, start: u64, end: u64) -> HostResult<()> {
        let mut at = start;
        while at < end {
            let next = self.arenas.iter().position(|&(_, high)| high > at);
            let (index, limit) =
                match next.and_then(|index| Some((index, *self.arenas.get(index)?))) {
                    Some((_, (low, high))) if low <= at => {
                        at = high;
                        continue;
                    }
                    Some((index, (low, _))) => (index, low),
                    None => (self.arenas.len(), REGION_BASE),
                };
            let floor = index.checked_sub(1).and_then(|before| self.arenas.get(before));
            let floor = floor.map_or(UNIT, |&(_, high)| high);
            let arena = reserve_near(at, end.min(limit), floor, limit)?;
            at = arena.1;
            self.arenas.insert(index, arena);
        }
        Ok(())
    }

    /// Makes sure that there are zeroed pages.
    fn supply(&mut self, start: u64, end: u64, prot: Prot) -> HostResult<()> {
        let stale = self.stale.remove(start, end);
        self.commit_around(start, end, prot, &stale, |part| {
            if part.len() > ZEROED {
                self.decommit(part.start, part.end)?;
                return self.commit(part.start, part.end, prot);
            }
            self.each_arena(part.start, part.end, |start, end| {
                protect(start, end, Prot::READ | Prot::WRITE)?;
                // SAFETY: pages that no program has.
                unsafe { user_copy::zero(start, (end - start) as usize) };
                match prot == Prot::READ | Prot::WRITE {
                    true => Ok(()),
                    false => protect(start, end, prot),
                }
            })
        })
    }

    /// Commits pages but for these parts, which are there, in the order of their addresses; what is
    /// done with those is up to `keep`.
    fn commit_around(
        &self,
        start: u64,
        end: u64,
        prot: Prot,
        there: &[Range],
        keep: impl Fn(&Range) -> HostResult<()>,
    ) -> HostResult<()> {
        let mut at = start;
        for part in there {
            self.commit(at, part.start, prot)?;
            keep(part)?;
            at = part.end;
        }
        self.commit(at, end, prot)
    }

    fn commit(&self, start: u64, end: u64, prot: Prot) -> HostResult<()> {
        self.each_arena(start, end, |start, end| {
            let (mut base, mut size) = (start, end - start);
            // SAFETY: guest memory, in which no Rust object lives.
            nt::check(unsafe {
                nt!(
                    allocate,
                    CURRENT_PROCESS,
                    &mut base,
                    0,
                    &mut size,
                    MEM_COMMIT,
                    protection(prot)
                )
            })
        })
    }

    fn decommit(&self, start: u64, end: u64) -> HostResult<()> {
        self.each_arena(start, end, |start, end| {
            let (mut base, mut size) = (start, end - start);
            // SAFETY: as in `commit`.
            nt::check(unsafe { nt!(free, CURRENT_PROCESS, &mut base, &mut size, MEM_DECOMMIT) })
        })
    }

    /// Changes the protection of committed pages.
    pub(crate) fn set_protection(&self, range: &Range, prot: Prot) -> HostResult<()> {
        if range.kind.has_views() {
            // Views are mapped unit by unit.
            let mut at = range.start;
            while at < range.end {
                let end = ((at & !(UNIT - 1)) + UNIT).min(range.end);
                protect(at, end, prot)?;
                at = end;
            }
            return Ok(());
        }
        self.each_arena(range.start, range.end, |start, end| protect(start, end, prot))
    }

    /// Removes all mappings between two addresses.
    pub(crate) fn unmap(&mut self, start: u64, end: u64) -> HostResult<()> {
        for range in self.ranges.remove(start, end) {
            match range.kind {
                Kind::Reserved => {}
                Kind::Private => self.decommit(range.start, range.end)?,
                Kind::View(_) | Kind::File { .. } => self.unmap_views(&range),
            }
        }
        Ok(())
    }

    /// Unmaps the units of a removed range that nothing uses any more.
    fn unmap_views(&self, range: &Range) {
        let mut unit = range.start & !(UNIT - 1);
        while unit < range.end {
            if self.ranges.overlapping(unit, unit + UNIT).is_empty() {
                // SAFETY: a view of ours.
                let _ = unsafe { nt!(unmap_view, CURRENT_PROCESS, unit) };
            } else {
                let (from, to) = (range.start.max(unit), range.end.min(unit + UNIT));
                let _ = protect(from, to, Prot::empty());
            }
            unit += UNIT;
        }
    }

    /// Maps private zeroed memory.
    pub(crate) fn map_private(&mut self, start: u64, end: u64, prot: Prot) -> HostResult<()> {
        self.unmap(start, end)?;
        self.reserve(start, end)?;
        let kind = if prot.is_empty() { Kind::Reserved } else { Kind::Private };
        if kind == Kind::Private {
            self.supply(start, end, prot)?;
        }
        self.ranges.insert(Range { start, end, prot, kind });
        Ok(())
    }

    /// Maps private writable memory that the caller overwrites, all of it, before anything else: the
    /// pages that are there can stay.
    pub(crate) fn map_overwritten(&mut self, start: u64, end: u64) -> HostResult<()> {
        let prot = Prot::READ | Prot::WRITE;
        let mut there = self.stale.remove(start, end);
        for range in self.ranges.overlapping(start, end) {
            match range.kind {
                Kind::Private => there.extend(self.ranges.remove(range.start, range.end)),
                _ => self.unmap(range.start, range.end)?,
            }
        }
        there.sort_unstable_by_key(|part| part.start);
        let result = self.reserve(start, end).and_then(|()| {
            self.commit_around(start, end, prot, &there, |part| {
                self.each_arena(part.start, part.end, |start, end| protect(start, end, prot))
            })
        });
        match result {
            Ok(()) => self.ranges.insert(Range { start, end, prot, kind: Kind::Private }),
            Err(_) => drop(self.decommit(start, end)),
        }
        result
    }

    /// Changes the access rights of everything between two addresses.
    pub(crate) fn protect(&mut self, start: u64, end: u64, prot: Prot) -> HostResult<()> {
        for range in self.ranges.overlapping(start, end) {
            let mut kind = range.kind;
            match range.kind {
                Kind::Reserved if prot.is_empty() => {}
                Kind::Reserved => {
                    self.supply(range.start, range.end, prot)?;
                    kind = Kind::Private;
                }
                _ => self.set_protection(&range, prot)?,
            }
            self.ranges.remove(range.start, range.end);
            self.ranges.insert(Range { prot, kind, ..range });
        }
        Ok(())
    }

    /// Makes private pages read as zeros.
    pub(crate) fn discard(&mut self, start: u64, end: u64) -> HostResult<()> {
        for range in self.ranges.overlapping(start, end) {
            if range.kind == Kind::Private {
                self.decommit(range.start, range.end)?;
                self.commit(range.start, range.end, range.prot)?;
            }
        }
        Ok(())
    }

    /// Removes everything; some pages stay for the next program.
    pub(crate) fn reset(&mut self) {
        let views: Vec<Range> =
            self.ranges.iter().filter(|range| range.kind.has_views()).copied().collect();
        for view in views {
            let _ = self.unmap(view.start, view.end);
        }
        if self.arenas.len() > STALE_ARENAS || self.set_aside().is_err() {
            self.release();
        }
        self.ranges.clear();
    }

    /// Makes private pages stale.
    fn set_aside(&mut self) -> HostResult<()> {
        let prot = Prot::empty();
        let mut bytes: u64 = self.stale.iter().map(Range::len).sum();
        let mut pages = Ranges::default();
        for range in self.ranges.iter().filter(|range| range.kind == Kind::Private) {
            if range.len() > STALE_RANGE || bytes + range.len() > STALE_BYTES {
                self.decommit(range.start, range.end)?;
            } else {
                bytes += range.len();
                pages.insert(Range { prot, ..*range });
            }
        }
        for range in pages.iter() {
            self.each_arena(range.start, range.end, |start, end| protect(start, end, prot))?;
            self.stale.insert(*range);
        }
        Ok(())
    }

    /// Gives all pages and arenas back.
    fn release(&mut self) {
        for pages in [&self.ranges, &self.stale] {
            for range in pages.overlapping(LOW_RANGE.0, LOW_RANGE.1) {
                let _ = self.decommit(range.start, range.end);
            }
        }
        for &(start, _) in self.arenas.iter().skip(1) {
            release_arena(start);
        }
        self.arenas.truncate(1);
        self.stale.clear();
    }

    /// Gives the arenas back that lie between two addresses and hold stale pages only.
    pub(crate) fn make_room(&mut self, start: u64, end: u64) {
        let Self { ranges, stale, arenas } = self;
        arenas.retain(|&arena| {
            let unused = arena != LOW_RANGE
                && arena.0 < end
                && arena.1 > start
                && ranges.overlapping(arena.0, arena.1).is_empty();
            if unused {
                release_arena(arena.0);
                stale.remove(arena.0, arena.1);
            }
            !unused
        });
    }
}

/// Gives a reservation of the guest's back.
fn release_arena(start: u64) {
    let (mut base, mut size) = (start, 0);
    // SAFETY: a reservation of the guest's.
    let _ = unsafe { nt!(free, CURRENT_PROCESS, &mut base, &mut size, MEM_RELEASE) };
}

/// Changes the protection of pages of one reservation or view.
pub(crate) fn protect(start: u64, end: u64, prot: Prot) -> HostResult<()> {
    let (mut base, mut size, mut old) = (start, end - start, 0);
    // SAFETY: guest memory, in which no Rust object lives.
    nt::check(unsafe {
        nt!(protect, CURRENT_PROCESS, &mut base, &mut size, protection(prot), &mut old)
    })
}

/// Reserves a range and as much around it as is free, up to the borders of an arena.
fn reserve_near(start: u64, end: u64, floor: u64, limit: u64) -> HostResult<(u64, u64)> {
    let wide = (start & !(ARENA - 1), end.next_multiple_of(ARENA));
    let narrow = (start & !(UNIT - 1), end.next_multiple_of(UNIT));
    let mut result = Err(HostError(Errno::ENOMEM));
    for (low, high) in [wide, narrow] {
        let (mut base, end) = (low.max(floor), high.min(limit));
        let mut size = end.saturating_sub(base);
        // SAFETY: the range is the guest's, and only free addresses are reserved.
        let status =
            unsafe { nt!(allocate, CURRENT_PROCESS, &mut base, 0, &mut size, MEM_RESERVE, 1) };
        result = nt::check(status).map(|()| (base, base + size));
        if result.is_ok() {
            break;
        }
    }
    result.map_err(|_| HostError(Errno::ENOMEM))
}
