//! Contents of tmpfs files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use common::World;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::file::{MapSource, OpenFile};
use lx_core::io::{IoDst, IoSrc};

const RW: OpenFlags = OpenFlags::O_CREAT.union(OpenFlags::O_RDWR);

fn read_at(w: &World, file: &OpenFile, offset: u64, len: usize) -> Vec<u8> {
    let mut buffer = vec![0xee; len];
    let count = file.read_at(&w.caller(), offset, &mut IoDst::kernel(&mut buffer)).unwrap();
    buffer.truncate(count);
    buffer
}

fn write_at(w: &World, file: &OpenFile, offset: u64, bytes: &[u8]) {
    let count = file.write_at(&w.caller(), offset, &mut IoSrc::kernel(bytes)).unwrap();
    assert_eq!(count, bytes.len());
}

fn size(w: &World, file: &OpenFile) -> i64 {
    file.ops().stat(&w.caller(), file).unwrap().st_size
}

#[test]
fn small_files_grow_into_blocks() {
    let w = World::tmpfs();
    let file = w.open("/f", RW).unwrap();
    write_at(&w, &file, 10, b"hello");
    assert_eq!(read_at(&w, &file, 0, 100), b"\0\0\0\0\0\0\0\0\0\0hello");
    write_at(&w, &file, 65_530, b"over the edge");
    assert_eq!(read_at(&w, &file, 10, 5), b"hello");
    assert_eq!(read_at(&w, &file, 65_530, 100), b"over the edge");
    assert_eq!(size(&w, &file), 65_543);
    assert_eq!(read_at(&w, &file, 65_543, 10), b"");
}

#[test]
fn truncation_leaves_zeros() {
    let w = World::tmpfs();
    let file = w.open("/f", RW).unwrap();
    for long in [4000_usize, 200_000] {
        write_at(&w, &file, 0, &vec![1; long]);
        file.ops().truncate(&w.caller(), &file, 100).unwrap();
        assert_eq!(read_at(&w, &file, 0, long), vec![1; 100]);
        file.ops().truncate(&w.caller(), &file, long as u64).unwrap();
        let all = read_at(&w, &file, 0, long);
        assert_eq!(all.len(), long);
        assert!(all[..100].iter().all(|&b| b == 1) && all[100..].iter().all(|&b| b == 0));
    }
}

#[test]
fn sparse_files() {
    let w = World::tmpfs();
    let file = w.open("/f", RW).unwrap();
    let far = 1 << 40;
    file.ops().truncate(&w.caller(), &file, far + 10).unwrap();
    write_at(&w, &file, far, b"end");
    assert!(file.ops().stat(&w.caller(), &file).unwrap().st_blocks <= 128);
    assert_eq!(read_at(&w, &file, far - 2, 10), b"\0\0end\0\0\0\0\0");
    let seek = |offset, whence| file.seek(&w.caller(), offset, whence);
    assert_eq!(seek(0, 3).unwrap(), far);
    assert_eq!(seek(5, 4).unwrap(), 5);
    assert_eq!(seek(far as i64, 4).unwrap(), far + 10);
    assert_eq!(seek(far as i64 + 10, 3).unwrap_err().errno(), Errno::ENXIO);
}

#[test]
fn punching_holes() {
    let w = World::tmpfs();
    let file = w.open("/f", RW).unwrap();
    write_at(&w, &file, 0, &vec![9; 200_000]);
    let before = file.ops().stat(&w.caller(), &file).unwrap().st_blocks;
    file.ops().allocate(&w.caller(), &file, 3, 50_000, 100_000).unwrap();
    let after = file.ops().stat(&w.caller(), &file).unwrap();
    assert!(after.st_blocks < before);
    assert_eq!(after.st_size, 200_000);
    let all = read_at(&w, &file, 0, 200_000);
    for (at, &byte) in all.iter().enumerate() {
        assert_eq!(byte, if (50_000..150_000).contains(&at) { 0 } else { 9 }, "at {at}");
    }
    let error = file.ops().allocate(&w.caller(), &file, 8, 0, 4096).unwrap_err();
    assert_eq!(error.errno(), Errno::EOPNOTSUPP);
}

