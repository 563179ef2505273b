//! `/proc/cpuinfo`, from the `cpuid` instruction.

use alloc::format;
use alloc::string::String;
use core::arch::x86_64::{__cpuid, __cpuid_count};

/// A register of a `cpuid` leaf.
#[derive(Clone, Copy)]
enum Register {
    Ebx,
    Ecx,
    Edx,
}

use Register::{Ebx, Ecx, Edx};

/// Feature flags: leaf, register, bit, name, in Linux's order.
const FLAGS: &[(u32, Register, u32, &str)] = &[
    (1, Edx, 0, "fpu"),
    (1, Edx, 4, "tsc"),
    (1, Edx, 5, "msr"),
    (1, Edx, 8, "cx8"),
    (1, Edx, 9, "apic"),
    (1, Edx, 11, "sep"),
    (1, Edx, 15, "cmov"),
    (1, Edx, 19, "clflush"),
    (1, Edx, 23, "mmx"),
    (1, Edx, 24, "fxsr"),
    (1, Edx, 25, "sse"),
    (1, Edx, 26, "sse2"),
    (1, Edx, 28, "ht"),
    (0x8000_0001, Edx, 11, "syscall"),
    (0x8000_0001, Edx, 20, "nx"),
    (0x8000_0001, Edx, 27, "rdtscp"),
    (0x8000_0001, Edx, 29, "lm"),
    (1, Ecx, 0, "pni"),
    (1, Ecx, 1, "pclmulqdq"),
    (1, Ecx, 9, "ssse3"),
    (1, Ecx, 12, "fma"),
    (1, Ecx, 13, "cx16"),
    (1, Ecx, 19, "sse4_1"),
    (1, Ecx, 20, "sse4_2"),
    (1, Ecx, 22, "movbe"),
    (1, Ecx, 23, "popcnt"),
    (1, Ecx, 25, "aes"),
    (1, Ecx, 26, "xsave"),
    (1, Ecx, 28, "avx"),
    (1, Ecx, 29, "f16c"),
    (1, Ecx, 30, "rdrand"),
    (1, Ecx, 31, "hypervisor"),
    (0x8000_0001, Ecx, 0, "lahf_lm"),
    (0x8000_0001, Ecx, 5, "abm"),
    (0x8000_0001, Ecx, 6, "sse4a"),
    (7, Ebx, 3, "bmi1"),
    (7, Ebx, 5, "avx2"),
    (7, Ebx, 8, "bmi2"),
    (7, Ebx, 9, "erms"),
    (7, Ebx, 16, "avx512f"),
    (7, Ebx, 17, "avx512dq"),
    (7, Ebx, 18, "rdseed"),
    (7, Ebx, 19, "adx"),
    (7, Ebx, 23, "clflushopt"),
    (7, Ebx, 24, "clwb"),
    (7, Ebx, 28, "avx512cd"),
    (7, Ebx, 29, "sha_ni"),
    (7, Ebx, 30, "avx512bw"),
    (7, Ebx, 31, "avx512vl"),
    (7, Ecx, 1, "avx512vbmi"),
    (7, Ecx, 8, "gfni"),
    (7, Ecx, 9, "vaes"),
    (7, Ecx, 10, "vpclmulqdq"),
    (7, Ecx, 11, "avx512_vnni"),
    (7, Edx, 4, "fsrm"),
];

/// What the file says of a processor.
struct Processor {
    vendor: String,
    family: u32,
    model: u32,
    stepping: u32,
    name: String,
    levels: u32,
    /// Thousands of cycles per second of the time stamp counter, 0 if the processor does not say.
    kilohertz: u32,
    clflush: u32,
    flags: String,
    physical_bits: u32,
    virtual_bits: u32,
}

/// Adds a register's four characters.
fn push(text: &mut String, register: u32) {
    text.extend(register.to_le_bytes().into_iter().filter(|byte| *byte != 0).map(char::from));
}

