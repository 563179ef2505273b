//! NUMA policies: `set_mempolicy(2)`, `get_mempolicy(2)`, `mbind(2)`, `migrate_pages(2)`,
//! `move_pages(2)`, `set_mempolicy_home_node(2)`. Only node 0 is taken for granted.

use std::fs;
use std::ptr::null_mut;

use lx_guest_tests::files::{address, as_nobody, is_root, sys};
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, in_child};

const PAGE: i64 = 4096;
/// `set_mempolicy_home_node`, which libc does not know.
const SET_HOME_NODE: i64 = 450;

const DEFAULT: i64 = 0;
const PREFERRED: i64 = 1;
const BIND: i64 = 2;
const INTERLEAVE: i64 = 3;
const LOCAL: i64 = 4;
const PREFERRED_MANY: i64 = 5;
const STATIC: i64 = 1 << 15;
const RELATIVE: i64 = 1 << 14;
const BALANCING: i64 = 1 << 13;

const NODE: i64 = 1;
const ADDR: i64 = 2;
const ALLOWED: i64 = 4;

const MOVE: i64 = 2;
const MOVE_ALL: i64 = 4;

/// A node that no machine of the tests has.
const FAR: u64 = 1 << 63;

fn main() {
    let mut t = Checks::new();
    if !std::path::Path::new("/sys/devices/system/node/node1").exists() {
        modes(&mut t);
    }
    masks(&mut t);
    inheritance(&mut t);
    ranges(&mut t);
    homes(&mut t);
    moves(&mut t);
    others(&mut t);
    system(&mut t);
    t.end();
}

fn set(mode: i64, mut nodes: u64) -> Called {
    sys(libc::SYS_set_mempolicy, [mode, address(&mut nodes), 65])
}

/// Mode and first word of the nodes.
fn get(at: i64, flags: i64) -> Result<(i32, u64), i32> {
    let (mut mode, mut nodes) = (-1, [u64::MAX; 16]);
    let arguments = [address(&mut mode), address(&mut nodes), 1024, at, flags];
    sys(libc::SYS_get_mempolicy, arguments).map(|_| (mode, nodes[0]))
}

fn mbind(at: i64, len: i64, mode: i64, mut nodes: u64, flags: i64) -> Called {
    sys(libc::SYS_mbind, [at, len, mode, address(&mut nodes), 65, flags])
}

fn map(pages: i64) -> i64 {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping anywhere.
    unsafe { libc::mmap(null_mut(), (pages * PAGE) as usize, rights, flags, -1, 0) as i64 }
}

fn modes(t: &mut Checks) {
    t.is("the first policy", get(0, 0), Ok((0, 0)));
    for (what, mode, nodes, seen) in [
        ("bind", BIND, 1, (2, 1)),
        ("nodes that do not exist are dropped", BIND, 1 | FAR, (2, 1)),
        ("or kept", BIND | STATIC, 1 | FAR, (0x8002, 1 | FAR)),
        ("relative ones always fit", BIND | RELATIVE, 2, (0x4002, 2)),
        ("balancing", BIND | BALANCING, 1, (0x2002, 1)),
        ("many preferred ones", PREFERRED_MANY | BALANCING, 1, (0x2005, 1)),
        ("preferred", PREFERRED, 1, (1, 1)),
        ("none preferred", PREFERRED, 0, (4, 0)),
        ("local", LOCAL, 0, (4, 0)),
        ("interleaved", INTERLEAVE, 1, (3, 1)),
    ] {
        t.works(what, set(mode, nodes));
        t.is(what, get(0, 0), Ok(seen));
    }
    t.is("the next node", get(0, NODE), Ok((0, 1)));
    for (what, mode, nodes) in [
        ("a mode that is none", 7, 1),
        ("a negative one", -1, 1),
        ("two flags that exclude each other", BIND | STATIC | RELATIVE, 1),
        ("balancing of others", INTERLEAVE | BALANCING, 1),
        ("no mode balances", DEFAULT | BALANCING, 0),
        ("default with nodes", DEFAULT, 1),
        ("local with nodes", LOCAL, 1),
        ("local with a flag", LOCAL | STATIC, 0),
        ("none preferred, with a flag", PREFERRED | STATIC, 0),
        ("bind to none", BIND, 0),
        ("bind to others", BIND, FAR),
        ("bind to others, kept", BIND | STATIC, FAR),
    ] {
        t.fails(what, set(mode, nodes), libc::EINVAL);
    }
    t.is("the policy has stayed", get(0, 0), Ok((3, 1)));
    t.works("default with a flag", set(DEFAULT | STATIC, 0));
    t.is("is the default", get(0, 0), Ok((0, 0)));
    t.fails("it has no next node", get(0, NODE).map(|_| 0), libc::EINVAL);
}

