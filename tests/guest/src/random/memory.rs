//! Memory: mappings of all kinds in a small range of addresses, what is in them, and what a child
//! has of them.

use std::arch::asm;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering};

use super::{Area, World, pick};
use crate::{Called, call, fork};

/// Random use of memory by a process and its child.
pub(super) const AREA: Area = Area {
    name: "memory",
    steps: &[
        ("map", 12),
        ("unmap", 4),
        ("protect", 5),
        ("remap", 6),
        ("advise", 4),
        ("store", 8),
        ("show", 5),
        ("maps", 3),
        ("copy", 2),
        ("truncate", 2),
        ("write", 2),
        ("file", 2),
        ("sync", 1),
        ("resident", 2),
        ("lock", 2),
        ("break", 1),
        ("fork", 2),
        ("child", 8),
        ("leave", 1),
    ],
    length: 40,
    cases: 300,
    world: || Box::new(Memory::new()),
};

/// Where the range begins: nothing else lies around it.
const BASE: usize = 0x20_0000_0000;
const PAGE: usize = 4096;
/// Pages of the range.
const PAGES: usize = 20;
/// The two files: in memory without a name, and with one.
const FILES: [i32; 2] = [180, 181];
/// To the child, from it, and one to copy through.
const PIPES: [i32; 6] = [182, 183, 184, 185, 186, 187];

const PROTECTIONS: &[i32] = &[
    libc::PROT_READ | libc::PROT_WRITE,
    libc::PROT_READ,
    libc::PROT_NONE,
    libc::PROT_READ | libc::PROT_WRITE,
    libc::PROT_READ | libc::PROT_EXEC,
    libc::PROT_WRITE,
    libc::PROT_EXEC,
    0x40,
];

struct Memory {
    serial: u8,
    /// Pages where a call has begun or ended: a mapping may begin there.
    borders: u32,
    /// Whether the range may have private pages that were written.
    is_written: bool,
    /// Where to send the child's steps and where its answers come from.
    child: Option<(i32, i32, i32)>,
}

/// The `si_code` and signal of the last fault, as `show` tells it.
static FAULT: AtomicI32 = AtomicI32::new(0);

/// Notes a fault and goes on behind the access, an instruction of two bytes.
extern "C" fn fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives both.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    FAULT.store(signal * 100 + info.si_code, Ordering::Relaxed);
    context.uc_mcontext.gregs[libc::REG_RIP as usize] += 2;
}

/// The result of an access: a byte, or what came instead of it.
type Access = Result<u8, &'static str>;

fn accessed(byte: u8) -> Access {
    match FAULT.swap(0, Ordering::Relaxed) {
        0 => Ok(byte),
        // `SEGV_MAPERR`, `SEGV_ACCERR`, `BUS_ADRERR`.
        1101 => Err("-"),
        1102 => Err("x"),
        702 => Err("bus"),
        _ => Err("?"),
    }
}

fn load(address: usize) -> Access {
    let mut byte = 0u8;
    // SAFETY: a fault is caught; the instruction has two bytes.
    unsafe { asm!("mov al, byte ptr [rdi]", inout("al") byte, in("rdi") address) };
    accessed(byte)
}

fn store(address: usize, byte: u8) -> Access {
    // SAFETY: only memory of the range is changed; a fault is caught; the instruction has two bytes.
    unsafe { asm!("mov byte ptr [rdi], al", in("al") byte, in("rdi") address) };
    accessed(byte)
}

/// A page of the range.
fn page(number: u32) -> usize {
    BASE + number as usize % PAGES * PAGE
}

/// A number of pages that stays in the range.
fn length(page: usize, number: u32) -> usize {
    let rest = BASE + PAGES * PAGE - page;
    (pick(number, &[1, 2, 3, 4, 6, 10]) * PAGE).min(rest)
}

/// The numbers of the pages from `start` to the one behind the last, as bits.
fn bits(start: usize, len: usize) -> u32 {
    (start..=start + len).step_by(PAGE).fold(0, |bits, at| bits | 1 << ((at - BASE) / PAGE))
}

