//! Program text with rewritten system-call sites.
//!
//! Rewriting depends on the file's bytes and on the distance between text and stubs only. The
//! result is kept per file identity as one page-aligned piece of kernel memory, text first and
//! stubs behind, that every process maps copy-on-write.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;
use lx_core::Result;
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::caller::Caller;
use lx_core::file::{FileIdentity, OpenFile};
use lx_core::io::IoDst;
use lx_core::sync::{Mutex, level};

use super::tree::page_up;
use super::vma::VmaBacking;

/// Bytes that the cache holds before it drops what no process has mapped.
const CACHE_LIMIT: u64 = 512 << 20;

/// Bytes in kernel memory that begin at a page border and can be mapped.
pub(crate) struct KernelPages {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl KernelPages {
    /// Zeroed pages for `len` bytes.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(len: u64) -> Result<Self> {
        let len = page_up(len).and_then(|len| usize::try_from(len).ok()).ok_or(Errno::ENOMEM)?;
        let room = len.checked_add(PAGE_SIZE as usize).ok_or(Errno::ENOMEM)?;
        let mut memory = Vec::new();
        memory.try_reserve_exact(room).map_err(|_| Errno::ENOMEM)?;
        memory.resize(room, 0);
        let start = memory.as_ptr().align_offset(PAGE_SIZE as usize);
        if start >= PAGE_SIZE as usize {
            return Err(Errno::ENOMEM.into());
        }
        Ok(Self { memory, start, len })
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start.saturating_add(self.len)).unwrap_or_default()
    }

    /// The bytes.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start.saturating_add(self.len)).unwrap_or_default()
    }

    /// Kernel address of the first byte.
    pub(crate) fn address(&self) -> u64 {
        self.bytes().as_ptr() as u64
    }

    /// Bytes, a whole number of pages.
    pub(crate) fn len(&self) -> u64 {
        self.len as u64
    }
}

/// Rewritten text and its stubs.
pub(crate) struct PatchedText {
    text: KernelPages,
    stubs: KernelPages,
}

impl PatchedText {
    /// Bytes of text, whole pages.
    pub(crate) fn text_len(&self) -> u64 {
        self.text.len()
    }

    /// Bytes of stubs, whole pages.
    pub(crate) fn stub_len(&self) -> u64 {
        self.stubs.len()
    }

    /// Kernel address of the byte at `offset`; the stubs count as following the text.
    pub(crate) fn address(&self, offset: u64) -> u64 {
        match offset.checked_sub(self.text.len()) {
            Some(offset) => self.stubs.address().wrapping_add(offset),
            None => self.text.address().wrapping_add(offset),
        }
    }

    fn bytes(&self) -> u64 {
        self.text.len().saturating_add(self.stubs.len())
    }
}

/// Rewritten text in an address space.
pub struct TextMapping {
    pub(crate) text: Arc<PatchedText>,
    /// What the guest mapped.
    original: VmaBacking,
    /// Where the stubs are.
    pub(crate) stubs: u64,
}

impl TextMapping {
    pub(crate) fn new(text: Arc<PatchedText>, original: VmaBacking, stubs: u64) -> Arc<Self> {
        Arc::new(Self { text, original, stubs })
    }

    /// What the guest mapped, from its first byte on.
    pub(crate) fn original(&self) -> &VmaBacking {
        &self.original
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    file: FileIdentity,
    offset: u64,
    len: u64,
}

/// What is known of a piece of a file.
#[derive(Clone)]
pub(crate) enum Known {
    /// No system-call site: mapped as it is.
    Plain,
    /// Stubs need this much room.
    Sites(u64),
}

struct Entry {
    known: Known,
    /// By distance from text to stubs.
    variants: Vec<(u64, Arc<PatchedText>)>,
}

#[derive(Default)]
struct Entries {
    map: HashMap<Key, Entry>,
    bytes: u64,
}

/// Rewritten text of all files.
#[derive(Default)]
pub struct TextCache {
    entries: Mutex<Entries, { level::CACHE }>,
}

/// A part of a file that is to be mapped executable.
pub(crate) struct TextPart<'a> {
    pub(crate) file: &'a Arc<OpenFile>,
    pub(crate) offset: u64,
    /// Whole pages, none of them behind the file's end.
    pub(crate) len: u64,
    identity: Option<FileIdentity>,
    /// The bytes, once they were read.
    bytes: Option<KernelPages>,
}

