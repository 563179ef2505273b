//! NUMA policies: `set_mempolicy(2)`, `get_mempolicy(2)`, `mbind(2)`, `migrate_pages(2)`,
//! `move_pages(2)`, `set_mempolicy_home_node(2)`. There is one node, 0.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::{Errno, PAGE_SIZE, UserPtr};
use lx_core::cred::Capabilities;
use lx_proc::CurrentTask;
use lx_proc::access::{AccessIds, check_access};
use lx_proc::mempolicy::{ALL_NODES, MAX_NODES, MemPolicy, NodeSet, PolicyMode};
use lx_proc::task::Task;

/// Bits of a word of a mask of nodes.
const WORD: u64 = 64;

/// In flags of `get_mempolicy(2)`: the node, not the policy.
const MPOL_F_NODE: u32 = 1;
/// In flags of `get_mempolicy(2)`: of a mapping, not of the task.
const MPOL_F_ADDR: u32 = 2;
/// In flags of `get_mempolicy(2)`: the nodes that policies may name.
const MPOL_F_MEMS_ALLOWED: u32 = 4;

/// In flags of `mbind(2)`: pages that lie elsewhere are errors.
const MPOL_MF_STRICT: u32 = 1;
/// In flags of `mbind(2)` and `move_pages(2)`: moves the process's own pages.
const MPOL_MF_MOVE: u32 = 2;
/// In flags of `mbind(2)` and `move_pages(2)`: moves pages that others have, too.
const MPOL_MF_MOVE_ALL: u32 = 4;

/// Copies a mask of `max - 1` nodes in, its last word first, as Linux does.
///
/// # Errors
/// `EFAULT`; `EINVAL` for a mask of more than a page, or a node that no kernel has.
fn read_nodes(task: &CurrentTask<'_>, mask: UserPtr<u64>, max: u64) -> Result<NodeSet> {
    let count = max.wrapping_sub(1);
    let mut nodes = NodeSet::default();
    if count == 0 || mask.is_null() {
        return Ok(nodes);
    }
    if count > PAGE_SIZE * 8 {
        return Err(Errno::EINVAL.into());
    }
    for at in (0..count.div_ceil(WORD)).rev() {
        let addr = mask.addr().wrapping_add(at * size_of::<u64>() as u64);
        let mut word = task.memory().read(UserPtr::<u64>::new(addr))?;
        let bits = count.saturating_sub(at * WORD);
        if bits < WORD {
            word &= (1 << bits) - 1;
        }
        match at {
            0 => nodes.low = word,
            _ if word != 0 && at >= MAX_NODES / WORD => return Err(Errno::EINVAL.into()),
            _ => nodes.has_high |= word != 0,
        }
    }
    Ok(nodes)
}

/// Copies a mask out, of which the kernel has one word; the rest of the caller's is zeroed.
///
/// # Errors
/// `EFAULT`; `EINVAL` if the caller's is longer than a page.
fn write_nodes(task: &CurrentTask<'_>, mask: UserPtr<u64>, max: u64, nodes: u64) -> Result<()> {
    const OWN: u64 = size_of::<u64>() as u64;
    let len = max.wrapping_sub(1).div_ceil(WORD) * OWN;
    if len > PAGE_SIZE {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(());
    }
    task.memory().zero(mask.addr().wrapping_add(OWN), len - OWN)?;
    task.memory().write(mask, &nodes)
}

/// The first address behind a range of whole pages; `None` if the range is empty.
///
/// # Errors
/// `EINVAL` if it ends behind the last address.
fn end_of(start: u64, len: u64) -> Result<Option<u64>> {
    let len = len.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    Ok((end > start).then_some(end))
}

/// The task that `pid` names, 0 for the caller.
///
/// # Errors
/// `ESRCH`; `EPERM` for a task that the caller may not look into.
fn find(task: &CurrentTask<'_>, pid: i32) -> Result<Arc<Task>> {
    if pid == 0 {
        return Ok(Arc::clone(task.task()));
    }
    let target = task.kernel().pids.task(pid).ok_or(Errno::ESRCH)?;
    check_access(&task.caller(), &target, AccessIds::Real)?;
    Ok(target)
}

/// `set_mempolicy(2)`.
///
/// # Errors
/// `EINVAL` for an unknown mode or flag, or nodes that the mode does not take; `EFAULT`.
pub(crate) fn sys_set_mempolicy(
    task: &CurrentTask<'_>,
    mode: PolicyMode,
    mask: UserPtr<u64>,
    max: u64,
) -> Result<()> {
    let nodes = read_nodes(task, mask, max)?;
    task.task().set_mem_policy(MemPolicy::new(mode, nodes)?);
    Ok(())
}

