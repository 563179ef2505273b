extern crate std;

use std::vec;
use std::vec::Vec;

use lx_core::abi::PAGE_SIZE;
use lx_core::host::Prot;
use proptest::prelude::{Strategy, prop_oneof, proptest};

use super::{VmaTree, Window};
use crate::mm::vma::{Vma, VmaBacking, VmaFlags};

const P: u64 = PAGE_SIZE;
const RW: Prot = Prot::READ.union(Prot::WRITE);

fn anonymous(start: u64, end: u64, prot: Prot) -> Vma {
    let flags = VmaFlags::empty();
    let backing = VmaBacking::Anonymous;
    Vma { start: start * P, end: end * P, prot, flags, backing, policy: None }
}

fn ranges(tree: &VmaTree) -> Vec<(u64, u64)> {
    tree.iter().map(|vma| (vma.start / P, vma.end / P)).collect()
}

#[test]
fn neighbours_join() {
    let mut tree = VmaTree::default();
    tree.insert(anonymous(4, 6, RW));
    tree.insert(anonymous(8, 9, RW));
    assert_eq!(ranges(&tree), [(4, 6), (8, 9)]);
    tree.insert(anonymous(6, 8, RW));
    assert_eq!(ranges(&tree), [(4, 9)]);
    tree.insert(anonymous(9, 10, Prot::READ));
    assert_eq!(ranges(&tree), [(4, 9), (9, 10)]);
    assert_eq!(tree.mapped(), 6 * P);
}

#[test]
fn removal_splits() {
    let mut tree = VmaTree::default();
    tree.insert(anonymous(0, 10, RW));
    let removed = tree.remove(3 * P, 5 * P);
    assert_eq!(removed.len(), 1);
    assert_eq!((removed[0].start, removed[0].end), (3 * P, 5 * P));
    assert_eq!(ranges(&tree), [(0, 3), (5, 10)]);
    assert!(tree.remove(3 * P, 5 * P).is_empty());
    assert!(!tree.is_covered(2 * P, 6 * P));
    assert!(tree.is_free(3 * P, 5 * P));
    assert!(!tree.is_free(2 * P, 4 * P));
}

#[test]
fn updates_split_and_join_again() {
    let mut tree = VmaTree::default();
    tree.insert(anonymous(0, 10, RW));
    tree.update(2 * P, 4 * P, |vma| vma.prot = Prot::READ);
    assert_eq!(ranges(&tree), [(0, 2), (2, 4), (4, 10)]);
    tree.update(4 * P, 6 * P, |vma| vma.prot = Prot::READ);
    assert_eq!(ranges(&tree), [(0, 2), (2, 6), (6, 10)]);
    tree.update(2 * P, 6 * P, |vma| vma.prot = RW);
    assert_eq!(ranges(&tree), [(0, 10)]);
}

#[test]
fn recycled_ranges_are_invisible_and_stay_apart() {
    let mut tree = VmaTree::default();
    tree.insert(anonymous(0, 4, RW));
    tree.recycle(P, 2 * P);
    tree.recycle(2 * P, 3 * P);
    assert_eq!(ranges(&tree), [(0, 1), (1, 2), (2, 3), (3, 4)]);
    assert_eq!(tree.mapped(), 2 * P);
    assert!(!tree.is_covered(0, 2 * P));
    tree.update(P, 2 * P, |vma| vma.flags -= VmaFlags::RECYCLED);
    assert_eq!(ranges(&tree), [(0, 2), (2, 3), (3, 4)]);
    assert_eq!(tree.mapped(), 3 * P);
}

#[test]
fn searches_go_downwards_and_find_holes_again() {
    let mut tree = VmaTree::default();
    let top = 100 * P;
    let window = Window { low: 10 * P, high: top };
    let place = |tree: &mut VmaTree, len: u64, prot| {
        let start = tree.find_free(len * P, window, top).map(|start| start / P)?;
        tree.insert(anonymous(start, start + len, prot));
        Some(start)
    };
    assert_eq!(place(&mut tree, 10, RW), Some(90));
    assert_eq!(place(&mut tree, 10, Prot::READ), Some(80));
    assert_eq!(place(&mut tree, 1, RW), Some(79));
    tree.remove(90 * P, 95 * P);
    assert_eq!(place(&mut tree, 6, RW), Some(73));
    assert_eq!(place(&mut tree, 2, RW), Some(93));
    assert_eq!(place(&mut tree, 3, RW), Some(90));
    assert_eq!(place(&mut tree, 64, RW), None);
    assert_eq!(place(&mut tree, 63, RW), Some(10));
    assert_eq!(place(&mut tree, 1, RW), None);
}

#[test]
fn upward_searches_take_the_lowest_hole() {
    let mut tree = VmaTree::default();
    tree.insert(anonymous(10, 20, RW));
    tree.insert(anonymous(22, 30, RW));
    let window = Window { low: 12 * P, high: 40 * P };
    assert_eq!(tree.find_free_upwards(2 * P, window), Some(20 * P));
    assert_eq!(tree.find_free_upwards(3 * P, window), Some(30 * P));
    assert_eq!(tree.find_free_upwards(11 * P, window), None);
}