impl<'a> TextPart<'a> {
    /// The part of `file` from `offset`, at most `len` bytes.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub(crate) fn new(
        caller: &Caller<'_>,
        file: &'a Arc<OpenFile>,
        offset: u64,
        len: u64,
    ) -> Result<Self> {
        let identity = file.ops().identity();
        let size = match &identity {
            Some(identity) => identity.size,
            None => u64::try_from(file.ops().stat(caller, file)?.st_size).unwrap_or(0),
        };
        let present = page_up(size.saturating_sub(offset)).unwrap_or(len);
        Ok(Self { file, offset, len: len.min(present), identity, bytes: None })
    }

    fn key(&self) -> Option<Key> {
        Some(Key { file: self.identity?, offset: self.offset, len: self.len })
    }

    fn read(&self, caller: &Caller<'_>) -> Result<KernelPages> {
        let mut pages = KernelPages::new(self.len)?;
        let wanted = usize::try_from(self.len).map_err(|_| Errno::ENOMEM)?;
        let mut done = 0_usize;
        while let Some(rest) = pages.bytes_mut().get_mut(done..wanted)
            && !rest.is_empty()
        {
            let at = self.offset.saturating_add(done as u64);
            match self.file.ops().read_at(caller, self.file, at, &mut IoDst::kernel(rest))? {
                0 => break,
                count => done = done.saturating_add(count),
            }
        }
        Ok(pages)
    }
}

impl TextCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of a part; reads the file if that is nothing yet.
    pub(crate) fn look(&self, caller: &Caller<'_>, part: &mut TextPart<'_>) -> Result<Known> {
        if let Some(key) = part.key()
            && let Some(entry) = self.entries.lock().map.get(&key)
        {
            return Ok(entry.known.clone());
        }
        let pages = part.read(caller)?;
        let room = caller.host.stub_room(pages.bytes());
        part.bytes = Some(pages);
        let room = page_up(room as u64).ok_or(Errno::ENOMEM)?;
        let known = if room == 0 { Known::Plain } else { Known::Sites(room) };
        if let Some(key) = part.key() {
            let entry = Entry { known: known.clone(), variants: Vec::new() };
            let old = self.entries.lock().map.insert(key, entry);
            drop(old);
        }
        Ok(known)
    }

    /// The rewritten text for stubs at `stubs`; `None` if it is to be mapped as it is.
    pub(crate) fn patched(
        &self,
        caller: &Caller<'_>,
        part: TextPart<'_>,
        addr: u64,
        stubs: u64,
    ) -> Result<Option<Arc<PatchedText>>> {
        let distance = stubs.wrapping_sub(addr);
        if let Some(key) = part.key()
            && let Some(entry) = self.entries.lock().map.get(&key)
            && let Some((_, text)) = entry.variants.iter().find(|(at, _)| *at == distance)
        {
            return Ok(Some(Arc::clone(text)));
        }
        let key = part.key();
        let text = match patch(caller, part, addr, stubs)? {
            Some(text) => Arc::new(text),
            None => {
                // What looked like sites were none.
                if let Some(key) = key
                    && let Some(entry) = self.entries.lock().map.get_mut(&key)
                {
                    entry.known = Known::Plain;
                }
                return Ok(None);
            }
        };
        if let Some(key) = key {
            let dropped = self.store(key, distance, &text);
            drop(dropped);
        }
        Ok(Some(text))
    }

    /// Keeps a result; what has to go for it.
    fn store(&self, key: Key, distance: u64, text: &Arc<PatchedText>) -> Vec<Entry> {
        let mut entries = self.entries.lock();
        let mut dropped = Vec::new();
        if entries.bytes > CACHE_LIMIT {
            let unused =
                |entry: &Entry| entry.variants.iter().all(|(_, text)| Arc::strong_count(text) == 1);
            dropped
                .extend(entries.map.extract_if(|_, entry| unused(entry)).map(|(_, entry)| entry));
            let freed = dropped.iter().flat_map(|entry| &entry.variants);
            let freed: u64 = freed.map(|(_, text)| text.bytes()).sum();
            entries.bytes = entries.bytes.saturating_sub(freed);
        }
        let added = text.bytes();
        let entry = entries.map.entry(key).or_insert_with(|| Entry {
            known: Known::Sites(text.stub_len()),
            variants: Vec::new(),
        });
        entry.variants.push((distance, Arc::clone(text)));
        entries.bytes = entries.bytes.saturating_add(added);
        dropped
    }
}

/// Reads, if that was not done yet, and rewrites.
fn patch(
    caller: &Caller<'_>,
    part: TextPart<'_>,
    addr: u64,
    stubs_addr: u64,
) -> Result<Option<PatchedText>> {
    let mut part = part;
    let mut text = match part.bytes.take() {
        Some(text) => text,
        None => part.read(caller)?,
    };
    let rewritten = caller.host.rewrite(text.bytes_mut(), addr, stubs_addr);
    let Some(rewritten) = rewritten.filter(|rewritten| rewritten.patched > 0) else {
        return Ok(None);
    };
    let mut stubs = KernelPages::new(rewritten.stubs.len() as u64)?;
    if let Some(to) = stubs.bytes_mut().get_mut(..rewritten.stubs.len()) {
        to.copy_from_slice(&rewritten.stubs);
    }
    Ok(Some(PatchedText { text, stubs }))
}
