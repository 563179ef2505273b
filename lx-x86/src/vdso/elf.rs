//! The ELF image around the code: headers, dynamic symbols with versions, section headers.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::code::Code;
use super::{PAGE, unwind};

const EHDR: usize = 64;
const PHDR: usize = 56;
const SHDR: usize = 64;
const SYM: usize = 24;
const PHDRS: usize = 3;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PF_R: u32 = 4;
const PF_RX: u32 = 5;

const SHT_PROGBITS: u32 = 1;
const SHT_STRTAB: u32 = 3;
const SHT_HASH: u32 = 5;
const SHT_DYNAMIC: u32 = 6;
const SHT_DYNSYM: u32 = 11;
const SHT_GNU_VERDEF: u32 = 0x6fff_fffd;
const SHT_GNU_VERSYM: u32 = 0x6fff_ffff;
const SHF_ALLOC: u64 = 2;
const SHF_EXEC: u64 = 4;

const SONAME: &str = "linux-vdso.so.1";
const VERSION: &str = "LINUX_2.6";
/// Index of [`VERSION`] among the version definitions; 1 is the file itself.
const VERSION_INDEX: u16 = 2;

// Section numbers that other fields name.
const DYNSYM: u32 = 2;
const DYNSTR: u32 = 3;
const TEXT_SECTION: u16 = 9;

/// Bytes with little-endian numbers.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, values: &[u16]) -> &mut Self {
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
        self
    }

    fn u32(&mut self, values: &[u32]) -> &mut Self {
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
        self
    }

    fn u64(&mut self, values: &[u64]) -> &mut Self {
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
        self
    }
}

/// A string table.
struct Strings(String);

impl Strings {
    fn new() -> Self {
        Self(String::from("\0"))
    }

    fn add(&mut self, parts: &[&str]) -> u32 {
        let at = self.0.len() as u32;
        parts.iter().for_each(|part| self.0.push_str(part));
        self.0.push('\0');
        at
    }
}

struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    link: u32,
    info: u32,
    entry_size: u64,
    offset: usize,
    len: usize,
}

/// Lays sections out one after the other.
struct Layout {
    bytes: Vec<u8>,
    sections: Vec<Section>,
}

impl Layout {
    fn add(&mut self, name: &'static str, kind: u32, at: usize, data: &[u8]) -> &mut Section {
        self.bytes.resize(at.max(self.bytes.len()), 0);
        let offset = self.bytes.len();
        self.bytes.extend(data);
        self.sections.push_mut(Section {
            name,
            kind,
            flags: SHF_ALLOC,
            link: 0,
            info: 0,
            entry_size: 0,
            offset,
            len: data.len(),
        })
    }

    /// Where the next section can start.
    fn next(&self) -> usize {
        self.bytes.len().next_multiple_of(8)
    }

    fn place(&self, name: &str) -> (u64, u64) {
        self.sections
            .iter()
            .find(|section| section.name == name)
            .map_or((0, 0), |section| (section.offset as u64, section.len as u64))
    }
}

/// The whole image.
pub(super) fn image(
    code: &Code,
    text: &[u8],
    text_at: usize,
    stubs: &[u8],
    stubs_at: usize,
) -> Vec<u8> {
    let symbols = Symbols::new(code, text_at);
    let mut layout = Layout { bytes: vec![0; EHDR + PHDRS * PHDR], sections: vec![] };

    let section = layout.add(".hash", SHT_HASH, 0, &symbols.hash);
    (section.link, section.entry_size) = (DYNSYM, 4);
    let section = layout.add_next(".dynsym", SHT_DYNSYM, &symbols.table);
    (section.link, section.info, section.entry_size) = (DYNSTR, 1, SYM as u64);
    layout.add_next(".dynstr", SHT_STRTAB, symbols.strings.0.as_bytes());
    let section = layout.add_next(".gnu.version", SHT_GNU_VERSYM, &symbols.versions);
    (section.link, section.entry_size) = (DYNSYM, 2);
    let section = layout.add_next(".gnu.version_d", SHT_GNU_VERDEF, &symbols.definitions);
    (section.link, section.info) = (DYNSTR, 2);
    let dynamic = dynamic(&layout, symbols.soname);
    let section = layout.add_next(".dynamic", SHT_DYNAMIC, &dynamic);
    (section.link, section.entry_size) = (DYNSTR, 16);
    let unwind = unwind::build(code, layout.next(), text_at);
    let (header, frames) = unwind.bytes.split_at(unwind.header_len.min(unwind.bytes.len()));
    layout.add_next(".eh_frame_hdr", SHT_PROGBITS, header);
    layout.add(".eh_frame", SHT_PROGBITS, 0, frames);
    layout.add(".text", SHT_PROGBITS, text_at, text).flags |= SHF_EXEC;
    layout.add(".text.stubs", SHT_PROGBITS, stubs_at, stubs).flags |= SHF_EXEC;

    let mut names = Strings::new();
    let mut headers = Bytes::default();
    headers.u64(&[0; SHDR / 8]);
    let own_name = names.add(&[".shstrtab"]);
    for section in &layout.sections {
        let name = names.add(&[section.name]);
        section.write(name, &mut headers);
    }
    let names_section = layout.add_next(".shstrtab", SHT_STRTAB, names.0.as_bytes());
    names_section.flags = 0;
    names_section.write(own_name, &mut headers);
    let headers_at = layout.next();
    layout.bytes.resize(headers_at, 0);
    layout.bytes.extend(headers.0);
    layout.bytes.resize(layout.bytes.len().next_multiple_of(PAGE), 0);

    let count = layout.sections.len().saturating_add(1) as u16;
    let head = file_headers(&layout, headers_at, count);
    if let Some(start) = layout.bytes.get_mut(..head.len()) {
        start.copy_from_slice(&head);
    }
    layout.bytes
}

