//! What is in files: reading, writing, holes, copies between files and pipes, mappings.

mod mappings;

use libc::{O_CLOEXEC, O_RDONLY, O_RDWR, O_TMPFILE, O_WRONLY, c_int, off_t};

use self::mappings::Mapping;
use super::{Area, World, pick};
use crate::{Called, c, call};

/// Random use of nameless files of a tmpfs by one process.
pub(super) const AREA: Area = Area {
    name: "contents",
    steps: &[
        ("new", 1),
        ("open", 4),
        ("close", 1),
        ("write", 6),
        ("read", 5),
        ("pwrite", 6),
        ("pread", 5),
        ("vectors", 3),
        ("seek", 6),
        ("truncate", 5),
        ("allocate", 6),
        ("copy", 5),
        ("sendfile", 4),
        ("splice", 4),
        ("sync", 1),
        ("stat", 3),
        ("contents", 4),
        ("map", 6),
        ("peek", 6),
        ("poke", 6),
        ("msync", 2),
        ("unmap", 1),
        ("child", 2),
    ],
    length: 40,
    cases: 2000,
    world: || {
        let mut world =
            Contents { mappings: [None; 4], writes: 0, mapped: vec![], allocated: vec![] };
        mappings::catch_faults();
        // Three files, and a pipe that does not wait.
        for _ in 0..3 {
            world.step("new", [0; 4]);
        }
        let mut ends = [-1; 2];
        let _ = call!(pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK));
        for (end, number) in ends.into_iter().zip(PIPE) {
            let _ = call!(dup3(end, number, O_CLOEXEC));
            let _ = call!(close(end));
        }
        Box::new(world)
    },
};

struct Contents {
    mappings: [Option<Mapping>; 4],
    /// How often something was written: no two writes are of the same bytes.
    writes: u8,
    /// Files that were mapped, by inode number. How much of a file is allocated because somebody
    /// mapped it is the kernel's affair.
    mapped: Vec<u64>,
    /// Files that were allocated without being written. Whether that is data or a hole is the
    /// kernel's affair, too.
    allocated: Vec<u64>,
}

/// The pipe's ends.
const PIPE: [c_int; 2] = [100, 101];

/// What an empty pipe takes in any case.
const PIPE_ROOM: usize = 12_288;

/// Descriptors of files are below this one.
const DESCRIPTORS: c_int = 7;

/// Lengths around pages and alignment.
const LENGTHS: &[usize] =
    &[1, 0, 7, 100, 511, 512, 4095, 4096, 4097, 5000, 8191, 8192, 12288, 65536, 70_000];

/// Offsets around pages; few are far out or impossible.
const OFFSETS: &[off_t] = &[
    0,
    1,
    100,
    511,
    512,
    4095,
    4096,
    4097,
    8192,
    12_288,
    12_289,
    16_384,
    20_000,
    65_536,
    0,
    4096,
    8192,
    100,
    4096,
    1 << 32,
    -1,
    off_t::MAX,
    off_t::MAX - 4095,
    (1 << 40) + 5,
];

/// A file's descriptor, mostly one of those in use.
fn descriptor(number: u32) -> c_int {
    (number % (DESCRIPTORS as u32 - 2)) as c_int
}

/// A checksum that knows places (FNV).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The result, and what came with it.
fn show(got: Called, bytes: &[u8]) -> String {
    let stored = &bytes[..got.map_or(0, |count| (count as usize).min(bytes.len()))];
    format!("{got:?} {:08x}", checksum(stored))
}

/// Bytes that differ from write to write and place to place.
fn bytes(kind: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ kind).collect()
}

