//! Shared mappings: views of the region and of host files.
//!
//! The host maps views at multiples of 64 KB, of places that are such multiples too. Each unit is a
//! view of its own, so that any part of a mapping can go.

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult, Prot};
use lx_nt::{CURRENT_PROCESS, Handle, IoStatus};

use crate::nt::{self, nt};
use crate::ranges::{Kind, Range};
use crate::region::REGION_BASE;
use crate::space::{Space, UNIT, protect};
use crate::{files, storage};

const PAGE: u64 = 4096;
const PAGE_READONLY: u32 = 0x02;
const PAGE_READWRITE: u32 = 0x04;
const PAGE_EXECUTE_READWRITE: u32 = 0x40;

/// What views can be made of.
pub(crate) struct Source {
    section: Handle,
    /// Most that a view allows.
    protection: u32,
    /// Bytes that there are.
    len: u64,
    /// The section is this object's own.
    owned: bool,
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.owned {
            nt::close(self.section);
        }
    }
}

impl Source {
    /// The shared region.
    fn region() -> Self {
        let protection = PAGE_EXECUTE_READWRITE;
        Self { section: nt::section(), protection, len: u64::MAX, owned: false }
    }

    /// A host file, writable if its descriptor is. The caller holds no mappings.
    pub(crate) fn file(raw: u64) -> HostResult<Self> {
        const SECTION_MAP_WRITE: u32 = 2;
        const SECTION_MAP_READ: u32 = 4;
        const SEC_COMMIT: u32 = 0x800_0000;
        let file = files::local_by_number(raw)?;
        let len = storage::len(file)?;
        if len == 0 {
            // There are no sections of nothing.
            return Ok(Self { section: 0, protection: PAGE_READONLY, len, owned: false });
        }
        let mut result = Err(HostError(Errno::ENODEV));
        for (protection, write) in [(PAGE_READWRITE, SECTION_MAP_WRITE), (PAGE_READONLY, 0)] {
            let mut section = 0;
            // SAFETY: the call writes the handle.
            let status = unsafe {
                nt!(
                    create_section,
                    &mut section,
                    SECTION_MAP_READ | write,
                    core::ptr::null(),
                    core::ptr::null(),
                    protection,
                    SEC_COMMIT,
                    file
                )
            };
            result = nt::check(status).map(|()| Self { section, protection, len, owned: true });
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Bytes of the view of the unit that begins there.
    fn view_len(&self, place: u64) -> u64 {
        self.len.saturating_sub(place).min(UNIT)
    }

    /// Maps the unit that begins at `place`.
    fn map(&self, unit: u64, place: u64) -> HostResult<()> {
        const VIEW_UNMAP: u32 = 2;
        let (mut base, mut offset) = (unit, place as i64);
        let mut size = self.view_len(place) as usize;
        // SAFETY: guest memory, in which no Rust object lives.
        nt::check(unsafe {
            nt!(
                map_view,
                self.section,
                CURRENT_PROCESS,
                &mut base,
                0,
                0,
                &mut offset,
                &mut size,
                VIEW_UNMAP,
                0,
                self.protection
            )
        })
    }
}

impl Space {
    /// Maps pages of the region, shared. Address and guest address must have the same place in
    /// their units.
    pub(crate) fn map_views(
        &mut self,
        start: u64,
        end: u64,
        prot: Prot,
        address: u64,
    ) -> HostResult<()> {
        let place = address - REGION_BASE;
        self.map_units(&Source::region(), (start, end), prot, place, Kind::View(address))
    }

    /// Maps a host file, shared, with the same rule. Pages behind its end stay unmapped.
    pub(crate) fn map_file(
        &mut self,
        source: &Source,
        (start, end): (u64, u64),
        prot: Prot,
        raw: u64,
        offset: u64,
    ) -> HostResult<()> {
        let there = source.len.next_multiple_of(PAGE).saturating_sub(offset);
        if there < end - start {
            self.unmap(start + there, end)?;
        }
        let end = end.min(start.saturating_add(there));
        self.map_units(source, (start, end), prot, offset, Kind::File { raw, offset })
    }

    fn map_units(
        &mut self,
        source: &Source,
        (start, end): (u64, u64),
        prot: Prot,
        place: u64,
        kind: Kind,
    ) -> HostResult<()> {
        if (start ^ place) & (UNIT - 1) != 0 {
            return Err(HostError(Errno::EINVAL));
        }
        self.unmap(start, end)?;
        self.make_room(start & !(UNIT - 1), end.next_multiple_of(UNIT));
        let mut unit = start & !(UNIT - 1);
        let mut place = place & !(UNIT - 1);
        while unit < end {
            let (from, to) = (start.max(unit), end.min(unit + UNIT));
            let part = kind.advance(from - start);
            // Another part of the unit may be mapped already, by the same view if all is well.
            let there = self.ranges.overlapping(unit, unit + UNIT);
            let same = |range: &Range| match range.start < from {
                true => range.kind.has_views() && range.kind.advance(from - range.start) == part,
                false => range.kind == part.advance(range.start - from),
            };
            if !there.iter().all(same) {
                return Err(HostError(Errno::ENOMEM));
            }
            if there.is_empty() {
                source.map(unit, place)?;
                if to - from < UNIT {
                    let end = unit + source.view_len(place).next_multiple_of(PAGE);
                    protect(unit, end, Prot::empty())?;
                }
            }
            protect(from, to, prot)?;
            self.ranges.insert(Range { start: from, end: to, prot, kind: part });
            unit += UNIT;
            place += UNIT;
        }
        Ok(())
    }

    /// Writes what was written to views of files back to them.
    pub(crate) fn flush(&self, start: u64, end: u64) -> HostResult<()> {
        let is_file = |range: &Range| matches!(range.kind, Kind::File { .. });
        for range in self.ranges.overlapping(start, end).into_iter().filter(is_file) {
            let mut unit = range.start & !(UNIT - 1);
            while unit < range.end {
                let (from, to) = (range.start.max(unit), range.end.min(unit + UNIT));
                let (mut base, mut size) = (from, (to - from) as usize);
                let mut io = IoStatus::default();
                // SAFETY: the call writes the variables.
                nt::check(unsafe {
                    nt!(flush_view, CURRENT_PROCESS, &mut base, &mut size, &mut io)
                })?;
                unit += UNIT;
            }
        }
        Ok(())
    }
}