#[test]
fn appends_go_to_the_end() {
    let w = World::tmpfs();
    let file = w.open("/f", RW | OpenFlags::O_APPEND).unwrap();
    file.write(&w.caller(), &mut IoSrc::kernel(b"one")).unwrap();
    w.open("/f", RW).unwrap().write(&w.caller(), &mut IoSrc::kernel(b"O")).unwrap();
    file.write(&w.caller(), &mut IoSrc::kernel(b"two")).unwrap();
    assert_eq!(file.position(), 6);
    assert_eq!(w.read("/f").unwrap(), b"Onetwo");
}

#[test]
fn mappings_and_reads_see_the_same_bytes() {
    let w = World::tmpfs();
    let file = w.open("/f", RW).unwrap();
    write_at(&w, &file, 0, b"small");
    let MapSource::Pages(pages) = file.ops().map_source(&w.caller(), &file, true).unwrap() else {
        panic!("tmpfs maps its pages");
    };
    let block = pages.block(0).unwrap();
    let mut bytes = [0; 5];
    block.read(0, &mut bytes);
    assert_eq!(&bytes, b"small");
    block.write(1, b"MALL");
    assert_eq!(read_at(&w, &file, 0, 5), b"sMALL");
    // A block that is mapped is zeroed in place.
    file.ops().truncate(&w.caller(), &file, 0).unwrap();
    block.read(0, &mut bytes);
    assert_eq!(bytes, [0; 5]);
    write_at(&w, &file, 0, b"again");
    block.read(0, &mut bytes);
    assert_eq!(&bytes, b"again");
}

#[test]
fn unnamed_files_can_be_linked() {
    let w = World::tmpfs();
    let flags = OpenFlags::O_TMPFILE | OpenFlags::O_RDWR;
    let file = w.open("/", flags).unwrap();
    write_at(&w, &file, 0, b"data");
    assert_eq!(file.ops().stat(&w.caller(), &file).unwrap().st_nlink, 0);
    assert!(w.list("/").is_empty());
    let place = lx_vfs::location::Path::of(&file).unwrap();
    w.fs.link(&w.caller(), place, None, b"/named").unwrap();
    assert_eq!(w.read("/named").unwrap(), b"data");
    assert_eq!(w.stat("/named").unwrap().nlink, 1);
}

#[test]
fn random_changes_agree_with_a_plain_buffer() {
    let mut state = 7_u64;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % limit
    };
    let w = World::tmpfs();
    for round in 0..12 {
        let file = w.open(&format!("/f{round}"), RW).unwrap();
        let mut model: Vec<u8> = Vec::new();
        // Early rounds stay small, later ones reach past the blocks that stay with the file.
        let reach = [3000, 5000, 100_000, 500_000][round % 4];
        for step in 0..120 {
            let (at, len) = (below(reach), below(reach / 3) + 1);
            match below(6) {
                0..=2 => {
                    let bytes = vec![step as u8 + 1; len as usize];
                    write_at(&w, &file, at, &bytes);
                    model.resize(model.len().max((at + len) as usize), 0);
                    model[at as usize..(at + len) as usize].copy_from_slice(&bytes);
                }
                3 => {
                    file.ops().truncate(&w.caller(), &file, at).unwrap();
                    model.resize(at as usize, 0);
                }
                4 => {
                    file.ops().allocate(&w.caller(), &file, 3, at, len).unwrap();
                    let end = model.len().min((at + len) as usize);
                    if let Some(hole) = model.get_mut(at as usize..end) {
                        hole.fill(0);
                    }
                }
                _ => {
                    file.ops().allocate(&w.caller(), &file, 0, at, len).unwrap();
                    model.resize(model.len().max((at + len) as usize), 0);
                }
            }
            assert_eq!(size(&w, &file) as usize, model.len(), "round {round} step {step}");
            let all = read_at(&w, &file, 0, model.len() + 10);
            assert!(all == model, "round {round} step {step}");
        }
    }
}