impl Layout {
    fn add_next(&mut self, name: &'static str, kind: u32, data: &[u8]) -> &mut Section {
        let at = self.next();
        self.add(name, kind, at, data)
    }
}

impl Section {
    fn write(&self, name: u32, out: &mut Bytes) {
        let address = if self.flags & SHF_ALLOC == 0 { 0 } else { self.offset as u64 };
        out.u32(&[name, self.kind])
            .u64(&[self.flags, address, self.offset as u64, self.len as u64])
            .u32(&[self.link, self.info])
            .u64(&[1, self.entry_size]);
    }
}

fn file_headers(layout: &Layout, sections_at: usize, section_count: u16) -> Vec<u8> {
    let mut out = Bytes(vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Type DYN, machine x86-64, version 1, no entry point.
    out.u16(&[3, 62]).u32(&[1]).u64(&[0, EHDR as u64, sections_at as u64]).u32(&[0]);
    out.u16(&[EHDR as u16, PHDR as u16, PHDRS as u16, SHDR as u16, section_count]);
    out.u16(&[section_count.saturating_sub(1)]);
    let whole = (0, layout.bytes.len() as u64);
    for (kind, flags, (offset, len), align) in [
        (PT_LOAD, PF_RX, whole, PAGE as u64),
        (PT_DYNAMIC, PF_R, layout.place(".dynamic"), 8),
        (PT_GNU_EH_FRAME, PF_R, layout.place(".eh_frame_hdr"), 4),
    ] {
        out.u32(&[kind, flags]).u64(&[offset, offset, offset, len, len, align]);
    }
    out.0
}

fn dynamic(layout: &Layout, soname: u32) -> Vec<u8> {
    let (strings, strings_len) = layout.place(".dynstr");
    let mut out = Bytes::default();
    for (tag, value) in [
        (14, u64::from(soname)),                         // DT_SONAME
        (4, layout.place(".hash").0),                    // DT_HASH
        (5, strings),                                    // DT_STRTAB
        (6, layout.place(".dynsym").0),                  // DT_SYMTAB
        (10, strings_len),                               // DT_STRSZ
        (11, SYM as u64),                                // DT_SYMENT
        (0x6fff_fffc, layout.place(".gnu.version_d").0), // DT_VERDEF
        (0x6fff_fffd, 2),                                // DT_VERDEFNUM
        (0x6fff_fff0, layout.place(".gnu.version").0),   // DT_VERSYM
        (0, 0),
    ] {
        out.u64(&[tag, value]);
    }
    out.0
}

/// The dynamic symbols with all that belongs to them.
struct Symbols {
    table: Vec<u8>,
    strings: Strings,
    soname: u32,
    hash: Vec<u8>,
    versions: Vec<u8>,
    definitions: Vec<u8>,
}

impl Symbols {
    fn new(code: &Code, text_at: usize) -> Self {
        let mut strings = Strings::new();
        let mut table = Bytes(vec![0; SYM]);
        let mut versions = Bytes(vec![0; 2]);
        let mut hashes = vec![];
        // Linux exports each function under both names, the plain one as a weak symbol.
        for (prefix, binding) in [("__vdso_", 1u8), ("", 2)] {
            for function in &code.functions {
                let name = strings.add(&[prefix, function.name]);
                table.u32(&[name]);
                table.0.extend([(binding << 4) | 2, 0]);
                table.u16(&[TEXT_SECTION]);
                let address = text_at.wrapping_add(function.offset) as u64;
                table.u64(&[address, function.len as u64]);
                versions.u16(&[VERSION_INDEX]);
                hashes.push(elf_hash(&[prefix, function.name]));
            }
        }
        let soname = strings.add(&[SONAME]);
        let version = strings.add(&[VERSION]);

        let mut definitions = Bytes::default();
        for (flags, index, hash, name, next) in [
            (1, 1, elf_hash(&[SONAME]), soname, 28),
            (0, VERSION_INDEX, elf_hash(&[VERSION]), version, 0),
        ] {
            definitions.u16(&[1, flags, index, 1]).u32(&[hash, 20, next]).u32(&[name, 0]);
        }
        Self {
            table: table.0,
            strings,
            soname,
            hash: hash_table(&hashes),
            versions: versions.0,
            definitions: definitions.0,
        }
    }
}

/// The `DT_HASH` table for symbols 1 and up: few enough for chains to be short.
fn hash_table(hashes: &[u32]) -> Vec<u8> {
    const BUCKETS: u32 = 4;
    let mut buckets = [0u32; BUCKETS as usize];
    let mut chains = vec![0u32];
    for (symbol, hash) in (1u32..).zip(hashes) {
        let Some(bucket) = buckets.get_mut((hash % BUCKETS) as usize) else { continue };
        chains.push(core::mem::replace(bucket, symbol));
    }
    let mut out = Bytes::default();
    out.u32(&[BUCKETS, chains.len() as u32]).u32(&buckets).u32(&chains);
    out.0
}

/// The hash function of the System V ABI.
fn elf_hash(parts: &[&str]) -> u32 {
    parts.iter().flat_map(|part| part.bytes()).fold(0u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}
