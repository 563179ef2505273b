//! Core files, `core(5)`: when there is one, and what is in it.
//!
//! What is checked needs `/proc/sys/kernel/core_pattern` to be `core`, as it is on lx. Natively
//! that is the administrator's: with another pattern the checks pass without being made.

use std::arch::asm;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::exit;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use lx_guest_tests::{Checks, Scratch, c, call, fork, until};

const PAGE: usize = 4096;
/// What the dying process has in a register.
const REGISTER: u64 = 0x0123_4567_89ab_cdef;
/// What the dying process has in memory, where only its copy is changed.
const MARK: [u8; 16] = *b"found in memory!";
/// An address that faults.
const BAD: u64 = 0x1234_5000;

const NT_PRSTATUS: u32 = 1;
const NT_PRFPREG: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;

/// Places of registers in `struct elf_prstatus`.
const REGISTERS: usize = 112;
const R13: usize = REGISTERS + 2 * 8;
const R12: usize = REGISTERS + 3 * 8;
const RIP: usize = REGISTERS + 16 * 8;
const FS_BASE: usize = REGISTERS + 21 * 8;

fn main() {
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let uses_pid = fs::read_to_string("/proc/sys/kernel/core_uses_pid").unwrap_or_default();
    let mut t = Core { t: Checks::new(), real: pattern == "core\n" && uses_pid == "0\n" };
    contents(&mut t);
    threads(&mut t);
    signals(&mut t);
    limits(&mut t);
    refused(&mut t);
    others_file(&mut t);
    drop(scratch);
    t.t.end();
}

/// Checks that hold wherever nothing can be checked.
struct Core {
    t: Checks,
    real: bool,
}

impl Core {
    fn is<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, got: T, want: T) {
        if self.real {
            self.t.is(what, got, want);
        } else {
            self.t.ok(what, true);
        }
    }

    fn ok(&mut self, what: &str, holds: bool) {
        self.t.ok(what, holds || !self.real);
    }
}

fn limit_to(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    let _ = call!(setrlimit(libc::RLIMIT_CORE, &limit));
}

/// Signal, whether core was dumped, and the child's id.
fn dying(body: impl FnOnce()) -> (i32, bool, i32) {
    let pid = fork(|| {
        body();
        0
    });
    let mut status = 0;
    let _ = call!(waitpid(pid, &raw mut status, 0));
    (libc::WTERMSIG(status), libc::WCOREDUMP(status), pid)
}

/// Dies of a bad access with a known register.
fn crash() {
    // SAFETY: it faults, which ends the process.
    unsafe {
        asm!("mov r12, {}", "mov rax, [{}]", in(reg) REGISTER, in(reg) BAD, out("r12") _, out("rax") _)
    }
}

fn exists() -> bool {
    fs::symlink_metadata("core").is_ok()
}

/// Dies of `crash` with `bytes` as the limit; whether there was a core, by status and by file.
fn limited(bytes: u64) -> (bool, bool) {
    let _ = fs::remove_file("core");
    let (_, dumped, _) = dying(|| {
        limit_to(bytes);
        crash();
    });
    (dumped, exists())
}

/// A core file.
struct File {
    bytes: Vec<u8>,
    /// Type, flags, offset, address, length in the file, length in memory.
    segments: Vec<[u64; 6]>,
    notes: Vec<(u32, Vec<u8>)>,
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut number = [0; 8];
    if let Some(part) = bytes.get(at..at + len) {
        number[..len].copy_from_slice(part);
    }
    u64::from_le_bytes(number)
}