fn masks(t: &mut Checks) {
    let nowhere = NOWHERE as i64;
    let with = |mask: i64, max: i64| sys(libc::SYS_set_mempolicy, [BIND, mask, max]);
    let mut long = [0_u64; 1024];
    long[0] = 1;
    let mask = address(&mut long);
    t.fails("no mask", with(0, 64), libc::EINVAL);
    t.fails("a mask without nodes", with(mask, 1), libc::EINVAL);
    t.fails("a mask of less than none", with(mask, 0), libc::EINVAL);
    t.works("a mask of one node", with(mask, 2));
    t.works("a mask of a page", with(mask, PAGE * 8 + 1));
    t.fails("a longer one", with(mask, PAGE * 8 + 2), libc::EINVAL);
    long[16] = 1;
    let mask = address(&mut long);
    t.works("what lies behind the mask", with(mask, 1025));
    t.fails("a node that no kernel has", with(mask, 1026), libc::EINVAL);
    t.fails("a mask nowhere", with(nowhere, 64), libc::EFAULT);
    t.fails("the mode comes first", sys(libc::SYS_set_mempolicy, [7, nowhere, 64]), libc::EINVAL);

    let get = |mode: i64, mask: i64, max: i64, at: i64, flags: i64| {
        sys(libc::SYS_get_mempolicy, [mode, mask, max, at, flags])
    };
    t.works("nothing is asked", get(0, 0, 0, 0, 0));
    t.fails("the mode goes nowhere", get(nowhere, 0, 0, 0, 0), libc::EFAULT);
    t.fails("the nodes go nowhere", get(0, nowhere, 1024, 0, 0), libc::EFAULT);
    t.fails("no room for nodes", get(0, mask, 0, 0, 0), libc::EINVAL);
    t.fails("more room than a page", get(0, mask, PAGE * 8 + 65, 0, 0), libc::EINVAL);
    t.fails("a flag that is none", get(0, 0, 0, 0, 8), libc::EINVAL);
    t.fails("allowed nodes of an address", get(0, 0, 0, 0, ALLOWED | ADDR), libc::EINVAL);
    t.fails("an address without the flag", get(0, 0, 0, mask, 0), libc::EINVAL);
    t.fails("nothing is mapped there", get(0, 0, 0, nowhere, ADDR), libc::EFAULT);
    t.is("the rest is zeroed", long_answer(), Ok([1, 0, 0]));
}

fn long_answer() -> Result<[u64; 3], i32> {
    let mut nodes = [u64::MAX; 3];
    let arguments = [0, address(&mut nodes), 192, 0, ALLOWED];
    sys(libc::SYS_get_mempolicy, arguments).map(|_| nodes)
}

fn inheritance(t: &mut Checks) {
    t.works("a policy", set(INTERLEAVE, 1));
    let same = || i32::from(get(0, 0) != Ok((3, 1)));
    t.is("a child has it", in_child(same), Ended::Exit(0));
    let changed = in_child(|| i32::from(set(DEFAULT, 0).is_err()));
    t.is("a child has its own", (changed, same()), (Ended::Exit(0), 0));
    let other = std::thread::spawn(move || (get(0, 0), set(BIND, 1))).join();
    t.is("a thread, too", other.ok(), Some((Ok((3, 1)), Ok(0))));
    t.is("which is its own", get(0, 0), Ok((3, 1)));
    t.works("default", set(DEFAULT, 0));
}