impl World for Contents {
    fn step(&mut self, name: &str, args: [u32; 4]) -> String {
        let [a, b, c, d] = args;
        self.writes = self.writes.wrapping_add(1);
        let mut room = vec![0u8; pick(b, LENGTHS)];
        let source = bytes(self.writes, pick(b, LENGTHS));
        let offset = pick(c, OFFSETS);
        let fd = descriptor(a);
        match name {
            "new" => {
                let flags = O_TMPFILE | O_RDWR;
                below_limit(call!(open(c"/dev/shm".as_ptr(), flags, 0o600)))
            }
            "open" => open(a, b),
            "close" => format!("{:?}", call!(close(fd))),
            "write" => format!("{:?} {:?}", crate::write(fd, &source), position(fd)),
            "read" => {
                let got = call!(read(fd, room.as_mut_ptr().cast(), room.len()));
                format!("{} {:?}", show(got, &room), position(fd))
            }
            "pwrite" => format!(
                "{:?} {:?}",
                call!(pwrite(fd, source.as_ptr().cast(), source.len(), offset)),
                size(fd)
            ),
            "pread" => {
                let got = call!(pread(fd, room.as_mut_ptr().cast(), room.len(), offset));
                show(got, &room)
            }
            "vectors" => self.vectors(args),
            "seek" => {
                let whence = [libc::SEEK_DATA, libc::SEEK_HOLE, libc::SEEK_SET, libc::SEEK_END];
                let whence = pick(b, &[whence[0], whence[1], whence[2], whence[3], 1, 7]);
                let back = if whence == libc::SEEK_END || whence == 1 { d % 2 } else { 0 };
                let offset = if back == 1 { offset.wrapping_neg() } else { offset };
                if matches!(whence, libc::SEEK_DATA | libc::SEEK_HOLE) && !self.has_extents(fd) {
                    return "the kernel's affair".to_owned();
                }
                format!("{:?}", call!(lseek(fd, offset, whence)))
            }
            "truncate" => {
                let done = match d % 4 {
                    0 => call!(truncate(link(fd).as_ptr(), offset)),
                    _ => call!(ftruncate(fd, offset)),
                };
                format!("{done:?} {}", self.stat(fd))
            }
            "allocate" => {
                let length =
                    pick(b, &[4096, 1, 0, 100, 8192, 12_288, 5000, 65_536, -1, off_t::MAX]);
                let done = call!(fallocate(fd, pick(d, ALLOCATIONS), offset, length));
                self.allocated.extend(inode(fd));
                format!("{done:?} {}", self.stat(fd))
            }
            "copy" | "sendfile" | "splice" => transfer(name, args),
            "sync" => {
                let synced = match b % 3 {
                    0 => call!(fsync(fd)),
                    1 => call!(fdatasync(fd)),
                    _ => call!(sync_file_range(fd, offset, 4096, 7)),
                };
                format!("{synced:?}")
            }
            "stat" => self.stat(fd),
            "contents" => self.contents(fd),
            "child" => self.child(args),
            _ => self.mapping_step(name, args),
        }
    }
}

/// Ways of allocation, and combinations that there are not.
const ALLOCATIONS: &[c_int] = &[
    libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
    0,
    libc::FALLOC_FL_KEEP_SIZE,
    libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
    0,
    libc::FALLOC_FL_ZERO_RANGE,
    libc::FALLOC_FL_COLLAPSE_RANGE,
    libc::FALLOC_FL_INSERT_RANGE,
    libc::FALLOC_FL_PUNCH_HOLE,
    libc::FALLOC_FL_UNSHARE_RANGE,
    0x4000,
];

/// Moves a new descriptor below the limit, in place of another.
fn below_limit(opened: Called) -> String {
    match opened {
        Ok(fd) if fd >= DESCRIPTORS.into() => {
            let place = descriptor(fd as u32);
            let _ = call!(dup2(fd as c_int, place));
            let _ = call!(close(fd as c_int));
            format!("{place} at its limit")
        }
        other => format!("{other:?}"),
    }
}

/// The file of a descriptor, to be opened or changed once more.
fn link(fd: c_int) -> std::ffi::CString {
    c(&format!("/proc/self/fd/{fd}"))
}

/// Opens a descriptor's file once more.
fn open(a: u32, b: u32) -> String {
    let kinds = [
        O_RDWR,
        O_RDONLY,
        O_WRONLY,
        O_RDWR | libc::O_APPEND,
        O_RDWR | libc::O_DIRECT,
        O_WRONLY | libc::O_TRUNC,
        O_WRONLY | libc::O_APPEND | libc::O_SYNC,
        O_RDONLY | libc::O_DIRECT,
        libc::O_PATH,
    ];
    below_limit(call!(open(link(descriptor(a)).as_ptr(), pick(b, &kinds))))
}

fn position(fd: c_int) -> Called {
    call!(lseek(fd, 0, libc::SEEK_CUR))
}

fn file_stat(fd: c_int) -> Result<libc::stat, i32> {
    // SAFETY: zeroes are a valid structure.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    call!(fstat(fd, &mut stat)).map(|_| stat)
}

fn size(fd: c_int) -> Called {
    file_stat(fd).map(|stat| stat.st_size)
}

/// A number of the file that no other has.
fn inode(fd: c_int) -> Option<u64> {
    file_stat(fd).ok().map(|stat| stat.st_ino)
}

impl Contents {
    /// Whether data and holes of a file are where it was written.
    fn has_extents(&self, fd: c_int) -> bool {
        // Linux does not find the last page that a file can have.
        size(fd).is_ok_and(|size| size < off_t::MAX - 8192)
            && inode(fd).is_none_or(|inode| {
                !self.mapped.contains(&inode) && !self.allocated.contains(&inode)
            })
    }

    /// Size and blocks.
    fn stat(&self, fd: c_int) -> String {
        match file_stat(fd) {
            Ok(stat) if self.mapped.contains(&stat.st_ino) => format!("size {}", stat.st_size),
            Ok(stat) => format!("size {} blocks {}", stat.st_size, stat.st_blocks),
            Err(errno) => format!("Err({errno})"),
        }
    }

