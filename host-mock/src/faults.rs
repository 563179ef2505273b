//! Scripted failures of host calls.

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult};

/// A kind of host call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the trait methods")]
pub enum HostCall {
    Map,
    Unmap,
    Protect,
    AllocBlock,
    SpawnThread,
    Fork,
    SpawnProcess,
    Open,
    Stat,
    Read,
    Write,
    ReadDir,
    Modify,
}

/// Which calls fail.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    call: HostCall,
    /// Calls of this kind that still succeed.
    skip: u32,
    /// Calls that fail after them.
    count: u32,
    errno: Errno,
}

impl FaultPlan {
    /// Adds: after `skip` calls of this kind, the next `count` fail with `errno`.
    #[must_use]
    pub fn fail(mut self, call: HostCall, skip: u32, count: u32, errno: Errno) -> Self {
        self.rules.push(Rule { call, skip, count, errno });
        self
    }

    /// Called at each host call.
    pub(crate) fn check(&mut self, call: HostCall) -> HostResult<()> {
        for rule in self.rules.iter_mut().filter(|rule| rule.call == call) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.count > 0 {
                rule.count -= 1;
                return Err(HostError(rule.errno));
            }
        }
        Ok(())
    }
}