fn ranges(t: &mut Checks) {
    let at = map(8);
    let _ = call!(munmap((at + 6 * PAGE) as *mut _, PAGE as usize));
    t.is("a range has no policy", get(at, ADDR), Ok((0, 0)));
    t.works("a policy", mbind(at + PAGE, 2 * PAGE, BIND, 1, 1));
    let seen = [0, 1, 2, 3].map(|page| get(at + page * PAGE, ADDR).map(|(mode, _)| mode));
    t.is("of its pages only", seen, [Ok(0), Ok(2), Ok(2), Ok(0)]);
    t.is("where a page lies", get(at + PAGE, ADDR | NODE), Ok((0, 1)));
    t.is(
        "a child has it",
        in_child(|| i32::from(get(at + PAGE, ADDR) != Ok((2, 1)))),
        Ended::Exit(0),
    );
    let rights = call!(mprotect((at + PAGE) as *mut _, PAGE as usize, libc::PROT_NONE));
    t.is("it stays when rights change", (rights, get(at + PAGE, ADDR)), (Ok(0), Ok((2, 1))));
    t.fails("a page without rights", get(at + PAGE, ADDR | NODE).map(|_| 0), libc::EFAULT);
    t.fails("a hole", mbind(at, 8 * PAGE, BIND, 1, 0), libc::EFAULT);
    t.fails("nothing but a hole", mbind(at + 6 * PAGE, PAGE, DEFAULT, 0, 0), libc::EFAULT);
    t.works("default over a hole", mbind(at, 8 * PAGE, DEFAULT, 0, 0));
    t.is("is the default", get(at + PAGE, ADDR), Ok((0, 0)));
    t.works("no page", mbind(at, 0, BIND, FAR, 0));
    t.fails("within a page", mbind(at + 1, PAGE, BIND, 1, 0), libc::EINVAL);
    t.fails("a flag that is none", mbind(at, PAGE, BIND, 1, 8), libc::EINVAL);
    t.fails("a mode that is none", mbind(at, PAGE, 7, 1, 0), libc::EINVAL);
    t.fails("beyond the last address", mbind(at, -2 * PAGE, BIND, 1, 0), libc::EINVAL);
    let nowhere = [at, PAGE, BIND, NOWHERE as i64, 64, 0];
    t.fails("nodes nowhere", sys(libc::SYS_mbind, nowhere), libc::EFAULT);
    if is_root() {
        let moved = as_nobody(|| mbind(at, PAGE, BIND, 1, MOVE_ALL));
        t.fails("pages of others", moved, libc::EPERM);
    }
    t.works("pages of its own", mbind(at, PAGE, BIND, 1, MOVE | 1));
}

fn homes(t: &mut Checks) {
    let at = map(4);
    let home =
        |at: i64, len: i64, node: i64, flags: i64| sys(SET_HOME_NODE, [at, len, node, flags]);
    t.fails("no policy", home(at, PAGE, 0, 0), libc::ENOENT);
    t.fails("no such node", home(at, PAGE, 63, 0), libc::EINVAL);
    t.fails("a flag", home(at, PAGE, 0, 1), libc::EINVAL);
    t.fails("within a page", home(at + 1, PAGE, 0, 0), libc::EINVAL);
    t.works("no page", home(at, 0, 0, 0));
    t.works("a policy without a home", mbind(at, PAGE, INTERLEAVE, 1, 0));
    t.fails("has none", home(at, PAGE, 0, 0), libc::EOPNOTSUPP);
    t.works("a policy with one", mbind(at, PAGE, PREFERRED_MANY, 1, 0));
    t.works("gets it", home(at, 2 * PAGE, 0, 0));
    t.is("and stays", get(at, ADDR), Ok((5, 1)));
}

