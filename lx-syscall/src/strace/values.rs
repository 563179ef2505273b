//! What arguments point to.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use lx_core::abi::fcntl::{AccessFlags, AtFlags, FdFlags, GetrandomFlags, OpenFlags};
use lx_core::abi::resource::Rlimit64;
use lx_core::abi::sched::CloneFlags;
use lx_core::abi::signal::{KernelSigAction, SIG_DFL, SIG_IGN, SigActionFlags};
use lx_core::abi::stat::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID,
    S_ISVTX, Stat, Statx, StatxAttributes, StatxMask,
};
use lx_core::abi::time::Timespec;
use lx_core::abi::tty::{LocalFlags, OutputFlags, Termios, Winsize};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, SigSet, Signal, UserCStr, UserPtr};
use lx_proc::CurrentTask;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::shape::Shape;
use super::text::{self, MAX_STRING, address, hex, limit, quoted, quoted_hex, traced};

/// Most elements of an array that are shown.
const MAX_ELEMENTS: usize = 32;
/// Bytes in front of the name in a `struct linux_dirent64`.
const DIRENT_HEADER: usize = 19;
/// Most elements of an array that are counted.
const MAX_COUNTED: usize = 100_000;

/// An argument; `result` is what the call returned, if it is over.
pub(super) fn show(
    task: &CurrentTask<'_>,
    shape: &Shape,
    args: &[u64; 6],
    index: usize,
    result: u64,
) -> String {
    let raw = args.get(index).copied().unwrap_or(0);
    followed(task, shape, raw, result).unwrap_or_else(|| address(raw))
}

fn followed(task: &CurrentTask<'_>, shape: &Shape, raw: u64, result: u64) -> Option<String> {
    Some(match shape {
        Shape::Hex => hex(raw),
        Shape::Bytes(len) => quoted(&bytes(task, raw, *len)?, MAX_STRING),
        Shape::BytesOut => quoted(&bytes(task, raw, result)?, MAX_STRING),
        Shape::HexBytesOut => quoted_hex(&bytes(task, raw, result)?, MAX_STRING),
        Shape::Strings => strings(task, raw)?,
        Shape::Environment => match pointers(task, raw)?.len() {
            1 => format!("{raw:#x} /* 1 var */"),
            count => format!("{raw:#x} /* {count} vars */"),
        },
        Shape::Stat => stat(&read(task, raw)?),
        Shape::Statx => statx(&read(task, raw)?),
        Shape::Termios | Shape::TermiosIn => termios(&read(task, raw)?),
        Shape::WindowSize => window(&read(task, raw)?),
        Shape::IntOut | Shape::IntIn => format!("[{}]", read::<i32>(task, raw)?),
        Shape::Pair => {
            let [first, second] = read::<[i32; 2]>(task, raw)?;
            format!("[{first}, {second}]")
        }
        // Nobody has changed.
        Shape::Status if result == 0 => return None,
        Shape::Status => status(WaitStatus(read(task, raw)?)),
        Shape::ActionIn | Shape::ActionOut => action(&read(task, raw)?),
        Shape::SetIn | Shape::SetOut => set(read(task, raw)?),
        Shape::LimitIn | Shape::LimitOut => {
            let Rlimit64 { rlim_cur, rlim_max } = read(task, raw)?;
            format!("{{rlim_cur={}, rlim_max={}}}", limit(rlim_cur), limit(rlim_max))
        }
        Shape::Entries => entries(task, raw, result)?,
        Shape::TimeIn => {
            let Timespec { tv_sec, tv_nsec } = read(task, raw)?;
            format!("{{tv_sec={tv_sec}, tv_nsec={tv_nsec}}}")
        }
        Shape::DescriptorFlags => traced(&FdFlags::from_bits_retain(raw as u32)),
        Shape::OpenFlags => traced(&OpenFlags::from_bits_retain(raw as u32)),
        Shape::PipeFlags => {
            let shown = traced(&OpenFlags::from_bits_retain(raw as u32));
            shown.strip_prefix("O_RDONLY|").unwrap_or("0").to_owned()
        }
        Shape::Access if raw == 0 => "F_OK".to_owned(),
        Shape::Access => traced(&AccessFlags::from_bits_retain(raw as u32)),
        Shape::StatxFlags => statx_flags(raw as u32),
        Shape::PathOut => {
            let len = usize::try_from(result.saturating_sub(1)).ok()?;
            let mut path = vec![0; len];
            task.memory().read_bytes(raw, &mut path).ok()?;
            quoted(&path, usize::MAX)
        }
        Shape::RandomFlags => traced(&GetrandomFlags::from_bits_retain(raw as u32)),
        Shape::Typed | Shape::Absent | Shape::Address => return None,
    })
}

fn read<T: FromBytes + FromZeros + IntoBytes>(task: &CurrentTask<'_>, at: u64) -> Option<T> {
    if at == 0 {
        return None;
    }
    task.memory().read(UserPtr::new(at)).ok()
}

