//! Mapping a program.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::auxv::AuxType;
use lx_core::abi::mman::MapFlags;
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::caller::Caller;
use lx_core::cred::Credentials;
use lx_core::file::OpenFile;
use lx_core::host::Prot;
use lx_core::rlimit::Resource;

use super::elf::{Elf, Segment};
use super::stack::{self, Content};
use super::strings::StringList;
use crate::kernel::Kernel;
use crate::mm::{AddressSpace, MapRequest, Program, STACK_TOP};

/// Where position-independent programs are put, as Linux does without randomisation.
const PIE_BASE: u64 = 0x5555_5555_4000;
/// Clock ticks in a second, as user programs see them.
const CLOCK_TICKS: u64 = 100;
/// What `CPUID` leaf 1 says in EDX on every 64-bit processor.
const HWCAP: u64 = 0x178b_fbff;
/// Bytes of a signal frame without the extended state.
const FRAME_LEN: u64 = 1024;
/// The smallest and the largest stack that is mapped at once; it grows beyond when touched.
const STACK_LIMITS: (u64, u64) = (128 << 10, 64 << 20);

/// Where a program begins to run.
pub(super) struct Start {
    pub(super) entry: u64,
    pub(super) stack: u64,
}

/// What is mapped, and what the new program is told.
pub(super) struct Image<'a> {
    pub(super) program: &'a Elf,
    pub(super) interpreter: Option<&'a Elf>,
    pub(super) args: &'a StringList,
    pub(super) env: &'a StringList,
    pub(super) name: &'a [u8],
    pub(super) cred: &'a Credentials,
    pub(super) secure: bool,
}

/// What procfs shows of a program of the host.
pub(super) fn shown(file: &Arc<OpenFile>, args: &StringList, env: &StringList) -> Program {
    Program {
        file: Some(Arc::clone(file)),
        args: args.bytes().to_vec(),
        env: env.bytes().to_vec(),
        ..Program::default()
    }
}

/// Maps a program into an empty address space.
pub(super) fn load(
    caller: &Caller<'_>,
    kernel: &Kernel,
    space: &Arc<AddressSpace>,
    image: &Image<'_>,
) -> Result<Start> {
    let stack_limit = caller.rlimits.soft(Resource::Stack);
    space.set_stack_limit(stack_limit);
    let program = image.program;
    let bias = match program.relocatable {
        true => bias_at(program, PIE_BASE),
        false => 0,
    };
    map_elf(caller, space, program, bias)?;
    let (_, high) = program.span();
    space.set_brk_start(space.end_of_run(high.wrapping_add(bias)));
    let program_entry = program.entry.wrapping_add(bias);
    let (entry, base) = match image.interpreter {
        Some(interpreter) => {
            let bias = interpreter_bias(space, interpreter)?;
            map_elf(caller, space, interpreter, bias)?;
            let (low, _) = interpreter.span();
            (interpreter.entry.wrapping_add(bias), low.wrapping_add(bias))
        }
        None => (program_entry, 0),
    };
    let vdso = kernel.vdso.map(caller, space)?.unwrap_or_default();

    let stack_len = stack_limit.clamp(STACK_LIMITS.0, STACK_LIMITS.1) & !(PAGE_SIZE - 1);
    let strings = (image.args.bytes().len() + image.env.bytes().len()) as u64;
    let stack_len = stack_len.max(strings.saturating_mul(4) & !(PAGE_SIZE - 1));
    let mut prot = Prot::READ | Prot::WRITE;
    prot.set(Prot::EXEC, program.stack_exec);
    space.map_stack(caller, stack_len, prot)?;

    let mut random = [0; 16];
    caller.host.fill(&mut random);
    let content = Content { args: image.args, env: image.env, name: image.name, random };
    let cred = image.cred;
    let min_stack = (caller.host.xstate_size() as u64).saturating_add(FRAME_LEN);
    let built = stack::build(STACK_TOP, &content, |auxv, places| {
        if vdso.base != 0 {
            auxv.push(AuxType::AT_SYSINFO_EHDR, vdso.base);
        }
        auxv.push(AuxType::AT_MINSIGSTKSZ, min_stack);
        auxv.push(AuxType::AT_HWCAP, HWCAP);
        auxv.push(AuxType::AT_PAGESZ, PAGE_SIZE);
        auxv.push(AuxType::AT_CLKTCK, CLOCK_TICKS);
        auxv.push(AuxType::AT_PHDR, program.headers.wrapping_add(bias));
        auxv.push(AuxType::AT_PHENT, 56);
        auxv.push(AuxType::AT_PHNUM, u64::from(program.header_count));
        auxv.push(AuxType::AT_BASE, base);
        auxv.push(AuxType::AT_FLAGS, 0);
        auxv.push(AuxType::AT_ENTRY, program_entry);
        auxv.push(AuxType::AT_UID, u64::from(cred.uid));
        auxv.push(AuxType::AT_EUID, u64::from(cred.euid));
        auxv.push(AuxType::AT_GID, u64::from(cred.gid));
        auxv.push(AuxType::AT_EGID, u64::from(cred.egid));
        auxv.push(AuxType::AT_SECURE, u64::from(image.secure));
        auxv.push(AuxType::AT_RANDOM, places.random);
        // Not HWCAP2_FSGSBASE: GS is the engine's.
        auxv.push(AuxType::AT_HWCAP2, 0);
        auxv.push(AuxType::AT_EXECFN, places.name);
        auxv.push(AuxType::AT_PLATFORM, places.platform);
    });
    caller.host.copy_out(built.pointer, &built.bytes)?;

    let relocated = |segment: &Segment| {
        let start = segment.addr.wrapping_add(bias);
        (start, start.saturating_add(segment.file_len))
    };
    let code = program.segments.iter().find(|segment| segment.prot.contains(Prot::EXEC));
    let data = program.segments.iter().rfind(|segment| segment.prot.contains(Prot::WRITE));
    space.set_program(Arc::new(Program {
        file: Some(Arc::clone(&program.file)),
        args: image.args.bytes().to_vec(),
        env: image.env.bytes().to_vec(),
        auxv: built.auxv,
        code: code.map_or((0, 0), relocated),
        data: data.map_or((0, 0), relocated),
        stack: built.pointer,
        arg_range: built.args,
        env_range: built.env,
        restorer: vdso.restorer,
    }));
    Ok(Start { entry, stack: built.pointer })
}