impl File {
    fn read() -> Self {
        let bytes = fs::read("core").unwrap_or_default();
        let (start, count) = (number(&bytes, 32, 8) as usize, number(&bytes, 56, 2) as usize);
        let mut segments = Vec::new();
        for at in (0..count).map(|index| start + 56 * index) {
            let field = |offset, len| number(&bytes, at + offset, len);
            let long = [8, 16, 32, 40].map(|offset| field(offset, 8));
            segments.push([field(0, 4), field(4, 4), long[0], long[1], long[2], long[3]]);
        }
        let mut notes = Vec::new();
        if let Some([4, _, offset, _, len, _]) = segments.first().copied() {
            let (mut at, end) = (offset as usize, (offset + len) as usize);
            while at + 12 <= end {
                let lens = [0, 4].map(|offset| number(&bytes, at + offset, 4) as usize);
                let kind = number(&bytes, at + 8, 4) as u32;
                let begin = at + 12 + lens[0].next_multiple_of(4);
                let note = bytes.get(begin..begin + lens[1]).unwrap_or_default().to_vec();
                notes.push((kind, note));
                at = begin + lens[1].next_multiple_of(4);
            }
        }
        Self { bytes, segments, notes }
    }

    fn notes(&self, kind: u32) -> Vec<&[u8]> {
        self.notes.iter().filter(|note| note.0 == kind).map(|note| &note.1[..]).collect()
    }

    fn note(&self, kind: u32) -> &[u8] {
        self.notes(kind).first().copied().unwrap_or_default()
    }

    /// The segment that shows an address.
    fn segment(&self, address: u64) -> Option<[u64; 6]> {
        let shows = |segment: &&[u64; 6]| {
            let [kind, _, _, start, _, len] = **segment;
            kind == 1 && start <= address && address < start + len
        };
        self.segments.iter().find(shows).copied()
    }

    /// The bytes at an address, if they are in the file.
    fn memory(&self, address: u64, len: usize) -> &[u8] {
        let Some([_, _, offset, start, dumped, _]) = self.segment(address) else { return &[] };
        let at = address - start;
        if at + len as u64 > dumped {
            return &[];
        }
        let begin = (offset + at) as usize;
        self.bytes.get(begin..begin + len).unwrap_or_default()
    }

    /// Bytes of an address's mapping in the file, and all.
    fn lengths(&self, address: u64) -> Option<(u64, u64)> {
        self.segment(address).map(|segment| (segment[4], segment[5]))
    }
}

fn map(len: usize, prot: i32, flags: i32, fd: i32) -> u64 {
    call!(mmap(null_mut(), len, prot, flags, fd, 0)).unwrap_or(0) as u64
}