/// The bytes that are shown of so many, and one more if there are more.
fn bytes(task: &CurrentTask<'_>, at: u64, len: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(MAX_STRING + 1);
    let mut bytes = vec![0; len];
    task.memory().read_bytes(at, &mut bytes).ok()?;
    Some(bytes)
}

fn pointers(task: &CurrentTask<'_>, mut at: u64) -> Option<Vec<u64>> {
    let mut found = Vec::new();
    while found.len() < MAX_COUNTED {
        let pointer: u64 = read(task, at)?;
        if pointer == 0 {
            break;
        }
        found.push(pointer);
        at = at.checked_add(8)?;
    }
    Some(found)
}

fn strings(task: &CurrentTask<'_>, at: u64) -> Option<String> {
    let pointers = pointers(task, at)?;
    let mut shown: Vec<String> = Vec::new();
    for &pointer in pointers.iter().take(MAX_ELEMENTS) {
        let string = UserCStr::new(pointer);
        // Linux's own limit for one of them.
        let bytes = task.memory().read_string(string, 128 << 10, Errno::E2BIG);
        shown.push(bytes.map_or_else(|_| address(pointer), |bytes| quoted(&bytes, MAX_STRING)));
    }
    if pointers.len() > MAX_ELEMENTS {
        shown.push("...".to_owned());
    }
    Some(format!("[{}]", shown.join(", ")))
}

fn mode(mode: u32) -> String {
    let kind = match mode & S_IFMT {
        S_IFREG => "S_IFREG",
        S_IFDIR => "S_IFDIR",
        S_IFLNK => "S_IFLNK",
        S_IFCHR => "S_IFCHR",
        S_IFBLK => "S_IFBLK",
        S_IFIFO => "S_IFIFO",
        S_IFSOCK => "S_IFSOCK",
        _ => return format!("{mode:#o}"),
    };
    let mut text = kind.to_owned();
    for (bit, name) in [(S_ISUID, "S_ISUID"), (S_ISGID, "S_ISGID"), (S_ISVTX, "S_ISVTX")] {
        if mode & bit != 0 {
            text = format!("{text}|{name}");
        }
    }
    let permissions = mode & 0o777;
    format!("{text}|{}{permissions:03o}", if permissions == 0 { "" } else { "0" })
}

/// The size, or the number of a device.
fn size_or_device(prefix: &str, kind: u32, size: i64, (major, minor): (u32, u32)) -> String {
    match kind & S_IFMT {
        S_IFCHR | S_IFBLK => {
            format!("{prefix}_rdev=makedev({}, {})", hex(major.into()), hex(minor.into()))
        }
        _ => format!("{prefix}_size={size}"),
    }
}

fn stat(stat: &Stat) -> String {
    let (major, minor) =
        (stat.st_rdev >> 8 & 0xfff, stat.st_rdev & 0xff | stat.st_rdev >> 12 & 0xfff00);
    let size = size_or_device("st", stat.st_mode, stat.st_size, (major as u32, minor as u32));
    format!("{{st_mode={}, {size}, ...}}", mode(stat.st_mode))
}

/// How well the attributes are to be known is always named.
fn statx_flags(bits: u32) -> String {
    let flags = AtFlags::from_bits_retain(bits);
    let sync = AtFlags::AT_STATX_FORCE_SYNC | AtFlags::AT_STATX_DONT_SYNC;
    let mut text = match flags.intersection(sync) {
        none if none.is_empty() => "AT_STATX_SYNC_AS_STAT".to_owned(),
        some => traced(&some),
    };
    if !flags.difference(sync).is_empty() {
        text = format!("{text}|{}", traced(&flags.difference(sync)));
    }
    text
}

fn statx(stat: &Statx) -> String {
    let basic = StatxMask::STATX_BASIC_STATS;
    let mask = StatxMask::from_bits_retain(stat.stx_mask);
    let mask = match (mask.contains(basic), mask.difference(basic)) {
        (true, rest) if rest.is_empty() => "STATX_BASIC_STATS".to_owned(),
        (true, rest) => format!("STATX_BASIC_STATS|{}", traced(&rest)),
        _ => traced(&mask),
    };
    let attributes = traced(&StatxAttributes::from_bits_retain(stat.stx_attributes));
    let kind = u32::from(stat.stx_mode);
    let device = (stat.stx_rdev_major, stat.stx_rdev_minor);
    let size = size_or_device("stx", kind, stat.stx_size.cast_signed(), device);
    format!(
        "{{stx_mask={mask}, stx_attributes={attributes}, stx_mode={}, {size}, ...}}",
        mode(kind)
    )
}

fn termios(settings: &Termios) -> String {
    let speed = match settings.c_cflag & 0x100f {
        0 => 0,
        13 => 9600,
        14 => 19200,
        15 => 38400,
        0x1002 => 115_200,
        code => return format!("{{c_cflag={code:#x} ...}}"),
    };
    let sign = |on: bool| if on { "" } else { "-" };
    let local = |flag| sign(settings.local().contains(flag));
    format!(
        "{{B{speed} {}opost {}isig {}icanon {}echo ...}}",
        sign(settings.output().contains(OutputFlags::OPOST)),
        local(LocalFlags::ISIG),
        local(LocalFlags::ICANON),
        local(LocalFlags::ECHO)
    )
}