    /// The checksum of the beginning, the last bytes, and where data and holes are.
    fn contents(&self, fd: c_int) -> String {
        let mut room = vec![0u8; 160 * 1024];
        // A descriptor of one's own leaves the position.
        let own = call!(open(link(fd).as_ptr(), O_RDONLY)).unwrap_or(-1) as c_int;
        let start = show(call!(pread(own, room.as_mut_ptr().cast(), room.len(), 0)), &room);
        let tail = size(own).unwrap_or(0) - 3000;
        let end = show(call!(pread(own, room.as_mut_ptr().cast(), 4096, tail.max(0))), &room);
        let mut extents = Vec::new();
        let mut at = 0;
        while self.has_extents(own)
            && let Ok(data) = call!(lseek(own, at, libc::SEEK_DATA))
        {
            at = call!(lseek(own, data, libc::SEEK_HOLE)).unwrap_or(off_t::MAX);
            extents.push(data..at);
        }
        let _ = call!(close(own));
        format!("{start}, {end}, {extents:?}, {}", self.stat(fd))
    }

    /// `preadv2` and `pwritev2` with two parts.
    fn vectors(&mut self, [a, b, c, d]: [u32; 4]) -> String {
        let [mut one, mut two] =
            [b, d].map(|number| bytes(self.writes.wrapping_add(9), pick(number, LENGTHS)));
        let parts = [&mut one, &mut two]
            .map(|part| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() });
        let fd = descriptor(a);
        let offset = pick(c, OFFSETS);
        if d % 2 == 0 {
            let flags = pick(d / 2, &[0, libc::RWF_HIPRI, 0, 0x800_0000]);
            let got = call!(preadv2(fd, parts.as_ptr(), 2, offset, flags));
            return show(got, &[one, two].concat());
        }
        let flags =
            pick(d / 2, &[0, libc::RWF_APPEND, libc::RWF_DSYNC, libc::RWF_SYNC, 0x800_0000]);
        let done = call!(pwritev2(fd, parts.as_ptr(), 2, offset, flags));
        format!("{done:?} {:?} {:?}", position(fd), size(fd))
    }

    /// A child writes to a mapping and a file, and ends.
    fn child(&mut self, [a, b, c, d]: [u32; 4]) -> String {
        let mapping = self.mappings[d as usize % 4];
        let kind = self.writes;
        let ended = crate::in_child(|| {
            let _ = crate::write(descriptor(a), &bytes(kind, 5));
            let poked = mapping.map(|mapping| mapping.poke(pick(b, LENGTHS), kind));
            i32::from(poked == Some(true)) + (c % 2) as i32 * 2
        });
        format!("{ended:?} {:?}", position(descriptor(a)))
    }
}

/// Empties the pipe. How much it takes depends on the pages that are in it, which is the affair of
/// another area.
fn drain() -> String {
    let mut room = vec![0u8; 70_000];
    show(call!(read(PIPE[0], room.as_mut_ptr().cast(), room.len())), &room)
}

/// `copy_file_range`, `sendfile`, `splice` between files and the pipe.
fn transfer(name: &str, [a, b, c, d]: [u32; 4]) -> String {
    let mut length = pick(b, LENGTHS);
    let mut from_offset = pick(c, OFFSETS);
    let mut to_offset = pick(c / 32, OFFSETS);
    let (mut from, mut to) = (descriptor(a), descriptor(a / 8));
    let nowhere = std::ptr::null_mut();
    let from_ptr = if d & 1 == 0 { nowhere } else { &raw mut from_offset };
    let to_ptr = if d & 2 == 0 { nowhere } else { &raw mut to_offset };
    let done = match name {
        "copy" => call!(copy_file_range(from, from_ptr, to, to_ptr, length, d / 4 % 8 / 7)),
        "sendfile" => {
            if d % 3 == 0 {
                to = PIPE[1];
                drain();
                length = length.min(PIPE_ROOM);
            } else if inode(from) == inode(to) {
                // Linux moves pages, which it changes meanwhile.
                return "the same file".to_owned();
            }
            call!(sendfile(to, from, from_ptr, length))
        }
        _ => {
            match d / 4 % 8 {
                0..4 => from = PIPE[0],
                4..7 => {
                    to = PIPE[1];
                    drain();
                    length = length.min(PIPE_ROOM);
                }
                _ => {}
            }
            // A pipe has no offset; sometimes that is tried.
            let from_ptr = if from == PIPE[0] && d % 64 != 63 { nowhere } else { from_ptr };
            let to_ptr = if to == PIPE[1] && d % 64 != 63 { nowhere } else { to_ptr };
            call!(splice(from, from_ptr, to, to_ptr, length, libc::SPLICE_F_NONBLOCK))
        }
    };
    if to == PIPE[1] {
        // Linux may have put the file's pages there, which show later writes, sendfile(2): copies
        // take their place.
        let mut room = vec![0u8; 70_000];
        let got = call!(read(PIPE[0], room.as_mut_ptr().cast(), room.len())).unwrap_or(0);
        let _ = crate::write(PIPE[1], &room[..got as usize]);
    }
    let mut waiting = 0;
    let _ = call!(ioctl(PIPE[0], libc::FIONREAD, &mut waiting));
    let drained = if d % 5 == 4 { drain() } else { String::new() };
    let places = [position(from), position(to), size(to)];
    format!("{done:?} {from_offset} {to_offset} {places:?} {waiting} in the pipe {drained}")
}