fn put(address: u64, bytes: &[u8]) {
    // SAFETY: the callers' mappings are long enough.
    unsafe { (address as *mut u8).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
}

fn contents(t: &mut Core) {
    const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let private = map(4 * PAGE, RW, anonymous, -1);
    let shared = map(PAGE, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1);
    let hidden = map(2 * PAGE, RW, anonymous, -1);
    let unreadable = map(PAGE, libc::PROT_NONE, anonymous, -1);
    let _ = fs::write("file", vec![b'f'; 2 * PAGE]);
    let fd = call!(open(c("file").as_ptr(), libc::O_RDWR)).unwrap_or(-1) as i32;
    let of_file = map(2 * PAGE, RW, libc::MAP_SHARED, fd);
    let copied = map(PAGE, RW, libc::MAP_PRIVATE, fd);
    let read_only = map(PAGE, libc::PROT_READ, libc::MAP_PRIVATE, fd);
    let on_stack = std::hint::black_box([0_u8; 64]);
    let (signal, dumped, pid) = dying(|| {
        limit_to(libc::RLIM_INFINITY);
        for place in [private + 2 * PAGE as u64 + 5, shared, hidden, copied, of_file] {
            put(place, &MARK);
        }
        put(on_stack.as_ptr() as u64, &MARK);
        let advice = libc::MADV_DONTDUMP;
        let _ = call!(madvise(hidden as *mut _, 2 * PAGE, advice));
        let _ = call!(mprotect(copied as *mut _, PAGE, libc::PROT_READ));
        crash();
    });
    t.is("the signal", signal, libc::SIGSEGV);
    t.ok("core was dumped", dumped);
    let stat = fs::metadata("core");
    let mode = stat.as_ref().map_or(0, |stat| stat.permissions().mode());
    t.is("a file of the user's alone", mode & 0o7777, 0o600);
    let owner = stat.as_ref().map(|stat| (stat.uid(), stat.gid())).unwrap_or((1, 1));
    t.is("it is the user's", call!(geteuid()), Ok(owner.0.into()));
    let core = File::read();
    let ident = core.bytes.get(..7).unwrap_or_default();
    t.is("an ELF file", ident, b"\x7fELF\x02\x01\x01");
    let header = [16, 18].map(|at| number(&core.bytes, at, 2));
    t.is("a core file of x86-64", header, [4, 62]);
    let whole = |segment: &[u64; 6]| segment[2] + segment[4] <= core.bytes.len() as u64;
    t.ok("with all its segments", core.segments.iter().all(whole));
    let loads = || core.segments.iter().filter(|segment| segment[0] == 1);
    t.ok("on pages", loads().all(|segment| (segment[2] | segment[3]) % PAGE as u64 == 0));
    t.ok("ascending", loads().zip(loads().skip(1)).all(|(a, b)| a[3] + a[5] <= b[3]));

    let status = core.note(NT_PRSTATUS);
    t.is("one thread", core.notes(NT_PRSTATUS).len(), 1);
    t.is("its status", status.len(), 336);
    t.is("its id", number(status, 32, 4), pid as u64);
    t.is("its parent", Ok(number(status, 36, 4) as i64), call!(getpid()));
    t.is("its signal", (number(status, 0, 4), number(status, 12, 2)), (11, 11));
    t.is("a register", number(status, R12, 8), REGISTER);
    let code = core.segment(number(status, RIP, 8));
    t.is("it ran in text", code.map(|segment| segment[1]), Some(5));
    t.ok("its thread pointer", !core.memory(number(status, FS_BASE, 8), 8).is_empty());
    t.is("floating point", core.note(NT_PRFPREG).len(), 512);
    let info = core.note(NT_SIGINFO);
    t.is("what happened where", (number(info, 8, 4), number(info, 16, 8)), (1, BAD));
    let process = core.note(NT_PRPSINFO);
    t.is("the process", (process.len(), number(process, 24, 4)), (136, pid as u64));
    t.is("its name", process.get(40..51), Some(&b"core_dumps\0"[..]));
    let args = process.get(56..).unwrap_or_default();
    let args = String::from_utf8_lossy(args.split(|&byte| byte == 0).next().unwrap_or_default());
    let own = std::env::args().next().unwrap_or_default();
    let begins: String = own.chars().take(79).collect();
    t.ok("its arguments", args.starts_with(&begins));
    let auxv = fs::read("/proc/self/auxv").unwrap_or_default();
    t.ok("the auxiliary vector", core.note(NT_AUXV) == auxv);
    let files = core.note(NT_FILE);
    let (count, unit) = (number(files, 0, 8) as usize, number(files, 8, 8));
    let names = files.get(16 + 24 * count..).unwrap_or_default();
    let names: Vec<_> = names.split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect();
    t.is("files with names", (count > 0, names.len(), unit), (true, count, PAGE as u64));
    let named = |end: &str| {
        let index = names.iter().position(|name| name.ends_with(end.as_bytes()))?;
        Some(number(files, 16 + 24 * index, 8))
    };
    let place = named("/file");
    t.ok("where they are", [of_file, copied, read_only].map(Some).contains(&place));
    let program = named("/core_dumps").unwrap_or(0);
    t.is("the program's header", core.memory(program, 4), b"\x7fELF");

    t.is("memory", core.memory(private + 2 * PAGE as u64 + 5, 16), &MARK);
    t.is("zeroes around it", core.memory(private + PAGE as u64, 4), &[0; 4]);
    t.is("all of it", core.lengths(private).map(|lengths| lengths.0 > 0), Some(true));
    t.is("shared memory", core.memory(shared, 16), &MARK);
    t.is("the stack", core.memory(on_stack.as_ptr() as u64, 16), &MARK);
    t.is("a page of a file that was changed", core.memory(copied, 16), &MARK);
    let length = |address| core.lengths(address).map(|lengths| lengths.0);
    t.is("not what shall not be dumped", length(hidden), Some(0));
    t.is("nor shared files", length(of_file), Some(0));
    t.is("nor files that are only read", length(read_only), Some(0));
    t.ok("what cannot be read has its place", core.lengths(unreadable).is_some());
    for (address, len) in [(private, 4), (shared, 1), (hidden, 2), (unreadable, 1), (of_file, 2)] {
        let _ = call!(munmap(address as *mut _, len * PAGE));
    }
    let _ = (call!(munmap(copied as *mut _, PAGE)), call!(munmap(read_only as *mut _, PAGE)));
    let _ = call!(close(fd));
}

/// Threads that have their register.
static READY: AtomicUsize = AtomicUsize::new(0);

extern "C" fn waits(number: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the thread stays here, in pause(2), until the process ends.
    unsafe {
        asm!(
            "mov r13, {register}",
            "lock inc qword ptr [{ready}]",
            "2:",
            "mov eax, 34",
            "syscall",
            "jmp 2b",
            register = in(reg) REGISTER + number as u64,
            ready = in(reg) READY.as_ptr(),
            out("r13") _, out("rax") _, out("rcx") _, out("r11") _,
        )
    }
    null_mut()
}

extern "C" fn spins(number: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the thread stays here until the process ends.
    unsafe {
        asm!(
            "mov r13, {register}",
            "lock inc qword ptr [{ready}]",
            "2:",
            "pause",
            "jmp 2b",
            register = in(reg) REGISTER + number as u64,
            ready = in(reg) READY.as_ptr(),
            out("r13") _,
        )
    }
    null_mut()
}

fn threads(t: &mut Core) {
    let _ = fs::remove_file("core");
    let (signal, dumped, pid) = dying(|| {
        limit_to(libc::RLIM_INFINITY);
        let mut thread = 0;
        for (number, body) in [(1, waits as extern "C" fn(_) -> _), (2, spins), (3, waits)] {
            let _ = call!(pthread_create(&raw mut thread, null_mut(), body, number as *mut _));
        }
        until(|| READY.load(Ordering::Relaxed) == 3);
        crash();
    });
    t.is("a process with threads", (signal, dumped), (libc::SIGSEGV, true));
    let core = File::read();
    let statuses = core.notes(NT_PRSTATUS);
    t.is("all of them", statuses.len(), 4);
    let first = statuses.first().copied().unwrap_or_default();
    t.is("first the one that fell", number(first, R12, 8), REGISTER);
    t.is("which was the first", number(first, 32, 4), pid as u64);
    let mut others: Vec<_> = statuses.iter().skip(1).map(|note| number(note, R13, 8)).collect();
    others.sort_unstable();
    t.is("the others' registers", others, vec![REGISTER + 1, REGISTER + 2, REGISTER + 3]);
    let mut pointers: Vec<_> = statuses.iter().map(|note| number(note, FS_BASE, 8)).collect();
    pointers.sort_unstable();
    pointers.dedup();
    t.is("each with a thread pointer", pointers.len(), 4);
    t.is("and floating point", core.notes(NT_PRFPREG).len(), 4);
}

fn signals(t: &mut Core) {
    let cases = [
        (libc::SIGABRT, true),
        (libc::SIGQUIT, true),
        (libc::SIGXCPU, true),
        (libc::SIGTERM, false),
        (libc::SIGKILL, false),
    ];
    for (signal, dumps) in cases {
        let _ = fs::remove_file("core");
        let (died, dumped, _) = dying(|| {
            limit_to(libc::RLIM_INFINITY);
            let _ = call!(kill(libc::getpid(), signal));
        });
        t.is(&format!("signal {signal}"), (died, dumped, exists()), (signal, dumps, dumps));
        let status = File::read().note(NT_PRSTATUS).get(12..14).map(|bytes| number(bytes, 0, 2));
        t.is("in the file", status, dumps.then_some(signal as u64));
    }
    let pid = fork(|| {
        limit_to(libc::RLIM_INFINITY);
        crash();
        0
    });
    // SAFETY: all zeros is a value of the structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let _ = call!(waitid(libc::P_PID, pid as u32, &raw mut info, libc::WEXITED));
    t.is("what waitid says", info.si_code, libc::CLD_DUMPED);
}

fn limits(t: &mut Core) {
    t.is("a limit of 0", limited(0), (false, false));
    t.is("less than a page", limited(PAGE as u64 - 1), (false, false));
    t.is("two pages", limited(2 * PAGE as u64), (true, true));
    let len = fs::metadata("core").map_or(0, |stat| stat.len());
    t.ok("the file is no longer", len > 0 && len <= 2 * PAGE as u64);
    let header = File::read();
    t.is("but begins as it should", header.bytes.get(..4), Some(&b"\x7fELF"[..]));
}

fn refused(t: &mut Core) {
    let without = |prepare: fn()| {
        let _ = fs::remove_file("core");
        let (signal, dumped, _) = dying(|| {
            limit_to(libc::RLIM_INFINITY);
            prepare();
            crash();
        });
        (signal, dumped, exists())
    };
    let none = (libc::SIGSEGV, false, false);
    let undumpable = without(|| {
        let _ = call!(prctl(libc::PR_SET_DUMPABLE, 0));
    });
    t.is("a process that is not to be dumped", undumpable, none);
    let nowhere = without(|| {
        let _ = fs::create_dir("gone").and_then(|()| std::env::set_current_dir("gone"));
        let _ = fs::remove_dir("../gone");
    });
    t.is("in a folder that was removed", nowhere, none);
    let masked = without(|| {
        let _ = call!(umask(0o200));
    });
    t.is("with a mask of modes that it is cut by", (masked.0, masked.1), (libc::SIGSEGV, false));
    let _ = fs::remove_file("core");
    let _ = fs::create_dir("core");
    let (_, dumped, _) = dying(|| {
        limit_to(libc::RLIM_INFINITY);
        crash();
    });
    t.is("where a folder has the name", dumped, false);
    let _ = fs::remove_dir("core");
}

fn others_file(t: &mut Core) {
    let _ = fs::write("core", "somebody's");
    let _ = fs::set_permissions("core", fs::Permissions::from_mode(0o400));
    let _ = fs::hard_link("core", "kept");
    t.is("a file that is there", limited_in_place(), (true, true));
    t.is("is another one then", fs::read_to_string("kept").ok().as_deref(), Some("somebody's"));
    t.is("and alone", fs::metadata("core").map_or(0, |stat| stat.nlink()), 1);
    let _ = fs::remove_file("core");
    let _ = std::os::unix::fs::symlink("kept", "core");
    t.is("a link that is there", limited_in_place(), (true, true));
    t.ok("is replaced", fs::symlink_metadata("core").is_ok_and(|stat| stat.is_file()));
    t.is("and not followed", fs::read_to_string("kept").ok().as_deref(), Some("somebody's"));
    for name in ["core", "kept", "file"] {
        let _ = fs::remove_file(name);
    }
}

/// Dies without removing what has the name.
fn limited_in_place() -> (bool, bool) {
    let (_, dumped, _) = dying(|| {
        limit_to(libc::RLIM_INFINITY);
        crash();
    });
    (dumped, exists())
}