fn window(size: &Winsize) -> String {
    let Winsize { ws_row, ws_col, ws_xpixel, ws_ypixel } = size;
    format!("{{ws_row={ws_row}, ws_col={ws_col}, ws_xpixel={ws_xpixel}, ws_ypixel={ws_ypixel}}}")
}

fn status(status: WaitStatus) -> String {
    let inner = if status == WaitStatus::CONTINUED {
        "WIFCONTINUED(s)".to_owned()
    } else if let Some(code) = status.exit_status() {
        format!("WIFEXITED(s) && WEXITSTATUS(s) == {code}")
    } else if let Some(signal) = status.stop_signal() {
        format!("WIFSTOPPED(s) && WSTOPSIG(s) == {signal}")
    } else if let Some(signal) = status.term_signal() {
        let core = if status.core_dumped() { " && WCOREDUMP(s)" } else { "" };
        format!("WIFSIGNALED(s) && WTERMSIG(s) == {signal}{core}")
    } else {
        format!("{:#x}", status.0)
    };
    format!("[{{{inner}}}]")
}

fn action(action: &KernelSigAction) -> String {
    let handler = match action.handler {
        SIG_DFL => "SIG_DFL".to_owned(),
        SIG_IGN => "SIG_IGN".to_owned(),
        handler => address(handler),
    };
    let flags = action_flags(SigActionFlags::from_bits_retain(action.flags));
    let restorer = match SigActionFlags::from_bits_retain(action.flags)
        .contains(SigActionFlags::SA_RESTORER)
    {
        true => format!(", sa_restorer={}", address(action.restorer)),
        false => String::new(),
    };
    format!("{{sa_handler={handler}, sa_mask={}, sa_flags={flags}{restorer}}}", set(action.mask))
}

/// strace has the lowest ones last.
fn action_flags(flags: SigActionFlags) -> String {
    let last = SigActionFlags::SA_NOCLDSTOP | SigActionFlags::SA_NOCLDWAIT;
    let parts = [
        flags.difference(last | SigActionFlags::SA_SIGINFO),
        flags.intersection(SigActionFlags::SA_SIGINFO),
        flags.intersection(last),
    ];
    let parts: Vec<String> = parts.iter().filter(|part| !part.is_empty()).map(traced).collect();
    if parts.is_empty() { "0".to_owned() } else { parts.join("|") }
}

/// A set with most signals is shown as those that are not in it.
fn set(set: SigSet) -> String {
    let names = |wanted: bool| {
        let members = Signal::all().filter(|signal| set.contains(*signal) == wanted);
        let names: Vec<String> = members.map(short_name).collect();
        names.join(" ")
    };
    let count = set.iter().count();
    if count >= 64 * 2 / 3 { format!("~[{}]", names(false)) } else { format!("[{}]", names(true)) }
}

fn short_name(signal: Signal) -> String {
    match signal.name() {
        Some(name) => name.strip_prefix("SIG").unwrap_or(name).to_owned(),
        None if signal.number() == 32 => "RTMIN".to_owned(),
        None => format!("RT_{}", signal.number() - 32),
    }
}

fn entries(task: &CurrentTask<'_>, at: u64, len: u64) -> Option<String> {
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    task.memory().read_bytes(at, &mut bytes).ok()?;
    let (mut rest, mut count) = (&*bytes, 0);
    while let Some(&[low, high]) = rest.get(16..18) {
        let len = usize::from(u16::from_le_bytes([low, high]));
        rest = rest.get(len.max(DIRENT_HEADER)..).unwrap_or_default();
        count += 1;
    }
    let word = if count == 1 { "entry" } else { "entries" };
    Some(format!("{} /* {count} {word} */", address(at)))
}

/// The arguments of `clone(2)`, in strace's order.
pub(super) fn clone_arguments(args: &[u64; 6]) -> String {
    let [flags, stack, parent, child, tls, _] = *args;
    let clone = CloneFlags::from_bits_retain(flags & !0xff);
    let mut shown = if clone.is_empty() { String::new() } else { traced(&clone) };
    let signal = (flags & 0xff) as i32;
    if let Some(signal) = Signal::new(signal) {
        shown = format!("{shown}{}{signal}", if shown.is_empty() { "" } else { "|" });
    } else if signal != 0 || shown.is_empty() {
        shown = format!("{shown}{}{signal}", if shown.is_empty() { "" } else { "|" });
    }
    let mut text = format!("child_stack={}, flags={shown}", address(stack));
    if clone.intersects(CloneFlags::CLONE_PARENT_SETTID | CloneFlags::CLONE_PIDFD) {
        text = format!("{text}, parent_tid={}", address(parent));
    }
    if clone.contains(CloneFlags::CLONE_SETTLS) {
        text = format!("{text}, tls={}", address(tls));
    }
    if clone.intersects(CloneFlags::CLONE_CHILD_SETTID | CloneFlags::CLONE_CHILD_CLEARTID) {
        text = format!("{text}, child_tidptr={}", text::address(child));
    }
    text
}