/// A line of `/proc/self/maps`, or several that could be one, in pages.
struct Line {
    start: usize,
    end: usize,
    mode: String,
    offset: usize,
    name: String,
}

impl Line {
    /// Whether `next` could be part of this one.
    fn joins(&self, next: &Self) -> bool {
        // Each anonymous shared memory is a file of its own.
        let offset = if next.name.is_empty() { 0 } else { self.offset + self.end - self.start };
        self.end == next.start
            && self.mode == next.mode
            && self.name == next.name
            && offset == next.offset
    }
}

/// The range's lines of `/proc/self/maps`. Whether the kernel has joined neighbours is its affair.
fn lines() -> Vec<Line> {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let (start, end) = words[0].split_once('-').unwrap_or_default();
        let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        let (start, end, offset) = (number(start), number(end), number(words[2]));
        if end <= BASE || start >= BASE + PAGES * PAGE {
            continue;
        }
        // What has moved partly out of the range may have neighbours there.
        let [start, end] = [start, end.min(BASE + PAGES * PAGE)].map(|at| (at - BASE) / PAGE);
        let path = words.get(5..).unwrap_or_default().join(" ");
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let offset = if name.is_empty() { 0 } else { offset / PAGE };
        let line = Line { start, end, mode: words[1].to_owned(), offset, name };
        match lines.last_mut() {
            Some(last) if last.joins(&line) => last.end = line.end,
            _ => lines.push(line),
        }
    }
    lines
}

/// An address as a result: the page's number, if it lies in the range.
fn shown(result: Called) -> String {
    match result {
        Ok(address) => match (address as usize).checked_sub(BASE) {
            Some(offset) if offset < PAGES * PAGE => {
                format!("page {}", offset as f64 / PAGE as f64)
            }
            _ => "elsewhere".to_owned(),
        },
        Err(errno) => format!("Err({errno})"),
    }
}

fn is_inside(address: usize) -> bool {
    (BASE..BASE + PAGES * PAGE).contains(&address)
}

