//! NUMA policies of tasks and mappings, `set_mempolicy(2)`, `numa(7)`.
//!
//! The machine has one node, so that a policy never changes where a page lies. It is checked,
//! kept, inherited and reported all the same: programs read back what they set.

use core::fmt;

use lx_core::abi::{Errno, FromArg, TraceArg};

/// Nodes that a mask can name, `MAX_NUMNODES`.
pub const MAX_NODES: u64 = 1024;
/// The nodes that exist, as the first word of a mask.
pub const ALL_NODES: u64 = 1;

const MPOL_DEFAULT: u16 = 0;
const MPOL_PREFERRED: u16 = 1;
const MPOL_BIND: u16 = 2;
const MPOL_INTERLEAVE: u16 = 3;
const MPOL_LOCAL: u16 = 4;
const MPOL_PREFERRED_MANY: u16 = 5;
const MPOL_WEIGHTED_INTERLEAVE: u16 = 6;

const MPOL_F_STATIC_NODES: u16 = 1 << 15;
const MPOL_F_RELATIVE_NODES: u16 = 1 << 14;
const MPOL_F_NUMA_BALANCING: u16 = 1 << 13;
const MPOL_MODE_FLAGS: u16 = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;

/// A mode with its flags, as an argument. Unknown ones and flags that exclude each other give
/// `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyMode {
    mode: u16,
    flags: u16,
}

impl PolicyMode {
    /// Whether it is `MPOL_DEFAULT`.
    pub fn is_default(self) -> bool {
        self.mode == MPOL_DEFAULT
    }
}

impl FromArg for PolicyMode {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        let raw = u16::try_from(raw as u32).map_err(|_| Errno::EINVAL)?;
        let (mode, flags) = (raw & !MPOL_MODE_FLAGS, raw & MPOL_MODE_FLAGS);
        let balances = flags & MPOL_F_NUMA_BALANCING != 0;
        if mode > MPOL_WEIGHTED_INTERLEAVE
            || flags & MPOL_F_STATIC_NODES != 0 && flags & MPOL_F_RELATIVE_NODES != 0
            || balances && !matches!(mode, MPOL_BIND | MPOL_PREFERRED_MANY)
        {
            return Err(Errno::EINVAL);
        }
        Ok(Self { mode, flags })
    }
}

impl TraceArg for PolicyMode {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.mode | self.flags)
    }
}

/// A mask of nodes that a guest gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSet {
    /// The first 64 nodes: of more, none is ever told.
    pub low: u64,
    /// Whether it has others.
    pub has_high: bool,
}

impl NodeSet {
    /// Whether no node is in it.
    pub fn is_empty(self) -> bool {
        self.low == 0 && !self.has_high
    }

    /// Whether all of its nodes exist.
    pub fn all_exist(self) -> bool {
        self.low & !ALL_NODES == 0 && !self.has_high
    }

    /// Whether one of its nodes exists.
    pub fn any_exists(self) -> bool {
        self.low & ALL_NODES != 0
    }
}

/// A policy. No policy is `MPOL_DEFAULT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemPolicy {
    mode: u16,
    flags: u16,
    /// What `get_mempolicy(2)` tells of its nodes.
    nodes: u64,
    /// `set_mempolicy_home_node(2)` chose a node.
    has_home: bool,
}

impl MemPolicy {
    /// The policy that a caller asks for; `None` for the default one.
    ///
    /// # Errors
    /// `EINVAL`: the mode needs nodes and there are none that exist, or takes none.
    pub fn new(wanted: PolicyMode, nodes: NodeSet) -> Result<Option<Self>, Errno> {
        let PolicyMode { mode, flags } = wanted;
        let keeps_nodes = flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES) != 0;
        let is_local = mode == MPOL_LOCAL || mode == MPOL_PREFERRED && nodes.is_empty();
        if mode == MPOL_DEFAULT {
            return if nodes.is_empty() { Ok(None) } else { Err(Errno::EINVAL) };
        }
        if is_local {
            if !nodes.is_empty() || keeps_nodes {
                return Err(Errno::EINVAL);
            }
            return Ok(Some(Self { mode: MPOL_LOCAL, flags, nodes: 0, has_home: false }));
        }
        // Relative numbers are folded onto the nodes that exist, so that any will do.
        let fits = match flags & MPOL_F_RELATIVE_NODES {
            0 => nodes.any_exists(),
            _ => !nodes.is_empty(),
        };
        if !fits {
            return Err(Errno::EINVAL);
        }
        let nodes = if keeps_nodes { nodes.low } else { ALL_NODES };
        Ok(Some(Self { mode, flags, nodes, has_home: false }))
    }

    /// Mode and flags as `get_mempolicy(2)` tells them.
    pub fn mode_and_flags(self) -> i32 {
        i32::from(self.mode | self.flags)
    }

    /// The first word of its mask of nodes.
    pub fn nodes(self) -> u64 {
        self.nodes
    }

    /// Whether pages are spread over its nodes, one after the other.
    pub fn interleaves(self) -> bool {
        matches!(self.mode, MPOL_INTERLEAVE | MPOL_WEIGHTED_INTERLEAVE)
    }

    /// The same policy with the one node as its home.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if its mode has no home.
    pub(crate) fn with_home(self) -> Result<Self, Errno> {
        match self.mode {
            MPOL_BIND | MPOL_PREFERRED_MANY => Ok(Self { has_home: true, ..self }),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: u16, low: u64) -> Result<Option<(i32, u64)>, Errno> {
        let mode = PolicyMode::from_arg(mode.into())?;
        let policy = MemPolicy::new(mode, NodeSet { low, has_high: false })?;
        Ok(policy.map(|policy| (policy.mode_and_flags(), policy.nodes())))
    }

    #[test]
    fn nodes_are_kept_as_the_flags_say() {
        assert_eq!(policy(MPOL_BIND, 0x21), Ok(Some((2, 1))));
        assert_eq!(policy(MPOL_BIND | MPOL_F_STATIC_NODES, 0x21), Ok(Some((0x8002, 0x21))));
        assert_eq!(policy(MPOL_BIND | MPOL_F_STATIC_NODES, 2), Err(Errno::EINVAL));
        assert_eq!(policy(MPOL_BIND | MPOL_F_RELATIVE_NODES, 2), Ok(Some((0x4002, 2))));
        assert_eq!(policy(MPOL_PREFERRED, 0), Ok(Some((4, 0))));
        assert_eq!(policy(MPOL_DEFAULT, 0), Ok(None));
    }
}