/// What to add to a program's addresses so that it begins at `base` or a little above.
pub(super) fn bias_at(elf: &Elf, base: u64) -> u64 {
    let align = elf.align.saturating_sub(1);
    let (low, _) = elf.span();
    (base.saturating_add(align) & !align).wrapping_sub(low & !align)
}

fn interpreter_bias(space: &AddressSpace, elf: &Elf) -> Result<u64> {
    if !elf.relocatable {
        return Ok(0);
    }
    let (low, high) = elf.span();
    let len = high.saturating_sub(low);
    let room = len.checked_add(elf.align).ok_or(Errno::ENOMEM)?;
    Ok(bias_at(elf, space.find_room(room)?))
}

/// Maps the segments of a program at a bias.
pub(super) fn map_elf(
    caller: &Caller<'_>,
    space: &AddressSpace,
    elf: &Elf,
    bias: u64,
) -> Result<()> {
    let (_, high) = elf.span();
    for segment in &elf.segments {
        map_segment(caller, space, elf, segment, bias, high.wrapping_add(bias))?;
    }
    Ok(())
}

fn map_segment(
    caller: &Caller<'_>,
    space: &AddressSpace,
    elf: &Elf,
    segment: &Segment,
    bias: u64,
    stubs: u64,
) -> Result<()> {
    let page = PAGE_SIZE - 1;
    let addr = segment.addr.wrapping_add(bias);
    let (start, inside) = (addr & !page, addr & page);
    let file_end = addr.checked_add(segment.file_len).ok_or(Errno::ENOMEM)?;
    let end = addr.checked_add(segment.memory_len).ok_or(Errno::ENOMEM)?;
    let mapped_end = match segment.file_len {
        0 => start,
        _ => file_end.checked_add(page).ok_or(Errno::ENOMEM)? & !page,
    };
    let fixed = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
    if segment.file_len > 0 {
        let request = MapRequest {
            addr: start,
            len: mapped_end.saturating_sub(start),
            prot: segment.prot,
            flags: fixed,
            file: Some(&elf.file),
            offset: segment.offset.saturating_sub(inside),
            stubs: Some(stubs),
        };
        space.map(caller, &request)?;
        // The rest of the last page belongs to the zeroed part; what uses it (the dynamic linker)
        // counts on all of it.
        if segment.memory_len > segment.file_len && segment.prot.contains(Prot::WRITE) {
            caller.host.zero(file_end, mapped_end.saturating_sub(file_end))?;
        }
    }
    if end > mapped_end {
        let request = MapRequest {
            addr: mapped_end,
            len: end.saturating_sub(mapped_end),
            prot: segment.prot,
            flags: fixed | MapFlags::MAP_ANONYMOUS,
            file: None,
            offset: 0,
            stubs: None,
        };
        space.map(caller, &request)?;
    }
    Ok(())
}