/// `get_mempolicy(2)`.
///
/// # Errors
/// `EINVAL` for an unknown flag or ones that exclude each other, a mask without room for the node,
/// an address without `MPOL_F_ADDR`, or `MPOL_F_NODE` with a policy that does not interleave;
/// `EFAULT`, also for an address where nothing is mapped.
pub(crate) fn sys_get_mempolicy(
    task: &CurrentTask<'_>,
    mode: UserPtr<i32>,
    mask: UserPtr<u64>,
    max: u64,
    addr: UserPtr<u8>,
    flags: u64,
) -> Result<()> {
    let known = MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED;
    let flags = u32::try_from(flags).ok().filter(|flags| flags & !known == 0);
    let flags = flags.ok_or(Errno::EINVAL)?;
    let of_node = flags & MPOL_F_NODE != 0;
    let of_address = flags & MPOL_F_ADDR != 0;
    let no_room = !mask.is_null() && max == 0;
    if no_room {
        return Err(Errno::EINVAL.into());
    }
    let (told, nodes) = if flags & MPOL_F_MEMS_ALLOWED != 0 {
        if of_node || of_address {
            return Err(Errno::EINVAL.into());
        }
        (0, ALL_NODES)
    } else {
        let policy = if of_address {
            task.mm().policy_at(addr.addr())?
        } else if addr.is_null() {
            task.task().mem_policy()
        } else {
            return Err(Errno::EINVAL.into());
        };
        let told = match (of_node, of_address) {
            (false, _) => policy.map_or(0, MemPolicy::mode_and_flags),
            // Reading brings the page in, as Linux does before it looks where the page lies.
            (true, true) => task.memory().read(addr).map(|_| 0)?,
            (true, false) if policy.is_some_and(MemPolicy::interleaves) => 0,
            (true, false) => return Err(Errno::EINVAL.into()),
        };
        (told, policy.map_or(0, MemPolicy::nodes))
    };
    task.memory().write_unless_null(mode, &told)?;
    if mask.is_null() { Ok(()) } else { write_nodes(task, mask, max, nodes) }
}

/// `mbind(2)`. All pages lie on the one node already.
///
/// # Errors
/// `EINVAL` for an unknown mode or flag, nodes that the mode does not take, or an address within a
/// page; `EFAULT`, also for a range with a hole; `EPERM` for `MPOL_MF_MOVE_ALL`.
pub(crate) fn sys_mbind(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    mode: PolicyMode,
    mask: UserPtr<u64>,
    max: u64,
    flags: u32,
) -> Result<()> {
    let nodes = read_nodes(task, mask, max)?;
    if flags & !(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL.into());
    }
    check_move_all(task, flags)?;
    if !addr.addr().is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let Some(end) = end_of(addr.addr(), len)? else { return Ok(()) };
    task.mm().set_policy(addr.addr(), end, MemPolicy::new(mode, nodes)?)
}

/// Only administrators may move pages that others have.
fn check_move_all(task: &CurrentTask<'_>, flags: u32) -> Result<()> {
    let allowed = flags & MPOL_MF_MOVE_ALL == 0 || task.cred().has(Capabilities::SYS_NICE);
    if allowed { Ok(()) } else { Err(Errno::EPERM.into()) }
}

/// `set_mempolicy_home_node(2)`.
///
/// # Errors
/// `EINVAL` for a flag, another node than 0 or an address within a page; `ENOENT` if no mapping of
/// the range has a policy; `EOPNOTSUPP` for a policy of another mode.
pub(crate) fn sys_set_mempolicy_home_node(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    node: u64,
    flags: u64,
) -> Result<()> {
    if !addr.addr().is_multiple_of(PAGE_SIZE) || flags != 0 || node != 0 {
        return Err(Errno::EINVAL.into());
    }
    let Some(end) = end_of(addr.addr(), len)? else { return Ok(()) };
    task.mm().set_home_node(addr.addr(), end)
}

/// `migrate_pages(2)`: the number of pages that could not be moved.
///
/// # Errors
/// `EFAULT`; `ESRCH`; `EPERM` for a task that the caller may not look into, or nodes that do not
/// exist; `EINVAL` if no new node exists.
pub(crate) fn sys_migrate_pages(
    task: &CurrentTask<'_>,
    pid: i32,
    max: u64,
    old: UserPtr<u64>,
    new: UserPtr<u64>,
) -> Result<u64> {
    read_nodes(task, old, max)?;
    let new = read_nodes(task, new, max)?;
    find(task, pid)?;
    if !new.all_exist() && !task.cred().has(Capabilities::SYS_NICE) {
        return Err(Errno::EPERM.into());
    }
    if new.any_exists() { Ok(0) } else { Err(Errno::EINVAL.into()) }
}

/// `move_pages(2)`: stores for each page its node, or why it has none.
///
/// # Errors
/// `EINVAL` for an unknown flag; `EPERM` for `MPOL_MF_MOVE_ALL`, or a task that the caller may not
/// look into; `ESRCH`; `EFAULT`; `ENODEV` for a node that does not exist.
pub(crate) fn sys_move_pages(
    task: &CurrentTask<'_>,
    pid: i32,
    count: u64,
    pages: UserPtr<u64>,
    nodes: UserPtr<i32>,
    status: UserPtr<i32>,
    flags: u32,
) -> Result<()> {
    if flags & !(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL.into());
    }
    check_move_all(task, flags)?;
    let mm = find(task, pid)?.mm();
    let memory = task.memory();
    for at in 0..count {
        let place = |base: u64, size: usize| base.wrapping_add(at.wrapping_mul(size as u64));
        let page = memory.read(UserPtr::<u64>::new(place(pages.addr(), size_of::<u64>())))?;
        if !nodes.is_null() {
            let node = memory.read(UserPtr::<i32>::new(place(nodes.addr(), size_of::<i32>())))?;
            if node != 0 {
                return Err(Errno::ENODEV.into());
            }
        }
        let found = match mm.policy_at(page) {
            Ok(_) => 0,
            Err(_) => -i32::from(Errno::EFAULT.number()),
        };
        memory.write(UserPtr::<i32>::new(place(status.addr(), size_of::<i32>())), &found)?;
    }
    Ok(())
}