impl Memory {
    fn new() -> Self {
        // SAFETY: zeroes are a valid action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            let _ = call!(sigaction(signal, &action, null_mut()));
        }
        let unnamed = call!(memfd_create(c"m".as_ptr(), 0)).unwrap_or(-1);
        let flags = libc::O_RDWR | libc::O_CREAT;
        let named = call!(open(c"f".as_ptr(), flags, 0o600)).unwrap_or(-1);
        for (fd, place) in [unnamed, named].into_iter().zip(FILES) {
            let bytes: Vec<u8> = (0..PAGE * 7 / 2).map(|at| 100 + (at / PAGE) as u8).collect();
            let _ = crate::write(fd as i32, &bytes);
            let _ = call!(dup2(fd as i32, place));
            let _ = call!(close(fd as i32));
        }
        let mut ends = [-1; 2];
        let _ = call!(pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK));
        for (fd, place) in ends.into_iter().zip([PIPES[4], PIPES[5]]) {
            let _ = call!(dup2(fd, place));
            let _ = call!(close(fd));
        }
        Self { serial: 0, borders: 0, is_written: false, child: None }
    }

    fn map(&mut self, [a, b, c, d]: [u32; 4]) -> String {
        let (start, protection) = (page(a), pick(c, PROTECTIONS));
        let len = if d % 31 == 30 { 0 } else { length(start, b) };
        let place = pick(d / 8, &[libc::MAP_FIXED, libc::MAP_FIXED_NOREPLACE, libc::MAP_FIXED, 0]);
        let (kind, file) = pick(
            d,
            &[
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
                (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
                (libc::MAP_PRIVATE, FILES[0]),
                (libc::MAP_SHARED, FILES[0]),
                (libc::MAP_PRIVATE, FILES[1]),
                (libc::MAP_SHARED, FILES[1]),
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1),
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE, -1),
                (0, FILES[0]),
                (libc::MAP_PRIVATE, 199),
            ],
        );
        let offset = i64::from(pick(b / 8, &[0, 1, 2, 3])) * PAGE as i64;
        let offset = if d % 29 == 28 { 5 } else { offset };
        let at = start as *mut libc::c_void;
        let result = call!(mmap(at, len, protection, kind | place, file, offset));
        if let Ok(address) = result {
            if is_inside(address as usize) {
                self.borders &= !bits(start, len);
                self.note_borders(start, len);
                self.is_written |= kind & libc::MAP_POPULATE != 0;
            } else {
                let _ = call!(munmap(address as *mut _, len));
            }
        }
        shown(result)
    }

    fn remap(&mut self, [a, b, c, d]: [u32; 4]) -> String {
        let (old, new) = (page(a), page(d / 8));
        let mut old_len = if c % 23 == 22 { 0 } else { length(old, b) };
        let flags = pick(
            d,
            &[
                libc::MREMAP_MAYMOVE,
                0,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP,
                libc::MREMAP_FIXED,
                libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                8,
            ],
        );
        let fixed = flags & libc::MREMAP_FIXED != 0;
        let new_len = length(if fixed { new } else { old }, if d & 4 == 0 { c } else { b });
        if fixed && old_len == new_len {
            // Newer kernels move several mappings at once.
            old_len = old_len.min(PAGE);
        }
        if self.may_be_several(old, old_len.min(new_len)) {
            return "not now".to_owned();
        }
        let (from, to) = (old as *mut libc::c_void, new as *mut libc::c_void);
        let result = call!(mremap(from, old_len, new_len, flags, to));
        self.note_borders(old, old_len);
        let mut line = shown(result);
        if let Ok(address) = result
            && !is_inside(address as usize)
        {
            // What has moved away is looked at and forgotten.
            for at in (address as usize..address as usize + new_len).step_by(PAGE) {
                line += &format!(" {:?}", load(at));
            }
            let _ = call!(munmap(address as *mut _, new_len));
        } else if let Ok(address) = result {
            // What it brings along, and what was there.
            let end = (address as usize + new_len).min(BASE + PAGES * PAGE);
            self.borders |= bits(address as usize, end - address as usize);
        }
        line
    }

    fn advise(&self, [a, b, c, _]: [u32; 4]) -> String {
        let start = page(a);
        let len = length(start, b);
        let advice = pick(
            c,
            &[
                libc::MADV_DONTNEED,
                libc::MADV_REMOVE,
                libc::MADV_FREE,
                libc::MADV_WILLNEED,
                libc::MADV_NORMAL,
                libc::MADV_DONTFORK,
                libc::MADV_DOFORK,
                libc::MADV_WIPEONFORK,
                libc::MADV_KEEPONFORK,
                libc::MADV_POPULATE_READ,
                libc::MADV_POPULATE_WRITE,
                77,
            ],
        );
        let result = call!(madvise(start as *mut _, len, advice));
        if advice == libc::MADV_FREE {
            // When the kernel takes such pages is its affair.
            for at in (start..start + len).step_by(PAGE) {
                let _ = store(at, 1);
            }
        }
        format!("{result:?}")
    }

    /// Each page's first byte and one of its middle, or why they are none.
    fn show(&self) -> String {
        let pages = (BASE..BASE + PAGES * PAGE).step_by(PAGE);
        let show = |at| match (load(at), load(at + PAGE / 2)) {
            (Ok(first), Ok(middle)) => format!("{first}/{middle}"),
            (first, middle) if first == middle => first.err().unwrap_or_default().to_owned(),
            both => format!("{both:?}"),
        };
        pages.map(show).collect::<Vec<_>>().join(" ")
    }

    fn maps(&self) -> String {
        let shown = lines().into_iter().map(|Line { start, end, mode, offset, name }| {
            format!("{start}-{end} {mode} {offset} {name}")
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    fn note_borders(&mut self, start: usize, len: usize) {
        self.borders |= bits(start, 0) | bits(start + len, 0);
    }

    /// Whether private memory is one mapping or several, as Linux decides by more than can
    /// be seen: it joins neighbours of which pages were written if that was done while they were
    /// neighbours already, and not in a child that has them from its parent; memory that moves
    /// becomes a neighbour of what lies there only if nothing was written.
    fn may_be_several(&self, start: usize, len: usize) -> bool {
        let inner = bits(start, len) & !bits(start, 0) & !bits(start + len, 0);
        let [first, end] = [start, start + len].map(|at| (at - BASE) / PAGE);
        let looks_like_one =
            |line: &Line| line.start <= first && end <= line.end && line.mode.ends_with('p');
        self.is_written && self.borders & inner != 0 && lines().iter().any(looks_like_one)
    }

    /// Copies by the kernel, through a pipe: at most a page, which is copied as a whole or not at
    /// all.
    fn copy(&self, [a, b, c, _]: [u32; 4]) -> String {
        let start = page(a) + pick(c / 2, &[0, 100, 4000]);
        let len = pick(b, &[100, 4096]).min(BASE + PAGES * PAGE - start);
        let mut bytes = [0u8; PAGE];
        if c % 2 == 0 {
            let sent = call!(write(PIPES[5], start as *const _, len));
            let _ = call!(read(PIPES[4], bytes.as_mut_ptr().cast(), PAGE));
            return format!("{sent:?} {}", super::pipes::checksum(&bytes));
        }
        let (first, end) = ((start - BASE) / PAGE, (start - BASE + len).div_ceil(PAGE));
        let shows_file = |line: &Line| {
            line.name == "f" && line.mode.ends_with('s') && line.start < end && first < line.end
        };
        if lines().iter().any(shows_file) {
            // What becomes of bytes behind its end is the file system's affair: ext4 clears them when
            // the file grows, tmpfs does not.
            return "not now".to_owned();
        }
        let _ = crate::write(PIPES[5], &[self.serial; PAGE]);
        let got = call!(read(PIPES[4], start as *mut _, len));
        while call!(read(PIPES[4], bytes.as_mut_ptr().cast(), PAGE)).is_ok() {}
        format!("{got:?}")
    }

    fn file(&self, name: &str, [a, b, c, _]: [u32; 4]) -> String {
        let fd = pick(a, &FILES);
        match name {
            // Another process keeps pages behind the new end on lx.
            "truncate" if self.child.is_some() => "not now".to_owned(),
            "truncate" => {
                let pages = pick(b, &[2, 0, 1, 3, 4, 5]);
                let len = pages * PAGE as i64 + pick(c, &[0, 100, 3000]);
                format!("{:?}", call!(ftruncate(fd, len)))
            }
            "write" => {
                let bytes = vec![self.serial; pick(b, &[10, 3000, 5000])];
                let at = pick(c, &[0, 100, 5000, 12_000]);
                format!("{:?}", call!(pwrite(fd, bytes.as_ptr().cast(), bytes.len(), at)))
            }
            _ => {
                let mut bytes = vec![0u8; PAGE * 8];
                let count = call!(pread(fd, bytes.as_mut_ptr().cast(), bytes.len(), 0));
                format!("{count:?} {}", super::pipes::checksum(&bytes))
            }
        }
    }

    fn resident(&self, [a, b, ..]: [u32; 4]) -> String {
        let start = page(a);
        // Which pages are in memory is the kernel's affair.
        let mut pages = [0u8; PAGES];
        format!("{:?}", call!(mincore(start as *mut _, length(start, b), pages.as_mut_ptr())))
    }

    /// Moves the program break and back; what is between is empty.
    fn program_break(&self, [a, ..]: [u32; 4]) -> String {
        let pages = pick(a, &[1, 3, 40]);
        let old = call!(sbrk(0)).unwrap_or(0);
        let moved = call!(sbrk((pages * PAGE) as isize));
        let first = old as usize;
        let bytes = [load(first), load(first + pages * PAGE - 1)];
        let _ = store(first + pages * PAGE - 1, 7);
        let back = call!(sbrk(-((pages * PAGE) as isize)));
        let behind = load((first + pages * PAGE).next_multiple_of(PAGE) - 1);
        format!("{} {bytes:?} {} {behind:?}", moved == Ok(old), back.is_ok())
    }

    /// Starts a child, unless there is one. It performs steps until its pipe is closed.
    fn start(&mut self) -> String {
        if self.child.is_some() {
            return "there is one".to_owned();
        }
        let (commands, answers) = (crate::pipe(), crate::pipe());
        for (fd, place) in [commands.0, commands.1, answers.0, answers.1].into_iter().zip(PIPES) {
            let _ = call!(dup2(fd, place));
            let _ = call!(close(fd));
        }
        let pid = fork(|| self.follow());
        for fd in [PIPES[0], PIPES[3]] {
            let _ = call!(close(fd));
        }
        self.child = Some((pid, PIPES[1], PIPES[2]));
        "forked".to_owned()
    }

    /// The child: a name's length and the numbers are a command, the line an answer.
    fn follow(&mut self) -> i32 {
        let _ = call!(close(PIPES[1]));
        let _ = call!(close(PIPES[2]));
        // It has no child of its own.
        self.child = None;
        while let Ok(command) = crate::read::<100>(PIPES[0]) {
            let text = String::from_utf8_lossy(&command);
            let Some(step) = super::Step::parse(&text) else { break };
            // Never empty, which would be no answer.
            let line = self.step(&step.name, step.args) + ".";
            if crate::write(PIPES[3], line.as_bytes()).is_err() {
                return 1;
            }
        }
        0
    }

    fn in_child(&mut self, [a, b, c, d]: [u32; 4]) -> String {
        let Some((_, commands, answers)) = self.child else { return "there is none".to_owned() };
        let name = pick(
            a,
            &[
                "show", "store", "show", "map", "unmap", "protect", "maps", "remap", "advise",
                "write",
            ],
        );
        let step = super::Step { name: name.to_owned(), args: [b, c, d, a / 16] };
        let _ = crate::write(commands, step.to_text().as_bytes());
        let line = crate::read::<4000>(answers).unwrap_or_default();
        format!("{name} {}", String::from_utf8_lossy(&line))
    }

    fn leave(&mut self) -> String {
        let Some((pid, commands, answers)) = self.child.take() else {
            return "there is none".to_owned();
        };
        let _ = call!(close(commands));
        let _ = call!(close(answers));
        format!("{:?}", crate::wait(pid))
    }
}

impl World for Memory {
    fn step(&mut self, name: &str, args @ [a, b, c, d]: [u32; 4]) -> String {
        self.serial = self.serial.wrapping_add(1);
        let start = page(a);
        let (at, len) = (start as *mut libc::c_void, length(start, b));
        self.is_written |= matches!(name, "store" | "copy" | "advise" | "lock");
        if matches!(name, "unmap" | "protect" | "advise" | "lock") {
            self.note_borders(start, len);
        }
        let result = match name {
            "map" => return self.map(args),
            "remap" => return self.remap(args),
            "advise" => return self.advise(args),
            "show" => return self.show(),
            "maps" => return self.maps(),
            "copy" => return self.copy(args),
            "truncate" | "write" | "file" => return self.file(name, args),
            "resident" => return self.resident(args),
            "break" => return self.program_break(args),
            "fork" => return self.start(),
            "child" => return self.in_child(args),
            "leave" => return self.leave(),
            "store" => {
                // Never behind the end of a file: what becomes of that is not specified.
                let stored: Vec<_> =
                    (start..start + len).step_by(PAGE).map(|at| store(at, self.serial)).collect();
                return format!("{stored:?}");
            }
            "unmap" => call!(munmap(at, pick(d, &[len, len, len, len, len, len, len, 0, 1]))),
            "protect" => call!(mprotect(at, len, pick(c, PROTECTIONS))),
            "sync" => call!(msync(at, len, pick(c, &[libc::MS_SYNC, libc::MS_ASYNC, 0, 5, 64]))),
            "lock" => match c % 2 {
                0 => call!(mlock(at, len)),
                _ => call!(munlock(at, len)),
            },
            _ => Err(-1),
        };
        format!("{result:?}")
    }
}