/// Pages of the model.
const PAGES: u64 = 48;

#[derive(Clone, Debug)]
enum Op {
    Map(u64, u64, u8),
    Unmap(u64, u64),
    Protect(u64, u64, u8),
    Recycle(u64, u64),
    Place(u64, u8),
}

fn op() -> impl Strategy<Value = Op> {
    let range = (0..PAGES, 1..12_u64);
    prop_oneof![
        (range.clone(), 0..4_u8).prop_map(|((at, len), prot)| Op::Map(at, len, prot)),
        range.clone().prop_map(|(at, len)| Op::Unmap(at, len)),
        (range.clone(), 0..4_u8).prop_map(|((at, len), prot)| Op::Protect(at, len, prot)),
        range.prop_map(|(at, len)| Op::Recycle(at, len)),
        (1..9_u64, 0..4_u8).prop_map(|(len, prot)| Op::Place(len, prot)),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Page {
    prot: Prot,
    recycled: bool,
}

fn prot(bits: u8) -> Prot {
    Prot::from_bits_truncate(u32::from(bits))
}

proptest! {
    /// The tree against a plain array of pages.
    #[test]
    fn agrees_with_an_array_of_pages(ops in proptest::collection::vec(op(), 1..60)) {
        let mut tree = VmaTree::default();
        let mut model: Vec<Option<Page>> = vec![None; PAGES as usize];
        let window = Window { low: 0, high: PAGES * P };
        for op in ops {
            match op {
                Op::Map(at, len, bits) => {
                    let end = (at + len).min(PAGES);
                    tree.remove(at * P, end * P);
                    tree.insert(anonymous(at, end, prot(bits)));
                    let page = Page { prot: prot(bits), recycled: false };
                    model[at as usize..end as usize].fill(Some(page));
                }
                Op::Unmap(at, len) => {
                    let end = (at + len).min(PAGES);
                    let removed = tree.remove(at * P, end * P);
                    let pages: u64 = removed.iter().map(|vma| vma.len() / P).sum();
                    let part = &mut model[at as usize..end as usize];
                    assert_eq!(pages, part.iter().flatten().count() as u64);
                    part.fill(None);
                }
                Op::Protect(at, len, bits) => {
                    let end = (at + len).min(PAGES);
                    tree.update(at * P, end * P, |vma| vma.prot = prot(bits));
                    for page in model[at as usize..end as usize].iter_mut().flatten() {
                        page.prot = prot(bits);
                    }
                }
                Op::Recycle(at, len) => {
                    let end = (at + len).min(PAGES);
                    tree.recycle(at * P, end * P);
                    for page in model[at as usize..end as usize].iter_mut().flatten() {
                        page.recycled = true;
                    }
                }
                Op::Place(len, bits) => {
                    let found = tree.find_free(len * P, window, window.high);
                    let free = |at: u64| {
                        (at..at + len).all(|page| model[page as usize].is_none())
                    };
                    let any = (0..=PAGES - len).rev().find(|&at| free(at));
                    assert_eq!(found.is_some(), any.is_some());
                    if let Some(start) = found {
                        let at = start / P;
                        assert!(free(at));
                        tree.insert(anonymous(at, at + len, prot(bits)));
                        let page = Page { prot: prot(bits), recycled: false };
                        model[at as usize..(at + len) as usize].fill(Some(page));
                    }
                }
            }
            check(&tree, &model);
        }
    }
}

#[test]
fn neighbours_that_lose_a_flag_stay_apart() {
    let mut tree = VmaTree::default();
    tree.insert(anonymous(1, 4, Prot::READ));
    tree.update(2 * P, 4 * P, |vma| vma.flags |= VmaFlags::LOCKED);
    tree.clear_flags(VmaFlags::LOCKED);
    let ranges = tree.iter().map(|vma| (vma.start / P, vma.end / P)).collect::<Vec<_>>();
    assert_eq!(ranges, [(1, 2), (2, 4)]);
}

fn check(tree: &VmaTree, model: &[Option<Page>]) {
    let mut seen: Vec<Option<Page>> = vec![None; model.len()];
    let mut last: Option<&Vma> = None;
    for vma in tree.iter() {
        assert!(vma.start < vma.end);
        if let Some(last) = last {
            assert!(last.end <= vma.start);
            assert!(!last.joins(vma), "neighbours that should be one");
        }
        let recycled = vma.flags.contains(VmaFlags::RECYCLED);
        let page = Page { prot: vma.prot, recycled };
        seen[(vma.start / P) as usize..(vma.end / P) as usize].fill(Some(page));
        last = Some(vma);
    }
    assert_eq!(seen, model);
    let visible = model.iter().flatten().filter(|page| !page.recycled).count() as u64;
    assert_eq!(tree.mapped(), visible * P);
    for (at, page) in model.iter().enumerate() {
        let found = tree.find(at as u64 * P + 17);
        assert_eq!(found.map(|vma| vma.prot), page.map(|page| page.prot));
    }
}
