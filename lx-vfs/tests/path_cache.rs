//! Cached resolutions agree with walks, whatever happens in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use common::World;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{RenameFlags, ResolveFlags};
use lx_core::cred::Credentials;
use lx_vfs::inode::{NewKind, SetAttr};
use lx_vfs::mount::MountFlags;
use lx_vfs::path::Lookup;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A small generator, so that a failing seed can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }

    fn path(&mut self) -> String {
        let len = 1 + self.below(3);
        (0..len).map(|_| format!("/{}", NAMES[self.below(4)])).collect()
    }
}

/// Inode number or error of a path, by the cache or without it.
fn outcome(w: &World, path: &str, how: Lookup, cached: bool) -> Result<u64, Errno> {
    let caller = w.caller();
    let found = if cached {
        w.fs.lookup(&caller, None, path.as_bytes(), how)
    } else {
        // A restriction that does not apply keeps the cache out.
        let resolve = ResolveFlags::RESOLVE_NO_MAGICLINKS;
        w.fs.lookup_restricted(&caller, None, path.as_bytes(), how, resolve)
    };
    found.and_then(|path| path.inode().attr(&caller)).map(|a| a.ino).map_err(|e| e.errno())
}

fn all_paths() -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut level = vec![String::new()];
    for _ in 0..3 {
        let names = |path: &String| NAMES.map(|name| format!("{path}/{name}"));
        level = level.iter().flat_map(names).collect();
        paths.extend(level.iter().cloned());
    }
    paths
}

fn act(w: &World, random: &mut Random) {
    let (path, other) = (random.path(), random.path());
    // Most fail; what matters is that the cache agrees afterwards.
    match random.below(8) {
        0 | 1 => drop(w.mkdir(&path)),
        2 => drop(w.make(&path, NewKind::Regular)),
        3 => drop(w.make(&path, NewKind::Symlink(other.as_bytes()))),
        4 => drop(w.unlink(&path)),
        5 => drop(w.rmdir(&path)),
        6 => drop(w.rename(&path, &other, RenameFlags::empty())),
        _ => drop(w.rename(&path, &other, RenameFlags::RENAME_EXCHANGE)),
    }
}

fn compare(w: &World, seed: u64) {
    let mut random = Random(seed);
    let paths = all_paths();
    for step in 0..150 {
        act(w, &mut random);
        for path in &paths {
            for how in [Lookup::FOLLOW, Lookup::empty(), Lookup::FOLLOW | Lookup::DIRECTORY] {
                let cached = outcome(w, path, how, true);
                let walked = outcome(w, path, how, false);
                assert_eq!(cached, walked, "seed {seed} step {step} {path} {how:?}");
            }
        }
    }
}

#[test]
fn tmpfs_agrees() {
    for seed in 1..=2 {
        compare(&World::tmpfs(), seed);
    }
}

#[test]
fn overlay_agrees() {
    for seed in 1..=2 {
        let w = World::overlay();
        w.rename("/etc", "/a", RenameFlags::empty()).unwrap();
        w.rename("/usr", "/b", RenameFlags::empty()).unwrap();
        compare(&w, seed);
    }
}

#[test]
fn hostfs_agrees() {
    for seed in 1..=2 {
        compare(&World::hostfs(), seed);
    }
}

#[test]
fn permissions_and_mounts_end_what_is_cached() {
    let mut w = World::tmpfs();
    w.mkdir("/a").unwrap();
    w.mkdir("/a/b").unwrap();
    w.write("/a/b/c", b"");
    let look = |w: &World| {
        // Twice: the second answer comes from the cache.
        let first = outcome(w, "/a/b/c", Lookup::FOLLOW, true);
        assert_eq!(first, outcome(w, "/a/b/c", Lookup::FOLLOW, true));
        first.map(drop)
    };
    assert_eq!(look(&w), Ok(()));
    let dir = w.fs.lookup(&w.caller(), None, b"/a", Lookup::FOLLOW).unwrap();
    let change = SetAttr { mode: Some(0o700), ..SetAttr::default() };
    dir.inode().set_attr(&w.caller(), &change).unwrap();
    assert_eq!(look(&w), Ok(()));
    let root = std::mem::replace(&mut w.cred, Credentials::new(7, 7, vec![]));
    assert_eq!(look(&w), Err(Errno::EACCES));
    w.cred = root;
    assert_eq!(look(&w), Ok(()));
    let at = w.fs.lookup(&w.caller(), None, b"/a/b", Lookup::FOLLOW).unwrap();
    let over = lx_vfs::fs::tmpfs::TmpFs::new(w.host, 0o755);
    w.fs.mounts().mount(over, &at, "over", MountFlags::empty()).unwrap();
    assert_eq!(look(&w), Err(Errno::ENOENT));
}