fn identify() -> Processor {
    let basic = __cpuid(0);
    let mut vendor = String::new();
    for register in [basic.ebx, basic.edx, basic.ecx] {
        push(&mut vendor, register);
    }
    let version = __cpuid(1);
    let signature = version.eax;
    let (base_family, base_model) = (signature >> 8 & 0xf, signature >> 4 & 0xf);
    let family = if base_family == 0xf { 0xf + (signature >> 20 & 0xff) } else { base_family };
    let model = if matches!(base_family, 6 | 0xf) {
        (signature >> 16 & 0xf) << 4 | base_model
    } else {
        base_model
    };
    let extended = __cpuid(0x8000_0000).eax;
    let mut name = String::new();
    if extended >= 0x8000_0004 {
        for leaf in 0x8000_0002..=0x8000_0004 {
            let part = __cpuid(leaf);
            for register in [part.eax, part.ebx, part.ecx, part.edx] {
                push(&mut name, register);
            }
        }
    }
    let sizes = if extended >= 0x8000_0008 { __cpuid(0x8000_0008).eax } else { 0x3024 };
    Processor {
        vendor,
        family,
        model,
        stepping: signature & 0xf,
        name: name.trim().into(),
        levels: basic.eax,
        kilohertz: kilohertz(basic.eax, version.ecx),
        clflush: (version.ebx >> 8 & 0xff) * 8,
        flags: flags(basic.eax, extended),
        physical_bits: sizes & 0xff,
        virtual_bits: sizes >> 8 & 0xff,
    }
}

/// From the hypervisor, if there is one that tells, or the processor's base frequency.
fn kilohertz(basic: u32, features: u32) -> u32 {
    const HYPERVISOR: u32 = 1 << 31;
    if features & HYPERVISOR != 0 && __cpuid(0x4000_0000).eax >= 0x4000_0010 {
        return __cpuid(0x4000_0010).eax;
    }
    let base = if basic >= 0x16 { __cpuid(0x16).eax & 0xffff } else { 0 };
    base.saturating_mul(1000)
}

fn flags(basic: u32, extended: u32) -> String {
    let mut text = String::new();
    for &(leaf, register, bit, name) in FLAGS {
        let highest = if leaf >= 0x8000_0000 { extended } else { basic };
        if leaf > highest {
            continue;
        }
        let result = __cpuid_count(leaf, 0);
        let value = match register {
            Ebx => result.ebx,
            Ecx => result.ecx,
            Edx => result.edx,
        };
        if value >> bit & 1 != 0 {
            let blank = if text.is_empty() { "" } else { " " };
            text.push_str(blank);
            text.push_str(name);
        }
    }
    text
}

/// A line with a number of millions; nothing if it is not known.
fn speed(name: &str, thousands: u32) -> String {
    match thousands {
        0 => String::new(),
        _ => format!("{name}\t: {}.{:03}\n", thousands / 1000, thousands % 1000),
    }
}

/// The text for `count` equal processors.
pub(super) fn text(count: u32) -> String {
    let cpu = identify();
    let mut text = String::new();
    for number in 0..count {
        text.push_str(&format!(
            "processor\t: {number}\nvendor_id\t: {}\ncpu family\t: {}\nmodel\t\t: {}\n\
             model name\t: {}\nstepping\t: {}\n{speed}physical id\t: 0\nsiblings\t: {count}\n\
             core id\t\t: {number}\ncpu cores\t: {count}\napicid\t\t: {number}\n\
             initial apicid\t: {number}\nfpu\t\t: yes\nfpu_exception\t: yes\n\
             cpuid level\t: {}\nwp\t\t: yes\nflags\t\t: {}\nbugs\t\t:\n\
             {bogomips}\
             clflush size\t: {clflush}\ncache_alignment\t: {clflush}\n\
             address sizes\t: {} bits physical, {} bits virtual\npower management:\n\n",
            cpu.vendor,
            cpu.family,
            cpu.model,
            cpu.name,
            cpu.stepping,
            cpu.levels,
            cpu.flags,
            cpu.physical_bits,
            cpu.virtual_bits,
            clflush = cpu.clflush,
            speed = speed("cpu MHz\t", cpu.kilohertz),
            bogomips = speed("bogomips", cpu.kilohertz.saturating_mul(2)),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn one_paragraph_a_processor() {
        let text = text(2);
        assert_eq!(text.matches("\n\n").count(), 2);
        assert!(text.contains("processor\t: 1\n") && text.contains(" sse2"));
    }
}