fn moves(t: &mut Checks) {
    let at = map(3);
    // SAFETY: the page is mapped.
    unsafe { (at as *mut u8).write(1) };
    let _ = call!(munmap((at + PAGE) as *mut _, PAGE as usize));
    let mut status = [77_i32; 2];
    let mut pages = [at, at + PAGE];
    let mut nodes = [0_i32; 2];
    let nowhere = NOWHERE as i64;
    let (page_list, states) = (address(&mut pages), address(&mut status));
    let call = |pages: i64, nodes: i64, status: i64, flags: i64| {
        sys(libc::SYS_move_pages, [0, 2, pages, nodes, status, flags])
    };
    t.works("where pages lie", call(page_list, 0, states, 0));
    t.is("one is, one is not", status, [0, -libc::EFAULT]);
    status = [77; 2];
    let states = address(&mut status);
    t.works("to where they are", call(page_list, address(&mut nodes), states, MOVE));
    t.is("they stay", status, [0, -libc::EFAULT]);
    t.fails("a flag that is none", call(page_list, 0, states, 8), libc::EINVAL);
    t.fails("pages nowhere", call(nowhere, 0, states, 0), libc::EFAULT);
    t.fails("nodes nowhere", call(page_list, nowhere, states, MOVE), libc::EFAULT);
    t.fails("states nowhere", call(page_list, 0, nowhere, 0), libc::EFAULT);
    nodes[1] = 5000;
    let far = address(&mut nodes);
    t.fails("a node that no kernel has", call(page_list, far, states, MOVE), libc::ENODEV);
}

fn others(t: &mut Checks) {
    let migrate = |pid: i64, mut from: u64, mut to: u64| {
        let arguments = [pid, 65, address(&mut from), address(&mut to)];
        sys(libc::SYS_migrate_pages, arguments)
    };
    let move_pages = |pid: i64, flags: i64| sys(libc::SYS_move_pages, [pid, 0, 0, 0, 0, flags]);
    t.is("from a node to itself", migrate(0, 1, 1), Ok(0));
    t.is("from nowhere", migrate(0, 0, 1), Ok(0));
    t.fails("to nowhere", migrate(0, 1, 0), libc::EINVAL);
    t.fails("no such process", migrate(i32::MAX.into(), 1, 1), libc::ESRCH);
    t.fails("no process has that id", migrate(-1, 1, 1), libc::ESRCH);
    t.fails("pages of no process", move_pages(i32::MAX.into(), 0), libc::ESRCH);
    let nowhere = NOWHERE as i64;
    let mut node = 1_u64;
    let first = [0, 65, nowhere, address(&mut node)];
    t.fails("the old nodes", sys(libc::SYS_migrate_pages, first), libc::EFAULT);
    let second = [0, 65, address(&mut node), nowhere];
    t.fails("the new nodes", sys(libc::SYS_migrate_pages, second), libc::EFAULT);
    t.is("its own by id", migrate(std::process::id().into(), 1, 1), Ok(0));
    if !is_root() {
        return;
    }
    t.fails("other nodes", as_nobody(|| migrate(0, 1, 1 | FAR)), libc::EPERM);
    let parent = i64::from(std::process::id());
    let child = |body: &dyn Fn() -> Called| in_child(|| as_nobody(|| body().err().unwrap_or(0)));
    let refused = Ended::Exit(libc::EPERM);
    t.is("a process of root's", child(&|| migrate(parent, 1, 1)), refused);
    t.is("and its pages", child(&|| move_pages(parent, 0)), refused);
    t.is("pages of others", child(&|| move_pages(0, MOVE_ALL)), refused);
}

fn system(t: &mut Checks) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:\t"));
    t.ok("the allowed nodes", allowed.is_some_and(|nodes| nodes.starts_with('0')));
    for name in ["online", "possible", "has_cpu", "has_memory", "has_normal_memory"] {
        let path = format!("/sys/devices/system/node/{name}");
        let nodes = fs::read_to_string(path).unwrap_or_default();
        t.ok(name, nodes.starts_with('0') && nodes.ends_with('\n'));
    }
}
