//! Mapping program text and its stubs.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::USER_END;
use lx_core::caller::Caller;
use lx_core::host::{Backing, Prot};

use super::map::map_plain;
use super::text::{Known, PatchedText, TextMapping, TextPart};
use super::tree::Window;
use super::vma::{Vma, VmaBacking, VmaFlags};
use super::{AddressSpace, Inner, MMAP_MIN_ADDR, MapRequest};

/// Text and stubs may be this far apart.
const NEAR: u64 = 0x7000_0000;

impl AddressSpace {
    /// Maps a file's text with its sites rewritten, or as it is if it has none.
    pub(super) fn map_text(
        &self,
        caller: &Caller<'_>,
        request: &MapRequest<'_>,
        vma: &Vma,
    ) -> Result<()> {
        let Some(file) = request.file else { return map_plain(caller.host, vma) };
        let mut part = TextPart::new(caller, file, request.offset, vma.len())?;
        if part.len < vma.len() {
            // Something must be there behind the file's end.
            map_plain(caller.host, vma)?;
        }
        let cache = Arc::clone(self.text_cache());
        let room = match part.len {
            0 => return Ok(()),
            _ => match cache.look(caller, &mut part)? {
                Known::Plain => return map_plain(caller.host, vma),
                Known::Sites(room) => room,
            },
        };
        let text_end = vma.start.saturating_add(part.len);
        let Some(stubs) = self.reserve_stubs(vma, text_end, room, request.stubs) else {
            // Without stubs the sites trap, which is slow but correct.
            return map_plain(caller.host, vma);
        };
        let patched = cache.patched(caller, part, vma.start, stubs);
        let text = match patched {
            Ok(Some(text)) => text,
            Ok(None) | Err(_) => {
                drop(self.inner.lock().tree.remove(stubs, stubs.saturating_add(room)));
                patched?;
                return map_plain(caller.host, vma);
            }
        };
        let mapping = TextMapping::new(text, vma.backing.clone(), stubs);
        if let Err(error) = map_patched(caller, vma, &mapping) {
            drop(self.inner.lock().tree.remove(stubs, stubs.saturating_add(room)));
            return Err(error);
        }
        let text_len = mapping.text.text_len();
        let mut inner = self.inner.lock();
        let mut old = Vec::new();
        inner.tree.update(vma.start, text_end, |vma_now| {
            let delta = vma_now.start.saturating_sub(vma.start);
            let new = VmaBacking::Text(Arc::clone(&mapping), delta);
            old.push(core::mem::replace(&mut vma_now.backing, new));
        });
        // More was reserved than is needed.
        let stubs_end = stubs.saturating_add(mapping.text.stub_len());
        old.extend(
            inner
                .tree
                .remove(stubs_end, stubs.saturating_add(room))
                .into_iter()
                .map(|vma| vma.backing),
        );
        inner.tree.update(stubs, stubs_end, |stub_vma| {
            let new = VmaBacking::Text(Arc::clone(&mapping), text_len);
            old.push(core::mem::replace(&mut stub_vma.backing, new));
        });
        drop(inner);
        drop(old);
        Ok(())
    }

    /// Finds room for stubs within reach of text at `vma` and reserves it.
    pub(super) fn reserve_stubs(
        &self,
        vma: &Vma,
        text_end: u64,
        room: u64,
        wish: Option<u64>,
    ) -> Option<u64> {
        let mut inner = self.inner.lock();
        let wish = wish.unwrap_or_else(|| inner.end_of_file_run(vma));
        let end = wish.checked_add(room)?;
        let near = Window {
            low: text_end.saturating_sub(NEAR).max(MMAP_MIN_ADDR),
            high: vma.start.saturating_add(NEAR).min(USER_END),
        };
        inner.evict_recycled(wish, end);
        let stubs = if wish >= near.low && end <= near.high && inner.tree.is_free(wish, end) {
            wish
        } else {
            let top = inner.mmap_top;
            let above = Window { low: text_end, high: near.high };
            let below = Window { low: near.low, high: vma.start };
            let found = inner.tree.find_free_upwards(room, above);
            match found {
                Some(found) => found,
                None => inner.tree.find_free(room, below, top)?,
            }
        };
        inner.tree.insert(Vma {
            start: stubs,
            end: stubs.checked_add(room)?,
            prot: Prot::READ | Prot::EXEC,
            flags: VmaFlags::HIDDEN,
            backing: VmaBacking::Special("stubs"),
            policy: None,
        });
        Some(stubs)
    }
}

impl Inner {
    /// End of the mappings of the same file that follow `vma` without a hole.
    fn end_of_file_run(&self, vma: &Vma) -> u64 {
        let Some(file) = vma.backing.file() else { return vma.end };
        let mut end = vma.end;
        while let Some(next) = self.tree.find(end)
            && next.backing.file().is_some_and(|next| Arc::ptr_eq(next, file))
            && !next.is_invisible()
        {
            end = next.end;
        }
        end
    }
}

/// Maps rewritten text and its stubs.
fn map_patched(caller: &Caller<'_>, vma: &Vma, mapping: &TextMapping) -> Result<()> {
    let text: &PatchedText = &mapping.text;
    let backing = Backing::Pages { address: text.address(0), shared: false };
    caller.host.map(vma.start, text.text_len(), vma.prot, backing)?;
    let backing = Backing::Pages { address: text.address(text.text_len()), shared: false };
    let prot = Prot::READ | Prot::EXEC;
    caller.host.map(mapping.stubs, text.stub_len(), prot, backing)?;
    Ok(())
}
